/// A value to be written as SMILE or JSON. Integers only where snapshots hold integers.
package indirect enum MetadataValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case int(Int64)
    case string(String)
    case binary([UInt8])
    case array([MetadataValue])
    case object([(key: String, value: MetadataValue)])

    package static func == (left: MetadataValue, right: MetadataValue) -> Bool {
        SmileWriter.encode(left) == SmileWriter.encode(right)
    }
}

/// SMILE 1.0 (github.com/FasterXML/smile-format-specification) as Elasticsearch and OpenSearch write it: shared key
/// names on, shared string values off, raw binary allowed, no end marker.
package struct SmileWriter {
    private(set) var bytes: [UInt8] = [0x3A, 0x29, 0x0A, 0x05]
    private var sharedKeys: [String: Int] = [:]

    package static func encode(_ value: MetadataValue) -> [UInt8] {
        var writer = SmileWriter()
        writer.write(value)
        return writer.bytes
    }

    private mutating func write(_ value: MetadataValue) {
        switch value {
        case .null: bytes.append(0x21)
        case .bool(let flag): bytes.append(flag ? 0x23 : 0x22)
        case .int(let number): write(integer: number)
        case .string(let text): write(text: text)
        case .binary(let raw):
            bytes.append(0xFD)
            write(unsigned: UInt64(raw.count))
            bytes += raw
        case .array(let elements):
            bytes.append(0xF8)
            for element in elements { write(element) }
            bytes.append(0xF9)
        case .object(let members):
            bytes.append(0xFA)
            for member in members {
                write(key: member.key)
                write(member.value)
            }
            bytes.append(0xFB)
        }
    }

    private mutating func write(integer: Int64) {
        let zigZag = UInt64(bitPattern: (integer << 1) ^ (integer >> 63))
        if zigZag < 32 {
            bytes.append(0xC0 + UInt8(zigZag))
        } else {
            bytes.append(Int32(exactly: integer) != nil ? 0x24 : 0x25)
            write(unsigned: zigZag)
        }
    }

    /// Seven bits a byte, most significant first; the last byte holds six and the end bit.
    private mutating func write(unsigned: UInt64) {
        var groups: [UInt8] = [UInt8(unsigned & 0x3F) | 0x80]
        var rest = unsigned >> 6
        while rest > 0 {
            groups.append(UInt8(rest & 0x7F))
            rest >>= 7
        }
        bytes += groups.reversed()
    }

    private mutating func write(text: String) {
        let utf8 = Array(text.utf8)
        let isASCII = utf8.allSatisfy { $0 < 0x80 }
        switch (utf8.count, isASCII) {
        case (0, _): bytes.append(0x20)
        case (1...32, true): bytes.append(0x40 + UInt8(utf8.count - 1))
        case (33...64, true): bytes.append(0x60 + UInt8(utf8.count - 33))
        case (2...33, false): bytes.append(0x80 + UInt8(utf8.count - 2))
        case (34...65, false): bytes.append(0xA0 + UInt8(utf8.count - 34))
        default: bytes.append(isASCII ? 0xE0 : 0xE4)
        }
        bytes += utf8
        if utf8.count > (isASCII ? 64 : 65) { bytes.append(0xFC) }
    }

    private mutating func write(key: String) {
        let utf8 = Array(key.utf8)
        if utf8.isEmpty { return bytes.append(0x20) }
        if let shared = sharedKeys[key] {
            if shared < 64 { return bytes.append(0x40 + UInt8(shared)) }
            bytes += [0x30 | UInt8(shared >> 8), UInt8(shared & 0xFF)]
            return
        }
        let isASCII = utf8.allSatisfy { $0 < 0x80 }
        // Only short names are shared; after 1024 of them the table starts anew. References whose low byte is 0xFE or
        // 0xFF are avoided by not reusing those slots.
        if utf8.count <= (isASCII ? 64 : 57) {
            bytes.append(isASCII ? 0x80 + UInt8(utf8.count - 1) : 0xC0 + UInt8(utf8.count - 2))
            bytes += utf8
            remember(key)
        } else {
            bytes.append(0x34)
            bytes += utf8
            bytes.append(0xFC)
        }
    }

    private var nextSharedKey = 0
    private mutating func remember(_ key: String) {
        if nextSharedKey == 1024 {
            sharedKeys.removeAll()
            nextSharedKey = 0
        }
        if nextSharedKey & 0xFF < 0xFE { sharedKeys[key] = nextSharedKey }
        nextSharedKey += 1
    }
}

/// JSON text of a value, for `index-N`, which is not SMILE.
package enum MetadataJSON {
    package static func encode(_ value: MetadataValue) -> [UInt8] {
        var bytes: [UInt8] = []
        append(value, to: &bytes)
        return bytes
    }

    private static func append(_ value: MetadataValue, to bytes: inout [UInt8]) {
        switch value {
        case .null: bytes += Array("null".utf8)
        case .bool(let flag): bytes += Array((flag ? "true" : "false").utf8)
        case .int(let number): bytes += Array(String(number).utf8)
        case .string(let text): append(text: text, to: &bytes)
        case .binary(let raw): append(text: URLSafeBase64.encode(raw), to: &bytes)
        case .array(let elements):
            bytes.append(UInt8(ascii: "["))
            for (position, element) in elements.enumerated() {
                if position > 0 { bytes.append(UInt8(ascii: ",")) }
                append(element, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let members):
            bytes.append(UInt8(ascii: "{"))
            for (position, member) in members.enumerated() {
                if position > 0 { bytes.append(UInt8(ascii: ",")) }
                append(text: member.key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                append(member.value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        }
    }

    private static func append(text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                bytes += Array(("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
