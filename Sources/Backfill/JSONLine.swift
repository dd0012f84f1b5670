import BulkFormat

/// Builds one JSON object on one line, member by member.
struct JSONLine {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    mutating func member(_ name: StaticString, text: String) {
        member(name, bytes: Array(text.utf8))
    }

    /// UTF-8 bytes as a string.
    mutating func member(_ name: StaticString, bytes text: [UInt8]) {
        key(name)
        bytes.append(UInt8(ascii: "\""))
        for byte in text {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                bytes += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func member(_ name: StaticString, number: Int) {
        key(name)
        bytes += String(number).utf8
    }

    mutating func member(_ name: StaticString, rawJSON value: [UInt8]) {
        key(name)
        bytes += value
    }

    /// The object, closed, with a line break.
    func finished() -> [UInt8] {
        bytes + [UInt8(ascii: "}"), 0x0A]
    }

    private mutating func key(_ name: StaticString) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        bytes.append(UInt8(ascii: "\""))
        bytes += UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        bytes.append(UInt8(ascii: "\""))
        bytes.append(UInt8(ascii: ":"))
    }
}

/// RFC 4648 §4, with padding.
enum Base64 {
    static func encode(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - start)
            var group = UInt32(bytes[start]) << 16
            if count > 1 { group |= UInt32(bytes[start + 1]) << 8 }
            if count > 2 { group |= UInt32(bytes[start + 2]) }
            for position in 0..<4 {
                let isPadding = position > count
                text.append(isPadding ? UInt8(ascii: "=") : alphabet[Int(group >> (18 - 6 * UInt32(position))) & 63])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
