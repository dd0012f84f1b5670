import Glibc

/// Reads a file log from a chosen record to its end and follows it while it grows. Needs no lock: a writer may be at
/// work. Damage is an error that names file and byte; `next` stays there and never skips it.
package final class FileTrafficLogReader: TrafficLogReader {
    package let location: String
    private let folder: String
    private var segment: FileLogSegment?
    private var position: Int64 = 0
    /// Offset of the next record.
    private var expected: UInt64 = 0
    private var block: FileLogBlock?
    private var blockPosition = 0
    /// Looks in a row that found nothing.
    private var idleLooks = 0

    /// How often a reader that waits looks for new records. Polling also works where another machine writes. A look
    /// costs about 50 µs, so one that waits for long looks less often.
    private static let pollMilliseconds: Int32 = 5
    private static let idlePollMilliseconds: Int32 = 40
    private static let idlePollCount = 20

    /// Fails when the folder cannot be read or a record that `start` names is gone.
    package init(path: String, start: LogStart = .earliest) throws(TrafficLogError) {
        folder = path
        location = "file://" + path
        let segments = try FileLogFolder.segments(path)
        switch start {
        case .earliest: expected = segments.first ?? FileLogWatermark.read(folder: path)?.nextOffset ?? 0
        case .latest: try seekEnd(segments)
        case .timestamp(let time): try seek(notBefore: time, segments)
        case .offsets(let offsets):
            guard let wanted = offsets[0] else {
                expected = segments.first ?? 0
                return
            }
            try seek(UInt64(clamping: wanted), segments)
        }
    }

    package func next(within duration: Duration) throws(TrafficLogError) -> LoggedRecord? {
        let deadline = MonotonicClock.nanoseconds &+ duration.wholeNanoseconds
        while true {
            if let record = recordOfBlock() { return record }
            if try loadBlock() { continue }
            guard duration > .zero, waitForMore(until: deadline) else { return nil }
        }
    }

    /// The batch that the next record is in, and where; nil as `next`. The records are passed over with `pass`.
    func nextBlock(within duration: Duration) throws(TrafficLogError) -> (block: FileLogBlock, position: Int)? {
        let deadline = MonotonicClock.nanoseconds &+ duration.wholeNanoseconds
        while true {
            if let block, expected < block.header.endOffset {
                idleLooks = 0
                return (block, blockPosition)
            }
            block = nil
            if try loadBlock() { continue }
            guard waitForMore(until: deadline) else { return nil }
        }
    }

    /// The records of the current batch in front of `offset` were taken; the next one stands at `position`.
    func pass(to offset: UInt64, position: Int) {
        expected = offset
        blockPosition = position
        if let block, expected >= block.header.endOffset { self.block = nil }
    }

    private func waitForMore(until deadline: UInt64) -> Bool {
        let now = MonotonicClock.nanoseconds
        guard now < deadline else { return false }
        idleLooks += 1
        let turn = idleLooks > Self.idlePollCount ? Self.idlePollMilliseconds : Self.pollMilliseconds
        MonotonicClock.sleep(milliseconds: min(turn, Int32(clamping: (deadline - now) / 1_000_000 + 1)))
        return true
    }

    /// Offset of the record that `next` returns next.
    package var nextOffset: Int64 { Int64(expected) }

    private func recordOfBlock() -> LoggedRecord? {
        guard let block else { return nil }
        guard expected < block.header.endOffset else {
            self.block = nil
            return nil
        }
        let (record, next) = block.record(at: blockPosition, offset: expected)
        blockPosition = next
        expected += 1
        idleLooks = 0
        return record
    }

    /// Loads the batch that holds record `expected`; false at the end.
    private func loadBlock() throws(TrafficLogError) -> Bool {
        while true {
            guard let segment = try openSegment() else { return false }
            switch try segment.batch(at: position, expectedOffset: expected) {
            case .batch(let header):
                switch try segment.block(header, at: position) {
                case .success(let loaded):
                    block = loaded
                    blockPosition = 0
                    position += header.byteCount
                    return true
                case .failure(let damage):
                    try judge(segment, damage.reason)
                    return false
                }
            case .end:
                guard try enterNextSegment(after: segment) else { return false }
            case .bad(let reason):
                // A writer that gave up a segment after a failed sync goes on in the next one.
                if try enterNextSegment(after: segment) { continue }
                try judge(segment, reason)
                return false
            }
        }
    }

    /// Returns when what stands at `position` may be the tail of a write that is under way or was interrupted.
    private func judge(_ segment: FileLogSegment, _ reason: String) throws(TrafficLogError) {
        var durable = try segment.durableBytes(claimedBehind: position)
        if let watermark = FileLogWatermark.read(folder: folder) {
            if watermark.baseOffset == segment.baseOffset { durable = max(durable, watermark.durableBytes) }
            if watermark.baseOffset > segment.baseOffset { durable = .max }
        }
        let segments = try FileLogFolder.segments(folder)
        if let last = segments.last, last > segment.baseOffset { durable = .max }
        // The state may have moved on between the two looks.
        if durable > UInt64(position) {
            if case .batch(let header) = try segment.batch(at: position, expectedOffset: expected),
                case .success = try segment.block(header, at: position)
            {
                return
            }
            if durable == .max, segments.contains(expected), expected > segment.baseOffset { return }
            throw segment.corrupt(at: position, reason)
        }
    }

    /// The segment of record `expected`; nil when it is not there yet.
    private func openSegment() throws(TrafficLogError) -> FileLogSegment? {
        if let segment { return segment }
        let segments = try FileLogFolder.segments(folder)
        guard let base = segments.last(where: { $0 <= expected }) ?? segments.first else { return nil }
        try checkPresent(base)
        segment = try FileLogSegment(folder: folder, baseOffset: base)
        if segment == nil, let last = segments.last, last > base {
            throw TrafficLogError(
                .corrupt, "\(folder)/\(FileLogFormat.segmentName(base)) at byte 0: there is no segment header",
                file: folder + "/" + FileLogFormat.segmentName(base), offset: 0)
        }
        position = Int64(FileLogFormat.segmentHeaderBytes)
        return segment
    }

    private func checkPresent(_ base: UInt64) throws(TrafficLogError) {
        guard base > expected else { return }
        throw TrafficLogError(
            .missing, "\(location): records \(expected) to \(base - 1) are gone, removed by retention or by hand")
    }

    /// Goes over to the segment that begins with record `expected`.
    private func enterNextSegment(after current: FileLogSegment) throws(TrafficLogError) -> Bool {
        guard let next = try FileLogFolder.segments(folder).first(where: { $0 > current.baseOffset }) else {
            return false
        }
        // The last batch may have come after `current` was found at its end and before the next segment was made.
        if case .batch = try current.batch(at: position, expectedOffset: expected) { return true }
        guard next >= expected else {
            throw current.corrupt(at: position, "the next segment begins with record \(next), before \(expected)")
        }
        if next > expected {
            // Retention removes the oldest first; this reader holds the file of a segment that is gone already.
            if try !FileLogFolder.segments(folder).contains(current.baseOffset) { try checkPresent(next) }
            throw current.corrupt(at: position, "records \(expected) to \(next - 1) are missing here")
        }
        guard let opened = try FileLogSegment(folder: folder, baseOffset: next) else { return false }
        segment = opened
        position = Int64(FileLogFormat.segmentHeaderBytes)
        return true
    }

    /// Walks over batches without reading their payloads until the one that holds `wanted`.
    private func seek(_ wanted: UInt64, _ segments: [UInt64]) throws(TrafficLogError) {
        expected = wanted
        guard let base = segments.last(where: { $0 <= wanted }) else {
            if let first = segments.first { try checkPresent(first) }
            return
        }
        expected = base
        guard let segment = try openSegment() else { return }
        if let hint = FileLogIndex.lookUp(folder: folder, baseOffset: base, offset: wanted),
            case .batch = try segment.batch(at: hint.position, expectedOffset: hint.firstOffset)
        {
            (expected, position) = (hint.firstOffset, hint.position)
        }
        while case .batch(let header) = try segment.batch(at: position, expectedOffset: expected),
            header.endOffset <= wanted
        {
            position += header.byteCount
            expected = header.endOffset
        }
        while expected < wanted, try next(within: .zero) != nil {}
        if expected < wanted {
            throw TrafficLogError(
                .missing, "\(location): record \(wanted) does not exist, the log ends with \(expected)")
        }
    }

    /// Goes to the first record whose timestamp is not before `time`, by the clock of the writer. Walks over segments
    /// that were made before and over batches without reading their payloads.
    private func seek(notBefore time: Int64, _ segments: [UInt64]) throws(TrafficLogError) {
        guard var base = segments.first else {
            expected = FileLogWatermark.read(folder: folder)?.nextOffset ?? 0
            return
        }
        for next in segments.dropFirst() {
            // What lies in front of a segment was written before it was made.
            guard let opened = try FileLogSegment(folder: folder, baseOffset: next), opened.createdMilliseconds < time
            else { break }
            base = next
        }
        expected = base
        guard let segment = try openSegment() else { return }
        while case .batch(let header) = try segment.batch(at: position, expectedOffset: expected) {
            let behind = position + header.byteCount
            // A batch carries the time of its first record, so its last is no later than the next batch.
            guard case .batch(let next) = try segment.batch(at: behind, expectedOffset: header.endOffset),
                next.timestampMilliseconds < time
            else { break }
            position = behind
            expected = header.endOffset
        }
        while true {
            guard let block, expected < block.header.endOffset else {
                block = nil
                guard try loadBlock() else { return }
                continue
            }
            guard block.record(at: blockPosition, offset: expected).record.timestampMilliseconds < time else { return }
            _ = recordOfBlock()
        }
    }

    private func seekEnd(_ segments: [UInt64]) throws(TrafficLogError) {
        guard let base = segments.last else { return }
        expected = base
        guard let segment = try openSegment() else { return }
        while case .batch(let header) = try segment.batch(at: position, expectedOffset: expected) {
            position += header.byteCount
            expected = header.endOffset
        }
    }
}

/// The sparse index of a segment: where some of its batches begin. Only a hint: what it says is checked at the place.
enum FileLogIndex {
    struct Entry: Equatable {
        let firstOffset: UInt64
        let position: Int64
    }

    /// The last entry at or before `offset`.
    static func lookUp(folder: String, baseOffset: UInt64, offset: UInt64) -> Entry? {
        let descriptor = open(folder + "/" + FileLogFormat.indexName(baseOffset), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        var low = 0
        var high = Int(status.st_size) / FileLogFormat.indexEntryBytes
        var found: Entry?
        while low < high {
            let middle = low + (high - low) / 2
            guard let entry = read(descriptor, middle) else { return nil }
            if entry.firstOffset <= offset {
                found = entry
                low = middle + 1
            } else {
                high = middle
            }
        }
        return found
    }

    private static func read(_ descriptor: Int32, _ number: Int) -> Entry? {
        var bytes: (UInt64, UInt64) = (0, 0)
        let count = withUnsafeMutableBytes(of: &bytes) {
            pread(descriptor, $0.baseAddress, $0.count, number * FileLogFormat.indexEntryBytes)
        }
        guard count == FileLogFormat.indexEntryBytes else { return nil }
        return Entry(
            firstOffset: UInt64(littleEndian: bytes.0), position: Int64(clamping: UInt64(littleEndian: bytes.1)))
    }

    static func append(_ entry: Entry, to descriptor: Int32) {
        var bytes = (entry.firstOffset.littleEndian, UInt64(entry.position).littleEndian)
        // A lost entry costs a longer walk, nothing else.
        withUnsafeBytes(of: &bytes) { _ = write(descriptor, $0.baseAddress, $0.count) }
    }
}
