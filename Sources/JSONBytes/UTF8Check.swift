/// Well-formedness of UTF-8 (Unicode 15, table 3-7).
package enum UTF8Check {
    /// Where the first byte stands that no well-formed sequence can begin with or holds cut off; nil when all is well.
    package static func firstInvalidOffset(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var offset = 0
        while offset < bytes.count {
            let lead = bytes[offset]
            if lead < 0x80 {
                offset += 1
                continue
            }
            let count: Int
            var second: ClosedRange<UInt8> = 0x80...0xBF
            switch lead {
            case 0xC2...0xDF: count = 2
            case 0xE0:
                count = 3
                second = 0xA0...0xBF
            case 0xED:
                count = 3
                second = 0x80...0x9F
            case 0xE1...0xEF: count = 3
            case 0xF0:
                count = 4
                second = 0x90...0xBF
            case 0xF1...0xF3: count = 4
            case 0xF4:
                count = 4
                second = 0x80...0x8F
            default: return offset
            }
            guard bytes.count - offset >= count, second.contains(bytes[offset + 1]) else { return offset }
            for index in 2..<max(count, 2) where bytes[offset + index] & 0xC0 != 0x80 { return offset }
            offset += count
        }
        return nil
    }
}
