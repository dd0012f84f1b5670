/// A forward cursor over JSON bytes that skips what nobody asked for. It checks structure, not every scalar. Offsets
/// count from the first byte; errors name where reading stopped. The bytes outlive the cursor.
package struct JSONByteCursor {
    @usableFromInline package let bytes: UnsafeRawBufferPointer
    @usableFromInline package var offset = 0

    /// Deeper nesting than this in a skipped value is refused.
    @usableFromInline static let depthLimit = 512

    @inlinable package init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The next byte that is not white space, without moving past it.
    @inlinable package mutating func peek() -> UInt8? {
        skipWhiteSpace()
        return offset < bytes.count ? bytes[offset] : nil
    }

    @inlinable package mutating func skipWhiteSpace() {
        while offset < bytes.count {
            let byte = bytes[offset]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
            offset += 1
        }
    }

    @inlinable package mutating func expect(_ byte: UInt8) throws(JSONError) {
        guard peek() == byte else { throw failure("'\(Character(UnicodeScalar(byte)))' expected") }
        offset += 1
    }

    /// Inside an object: moves past the next key and its colon and returns where the key's text stands, or moves past
    /// the closing brace and returns nil.
    @inlinable package mutating func nextKey() throws(JSONError) -> Range<Int>? {
        guard try isAnotherMember(opening: UInt8(ascii: "{"), closing: UInt8(ascii: "}")) else { return nil }
        let key = try string()
        try expect(UInt8(ascii: ":"))
        return key
    }

    /// Inside an array: true when another element follows; moves past the closing bracket and returns false otherwise.
    @inlinable package mutating func nextElement() throws(JSONError) -> Bool {
        try isAnotherMember(opening: UInt8(ascii: "["), closing: UInt8(ascii: "]"))
    }

    /// Moves past the comma before a member, or past the closing byte. Only the first member stands without a comma,
    /// and then the opening byte is the one just passed.
    @inlinable package mutating func isAnotherMember(opening: UInt8, closing: UInt8) throws(JSONError) -> Bool {
        let isFirst = offset > 0 && bytes[offset - 1] == opening
        guard let byte = peek() else { throw failure("the text ends inside a value") }
        if byte == closing {
            offset += 1
            return false
        }
        if isFirst { return true }
        try expect(UInt8(ascii: ","))
        guard peek() != closing else { throw failure("a value expected") }
        return true
    }

    /// Only white space is left.
    @inlinable package mutating func expectEnd() throws(JSONError) {
        guard peek() == nil else { throw failure("bytes after the end") }
    }

    @inlinable package func equals(_ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<range.count where bytes[range.lowerBound + index] != text.utf8Start[index] { return false }
        return true
    }

    @inlinable package mutating func bool() throws(JSONError) -> Bool {
        switch peek() {
        case UInt8(ascii: "t"):
            try skipValue()
            return true
        case UInt8(ascii: "f"):
            try skipValue()
            return false
        default: throw failure("true or false expected")
        }
    }

    /// An integer of at most nine digits.
    @inlinable package mutating func smallInteger() throws(JSONError) -> Int {
        skipWhiteSpace()
        let start = offset
        var value = 0
        while offset < bytes.count, offset - start < 9, bytes[offset] >= 0x30, bytes[offset] <= 0x39 {
            value = value * 10 + Int(bytes[offset] - 0x30)
            offset += 1
        }
        guard offset > start else { throw failure("a number expected") }
        return value
    }

    /// A string's text. Escapes other than `\uXXXX` are resolved; those stay as they are, which is enough for messages.
    package mutating func text() throws(JSONError) -> String {
        let range = try string()
        var out: [UInt8] = []
        out.reserveCapacity(range.count)
        var index = range.lowerBound
        while index < range.upperBound {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\\"), index + 1 < range.upperBound, bytes[index + 1] != UInt8(ascii: "u") {
                index += 1
                switch bytes[index] {
                case UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"): out.append(0x20)
                default: out.append(bytes[index])
                }
            } else {
                out.append(byte)
            }
            index += 1
        }
        return String(decoding: out, as: UTF8.self)
    }

    @inlinable package mutating func skipValue() throws(JSONError) {
        guard let byte = peek() else { throw failure("a value expected") }
        switch byte {
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "{"), UInt8(ascii: "["): try skipContainer()
        default:
            let start = offset
            while offset < bytes.count {
                let byte = bytes[offset]
                if byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") || byte <= 0x20 {
                    break
                }
                offset += 1
            }
            guard offset > start else { throw failure("a value expected") }
        }
    }

    @inlinable package mutating func skipContainer() throws(JSONError) {
        var depth = 0
        repeat {
            guard offset < bytes.count else { throw failure("the text ends inside a value") }
            switch bytes[offset] {
            case UInt8(ascii: "\""):
                _ = try string()
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                guard depth <= Self.depthLimit else { throw failure("nested deeper than \(Self.depthLimit)") }
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            default: break
            }
            offset += 1
        } while depth > 0
    }

    /// Moves past a string and returns where its text stands, quotes excluded.
    @inlinable package mutating func string() throws(JSONError) -> Range<Int> {
        try expect(UInt8(ascii: "\""))
        let start = offset
        while offset < bytes.count {
            let byte = bytes[offset]
            if byte == UInt8(ascii: "\"") {
                offset += 1
                return start..<(offset - 1)
            }
            offset += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        offset = bytes.count
        throw failure("the text ends inside a string")
    }

    @usableFromInline func failure(_ message: String) -> JSONError {
        JSONError(offset: offset, message: message)
    }
}
