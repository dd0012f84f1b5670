/// RFC 4648 §4, for the Authorization field.
enum Base64Text {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let second: UInt8? = index + 1 < bytes.count ? bytes[index + 1] : nil
            let third: UInt8? = index + 2 < bytes.count ? bytes[index + 2] : nil
            let group = Int(bytes[index]) << 16 | Int(second ?? 0) << 8 | Int(third ?? 0)
            text.append(alphabet[group >> 18])
            text.append(alphabet[group >> 12 & 63])
            text.append(second == nil ? UInt8(ascii: "=") : alphabet[group >> 6 & 63])
            text.append(third == nil ? UInt8(ascii: "=") : alphabet[group & 63])
            index += 3
        }
        return String(decoding: text, as: UTF8.self)
    }
}
