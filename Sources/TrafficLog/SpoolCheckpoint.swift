import Glibc

/// The file `DRAINED` of a spool: the offset up to which the log has every record. Rewritten in place and not synced:
/// after a power cut it may be older, and then records are sent twice rather than lost.
///
///     magic "MTD1" u32 | crc u32 of the rest | drainedOffset u64
final class SpoolCheckpoint {
    private static let magic: UInt32 = 0x3144_544D
    private let descriptor: Int32

    init(folder: String) throws(TrafficLogError) {
        descriptor = open(folder + "/DRAINED", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw FileLogFailure.system(errno, folder, "the file DRAINED cannot be opened")
        }
    }

    deinit { close(descriptor) }

    /// nil when nothing was written yet or it is broken.
    func read() -> UInt64? {
        var bytes: (UInt64, UInt64) = (0, 0)
        return withUnsafeMutableBytes(of: &bytes) { raw -> UInt64? in
            guard pread(descriptor, raw.baseAddress, raw.count, 0) == raw.count else { return nil }
            let view = UnsafeRawBufferPointer(raw)
            guard view.little(0, as: UInt32.self) == Self.magic,
                view.little(4, as: UInt32.self) == FileLogFormat.crc(UnsafeRawBufferPointer(rebasing: view[8..<16]))
            else { return nil }
            return view.little(8, as: UInt64.self)
        }
    }

    func write(_ offset: UInt64) {
        var bytes: (UInt64, UInt64) = (0, 0)
        withUnsafeMutableBytes(of: &bytes) { raw in
            raw.putLittle(Self.magic, at: 0)
            raw.putLittle(offset, at: 8)
            raw.putLittle(
                FileLogFormat.crc(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(raw)[8..<16])), at: 4)
            _ = pwrite(descriptor, raw.baseAddress, raw.count, 0)
        }
    }
}

/// Which offsets of a spool the log has: a contiguous prefix and some beyond it.
struct DrainTracker {
    /// Every record in front of this is in the log.
    private(set) var drainedOffset: UInt64
    private var beyond: Set<UInt64> = []

    init(drainedOffset: UInt64) { self.drainedOffset = drainedOffset }

    func contains(_ offset: UInt64) -> Bool { offset < drainedOffset || beyond.contains(offset) }

    mutating func insert(_ offset: UInt64) {
        guard offset >= drainedOffset else { return }
        beyond.insert(offset)
        while beyond.remove(drainedOffset) != nil { drainedOffset += 1 }
    }
}
