import CLZ4

/// A batch being laid out: header, payload and, behind the scenes, its raw form. The memory is used again and again.
final class FileLogBatch {
    private var raw: UnsafeMutableRawBufferPointer
    private var file: UnsafeMutableRawBufferPointer
    private var rawCount = 0
    private var fileCount = 0
    private(set) var recordCount = 0
    private var timestampMilliseconds: Int64 = 0
    private var payloadCRC: UInt32 = 0

    /// More than this is given back after a large record.
    private static let keptBytes = 16 << 20

    init() {
        raw = .allocate(byteCount: 64 << 10, alignment: 16)
        file = .allocate(byteCount: 64 << 10, alignment: 16)
    }

    deinit {
        raw.deallocate()
        file.deallocate()
    }

    /// The sealed batch as it goes to the file.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(file)[0..<fileCount]) }
    var rawBytes: Int { rawCount }

    func clear() {
        (rawCount, fileCount, recordCount) = (0, 0, 0)
        if raw.count > Self.keptBytes { Self.grow(&raw, to: 64 << 10, keeping: 0) }
        if file.count > Self.keptBytes { Self.grow(&file, to: 64 << 10, keeping: 0) }
    }

    func add(key: [UInt8], value: UnsafeRawBufferPointer, timestampMilliseconds: Int64) {
        if recordCount == 0 { self.timestampMilliseconds = timestampMilliseconds }
        let bodyBytes = FileLogFormat.bodyHeaderBytes + key.count + value.count
        let end = rawCount + FileLogFormat.recordHeaderBytes + bodyBytes
        if end > raw.count { Self.grow(&raw, to: max(end, raw.count * 2), keeping: rawCount) }
        let record = UnsafeMutableRawBufferPointer(rebasing: raw[rawCount..<end])
        record.putLittle(UInt32(bodyBytes), at: 0)
        record.putLittle(UInt32(clamping: timestampMilliseconds - self.timestampMilliseconds), at: 8)
        record.putLittle(UInt16(key.count), at: 12)
        UnsafeMutableRawBufferPointer(rebasing: record[14...]).copyBytes(from: key)
        UnsafeMutableRawBufferPointer(rebasing: record[(14 + key.count)...]).copyMemory(from: value)
        record.putLittle(
            FileLogFormat.crc(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(record)[8...])), at: 4)
        rawCount = end
        recordCount += 1
    }

    /// Compresses what was added, unless that makes it no smaller.
    func compress(_ isCompressed: Bool) {
        let headerBytes = FileLogFormat.batchHeaderBytes
        let bound = isCompressed ? max(rawCount, Int(LZ4_compressBound(Int32(rawCount)))) : rawCount
        if headerBytes + bound > file.count {
            Self.grow(&file, to: max(headerBytes + bound, file.count * 2), keeping: 0)
        }
        let payload = UnsafeMutableRawBufferPointer(rebasing: file[headerBytes...])
        var storedBytes = 0
        if isCompressed {
            storedBytes = Int(
                LZ4_compress_default(
                    raw.baseAddress?.assumingMemoryBound(to: CChar.self),
                    payload.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(rawCount), Int32(payload.count)))
        }
        if storedBytes <= 0 || storedBytes >= rawCount {
            storedBytes = rawCount
            payload.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[0..<rawCount]))
        }
        fileCount = headerBytes + storedBytes
        payloadCRC = FileLogFormat.crc(UnsafeRawBufferPointer(rebasing: payload[0..<storedBytes]))
    }

    /// Writes the header; may be called again with other values.
    func seal(nonce: UInt64, firstOffset: UInt64, durableBytes: UInt64) {
        FileLogBatchHeader(
            nonce: nonce, firstOffset: firstOffset, durableBytes: durableBytes,
            timestampMilliseconds: timestampMilliseconds, recordCount: UInt32(recordCount), rawBytes: UInt32(rawCount),
            storedBytes: UInt32(fileCount - FileLogFormat.batchHeaderBytes), payloadCRC: payloadCRC
        ).encode(into: file)
    }

    private static func grow(_ memory: inout UnsafeMutableRawBufferPointer, to count: Int, keeping kept: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[0..<kept]))
        memory.deallocate()
        memory = larger
    }
}
