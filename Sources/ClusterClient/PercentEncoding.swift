/// Percent-encoding for the parts of a request target (RFC 3986 §2).
package enum PercentEncoding {
    /// One path segment: everything but the unreserved characters is encoded, `/`, `+`, `*` and `,` included, so that
    /// an index name such as `logs/2024` stays one segment. The same rule serves names and values of a query.
    package static func segment(_ text: String) -> String {
        if text.utf8.allSatisfy(isUnreserved) { return text }
        var encoded: [UInt8] = []
        encoded.reserveCapacity(text.utf8.count + 16)
        for byte in text.utf8 { append(byte, to: &encoded) }
        return String(decoding: encoded, as: UTF8.self)
    }

    /// `/a/b` from segments in their plain form.
    package static func path(_ segments: String...) -> String {
        segments.reduce(into: "") { path, part in path += "/" + segment(part) }
    }

    /// Appends `bytes`, all but unreserved characters encoded; a slash stays when `keepsSlash`.
    static func append(_ bytes: some Sequence<UInt8>, keepsSlash: Bool = false, to output: inout [UInt8]) {
        for byte in bytes {
            if keepsSlash, byte == UInt8(ascii: "/") { output.append(byte) } else { append(byte, to: &output) }
        }
    }

    /// `name=value&name=value`; a member without a value is the name alone, as `?pretty` is.
    static func appendQuery(_ query: [(String, String)], to output: inout [UInt8]) {
        for (position, member) in query.enumerated() {
            if position > 0 { output.append(UInt8(ascii: "&")) }
            append(member.0.utf8, to: &output)
            if !member.1.isEmpty {
                output.append(UInt8(ascii: "="))
                append(member.1.utf8, to: &output)
            }
        }
    }

    /// A name or value of a query in its plain form: plus signs are spaces, a percent sign without two digits stays.
    static func decoded(formPart part: some Collection<UInt8>) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(part.count)
        var rest = part[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let high = rest.first.flatMap(hexValue),
                let low = rest.dropFirst().first.flatMap(hexValue)
            {
                output.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                output.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return output
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        guard isHexDigit(byte) else { return nil }
        return byte < 0x40 ? byte - 0x30 : (byte | 0x20) - UInt8(ascii: "a") + 10
    }

    private static func append(_ byte: UInt8, to output: inout [UInt8]) {
        guard !isUnreserved(byte) else { return output.append(byte) }
        output.append(UInt8(ascii: "%"))
        output.append(hexDigit(byte >> 4))
        output.append(hexDigit(byte & 15))
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + (value - 10)
    }

    /// RFC 3986 §2.3.
    static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"): true
        default: false
        }
    }

    /// Whether bytes may stand in a request target's path as they are: `pchar` and `/`, every `%` with two digits.
    static func isEncodedPath(_ bytes: some Collection<UInt8>) -> Bool {
        var digitsDue = 0
        for byte in bytes {
            if digitsDue > 0 {
                guard isHexDigit(byte) else { return false }
                digitsDue -= 1
            } else if byte == UInt8(ascii: "%") {
                digitsDue = 2
            } else if !isUnreserved(byte), !isPathPunctuation(byte) {
                return false
            }
        }
        return digitsDue == 0
    }

    static func isHostByte(_ byte: UInt8) -> Bool {
        isUnreserved(byte) && byte != UInt8(ascii: "~")
    }

    static func isIPv6Byte(_ byte: UInt8) -> Bool {
        isHexDigit(byte) || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }

    /// `sub-delims`, `:`, `@` and `/` (RFC 3986 §3.3).
    private static func isPathPunctuation(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "!"), UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("): true
        case UInt8(ascii: ")"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: ","), UInt8(ascii: ";"): true
        case UInt8(ascii: "="), UInt8(ascii: ":"), UInt8(ascii: "@"), UInt8(ascii: "/"): true
        default: false
        }
    }
}
