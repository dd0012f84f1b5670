import JSONBytes

/// Text of JSON strings, with and without escapes.
enum JSONStrings {
    /// The string whose text (without quotes) is at `range`, escapes resolved. Text that is no valid string stays as it
    /// is: it equals no name.
    static func unescaped(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> [UInt8] {
        let text = UnsafeRawBufferPointer(rebasing: bytes[range])
        guard text.contains(UInt8(ascii: "\\")) else { return Array(text) }
        let quoted = [UInt8(ascii: "\"")] + Array(text) + [UInt8(ascii: "\"")]
        guard case .string(let value)? = try? JSONValue.parse(quoted) else { return Array(text) }
        return Array(value.utf8)
    }

    static func equals(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        if range.count == count {
            for index in 0..<count where bytes[range.lowerBound + index] != text.utf8Start[index] { return false }
            return true
        }
        // An escape makes a text longer, never shorter.
        guard range.count > count, bytes[range].contains(UInt8(ascii: "\\")) else { return false }
        return unescaped(bytes, range).elementsEqual(UnsafeBufferPointer(start: text.utf8Start, count: count))
    }

    static func quoted(_ text: some Collection<UInt8>) -> [UInt8] {
        var result: [UInt8] = [UInt8(ascii: "\"")]
        result.reserveCapacity(text.count + 2)
        appendEscaped(text, to: &result)
        result.append(UInt8(ascii: "\""))
        return result
    }

    static func appendEscaped(_ text: some Collection<UInt8>, to result: inout [UInt8]) {
        for byte in text {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                result.append(UInt8(ascii: "\\"))
                result.append(byte)
            case 0..<0x20:
                result.append(contentsOf: Array("\\u00".utf8))
                result.append(hexDigit(byte >> 4))
                result.append(hexDigit(byte & 15))
            default: result.append(byte)
            }
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}

extension JSONByteCursor {
    /// Moves past a value and returns where it stands.
    mutating func valueRange() throws(JSONError) -> Range<Int> {
        _ = peek()
        let start = offset
        try skipValue()
        return start..<offset
    }

    /// Moves past a value; when it is a string, returns where its text stands without the quotes.
    mutating func stringRange() throws(JSONError) -> (value: Range<Int>, text: Range<Int>?) {
        let isString = peek() == UInt8(ascii: "\"")
        let range = try valueRange()
        return (range, isString ? (range.lowerBound + 1)..<(range.upperBound - 1) : nil)
    }
}
