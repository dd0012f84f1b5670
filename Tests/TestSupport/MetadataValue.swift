import JSONBytes

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
        left.smile == right.smile
    }
}

extension MetadataValue {
    /// SMILE as Elasticsearch and OpenSearch write it: shared key names on, shared string values off, raw binary
    /// allowed, no end marker.
    package var smile: [UInt8] {
        var encoder = SmileEncoder(sharesStrings: false, writesEndMarker: false)
        return encoder.encode(json)
    }

    private var json: JSONValue {
        switch self {
        case .null: .null
        case .bool(let flag): .bool(flag)
        case .int(let number): .number(String(number))
        case .string(let text): .string(text)
        case .binary(let raw): .binary(raw)
        case .array(let elements): .array(elements.map(\.json))
        case .object(let members): .object(members.map { JSONMember(key: $0.key, value: $0.value.json) })
        }
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
