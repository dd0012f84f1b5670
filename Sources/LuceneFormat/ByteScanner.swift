/// Reads a decompressed or compressed chunk from front to back. Every read is checked and gives nil where bytes are
/// missing or a number is too long; the caller names the place.
///
/// The owner of the bytes keeps them alive; a scanner lives within one call.
struct ByteScanner {
    let base: UnsafeRawPointer
    var position: Int
    let limit: Int

    @inline(__always)
    init(_ base: UnsafeRawPointer, from position: Int, to limit: Int) {
        self.base = base
        self.position = position
        self.limit = limit
    }

    @inline(__always)
    var remaining: Int { limit - position }

    @inline(__always)
    mutating func skip(_ count: Int) -> Bool {
        guard count >= 0, count <= limit - position else { return false }
        position += count
        return true
    }

    @inline(__always)
    mutating func readByte() -> UInt8? {
        guard position < limit else { return nil }
        defer { position += 1 }
        return base.load(fromByteOffset: position, as: UInt8.self)
    }

    /// A VInt that is not negative.
    @inline(__always)
    mutating func readVInt() -> Int? {
        guard let first = readByte() else { return nil }
        if first < 0x80 { return Int(first) }
        guard let value = readLong(first: first, byteLimit: 5), value <= Int64(Int32.max) else { return nil }
        return Int(value)
    }

    /// A VLong that is not negative.
    @inline(__always)
    mutating func readVLong() -> Int64? {
        guard let first = readByte() else { return nil }
        if first < 0x80 { return Int64(first) }
        return readLong(first: first, byteLimit: 9)
    }

    private mutating func readLong(first: UInt8, byteLimit: Int) -> Int64? {
        var value = UInt64(first & 0x7F)
        var shift: UInt64 = 7
        while shift < UInt64(byteLimit * 7) {
            guard let byte = readByte() else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return Int64(exactly: value) }
            shift += 7
        }
        return nil
    }

    /// Skips a variable-length number of at most `byteLimit` bytes, whatever its value (a VInt may be negative).
    @inline(__always)
    mutating func skipVariable(byteLimit: Int) -> Bool {
        for _ in 0..<byteLimit {
            guard let byte = readByte() else { return false }
            if byte & 0x80 == 0 { return true }
        }
        return false
    }

    // The numeric encodings of stored fields since Lucene 4.1 (`Lucene90CompressingStoredFieldsReader`). Only their
    // lengths matter here.

    /// `readZFloat`: FF and four bytes, one byte with the high bit set, or four bytes.
    mutating func skipZFloat() -> Bool {
        guard let header = readByte() else { return false }
        if header == 0xFF { return skip(4) }
        return header & 0x80 != 0 || skip(3)
    }

    /// `readZDouble`: FF and eight bytes, FE and four, one byte with the high bit set, or eight bytes.
    mutating func skipZDouble() -> Bool {
        guard let header = readByte() else { return false }
        if header == 0xFF { return skip(8) }
        if header == 0xFE { return skip(4) }
        return header & 0x80 != 0 || skip(7)
    }

    /// `readTLong`: a header whose bit 0x20 says that a VLong follows. It may have ten bytes, being unsigned.
    mutating func skipTLong() -> Bool {
        guard let header = readByte() else { return false }
        return header & 0x20 == 0 || skipVariable(byteLimit: 10)
    }
}
