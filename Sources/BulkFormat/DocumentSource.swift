import CSystem

/// The form in which an engine stored a document's `_source`: it keeps the bytes as they were sent
/// (`XContentFactory.xContentType` tells them apart by the first bytes).
package enum SourceEncoding: String, Sendable {
    case json
    case smile
    case cbor
    case yaml
    case empty
    case unknown

    /// Tells the encoding by the first bytes. A JSON source is an object, after white space and a byte order mark.
    @inline(__always)
    package init(detecting source: UnsafeRawBufferPointer) {
        if source.count > 1, source[0] == UInt8(ascii: "{") {
            self = .json
        } else {
            self = SourceEncoding.detectUncommon(source)
        }
    }

    private static func detectUncommon(_ source: UnsafeRawBufferPointer) -> SourceEncoding {
        guard source.count > 0 else { return .empty }
        let first = source[0]
        let second = source.count > 1 ? source[1] : 0
        let third = source.count > 2 ? source[2] : 0
        if first == 0x3A, second == 0x29, third == 0x0A { return .smile }  // ":)\n"
        if first == 0xD9, second == 0xD9, third == 0xF7 { return .cbor }  // RFC 8949 §3.4.6
        if first >> 5 == 5 { return .cbor }  // RFC 8949 §3.1, major type 5: a map
        if first == UInt8(ascii: "-"), second == first, third == first { return .yaml }
        var start = first == 0xEF && second == 0xBB && third == 0xBF ? 3 : 0  // byte order mark
        while start < source.count, isWhiteSpace(source[start]) { start += 1 }
        return start < source.count && source[start] == UInt8(ascii: "{") ? .json : .unknown
    }

    private static func isWhiteSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }
}

/// Puts a JSON source on one line, as NDJSON demands.
package enum SourceLine {
    /// Replaces each line feed outside strings by a space, in place, and returns true; returns false and leaves the
    /// bytes from the first such place on as they are when a line feed stands inside a string, where only an escape
    /// (`joined`) keeps the meaning. A carriage return is white space to every reader and stays.
    package static func joinInPlace(_ source: UnsafeMutableRawBufferPointer) -> Bool {
        let base = source.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
        var position = millrace_find_byte(base, source.count, 0x0A)
        guard position < source.count else { return true }
        var scan = StringTracker()
        scan.advance(over: UnsafeRawBufferPointer(start: base, count: position))
        while position < source.count {
            if scan.isInString { return false }
            base[position] = 0x20
            let rest = position + 1
            let next = rest + millrace_find_byte(base + rest, source.count - rest, 0x0A)
            scan.advance(over: UnsafeRawBufferPointer(start: base + rest, count: next - rest))
            position = next
        }
        return true
    }

    /// A copy on one line: line feeds become spaces outside strings and `\n` escapes inside them. Engines that refuse
    /// raw control characters in strings never store the latter; older ones did.
    package static func joined(_ source: UnsafeRawBufferPointer) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(source.count + 16)
        var scan = StringTracker()
        for byte in source {
            if byte == 0x0A {
                if scan.isInString {
                    line.append(UInt8(ascii: "\\"))
                    line.append(UInt8(ascii: "n"))
                } else {
                    line.append(0x20)
                }
                continue
            }
            scan.advance(byte)
            line.append(byte)
        }
        return line
    }

    /// Knows whether the next byte of a JSON text stands inside a string.
    private struct StringTracker {
        private(set) var isInString = false
        private var isEscaped = false

        mutating func advance(over bytes: UnsafeRawBufferPointer) {
            for byte in bytes { advance(byte) }
        }

        mutating func advance(_ byte: UInt8) {
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\"") {
                isInString.toggle()
            } else if byte == UInt8(ascii: "\\"), isInString {
                isEscaped = true
            }
        }
    }
}
