/// The arrays of integers at the head of a chunk: fields per document, bytes per document.
enum StoredFieldsInts {
    /// Lucene 9's `StoredFieldsInts`: Byte 0 and a VInt when all are equal, else Byte 8, 16 or 32 and the values: full
    /// groups of 128 interleaved in little-endian longs, the rest one after the other.
    ///
    /// Fills `output`; false when the bytes are malformed.
    static func read(_ scanner: inout ByteScanner, into output: UnsafeMutableBufferPointer<UInt32>) -> Bool {
        guard let bits = scanner.readByte() else { return false }
        switch bits {
        case 0:
            guard let value = scanner.readVInt() else { return false }
            output.update(repeating: UInt32(value))
            return true
        case 8: return readGroups(&scanner, valueBytes: 1, into: output)
        case 16: return readGroups(&scanner, valueBytes: 2, into: output)
        case 32: return readGroups(&scanner, valueBytes: 4, into: output)
        default: return false
        }
    }

    /// A group of 128 is 16 × valueBytes longs. Long i holds value i in its most significant lane, value i + longs in
    /// the next, and so on.
    @inline(__always)
    private static func readGroups(
        _ scanner: inout ByteScanner, valueBytes: Int, into output: UnsafeMutableBufferPointer<UInt32>
    ) -> Bool {
        let start = scanner.position
        guard output.count <= scanner.remaining / valueBytes, scanner.skip(output.count * valueBytes) else {
            return false
        }
        let bytes = scanner.base + start
        let longs = 16 * valueBytes
        let lanes = 8 / valueBytes
        let grouped = output.count / 128 * 128
        var index = 0
        while index < grouped {
            let group = bytes + index * valueBytes
            for lane in 0..<lanes {
                let inLong = (lanes - 1 - lane) * valueBytes
                for long in 0..<longs {
                    output[index + lane * longs + long] = load(group + long * 8 + inLong, valueBytes)
                }
            }
            index += 128
        }
        while index < output.count {
            output[index] = load(bytes + index * valueBytes, valueBytes)
            index += 1
        }
        return true
    }

    @inline(__always)
    private static func load(_ pointer: UnsafeRawPointer, _ valueBytes: Int) -> UInt32 {
        switch valueBytes {
        case 1: UInt32(pointer.load(as: UInt8.self))
        case 2: UInt32(UInt16(littleEndian: pointer.loadUnaligned(as: UInt16.self)))
        default: UInt32(littleEndian: pointer.loadUnaligned(as: UInt32.self))
        }
    }

    /// Lucene 5 to 8: VInt bits; 0 and a VInt when all are equal, else `PackedInts` of that width.
    static func readPacked(_ scanner: inout ByteScanner, into output: UnsafeMutableBufferPointer<UInt32>) -> Bool {
        guard let bits = scanner.readVInt(), bits <= 31 else { return false }
        if bits == 0 {
            guard let value = scanner.readVInt() else { return false }
            output.update(repeating: UInt32(value))
            return true
        }
        let start = scanner.position
        guard let byteCount = PackedInts.byteCount(output.count, bits: bits), scanner.skip(byteCount) else {
            return false
        }
        // At most 31 bits: a value lies within the 39 bits that five bytes hold after up to seven bits of offset.
        let bytes = UnsafeRawBufferPointer(start: scanner.base + start, count: byteCount)
        var window: UInt64 = 0
        var windowBits = 0
        var next = 0
        let mask = UInt64(1) << UInt64(bits) &- 1
        for index in 0..<output.count {
            while windowBits < bits {
                window = window << 8 | UInt64(bytes[next])
                next += 1
                windowBits += 8
            }
            windowBits -= bits
            output[index] = UInt32(truncatingIfNeeded: window >> UInt64(windowBits) & mask)
        }
        return true
    }
}
