import CISAL
import Glibc

/// The layout of a file log. Numbers are little-endian.
///
///     folder/
///       LOCK                        flock()ed as long as a writer has the folder
///       DURABLE                     how far the newest segment is known to be on disk (see `FileLogWatermark`)
///       00000000000000000000.log    a segment; the name is the offset of its first record
///       00000000000000000000.index  its sparse index: { firstOffset u64, position u64 }…; a hint, may be missing
///
///     segment = header batch…
///     header  = magic "MRTRAFF1" | nonce u64 | baseOffset u64 | createdMilliseconds i64 | 0 u32 | crc u32 of those 36
///     batch   = magic "MTB1" u32 | crc u32 of the 48 bytes that follow
///               | nonce u64 | firstOffset u64 | durableBytes u64 | timestampMilliseconds i64
///               | recordCount u32 | rawBytes u32 | storedBytes u32 | payloadCRC u32 of the stored bytes
///               | payload: storedBytes; an lz4 block of rawBytes, or the bytes themselves when the two are equal
///     raw     = record…
///     record  = bodyBytes u32 | crc u32 of the body | body
///     body    = timestampDelta u32 (milliseconds) | keyBytes u16 | key | value
///
/// One group commit writes one batch or several, each with one `write`. Two rules tell a torn tail, which is cut off,
/// from damage, which is an error:
/// - `durableBytes` is how long the synced part of the segment was when the batch was built. A bad place in front
///   of the
///   largest `durableBytes` of any valid batch behind it, or in front of the watermark, is damage: it was on disk once.
/// - The nonce is random for each segment. Captured bytes that look like a batch, or what another file left in a block
///   of the disk, do not carry it.
enum FileLogFormat {
    static let segmentMagic: UInt64 = 0x3146_4641_5254_524D
    static let segmentHeaderBytes = 40
    static let batchMagic: UInt32 = 0x3142_544D
    static let batchHeaderBytes = 56
    static let recordHeaderBytes = 8
    /// Time and key length in front of the key.
    static let bodyHeaderBytes = 6
    static let indexEntryBytes = 16
    /// No batch is larger; lengths beyond are damage. A batch of one record may be as large as its record.
    static let batchLimitBytes = 1 << 30
    static let keyLimitBytes = 0xFFFF
    /// An lz4 block cannot expand more than this.
    static let expansionLimit = 255

    static func crc(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        guard let base = bytes.baseAddress else { return 0 }
        return millrace_crc32(0, base.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    static func segmentName(_ baseOffset: UInt64) -> String { twentyDigits(baseOffset) + ".log" }
    static func indexName(_ baseOffset: UInt64) -> String { twentyDigits(baseOffset) + ".index" }

    private static func twentyDigits(_ number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: "0", count: 20 - digits.count) + digits
    }

    /// The base offset in a segment's name; nil for any other file.
    static func baseOffset(ofName name: String) -> UInt64? {
        guard name.utf8.count == 24, name.hasSuffix(".log") else { return nil }
        let digits = name.dropLast(4)
        guard digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        return UInt64(digits)
    }
}

extension UnsafeRawBufferPointer {
    func little<Number: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: Number.Type) -> Number {
        Number(littleEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }
}

extension UnsafeMutableRawBufferPointer {
    func putLittle<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number, at offset: Int) {
        storeBytes(of: number.littleEndian, toByteOffset: offset, as: Number.self)
    }
}

/// The first bytes of a segment.
struct FileLogSegmentHeader: Equatable {
    var nonce: UInt64
    var baseOffset: UInt64
    var createdMilliseconds: Int64

    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: FileLogFormat.segmentHeaderBytes)
        bytes.withUnsafeMutableBytes { out in
            out.putLittle(FileLogFormat.segmentMagic, at: 0)
            out.putLittle(nonce, at: 8)
            out.putLittle(baseOffset, at: 16)
            out.putLittle(createdMilliseconds, at: 24)
            out.putLittle(
                FileLogFormat.crc(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(out)[0..<36])), at: 36)
        }
        return bytes
    }

    /// nil when `bytes` is not a header.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= FileLogFormat.segmentHeaderBytes,
            bytes.little(0, as: UInt64.self) == FileLogFormat.segmentMagic,
            bytes.little(36, as: UInt32.self) == FileLogFormat.crc(UnsafeRawBufferPointer(rebasing: bytes[0..<36]))
        else { return nil }
        nonce = bytes.little(8, as: UInt64.self)
        baseOffset = bytes.little(16, as: UInt64.self)
        createdMilliseconds = bytes.little(24, as: Int64.self)
    }

    init(nonce: UInt64, baseOffset: UInt64, createdMilliseconds: Int64) {
        self.nonce = nonce
        self.baseOffset = baseOffset
        self.createdMilliseconds = createdMilliseconds
    }
}

/// What stands in front of a batch's payload.
struct FileLogBatchHeader: Equatable {
    var nonce: UInt64
    var firstOffset: UInt64
    var durableBytes: UInt64
    var timestampMilliseconds: Int64
    var recordCount: UInt32
    var rawBytes: UInt32
    var storedBytes: UInt32
    var payloadCRC: UInt32

    /// Offset of the record after the batch.
    var endOffset: UInt64 { firstOffset + UInt64(recordCount) }
    /// The batch's length in the file.
    var byteCount: Int64 { Int64(FileLogFormat.batchHeaderBytes) + Int64(storedBytes) }

    func encode(into out: UnsafeMutableRawBufferPointer) {
        out.putLittle(FileLogFormat.batchMagic, at: 0)
        out.putLittle(nonce, at: 8)
        out.putLittle(firstOffset, at: 16)
        out.putLittle(durableBytes, at: 24)
        out.putLittle(timestampMilliseconds, at: 32)
        out.putLittle(recordCount, at: 40)
        out.putLittle(rawBytes, at: 44)
        out.putLittle(storedBytes, at: 48)
        out.putLittle(payloadCRC, at: 52)
        let covered = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(out)[8..<FileLogFormat.batchHeaderBytes])
        out.putLittle(FileLogFormat.crc(covered), at: 4)
    }

    init(
        nonce: UInt64, firstOffset: UInt64, durableBytes: UInt64, timestampMilliseconds: Int64, recordCount: UInt32,
        rawBytes: UInt32, storedBytes: UInt32, payloadCRC: UInt32
    ) {
        self.nonce = nonce
        self.firstOffset = firstOffset
        self.durableBytes = durableBytes
        self.timestampMilliseconds = timestampMilliseconds
        self.recordCount = recordCount
        self.rawBytes = rawBytes
        self.storedBytes = storedBytes
        self.payloadCRC = payloadCRC
    }

    /// nil when `bytes` does not begin with a batch header of the segment with `nonce`, or its numbers are impossible.
    init?(_ bytes: UnsafeRawBufferPointer, nonce: UInt64) {
        guard bytes.count >= FileLogFormat.batchHeaderBytes,
            bytes.little(0, as: UInt32.self) == FileLogFormat.batchMagic,
            bytes.little(8, as: UInt64.self) == nonce
        else { return nil }
        let covered = UnsafeRawBufferPointer(rebasing: bytes[8..<FileLogFormat.batchHeaderBytes])
        guard bytes.little(4, as: UInt32.self) == FileLogFormat.crc(covered) else { return nil }
        self.nonce = nonce
        firstOffset = bytes.little(16, as: UInt64.self)
        durableBytes = bytes.little(24, as: UInt64.self)
        timestampMilliseconds = bytes.little(32, as: Int64.self)
        recordCount = bytes.little(40, as: UInt32.self)
        rawBytes = bytes.little(44, as: UInt32.self)
        storedBytes = bytes.little(48, as: UInt32.self)
        payloadCRC = bytes.little(52, as: UInt32.self)
        let leastBytes = Int(recordCount) * (FileLogFormat.recordHeaderBytes + FileLogFormat.bodyHeaderBytes)
        guard recordCount > 0, rawBytes <= FileLogFormat.batchLimitBytes, storedBytes <= rawBytes,
            leastBytes <= Int(rawBytes), Int(rawBytes) <= Int(storedBytes) * FileLogFormat.expansionLimit + 64,
            firstOffset < 1 << 62, durableBytes < 1 << 62
        else { return nil }
    }
}

/// The file `DURABLE`: how much of the newest segment is on disk. It is rewritten in place after every sync and not
/// synced itself: what it says is always true, and after a power cut it may say less than it could.
///
///     magic "MTW1" u32 | crc u32 of the rest | baseOffset u64 | durableBytes u64 | nextOffset u64
struct FileLogWatermark: Equatable {
    static let name = "DURABLE"
    static let magic: UInt32 = 0x3157_544D
    static let byteCount = 32

    var baseOffset: UInt64
    var durableBytes: UInt64
    /// Offset of the first record that is not covered.
    var nextOffset: UInt64

    func write(to descriptor: Int32) {
        var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &bytes) { out in
            out.putLittle(Self.magic, at: 0)
            out.putLittle(baseOffset, at: 8)
            out.putLittle(durableBytes, at: 16)
            out.putLittle(nextOffset, at: 24)
            out.putLittle(
                FileLogFormat.crc(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(out)[8..<32])), at: 4)
            // A failure leaves an older watermark or a broken one, which counts as none.
            _ = pwrite(descriptor, out.baseAddress, out.count, 0)
        }
    }

    /// nil when the file is missing, short or broken.
    static func read(folder: String) -> FileLogWatermark? {
        let descriptor = open(folder + "/" + name, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: byteCount)
        let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        guard count == byteCount else { return nil }
        return bytes.withUnsafeBytes { raw in
            guard raw.little(0, as: UInt32.self) == magic,
                raw.little(4, as: UInt32.self) == FileLogFormat.crc(UnsafeRawBufferPointer(rebasing: raw[8..<32]))
            else { return nil }
            return FileLogWatermark(
                baseOffset: raw.little(8, as: UInt64.self), durableBytes: raw.little(16, as: UInt64.self),
                nextOffset: raw.little(24, as: UInt64.self))
        }
    }
}
