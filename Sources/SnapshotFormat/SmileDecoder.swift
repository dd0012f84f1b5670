import JSONBytes

/// Decodes SMILE, the binary JSON that the engines write their metadata in (the Smile 1.0 format specification of the
/// Jackson project).
///
///     header   3A 29 0A, then version (4 bits), 0, raw binary (4), shared strings (2), shared names (1)
///     value    token byte, its payload
///     end      FF or the end of the bytes
///
/// Shared names and strings are numbered as they come; the table starts anew when it holds 1 024.
package struct SmileDecoder {
    /// Nesting deeper than this is refused; every level is a stack frame.
    package static let depthLimit = 256
    /// Values and members that one document may have; a byte of input can be one value of about 40 bytes of memory.
    package static let valueCountLimit = 16 << 20
    /// A number of more bytes is refused, since its decimal text costs quadratic time.
    static let bigIntegerBytesLimit = 4096

    private var cursor: ByteCursor
    private var depth = 0
    private var valueCount = 0
    /// nil when the header says that there are none.
    private var names: SharedTable?
    private var strings: SharedTable?

    package static func hasHeader(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: [0x3A, 0x29, 0x0A]) }

    /// The whole of `bytes`, header and optional end marker included, as one value. Error offsets count from the
    /// header.
    package static func decode(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSONValue {
        var decoder = SmileDecoder(cursor: ByteCursor(bytes))
        return try decoder.document()
    }

    package static func decode(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        let result: Result<JSONValue, JSONError> = bytes.withUnsafeBytes { raw in
            do throws(JSONError) { return .success(try decode(raw)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private init(cursor: ByteCursor) { self.cursor = cursor }

    private mutating func document() throws(JSONError) -> JSONValue {
        guard Self.hasHeader(cursor.bytes), cursor.take(3) != nil, let flags = cursor.byte() else {
            throw JSONError(offset: 0, message: "no SMILE header")
        }
        guard flags & 0xF0 == 0 else { throw JSONError(offset: 3, message: "SMILE version \(flags >> 4) is unknown") }
        names = flags & 0x01 != 0 ? SharedTable() : nil
        strings = flags & 0x02 != 0 ? SharedTable() : nil
        let root = try value(try token())
        if let end = cursor.byte(), end != 0xFF || cursor.remainingCount > 0 {
            throw failure("bytes after the value")
        }
        return root
    }

    /// At the byte read last.
    private func failure(_ message: String) -> JSONError {
        JSONError(offset: max(0, cursor.offset - 1), message: message)
    }

    private func endFailure() -> JSONError {
        JSONError(offset: cursor.bytes.count, message: "the bytes end within a value")
    }

    private mutating func token() throws(JSONError) -> UInt8 {
        guard let token = cursor.byte() else { throw endFailure() }
        return token
    }

    private mutating func count() throws(JSONError) {
        valueCount += 1
        guard valueCount <= Self.valueCountLimit else { throw failure("more than \(Self.valueCountLimit) values") }
    }

    private mutating func value(_ token: UInt8) throws(JSONError) -> JSONValue {
        try count()
        switch token {
        case 0x01...0x1F: return .string(try shared(strings, Int(token) - 1))
        case 0x20: return .string("")
        case 0x21: return .null
        case 0x22: return .bool(false)
        case 0x23: return .bool(true)
        case 0x24:
            let value = try zigZag()
            guard let narrow = Int32(exactly: value) else { throw failure("an int of more than 32 bits") }
            return .number(String(narrow))
        case 0x25: return .number(String(try zigZag()))
        case 0x26: return .number(try bigInteger())
        case 0x28: return try float()
        case 0x29: return try double()
        case 0x2A: return .number(try bigDecimal())
        case 0x40...0x7F: return .string(try shortValue(Int(token & 0x3F) + 1, isASCII: true))
        case 0x80...0xBF: return .string(try shortValue(Int(token & 0x3F) + 2, isASCII: false))
        case 0xC0...0xDF: return .number(String(Self.zigZag(UInt64(token & 0x1F))))
        case 0xE0: return .string(try longText(isASCII: true))
        case 0xE4: return .string(try longText(isASCII: false))
        case 0xE8: return .binary(try sevenBitBinary(limitBytes: cursor.remainingCount))
        case 0xEC...0xEF:
            let low = try self.token()
            return .string(try shared(strings, Int(token & 0x03) << 8 | Int(low)))
        case 0xF8: return try array()
        case 0xFA: return try object()
        case 0xFD: return .binary(try rawBinary())
        default: throw failure("token 0x\(String(token, radix: 16)) is no value")
        }
    }

    private mutating func enter() throws(JSONError) {
        depth += 1
        guard depth <= Self.depthLimit else { throw failure("nested deeper than \(Self.depthLimit) levels") }
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        try enter()
        var elements: [JSONValue] = []
        while true {
            let token = try token()
            if token == 0xF9 { break }
            elements.append(try value(token))
        }
        depth -= 1
        return .array(elements)
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        try enter()
        var members: [JSONMember] = []
        while let key = try key() {
            members.append(JSONMember(key: key, value: try value(try token())))
        }
        depth -= 1
        return .object(members)
    }

    /// nil at the object's end.
    private mutating func key() throws(JSONError) -> String? {
        let token = try token()
        switch token {
        case 0x20: return ""
        case 0x30...0x33:
            let low = try self.token()
            return try shared(names, Int(token & 0x03) << 8 | Int(low))
        case 0x34: return try longText(isASCII: false)
        case 0x40...0x7F: return try shared(names, Int(token & 0x3F))
        case 0x80...0xBF: return try shortName(Int(token & 0x3F) + 1, isASCII: true)
        case 0xC0...0xF7: return try shortName(Int(token) - 0xC0 + 2, isASCII: false)
        case 0xFB: return nil
        default: throw failure("token 0x\(String(token, radix: 16)) is no key")
        }
    }

    // Strings

    private func shared(_ table: SharedTable?, _ index: Int) throws(JSONError) -> String {
        guard let table else { throw failure("a reference where the header allows none") }
        guard index < table.texts.count else {
            throw failure("reference \(index) where \(table.texts.count) strings are shared")
        }
        return table.texts[index]
    }

    private mutating func shortName(_ count: Int, isASCII: Bool) throws(JSONError) -> String {
        let name = try text(count, isASCII: isASCII)
        names?.append(name)
        return name
    }

    private mutating func shortValue(_ count: Int, isASCII: Bool) throws(JSONError) -> String {
        let value = try text(count, isASCII: isASCII)
        strings?.append(value)
        return value
    }

    private mutating func text(_ count: Int, isASCII: Bool) throws(JSONError) -> String {
        let start = cursor.offset
        guard let bytes = cursor.take(count) else { throw endFailure() }
        return try text(bytes, start: start, isASCII: isASCII)
    }

    /// Up to the marker 0xFC, which no UTF-8 holds.
    private mutating func longText(isASCII: Bool) throws(JSONError) -> String {
        let start = cursor.offset
        guard let count = cursor.bytes[start...].firstIndex(of: 0xFC).map({ $0 - start }),
            let bytes = cursor.take(count), cursor.byte() != nil
        else { throw endFailure() }
        return try text(bytes, start: start, isASCII: isASCII)
    }

    private func text(_ bytes: UnsafeRawBufferPointer, start: Int, isASCII: Bool) throws(JSONError) -> String {
        if isASCII {
            if let bad = bytes.firstIndex(where: { $0 >= 0x80 }) {
                throw JSONError(offset: start + bad, message: "a byte above 0x7F in an ASCII string")
            }
        } else if let bad = UTF8Check.firstInvalidOffset(bytes) {
            throw JSONError(offset: start + bad, message: "invalid UTF-8")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // Numbers

    /// Big-endian groups of seven bits; the last byte has its high bit set and holds six.
    private mutating func variableUInt() throws(JSONError) -> UInt64 {
        var value: UInt64 = 0
        while true {
            let byte = try token()
            let bits: UInt64 = byte & 0x80 != 0 ? 6 : 7
            guard value.leadingZeroBitCount >= Int(bits) || value == 0 else {
                throw failure("a number of more than 64 bits")
            }
            guard byte & 0xC0 != 0xC0 else { throw failure("the last byte of a number has bit 6 set") }
            value = value << bits | UInt64(byte & 0x7F)
            if bits == 6 { return value }
        }
    }

    private static func zigZag(_ value: UInt64) -> Int64 {
        Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    private mutating func zigZag() throws(JSONError) -> Int64 { Self.zigZag(try variableUInt()) }

    /// `count` bytes of seven bits each.
    private mutating func sevenBitUInt(_ count: Int) throws(JSONError) -> UInt64 {
        var value: UInt64 = 0
        for _ in 0..<count {
            let byte = try token()
            guard byte < 0x80 else { throw failure("a byte above 0x7F in seven-bit data") }
            value = value << 7 | UInt64(byte)
        }
        return value
    }

    private mutating func float() throws(JSONError) -> JSONValue {
        let value = Float(bitPattern: UInt32(truncatingIfNeeded: try sevenBitUInt(5)))
        return Self.number(value.isFinite, "\(value)", isNaN: value.isNaN, isNegative: value < 0)
    }

    private mutating func double() throws(JSONError) -> JSONValue {
        let value = Double(bitPattern: try sevenBitUInt(10))
        return Self.number(value.isFinite, "\(value)", isNaN: value.isNaN, isNegative: value < 0)
    }

    /// What JSON has no number for becomes the string that Jackson writes.
    private static func number(_ isFinite: Bool, _ text: String, isNaN: Bool, isNegative: Bool) -> JSONValue {
        isFinite ? .number(text) : .string(isNaN ? "NaN" : isNegative ? "-Infinity" : "Infinity")
    }

    private mutating func bigInteger() throws(JSONError) -> String {
        DecimalText.signed(bigEndian: try sevenBitBinary(limitBytes: Self.bigIntegerBytesLimit))
    }

    private mutating func bigDecimal() throws(JSONError) -> String {
        let scale = try zigZag()
        guard let narrow = Int32(exactly: scale) else { throw failure("a decimal's scale has more than 32 bits") }
        return DecimalText.scaled(try bigInteger(), by: Int(narrow))
    }

    // Binary

    private mutating func binaryCount(limitBytes: Int) throws(JSONError) -> Int {
        let count = try variableUInt()
        guard count <= UInt64(limitBytes) else {
            throw failure("\(count) bytes of binary data, at most \(limitBytes) expected")
        }
        return Int(count)
    }

    private mutating func rawBinary() throws(JSONError) -> [UInt8] {
        guard let bytes = cursor.take(try binaryCount(limitBytes: cursor.remainingCount)) else { throw endFailure() }
        return [UInt8](bytes)
    }

    /// Seven bytes in eight; the bits of the last, short group are right-aligned in its last byte.
    private mutating func sevenBitBinary(limitBytes: Int) throws(JSONError) -> [UInt8] {
        let count = try binaryCount(limitBytes: limitBytes)
        var output: [UInt8] = []
        output.reserveCapacity(count)
        while count - output.count >= 7 {
            let group = try sevenBitUInt(8)
            for place in 0..<7 { output.append(UInt8(truncatingIfNeeded: group >> UInt64(48 - 8 * place))) }
        }
        let rest = count - output.count
        if rest > 0 {
            let head = try sevenBitUInt(rest)
            let last = try token()
            guard last < 1 << UInt8(rest) else { throw failure("the last byte of seven-bit data has surplus bits") }
            let group = head << UInt64(rest) | UInt64(last)
            for place in 0..<rest { output.append(UInt8(truncatingIfNeeded: group >> UInt64(8 * (rest - 1 - place)))) }
        }
        return output
    }

    /// The strings that later references name by number.
    private struct SharedTable {
        static let limit = 1024
        private(set) var texts: [String] = []

        mutating func append(_ text: String) {
            if texts.count == Self.limit { texts.removeAll(keepingCapacity: true) }
            texts.append(text)
        }
    }
}
