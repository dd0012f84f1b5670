import JSONBytes

/// A SMILE writer of its own, by the format specification, as the model for the decoder: plain, with no eye on speed.
package struct SmileEncoder {
    private let sharesNames: Bool
    private let sharesStrings: Bool
    private let usesRawBinary: Bool
    package let writesEndMarker: Bool
    private(set) var bytes: [UInt8] = []
    private var names: [String] = []
    private var strings: [String] = []

    package init(
        sharesNames: Bool = true, sharesStrings: Bool = true, usesRawBinary: Bool = true, writesEndMarker: Bool = true
    ) {
        self.sharesNames = sharesNames
        self.sharesStrings = sharesStrings
        self.usesRawBinary = usesRawBinary
        self.writesEndMarker = writesEndMarker
    }

    package mutating func encode(_ value: JSONValue) -> [UInt8] {
        bytes = [0x3A, 0x29, 0x0A, (sharesNames ? 1 : 0) | (sharesStrings ? 2 : 0) | (usesRawBinary ? 4 : 0)]
        names = []
        strings = []
        write(value)
        if writesEndMarker { bytes.append(0xFF) }
        return bytes
    }

    private mutating func write(_ value: JSONValue) {
        switch value {
        case .null: bytes.append(0x21)
        case .bool(let flag): bytes.append(flag ? 0x23 : 0x22)
        case .number(let text): write(number: text)
        case .string(let text): write(text: text)
        case .binary(let data):
            if usesRawBinary {
                bytes.append(0xFD)
                write(variable: UInt64(data.count))
                bytes += data
            } else {
                bytes.append(0xE8)
                write(sevenBit: data)
            }
        case .array(let elements):
            bytes.append(0xF8)
            for element in elements { write(element) }
            bytes.append(0xF9)
        case .object(let members):
            bytes.append(0xFA)
            for member in members {
                write(name: member.key)
                write(member.value)
            }
            bytes.append(0xFB)
        }
    }

    private mutating func write(number text: String) {
        if let value = Int64(text) {
            if (-16...15).contains(value) {
                bytes.append(0xC0 | UInt8(Self.zigZag(value)))
            } else {
                bytes.append(Int32(exactly: value) != nil ? 0x24 : 0x25)
                write(variable: Self.zigZag(value))
            }
        } else if let value = Double(text) {
            bytes.append(0x29)
            write(sevenBits: value.bitPattern, count: 10)
        }
    }

    package static func zigZag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }

    private mutating func write(variable value: UInt64) { bytes += Self.variable(value) }

    package static func variable(_ value: UInt64) -> [UInt8] {
        var groups = [UInt8(value & 0x3F) | 0x80]
        var rest = value >> 6
        while rest > 0 {
            groups.append(UInt8(rest & 0x7F))
            rest >>= 7
        }
        return groups.reversed()
    }

    private mutating func write(sevenBits value: UInt64, count: Int) {
        for place in (0..<count).reversed() { bytes.append(UInt8(value >> UInt64(7 * place) & 0x7F)) }
    }

    private mutating func write(sevenBit data: [UInt8]) {
        write(variable: UInt64(data.count))
        bytes += Self.sevenBit(data)
    }

    /// Seven bytes in eight, bit by bit; the last byte of a short group holds its bits right-aligned.
    package static func sevenBit(_ data: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        for start in stride(from: 0, to: data.count, by: 7) {
            let group = data[start..<min(start + 7, data.count)]
            let bits = group.flatMap { byte in (0..<8).map { byte >> UInt8(7 - $0) & 1 } }
            for place in stride(from: 0, to: bits.count, by: 7) {
                output.append(bits[place..<min(place + 7, bits.count)].reduce(0) { $0 << 1 | $1 })
            }
        }
        return output
    }

    private mutating func write(name: String) {
        let utf8 = Array(name.utf8)
        if utf8.isEmpty {
            bytes.append(0x20)
            return
        }
        // No reference ends in 0xFE or 0xFF, which are the format's own.
        if sharesNames, let index = names.indices.first(where: { names[$0] == name && $0 & 0xFF < 0xFE }) {
            bytes += index < 64 ? [0x40 + UInt8(index)] : [0x30 + UInt8(index >> 8), UInt8(index & 0xFF)]
            return
        }
        let isASCII = utf8.allSatisfy { $0 < 0x80 }
        if isASCII ? utf8.count > 64 : utf8.count > 57 {
            bytes += [0x34] + utf8 + [0xFC]
            return
        }
        bytes.append(isASCII ? 0x80 + UInt8(utf8.count - 1) : 0xC0 + UInt8(utf8.count - 2))
        bytes += utf8
        if names.count == 1024 { names = [] }
        names.append(name)
    }

    private mutating func write(text: String) {
        let utf8 = Array(text.utf8)
        if utf8.isEmpty {
            bytes.append(0x20)
            return
        }
        if sharesStrings, let index = strings.indices.first(where: { strings[$0] == text && $0 & 0xFF < 0xFE }) {
            bytes += index < 31 ? [UInt8(index + 1)] : [0xEC + UInt8(index >> 8), UInt8(index & 0xFF)]
            return
        }
        let isASCII = utf8.allSatisfy { $0 < 0x80 }
        if isASCII ? utf8.count > 64 : utf8.count > 65 {
            bytes += [isASCII ? 0xE0 : 0xE4] + utf8 + [0xFC]
            return
        }
        bytes.append(isASCII ? 0x40 + UInt8(utf8.count - 1) : 0x80 + UInt8(utf8.count - 2))
        bytes += utf8
        if strings.count == 1024 { strings = [] }
        strings.append(text)
    }
}
