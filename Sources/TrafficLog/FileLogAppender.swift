import CSystem
import Glibc

/// The newest segment of a file log and everything that changes the folder; used by one thread at a time.
///
/// A batch is either whole in the file or not at all: what a failed write left is cut off before the next one.
final class FileLogAppender {
    let folder: String
    let settings: FileLogSettings
    private(set) var recovery: FileLogRecovery?
    /// Offset of the next record.
    private(set) var nextOffset: UInt64 = 0

    private var descriptor: Int32 = -1
    private var indexDescriptor: Int32 = -1
    private var lockDescriptor: Int32 = -1
    private var watermarkDescriptor: Int32 = -1
    private var baseOffset: UInt64 = 0
    private var nonce: UInt64 = 0
    /// Where the next batch goes.
    private var position: Int64 = 0
    /// How much of the segment is on disk.
    private var durableBytes: Int64 = 0
    private var indexedPosition: Int64 = 0
    /// The segment takes no more: a sync failed, and the kernel may have forgotten pages that it could not write.
    private var isAbandoned = false

    /// An index entry for about this much.
    private static let indexStepBytes: Int64 = 256 << 10

    var path: String { folder + "/" + FileLogFormat.segmentName(baseOffset) }
    var hasUnsyncedBytes: Bool { durableBytes < position }

    /// Makes the folder when there is none, locks it, and brings the newest segment into a state to append to.
    init(folder: String, settings: FileLogSettings) throws(TrafficLogError) {
        self.folder = folder
        self.settings = settings
        do throws(TrafficLogError) {
            try makeFolder()
            try lock()
            watermarkDescriptor = open(folder + "/" + FileLogWatermark.name, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            guard watermarkDescriptor >= 0 else {
                throw FileLogFailure.system(errno, folder, "the file \(FileLogWatermark.name) cannot be opened")
            }
            try recover()
        } catch {
            closeAll()
            throw error
        }
    }

    deinit { closeAll() }

    /// Frees the folder for another writer.
    func closeAll() {
        for file in [descriptor, indexDescriptor, watermarkDescriptor, lockDescriptor] where file >= 0 { close(file) }
        (descriptor, indexDescriptor, watermarkDescriptor, lockDescriptor) = (-1, -1, -1, -1)
    }

    // MARK: Opening

    private func makeFolder() throws(TrafficLogError) {
        var status = stat()
        guard stat(folder, &status) != 0 else {
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw TrafficLogError(.invalidSetting, "\(folder) is not a folder")
            }
            return
        }
        guard mkdir(folder, 0o700) == 0 else {
            throw FileLogFailure.system(errno, folder, "the log's folder cannot be made")
        }
        if let slash = folder.lastIndex(of: "/") {
            FileLogFolder.sync(slash == folder.startIndex ? "/" : String(folder[..<slash]))
        }
    }

    private func lock() throws(TrafficLogError) {
        lockDescriptor = open(folder + "/LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lockDescriptor >= 0 else { throw FileLogFailure.system(errno, folder, "the file LOCK cannot be opened") }
        guard flock(lockDescriptor, LOCK_EX | LOCK_NB) == 0 else {
            guard errno == EWOULDBLOCK else {
                throw FileLogFailure.system(errno, folder, "the file LOCK cannot be locked")
            }
            throw TrafficLogError(
                .locked, "\(folder): another process writes this log; each writer needs its own folder")
        }
    }

    private func recover() throws(TrafficLogError) {
        let watermark = FileLogWatermark.read(folder: folder)
        guard let base = try FileLogFolder.segments(folder).last else {
            nextOffset = watermark?.nextOffset ?? 0
            return try startSegment()
        }
        if let watermark, watermark.baseOffset > base {
            throw TrafficLogError(
                .missing,
                "\(folder)/\(FileLogFormat.segmentName(watermark.baseOffset)) is gone: it held the newest records"
            )
        }
        let durable = watermark.flatMap { $0.baseOffset == base ? Int64(clamping: $0.durableBytes) : nil } ?? 0
        guard let segment = try FileLogSegment(folder: folder, baseOffset: base) else {
            return try remake(base, durable)
        }
        try scan(segment, durable)
        try adopt(segment)
    }

    /// The newest segment has no header. That is harmless when its writer ended while making it.
    private func remake(_ base: UInt64, _ durable: Int64) throws(TrafficLogError) {
        let path = folder + "/" + FileLogFormat.segmentName(base)
        var status = stat()
        guard stat(path, &status) == 0 else { throw FileLogFailure.system(errno, path, "no size") }
        guard durable == 0, status.st_size <= FileLogFormat.segmentHeaderBytes else {
            throw TrafficLogError(
                .corrupt, "\(path) at byte 0: the segment's header is damaged", file: path, offset: 0)
        }
        recovery = FileLogRecovery(
            file: path, keptBytes: 0, cutBytes: Int64(status.st_size), reason: "the segment's header is cut off")
        nextOffset = base
        try startSegment()
    }

    /// Checks every batch, sets `position` and `nextOffset` behind the last good one, and decides about the rest.
    private func scan(_ segment: FileLogSegment, _ durable: Int64) throws(TrafficLogError) {
        var place = Int64(FileLogFormat.segmentHeaderBytes)
        var expected = segment.baseOffset
        var reason: String?
        scanning: while true {
            switch try segment.batch(at: place, expectedOffset: expected) {
            case .end: break scanning
            case .bad(let found):
                reason = found
                break scanning
            case .batch(let header):
                if case .failure(let damage) = try segment.block(header, at: place) {
                    reason = damage.reason
                    break scanning
                }
                place += header.byteCount
                expected = header.endOffset
            }
        }
        let size = try segment.size()
        if let reason {
            let claimed = Int64(clamping: try segment.durableBytes(claimedBehind: place))
            guard max(claimed, durable) <= place else { throw segment.corrupt(at: place, reason) }
            recovery = FileLogRecovery(file: segment.path, keptBytes: place, cutBytes: size - place, reason: reason)
        } else if durable > size {
            throw segment.corrupt(at: size, "the file ends here, \(durable) bytes of it were on disk once")
        }
        (position, nextOffset) = (place, expected)
    }

    /// Goes on in the newest segment.
    private func adopt(_ segment: FileLogSegment) throws(TrafficLogError) {
        descriptor = open(segment.path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileLogFailure.system(errno, segment.path, "the segment cannot be opened") }
        // What the last writer did not sync is made durable before it counts as kept.
        guard ftruncate(descriptor, Int(position)) == 0, fdatasync(descriptor) == 0 else {
            throw FileLogFailure.system(errno, segment.path, "the segment cannot be cut at byte \(position)")
        }
        (baseOffset, nonce, durableBytes) = (segment.baseOffset, segment.nonce, position)
        // Readers check an entry before they use it, so one that points behind a cut does no harm.
        indexDescriptor = open(
            folder + "/" + FileLogFormat.indexName(baseOffset), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        indexedPosition = position
        writeWatermark()
    }

    // MARK: Appending

    /// Puts one batch behind the last one and, with `.always`, on disk. When this throws nothing of it counts; the same
    /// batch may be tried again.
    func commit(_ batch: FileLogBatch) throws(TrafficLogError) {
        let isFull = position >= settings.segmentBytes && position > FileLogFormat.segmentHeaderBytes
        if isAbandoned || isFull { try rotate() }
        batch.seal(nonce: nonce, firstOffset: nextOffset, durableBytes: UInt64(durableBytes))
        try write(batch.bytes)
        let start = position
        position += Int64(batch.bytes.count)
        if settings.syncPolicy == .always {
            do throws(TrafficLogError) {
                try sync(nextOffset: nextOffset + UInt64(batch.recordCount))
            } catch {
                position = start
                _ = ftruncate(descriptor, Int(start))
                throw error
            }
        }
        if start - indexedPosition >= Self.indexStepBytes, indexDescriptor >= 0 {
            FileLogIndex.append(.init(firstOffset: nextOffset, position: start), to: indexDescriptor)
            indexedPosition = start
        }
        nextOffset += UInt64(batch.recordCount)
    }

    /// Makes everything in the segment durable. After a failure the segment is given up: the kernel reports an error of
    /// the medium once and may count the pages as clean afterwards.
    func sync() throws(TrafficLogError) { try sync(nextOffset: nextOffset) }

    private func sync(nextOffset: UInt64) throws(TrafficLogError) {
        guard hasUnsyncedBytes, !isAbandoned else { return }
        let number = settings.fault?(.sync) ?? 0
        guard number == 0, fdatasync(descriptor) == 0 else {
            isAbandoned = true
            throw FileLogFailure.system(number == 0 ? errno : number, path, "syncing failed")
        }
        durableBytes = position
        writeWatermark(nextOffset: nextOffset)
    }

    private func writeWatermark(nextOffset: UInt64? = nil) {
        FileLogWatermark(
            baseOffset: baseOffset, durableBytes: UInt64(durableBytes), nextOffset: nextOffset ?? self.nextOffset
        ).write(to: watermarkDescriptor)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(TrafficLogError) {
        var done = 0
        while done < bytes.count {
            let number = settings.fault?(.write) ?? 0
            let count =
                number == 0
                ? pwrite(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, Int(position) + done) : -1
            if count >= 0 {
                done += count
            } else if number != 0 || errno != EINTR {
                let failure = FileLogFailure.system(
                    number == 0 ? errno : number, path, "writing at byte \(position) failed")
                _ = ftruncate(descriptor, Int(position))
                throw failure
            }
        }
    }

    /// Closes the segment, durable to its end, and begins the next one.
    private func rotate() throws(TrafficLogError) {
        // After a failed sync there is no point in another one: the records that counted are on disk.
        if !isAbandoned { try sync() }
        try startSegment()
        // Old segments that cannot be removed are no reason not to write; the next upkeep reports them.
        try? retain()
    }

    private func startSegment() throws(TrafficLogError) {
        let name = folder + "/" + FileLogFormat.segmentName(nextOffset)
        let number = settings.fault?(.createSegment) ?? 0
        // A file of this name holds no record: it would have been found, and `nextOffset` would be larger.
        let file = number == 0 ? open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600) : -1
        guard file >= 0 else { throw FileLogFailure.system(number == 0 ? errno : number, name, "no new segment") }
        // Unpredictable on purpose: see `FileLogFormat` for what the nonce is for.
        var random = SystemRandomNumberGenerator()
        let header = FileLogSegmentHeader(
            nonce: random.next(), baseOffset: nextOffset, createdMilliseconds: MonotonicClock.wallMilliseconds)
        let bytes = header.encoded()
        let count = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, 0) }
        guard count == bytes.count, fdatasync(file) == 0 else {
            let failure = FileLogFailure.system(
                count >= 0 && count < bytes.count ? ENOSPC : errno, name, "no new segment")
            close(file)
            unlink(name)
            throw failure
        }
        FileLogFolder.sync(folder)
        for old in [descriptor, indexDescriptor] where old >= 0 { close(old) }
        descriptor = file
        (baseOffset, nonce, isAbandoned) = (nextOffset, header.nonce, false)
        position = Int64(bytes.count)
        durableBytes = position
        indexedPosition = position
        indexDescriptor = open(
            folder + "/" + FileLogFormat.indexName(baseOffset), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC,
            0o600)
        writeWatermark()
    }

    // MARK: Retention

    /// Removes oldest segments by size and age; the newest always stays.
    func retain() throws(TrafficLogError) {
        guard settings.retainedBytes != nil || settings.retainedAge != nil else { return }
        let segments = try FileLogFolder.segments(folder)
        var sizes: [(base: UInt64, bytes: Int64, modifiedSeconds: Int)] = []
        for base in segments {
            var status = stat()
            guard stat(folder + "/" + FileLogFormat.segmentName(base), &status) == 0 else { continue }
            sizes.append((base, Int64(status.st_size), status.st_mtim.tv_sec))
        }
        var total = sizes.reduce(0) { $0 + $1.bytes }
        let oldest = settings.retainedAge.map {
            Int(MonotonicClock.wallMilliseconds / 1000) - Int($0.components.seconds)
        }
        for segment in sizes.dropLast() {
            let isTooMuch = settings.retainedBytes.map { total > $0 } ?? false
            let isTooOld = oldest.map { segment.modifiedSeconds < $0 } ?? false
            guard isTooMuch || isTooOld else { return }
            FileLogAppender.remove(segment.base, in: folder)
            total -= segment.bytes
        }
    }

    static func remove(_ base: UInt64, in folder: String) {
        unlink(folder + "/" + FileLogFormat.segmentName(base))
        unlink(folder + "/" + FileLogFormat.indexName(base))
    }
}
