import CSystem

/// Puts a JSON source on one line, as NDJSON demands.
///
/// The engines' parsers allow comments (Jackson's ALLOW_COMMENTS) and engines store a source as it was sent, so a line
/// feed can also end a `//` comment: that comment is blanked, or it would swallow what follows it.
package enum SourceLine {
    /// Replaces each line feed outside strings by a space, in place, and returns true; returns false and leaves the
    /// bytes from the first such place on as they are when a line feed stands inside a string, where only an escape
    /// (`joined`) keeps the meaning. A carriage return is white space to every reader and stays.
    package static func joinInPlace(_ source: UnsafeMutableRawBufferPointer) -> Bool {
        guard let base = source.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return true }
        var position = millrace_find_byte(base, source.count, 0x0A)
        guard position < source.count else { return true }
        var place = JSONPlace()
        place.advance(over: UnsafeBufferPointer(start: base, count: position), at: 0)
        while position < source.count {
            if place.isInString { return false }
            let blank = place.isInLineComment ? place.commentStart : position
            memset(base + blank, 0x20, position + 1 - blank)
            place.endLine()
            let rest = position + 1
            let next = rest + millrace_find_byte(base + rest, source.count - rest, 0x0A)
            place.advance(over: UnsafeBufferPointer(start: base + rest, count: next - rest), at: rest)
            position = next
        }
        return true
    }

    /// A copy on one line: line feeds become spaces outside strings and `\n` escapes inside them. Engines that refuse
    /// raw control characters in strings never store the latter; older ones did.
    package static func joined(_ source: UnsafeRawBufferPointer) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(source.count + 16)
        var place = JSONPlace()
        for byte in source {
            guard byte == 0x0A else {
                place.advance(byte, at: line.count)
                line.append(byte)
                continue
            }
            if place.isInString {
                place.endLine()
                line.append(UInt8(ascii: "\\"))
                line.append(UInt8(ascii: "n"))
            } else {
                if place.isInLineComment {
                    for index in place.commentStart..<line.count { line[index] = 0x20 }
                }
                place.endLine()
                line.append(0x20)
            }
        }
        return line
    }
}

/// Knows where in a JSON text the next byte stands: inside a string, inside a comment, or between.
private struct JSONPlace {
    private enum Kind: UInt8 {
        case between
        /// Behind a slash that may open a comment.
        case slash
        case string
        /// Behind a backslash in a string.
        case escape
        case lineComment
        case blockComment
        /// Behind an asterisk in a block comment.
        case asterisk
    }

    private var kind = Kind.between
    /// Where the last slash outside strings stood: the start of the comment that the place is in.
    private(set) var commentStart = 0

    var isInString: Bool { kind == .string || kind == .escape }
    var isInLineComment: Bool { kind == .lineComment }

    mutating func advance(over bytes: UnsafeBufferPointer<UInt8>, at offset: Int) {
        for index in bytes.indices { advance(bytes[index], at: offset + index) }
    }

    /// Moves over a byte other than a line feed, which stands at `offset`.
    mutating func advance(_ byte: UInt8, at offset: Int) {
        switch kind {
        case .between: open(byte, at: offset)
        case .slash:
            switch byte {
            case UInt8(ascii: "/"): kind = .lineComment
            case UInt8(ascii: "*"): kind = .blockComment
            default:
                kind = .between
                open(byte, at: offset)
            }
        case .string:
            if byte == UInt8(ascii: "\"") { kind = .between } else if byte == UInt8(ascii: "\\") { kind = .escape }
        case .escape: kind = .string
        case .lineComment: if byte == UInt8(ascii: "\r") { kind = .between }
        case .blockComment: if byte == UInt8(ascii: "*") { kind = .asterisk }
        case .asterisk:
            if byte == UInt8(ascii: "/") { kind = .between } else if byte != UInt8(ascii: "*") { kind = .blockComment }
        }
    }

    /// Moves over a line feed, or over the escape or space that takes its place.
    mutating func endLine() {
        switch kind {
        case .slash, .lineComment: kind = .between
        case .asterisk: kind = .blockComment
        case .escape: kind = .string
        case .between, .string, .blockComment: break
        }
    }

    private mutating func open(_ byte: UInt8, at offset: Int) {
        if byte == UInt8(ascii: "\"") {
            kind = .string
        } else if byte == UInt8(ascii: "/") {
            kind = .slash
            commentStart = offset
        }
    }
}
