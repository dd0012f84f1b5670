import HTTPMessage

/// What becomes of the credentials in a captured head.
package enum Authentication: Equatable, Sendable {
    /// As the client sent them.
    case keep
    case remove
    /// The value of the Authorization line to send, such as `Basic dTpw`.
    case basic([UInt8])
    /// As `remove`, and every line and parameter of an AWS signature with it: another one is made for each sending.
    case signed

    var replacesCredentials: Bool { self != .keep }
}

/// Writes the head to send: one pass over the fields of the captured one, runs between changes copied whole.
///
/// The start line gets HTTP/1.1 and the origin form, Host the target's authority; what speaks of the captured
/// connection (Connection and the fields it names, Keep-Alive, Proxy-Connection, Upgrade, TE, Expect) goes. Everything
/// else keeps its bytes and its order.
struct HeadWriter: Sendable {
    let host: [UInt8]
    let authentication: Authentication
    let userAgentSuffix: [UInt8]
    let headerRules: [RuleSet.HeaderRule]

    /// What differs for one request.
    struct Request {
        /// nil: as captured.
        var method: StaticString?
        /// nil: as captured.
        var target: [UInt8]?
        /// Of the new body; nil when the captured one is sent.
        var contentLength: Int?
    }

    func write(
        _ captured: CapturedRequest, _ request: Request, _ changes: inout TransformChanges
    ) -> [UInt8] {
        let bytes = captured.headBytes
        let head = captured.head
        var output: [UInt8] = []
        output.reserveCapacity(head.byteCount + host.count + userAgentSuffix.count + 96 + extraBytes(request))
        writeStartLine(captured, request, &output)
        var seen = Seen()
        let fields = head.fields
        let fieldsEnd = head.byteCount - 2
        let isPlainConnection = Self.isPlainConnection(head, bytes)
        if head.value(of: .host) == nil { append("Host: ", host, &output) }
        // From here on everything up to the field at hand is copied at the next change.
        var copied = fields.isEmpty ? fieldsEnd : fields[0].name.lowerBound
        for place in 0..<fields.count {
            let field = fields[place]
            let action = action(for: field, bytes, request, isPlainConnection, head, &seen)
            if case .copy = action { continue }
            let name = field.name
            output.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[copied..<name.lowerBound]))
            copied = place + 1 < fields.count ? fields[place + 1].name.lowerBound : fieldsEnd
            switch action {
            case .copy, .drop: break
            case .value(let value):
                output.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[name]))
                append(": ", value, &output)
            case .suffix(let suffix):
                output.append(
                    contentsOf: UnsafeRawBufferPointer(rebasing: bytes[name.lowerBound..<field.value.upperBound]))
                append(field.value.isEmpty ? "" : " ", suffix, &output)
            case .length(let count):
                output.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[name]))
                append(": ", Self.digits(count), &output)
            case .rule(let line):
                changes.headerLinesChanged += 1
                if let line { append("", line, &output) }
            }
        }
        output.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[copied..<fieldsEnd]))
        appendMissing(request, seen, &output, &changes)
        output.append(0x0D)
        output.append(0x0A)
        return output
    }

    private struct Seen {
        var hasLength = false
        var hasAuthorization = false
        var hasUserAgent = false
        /// Of header rules, by bit.
        var rules: UInt64 = 0
    }

    private enum Action {
        case copy
        case drop
        case value([UInt8])
        case suffix([UInt8])
        case length(Int)
        case rule([UInt8]?)
    }

    private func action(
        for field: HTTPField, _ bytes: UnsafeRawBufferPointer, _ request: Request, _ isPlainConnection: Bool,
        _ head: HTTPHead, _ seen: inout Seen
    ) -> Action {
        switch field.known {
        case .host: return .value(host)
        case .connection, .keepAlive, .proxyConnection, .upgrade, .te, .expect: return .drop
        case .authorization:
            switch authentication {
            case .keep: return .copy
            case .remove, .signed: return .drop
            case .basic(let value):
                if seen.hasAuthorization { return .drop }
                seen.hasAuthorization = true
                return .value(value)
            }
        case .contentLength:
            guard let count = request.contentLength else { return .copy }
            if seen.hasLength { return .drop }
            seen.hasLength = true
            return .length(count)
        case .transferEncoding, .trailer: return request.contentLength == nil ? .copy : .drop
        case .contentType, .contentEncoding: break
        case .other: return otherAction(field, bytes, request, isPlainConnection, head, &seen)
        }
        return headerRules.isEmpty ? .copy : ruleAction(field, bytes, &seen)
    }

    private func otherAction(
        _ field: HTTPField, _ bytes: UnsafeRawBufferPointer, _ request: Request, _ isPlainConnection: Bool,
        _ head: HTTPHead, _ seen: inout Seen
    ) -> Action {
        let name = field.name
        // First letters first: most names are none of these.
        switch bytes[name.lowerBound] | 0x20 {
        case UInt8(ascii: "u"):
            if !userAgentSuffix.isEmpty, !seen.hasUserAgent, HTTPHead.equals(bytes, name, "user-agent") {
                seen.hasUserAgent = true
                return .suffix(userAgentSuffix)
            }
        case UInt8(ascii: "x"):
            if authentication == .signed, Self.hasPrefix(bytes, name, "x-amz-") { return .drop }
        case UInt8(ascii: "p"):
            if authentication.replacesCredentials, HTTPHead.equals(bytes, name, "proxy-authorization") { return .drop }
        case UInt8(ascii: "c"):
            // A digest of bytes that are no longer sent.
            if request.contentLength != nil, HTTPHead.equals(bytes, name, "content-md5") { return .drop }
        default: break
        }
        if !isPlainConnection, Self.isNamedByConnection(field, head, bytes) { return .drop }
        return headerRules.isEmpty ? .copy : ruleAction(field, bytes, &seen)
    }

    private func ruleAction(_ field: HTTPField, _ bytes: UnsafeRawBufferPointer, _ seen: inout Seen) -> Action {
        for (number, rule) in headerRules.enumerated() where Self.isName(bytes, field.name, rule.name) {
            let bit = UInt64(1) << UInt64(min(number, 63))
            let isFirst = seen.rules & bit == 0
            seen.rules |= bit
            return .rule(isFirst ? rule.line : nil)
        }
        return .copy
    }

    private func appendMissing(
        _ request: Request, _ seen: Seen, _ output: inout [UInt8], _ changes: inout TransformChanges
    ) {
        if let count = request.contentLength, !seen.hasLength {
            append("Content-Length: ", Self.digits(count), &output)
        }
        if case .basic(let value) = authentication, !seen.hasAuthorization { append("Authorization: ", value, &output) }
        if !userAgentSuffix.isEmpty, !seen.hasUserAgent { append("User-Agent: ", userAgentSuffix, &output) }
        for (number, rule) in headerRules.enumerated() {
            guard let line = rule.line, seen.rules & UInt64(1) << UInt64(min(number, 63)) == 0 else { continue }
            append("", line, &output)
            changes.headerLinesChanged += 1
        }
    }

    private func extraBytes(_ request: Request) -> Int {
        var count = request.target?.count ?? 0
        if case .basic(let value) = authentication { count += value.count }
        for rule in headerRules { count += rule.line?.count ?? 0 }
        return count
    }

    private func writeStartLine(_ captured: CapturedRequest, _ request: Request, _ output: inout [UInt8]) {
        if let method = request.method {
            output.append(contentsOf: UnsafeBufferPointer(start: method.utf8Start, count: method.utf8CodeUnitCount))
        } else {
            output.append(contentsOf: captured.methodBytes)
        }
        output.append(0x20)
        if let target = request.target {
            output.append(contentsOf: target)
        } else {
            output.append(contentsOf: captured.target)
        }
        append(" HTTP/1.1", [], &output)
    }

    /// `prefix`, `value` and the end of the line.
    private func append(_ prefix: StaticString, _ value: [UInt8], _ output: inout [UInt8]) {
        output.append(contentsOf: UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount))
        output.append(contentsOf: value)
        output.append(0x0D)
        output.append(0x0A)
    }

    private static func digits(_ count: Int) -> [UInt8] { Array(String(count).utf8) }

    private static func hasPrefix(_ bytes: UnsafeRawBufferPointer, _ name: Range<Int>, _ prefix: StaticString) -> Bool {
        let count = prefix.utf8CodeUnitCount
        return name.count >= count
            && HTTPHead.equals(bytes, name.lowerBound..<(name.lowerBound + count), prefix)
    }

    private static func isName(_ bytes: UnsafeRawBufferPointer, _ name: Range<Int>, _ lower: [UInt8]) -> Bool {
        guard name.count == lower.count else { return false }
        for index in 0..<lower.count {
            var byte = bytes[name.lowerBound + index]
            if byte >= UInt8(ascii: "A"), byte <= UInt8(ascii: "Z") { byte |= 0x20 }
            if byte != lower[index] { return false }
        }
        return true
    }

    /// Connection names no other field: it is absent, `keep-alive` or `close`.
    private static func isPlainConnection(_ head: HTTPHead, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let value = head.value(of: .connection) else { return true }
        return HTTPHead.equals(bytes, value, "keep-alive") || HTTPHead.equals(bytes, value, "close")
    }

    /// RFC 9110 §7.6.1: a field that Connection names is for the next hop alone.
    private static func isNamedByConnection(
        _ field: HTTPField, _ head: HTTPHead, _ bytes: UnsafeRawBufferPointer
    ) -> Bool {
        let lower = bytes[field.name].map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 }
        for line in head.fields where line.known == .connection {
            let tokens: [Slice<UnsafeRawBufferPointer>] = bytes[line.value].split(separator: UInt8(ascii: ","))
            for token in tokens {
                let start = token.firstIndex { $0 != 0x20 && $0 != 0x09 } ?? token.endIndex
                let end = token.lastIndex { $0 != 0x20 && $0 != 0x09 }.map { $0 + 1 } ?? start
                if Self.isName(bytes, start..<end, lower) { return true }
            }
        }
        return false
    }
}
