/// A bounds-checked forward cursor over bytes.
struct ByteCursor {
    let bytes: UnsafeRawBufferPointer
    private(set) var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var remainingCount: Int { bytes.count - offset }

    /// nil at the end.
    mutating func byte() -> UInt8? {
        guard offset < bytes.count else { return nil }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// nil when fewer than `count` bytes are left or `count` is negative.
    mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, count <= remainingCount else { return nil }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }

    mutating func bigEndianUInt32() -> UInt32? {
        guard let four = take(4) else { return nil }
        return four.reduce(0) { $0 << 8 | UInt32($1) }
    }

    mutating func bigEndianUInt64() -> UInt64? {
        guard let eight = take(8) else { return nil }
        return eight.reduce(0) { $0 << 8 | UInt64($1) }
    }
}
