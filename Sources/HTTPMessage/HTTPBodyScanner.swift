import CSystem

/// A field of a trailer section.
package struct HTTPTrailer: Equatable, Sendable {
    package let name: [UInt8]
    package let value: [UInt8]
}

/// Finds content in the bytes after a head, however they are cut, without copying it (RFC 9112 §6, §7).
///
///     chunked-body = *( chunk-size [ chunk-ext ] CRLF chunk-data CRLF ) 1*"0" [ chunk-ext ] CRLF trailers CRLF
///
/// The caller calls `next` with the bytes at hand until it returns `needsMoreBytes` or `complete`. All state is a
/// value; memory is allocated only for trailers. After an error nothing of the connection can be trusted.
package struct HTTPBodyScanner {
    package enum Step: Equatable, Sendable {
        /// Content, in place. The position is behind it.
        case content(Range<Int>)
        /// Every byte given was consumed.
        case needsMoreBytes
        /// The message ended at the position; the next one starts there.
        case complete
    }

    private enum State: UInt8 {
        case length
        case untilClose
        case sizeStart
        case size
        case extensions
        case sizeLineFeed
        case data
        case dataCarriageReturn
        case dataLineFeed
        case trailerStart
        case trailerLineFeed
        case trailers
        case complete
    }

    private var state: State
    /// Content bytes still to come, of the body or of the chunk.
    private var remaining: Int64 = 0
    private var sizeDigitCount = 0
    private var chunkExtensions = HTTPChunkExtensionScanner()
    private var extensionBytes = 0
    private var bodyExtensionBytes = 0
    private var trailerBytes: [UInt8] = []
    private var trailerScanner = HTTPFieldScanner(from: 0)
    private var trailerFields = HTTPFieldList()
    /// Where the trailer section starts, counted like `consumedByteCount`.
    private var trailerOffset = 0
    private let limits: HTTPLimits

    /// Bytes consumed since the head, framing included.
    package private(set) var consumedByteCount: Int64 = 0
    /// Content bytes found so far.
    package private(set) var contentByteCount: Int64 = 0

    package init(framing: HTTPBodyFraming, limits: HTTPLimits = HTTPLimits()) {
        self.limits = limits
        switch framing {
        case .none, .upgrade: state = .complete
        case .length(let count):
            remaining = count
            state = count > 0 ? .length : .complete
        case .chunked: state = .sizeStart
        case .untilClose: state = .untilClose
        }
    }

    package var isComplete: Bool { state == .complete }

    /// The trailer fields, once complete.
    package var trailers: [HTTPTrailer] {
        guard state == .complete else { return [] }
        return trailerFields.map {
            HTTPTrailer(name: [UInt8](trailerBytes[$0.name]), value: [UInt8](trailerBytes[$0.value]))
        }
    }

    /// The peer closed its side in order. Ends a body that lasts until then; any other body is truncated.
    package mutating func endOfInput() throws(HTTPError) {
        if state == .untilClose { state = .complete }
        guard state == .complete else { throw failure(.truncated, "the connection ended inside a message", 0) }
    }

    /// Takes the next step from `position` on and moves it.
    package mutating func next(
        in bytes: UnsafeRawBufferPointer, at position: inout Int
    ) throws(HTTPError) -> Step {
        let start = position
        defer { consumedByteCount &+= Int64(position - start) }
        while state != .complete {
            guard position < bytes.count else { return .needsMoreBytes }
            switch state {
            case .length, .untilClose, .data: return content(bytes.count, &position)
            case .trailers:
                try scanTrailers(bytes, &position)
            default:
                try step(bytes[position], distance: position - start)
                // The first byte of a trailer is kept with the rest: do not consume it here.
                if state != .trailers { position += 1 }
            }
        }
        return .complete
    }

    private mutating func content(_ end: Int, _ position: inout Int) -> Step {
        let available = Int64(end - position)
        let count = state == .untilClose ? available : min(available, remaining)
        let range = position..<position + Int(count)
        position = range.upperBound
        contentByteCount &+= count
        if state != .untilClose {
            remaining -= count
            if remaining == 0 { state = state == .data ? .dataCarriageReturn : .complete }
        }
        return .content(range)
    }

    /// One byte of the chunk framing. `distance` is how far it is behind what `consumedByteCount` counts.
    private mutating func step(_ byte: UInt8, distance: Int) throws(HTTPError) {
        switch state {
        case .sizeStart:
            guard HTTPTargetRules.isHexDigit(byte) else {
                throw failure(.invalidChunkSize, "byte \(byte) where a chunk size starts", distance)
            }
            remaining = 0
            sizeDigitCount = 0
            try appendSizeDigit(byte, distance)
            state = .size
        case .size:
            if HTTPTargetRules.isHexDigit(byte) {
                try appendSizeDigit(byte, distance)
            } else if byte == UInt8(ascii: "\r") {
                state = .sizeLineFeed
            } else if byte == UInt8(ascii: ";") {
                chunkExtensions = HTTPChunkExtensionScanner()
                extensionBytes = 0
                try countExtensionByte(distance)
                state = .extensions
            } else {
                throw failure(.invalidChunkSize, "byte \(byte) in a chunk size", distance)
            }
        case .extensions:
            if byte == UInt8(ascii: "\r"), chunkExtensions.mayEnd {
                state = .sizeLineFeed
            } else {
                try countExtensionByte(distance)
                guard chunkExtensions.accept(byte) else {
                    throw failure(.invalidChunkExtension, "byte \(byte) in a chunk extension", distance)
                }
            }
        case .sizeLineFeed:
            try expectLineFeed(byte, distance)
            state = remaining == 0 ? .trailerStart : .data
        case .dataCarriageReturn:
            guard byte == UInt8(ascii: "\r") else {
                throw failure(.invalidChunkEnd, "byte \(byte) after the data of a chunk", distance)
            }
            state = .dataLineFeed
        case .dataLineFeed:
            try expectLineFeed(byte, distance)
            state = .sizeStart
        case .trailerStart:
            state = byte == UInt8(ascii: "\r") ? .trailerLineFeed : .trailers
            trailerOffset = Int(clamping: consumedByteCount) + distance
        case .trailerLineFeed:
            try expectLineFeed(byte, distance)
            state = .complete
        case .length, .untilClose, .data, .trailers, .complete:
            preconditionFailure("no framing byte is due in state \(state)")
        }
    }

    private mutating func appendSizeDigit(_ byte: UInt8, _ distance: Int) throws(HTTPError) {
        sizeDigitCount += 1
        let digit = byte &- 0x30 < 10 ? byte &- 0x30 : (byte | 0x20) &- UInt8(ascii: "a") &+ 10
        // 2^59 as the bound keeps the shift exact; the digit limit stops endless leading zeros.
        guard sizeDigitCount <= HTTPLimits.sizeDigitCount, remaining < 1 << 59 else {
            throw failure(
                .chunkSizeOverflow, "a chunk size passes 2^63 - 1 or \(HTTPLimits.sizeDigitCount) digits", distance)
        }
        remaining = remaining << 4 | Int64(digit)
    }

    private mutating func countExtensionByte(_ distance: Int) throws(HTTPError) {
        extensionBytes += 1
        bodyExtensionBytes += 1
        guard extensionBytes <= limits.chunkExtensionBytes, bodyExtensionBytes <= limits.chunkExtensionBytesPerBody
        else {
            throw failure(.chunkExtensionTooLong, "chunk extensions are too long", distance)
        }
    }

    private func expectLineFeed(_ byte: UInt8, _ distance: Int) throws(HTTPError) {
        guard byte == UInt8(ascii: "\n") else {
            throw failure(.bareCarriageReturn, "a carriage return without a line feed", distance)
        }
    }

    /// Trailers are rare and short: their bytes are gathered, and the field scanner goes on over them.
    private mutating func scanTrailers(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) throws(HTTPError) {
        let taken = min(bytes.count - position, limits.trailerBytes - trailerBytes.count)
        let countBefore = trailerBytes.count
        trailerBytes.append(contentsOf: bytes[position..<position + taken])
        let isDone: Bool
        do throws(HTTPError) {
            isDone = try scanGatheredTrailers()
        } catch {
            throw HTTPError(error.code, at: trailerOffset + error.offset, error.message)
        }
        guard isDone else {
            position += taken
            guard trailerBytes.count < limits.trailerBytes else {
                throw HTTPError(
                    .trailersTooLarge, at: trailerOffset + limits.trailerBytes,
                    "the trailers are longer than \(limits.trailerBytes) bytes")
            }
            return
        }
        position += trailerScanner.position - countBefore
        try checkTrailerNames()
        state = .complete
    }

    private mutating func scanGatheredTrailers() throws(HTTPError) -> Bool {
        let count = trailerBytes.count
        // The scanner and its fields are moved out for the call: closures cannot borrow them beside the bytes.
        var scanner = trailerScanner
        var fields = trailerFields
        trailerFields = HTTPFieldList()
        let limit = limits.fieldCount
        let outcome = trailerBytes.withUnsafeBufferPointer { bytes -> Result<Bool, HTTPError> in
            guard let base = bytes.baseAddress else { return .success(false) }
            do throws(HTTPError) {
                return .success(try scanner.scan(base, to: count, fieldCountLimit: limit, into: &fields))
            } catch {
                return .failure(error)
            }
        }
        trailerScanner = scanner
        trailerFields = fields
        return try outcome.get()
    }

    /// RFC 9110 §6.5.1: fields that frame, route, authenticate or describe content come too late here, and a recipient
    /// that merged them would read another message.
    private func checkTrailerNames() throws(HTTPError) {
        for field in trailerFields {
            let isForbidden = trailerBytes.withUnsafeBytes { bytes in
                field.known != .other || HTTPHead.equals(bytes, field.name, "cache-control")
                    || HTTPHead.equals(bytes, field.name, "content-range")
                    || HTTPHead.equals(bytes, field.name, "range")
                    || HTTPHead.equals(bytes, field.name, "max-forwards")
                    || HTTPHead.equals(bytes, field.name, "cookie")
                    || HTTPHead.equals(bytes, field.name, "set-cookie")
                    || HTTPHead.equals(bytes, field.name, "proxy-authorization")
            }
            guard !isForbidden else {
                throw HTTPError(
                    .forbiddenTrailer, at: trailerOffset + field.name.lowerBound,
                    "a trailer field that belongs in the head")
            }
        }
    }

    private func failure(_ code: HTTPError.Code, _ message: String, _ distance: Int) -> HTTPError {
        HTTPError(code, at: Int(clamping: consumedByteCount) + distance, message)
    }
}

/// Checks the grammar of chunk extensions byte by byte (RFC 9112 §7.1.1), from behind the first semicolon on:
///
///     chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS ( token / quoted-string ) ] )
struct HTTPChunkExtensionScanner {
    private enum State: UInt8 {
        case beforeName, name, afterName, beforeValue, value, quoted, escaped, afterQuoted, beforeSemicolon
    }

    private var state = State.beforeName

    /// The chunk-size line may end here. It may not end in white space, which recipients trim differently.
    var mayEnd: Bool { state == .name || state == .value || state == .afterQuoted }

    /// False when the byte cannot stand here.
    mutating func accept(_ byte: UInt8) -> Bool {
        let isSpace = byte == 0x20 || byte == 0x09
        switch state {
        case .quoted:
            if byte == UInt8(ascii: "\"") {
                state = .afterQuoted
            } else if byte == UInt8(ascii: "\\") {
                state = .escaped
            }
            return isSpace || byte > 0x20 && byte != 0x7F
        case .escaped:
            state = .quoted
            return isSpace || byte > 0x20 && byte != 0x7F
        case .beforeName:
            if isSpace { return true }
            state = .name
            return millrace_http_is_token_byte(byte) != 0
        case .beforeValue:
            if isSpace { return true }
            state = byte == UInt8(ascii: "\"") ? .quoted : .value
            return state == .quoted || millrace_http_is_token_byte(byte) != 0
        case .name, .value:
            if millrace_http_is_token_byte(byte) != 0 { return true }
            return leave(byte, isSpace: isSpace, mayTakeValue: state == .name)
        case .afterName: return leave(byte, isSpace: isSpace, mayTakeValue: true)
        case .afterQuoted, .beforeSemicolon: return leave(byte, isSpace: isSpace, mayTakeValue: false)
        }
    }

    /// What may follow a name or a value.
    private mutating func leave(_ byte: UInt8, isSpace: Bool, mayTakeValue: Bool) -> Bool {
        if byte == UInt8(ascii: ";") {
            state = .beforeName
        } else if byte == UInt8(ascii: "="), mayTakeValue {
            state = .beforeValue
        } else if isSpace {
            state = mayTakeValue ? .afterName : .beforeSemicolon
        } else {
            return false
        }
        return true
    }
}
