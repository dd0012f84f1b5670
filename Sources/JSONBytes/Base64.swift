/// RFC 4648 §4, with padding.
package enum Base64 {
    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    private static let foreign: UInt8 = 0xFF
    private static let digits: [UInt8] = {
        var digits = [UInt8](repeating: foreign, count: 256)
        for digit in 0..<64 { digits[Int(alphabet.utf8Start[digit])] = UInt8(digit) }
        return digits
    }()

    /// `bytes` as text.
    package static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        bytes.withUnsafeBytes { append($0, to: &text) }
        return String(decoding: text, as: UTF8.self)
    }

    /// `bytes` as text in the form of RFC 4648 §5 for URLs and file names, without padding.
    package static func encodeForURL(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        bytes.withUnsafeBytes { append($0, to: &text) }
        while text.last == UInt8(ascii: "=") { text.removeLast() }
        for index in text.indices {
            switch text[index] {
            case UInt8(ascii: "+"): text[index] = UInt8(ascii: "-")
            case UInt8(ascii: "/"): text[index] = UInt8(ascii: "_")
            default: continue
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Adds `data` as text: four characters for every three bytes begun.
    package static func append(_ data: UnsafeRawBufferPointer, to text: inout [UInt8]) {
        let count = (data.count + 2) / 3 * 4
        text.reserveCapacity(text.count + count)
        let alphabet = Self.alphabet.utf8Start
        var index = 0
        while index < data.count {
            let second = index + 1 < data.count ? data[index + 1] : 0
            let third = index + 2 < data.count ? data[index + 2] : 0
            let group = Int(data[index]) << 16 | Int(second) << 8 | Int(third)
            text.append(alphabet[group >> 18])
            text.append(alphabet[group >> 12 & 63])
            text.append(index + 1 < data.count ? alphabet[group >> 6 & 63] : UInt8(ascii: "="))
            text.append(index + 2 < data.count ? alphabet[group & 63] : UInt8(ascii: "="))
            index += 3
        }
    }

    /// nil when a character is foreign, the padding is wrong or bits are left over. Padding may be missing.
    package static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        var end = text.count
        if end % 4 == 0 {
            for _ in 0..<2 where end > 0 && text[end - 1] == UInt8(ascii: "=") { end -= 1 }
        }
        guard end % 4 != 1 else { return nil }
        return digits.withUnsafeBufferPointer { digits in
            var bytes: [UInt8] = []
            bytes.reserveCapacity(end / 4 * 3 + 2)
            var bits: UInt32 = 0
            var bitCount: UInt32 = 0
            for index in 0..<end {
                let digit = digits[Int(text[index])]
                guard digit != foreign else { return nil }
                bits = bits << 6 | UInt32(digit)
                bitCount += 6
                if bitCount >= 8 {
                    bitCount -= 8
                    bytes.append(UInt8(truncatingIfNeeded: bits >> bitCount))
                    bits &= (1 << bitCount) - 1
                }
            }
            return bits == 0 ? bytes : nil
        }
    }
}
