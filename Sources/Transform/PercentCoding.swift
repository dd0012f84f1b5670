/// Percent-encoding of path segments and parameters (RFC 3986 §2.1).
enum PercentCoding {
    /// Escapes resolved; a `%` without two hexadecimal digits stays. A plus sign stands for itself in a path and for a
    /// space in a query.
    static func decoded(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, isQuery: Bool = false) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(range.count)
        var at = range.lowerBound
        while at < range.upperBound {
            let byte = bytes[at]
            if byte == UInt8(ascii: "%"), at + 2 < range.upperBound, let high = digit(bytes[at + 1]),
                let low = digit(bytes[at + 2])
            {
                result.append(high << 4 | low)
                at += 3
            } else {
                result.append(isQuery && byte == UInt8(ascii: "+") ? 0x20 : byte)
                at += 1
            }
        }
        return result
    }

    /// Everything escaped but unreserved characters and `,*:@$!`, which index lists and ids are full of and which mean
    /// themselves in paths and parameters alike.
    static func append(_ text: some Collection<UInt8>, to result: inout [UInt8]) {
        for byte in text {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"), UInt8(ascii: ","), UInt8(ascii: "*"), UInt8(ascii: ":"), UInt8(ascii: "@"),
                UInt8(ascii: "$"), UInt8(ascii: "!"):
                result.append(byte)
            default:
                result.append(UInt8(ascii: "%"))
                result.append(hexDigit(byte >> 4))
                result.append(hexDigit(byte & 15))
            }
        }
    }

    static func encoded(_ text: some Collection<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        append(text, to: &result)
        return result
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
    }
}
