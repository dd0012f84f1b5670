/// Lucene's packed integers: values of a fixed number of bits in one stream, read in memory that the caller has
/// checked to be long enough.
enum PackedInts {
    /// Bytes of `count` values of `bits` bits (`PackedInts.Format.PACKED`, byte-aligned); nil on overflow.
    static func byteCount(_ count: Int, bits: Int) -> Int? {
        let (product, overflow) = count.multipliedReportingOverflow(by: bits)
        return overflow ? nil : (product + 7) / 8
    }

    /// Value `index` of a stream whose first bit is the most significant one of the first byte: `PackedInts` and the
    /// `DirectReader` of Lucene 8.
    static func bigEndianValue(_ bytes: UnsafeRawBufferPointer, _ index: Int, bits: Int) -> UInt64 {
        var value: UInt64 = 0
        var bit = index * bits
        var missing = bits
        while missing > 0 {
            let inByte = 8 - bit & 7
            let taken = min(inByte, missing)
            let part = UInt64(bytes[bit >> 3]) >> UInt64(inByte - taken) & ((1 << UInt64(taken)) - 1)
            value = value << UInt64(taken) | part
            bit += taken
            missing -= taken
        }
        return value
    }

    /// Value `index` of a stream whose first bit is the least significant one of the first byte: the `DirectReader`
    /// of Lucene 9.
    static func littleEndianValue(_ bytes: UnsafeRawBufferPointer, _ index: Int, bits: Int) -> UInt64 {
        var value: UInt64 = 0
        var bit = index * bits
        var done = 0
        while done < bits {
            let inByte = bit & 7
            let taken = min(8 - inByte, bits - done)
            let part = UInt64(bytes[bit >> 3]) >> UInt64(inByte) & ((1 << UInt64(taken)) - 1)
            value |= part << UInt64(done)
            bit += taken
            done += taken
        }
        return value
    }

    static func zigZagDecode(_ value: UInt64) -> Int64 { Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }
}

/// A rising sequence as `DirectMonotonicWriter` stores it: in each block of 2^blockShift values a straight line and
/// the packed distances from it. The metadata has 21 bytes a block: Int64 min, Int32 bits of the slope, Int64 offset of
/// the distances, Byte bits a value.
struct DirectMonotonic {
    private struct Block {
        let least: Int64
        let slope: Float
        let offset: Int64
        let bits: Int
    }

    private let count: Int
    private let blockShift: Int
    private var blocks: [Block] = []

    /// Reads the metadata. `count` is bounded by the caller.
    init(_ input: inout IndexInput, count: Int, blockShift: Int) throws(LuceneError) {
        self.count = count
        self.blockShift = blockShift
        let blockCount = (count + (1 << blockShift) - 1) >> blockShift
        guard blockCount <= input.remaining / 21 else { throw input.corrupt("\(blockCount) blocks cannot be") }
        blocks.reserveCapacity(blockCount)
        for _ in 0..<blockCount {
            let least = try input.readInt64()
            let slope = Float(bitPattern: UInt32(bitPattern: try input.readInt32()))
            let offset = try input.readInt64()
            let bits = Int(try input.readByte())
            guard bits <= 64, offset >= 0, slope.isFinite else {
                throw input.corrupt("block of \(bits) bits at \(offset) with slope \(slope)", at: input.position - 21)
            }
            blocks.append(Block(least: least, slope: slope, offset: offset, bits: bits))
        }
    }

    /// All values. `data` holds the packed distances, starting at byte `base` of its file.
    func values(
        _ data: IndexInput, from base: Int64, to end: Int64
    ) throws(LuceneError) -> [Int64] {
        guard base >= 0, base <= end, end <= Int64(data.limit) else {
            throw data.corrupt("values from \(base) to \(end) leave the file", at: 0)
        }
        var values: [Int64] = []
        values.reserveCapacity(count)
        for (index, block) in blocks.enumerated() {
            let blockValues = min(count - index << blockShift, 1 << blockShift)
            guard let byteCount = PackedInts.byteCount(blockValues, bits: block.bits),
                block.offset <= end - base, Int64(byteCount) <= end - base - block.offset
            else {
                throw data.corrupt("block \(index) of \(block.bits) bits leaves the file", at: Int(base))
            }
            data.bytes.withUnsafeBytes { bytes in
                let start = Int(base + block.offset)
                let packed = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + byteCount)])
                for position in 0..<blockValues {
                    let distance =
                        data.byteOrder == .bigEndian
                        ? PackedInts.bigEndianValue(packed, position, bits: block.bits)
                        : PackedInts.littleEndianValue(packed, position, bits: block.bits)
                    values.append(block.least &+ Self.line(block.slope, position) &+ Int64(bitPattern: distance))
                }
            }
        }
        return values
    }

    /// Java's `(long) (slope * position)`: single precision, cut towards zero, saturating.
    private static func line(_ slope: Float, _ position: Int) -> Int64 {
        let product = slope * Float(position)
        return Int64(exactly: product.rounded(.towardZero)) ?? (product > 0 ? .max : .min)
    }
}
