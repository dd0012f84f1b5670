import Glibc

/// Reads a file log as the only reader of a group, whose position lies beside the log (see `GroupPositionFile`).
/// Without a group nothing is kept, and every run begins at the start.
///
/// The log's writer knows nothing of groups, and its retention removes segments that a group has not read: an operator
/// who bounds the disk means it, and a forgotten group must not stop the capture. What a group misses that way is told
/// as `missing`. A segment that is removed while it is being read is read to its end.
///
/// Memory: one batch of the log is loaded at a time. Of batches beyond `RecordCopies.valueLimitBytes` small records are
/// copied, as `RecordCopies` says; others keep their batch alive.
package final class FileGroupReader: GroupLogReader {
    package let location: String
    package let group: String?

    private let folder: String
    private let settings: GroupReaderSettings
    private var positions: GroupPositionFile?
    private var reader: FileTrafficLogReader
    /// The offset that ends the log, with `LogEnd.end`.
    private let end: Int64?
    private var events: [GroupLogEvent] = []
    private var isPaused = false
    private var isEnded = false
    private var isClosed = false
    private let held = HeldBytes()
    private var counts = GroupReaderStatistics()

    /// Fails when the folder cannot be read, with `.locked` when the group has a reader, and with `.missing` when a
    /// position lies behind the end of the log.
    package init(
        path: String, group: String?, settings: GroupReaderSettings = GroupReaderSettings()
    ) throws(TrafficLogError) {
        folder = path
        location = "file://" + path
        self.group = group
        self.settings = settings
        let segments = try FileLogFolder.segments(path)
        let positions = try group.map { (group) throws(TrafficLogError) in
            try GroupPositionFile(folder: path, group: group, isReset: settings.resetsPositions)
        }
        self.positions = positions
        let committed = positions?.positions[0]
        let logEnd = try FileTrafficLogReader(path: path, start: .latest).nextOffset
        end = settings.end == .end ? logEnd : nil

        var start = settings.start
        if let committed { start = .offsets([0: committed.offset]) }
        if case .offsets(let offsets) = start, let wanted = offsets[0], let base = segments.first, wanted < Int64(base)
        {
            events = [.missing(partition: 0, offsets: wanted..<Int64(base))]
            counts.missingRecordCount += UInt64(Int64(base) - wanted)
            start = .earliest
        }
        reader = try FileTrafficLogReader(path: path, start: start)
        let first = reader.nextOffset
        events.insert(
            .assigned([PartitionStart(partition: 0, offset: first, note: committed?.note, endOffset: logEnd)]), at: 0)
        counts.assignedCount = 1
        // Otherwise a restart before the first commit would begin at another end, and miss what lies between.
        if let positions, committed == nil, settings.resetsPositions || settings.start == .latest {
            try positions.commit([0: GroupPosition(offset: first)])
        }
        endIfReached()
    }

    package var statistics: GroupReaderStatistics {
        var counts = counts
        counts.heldBytes = held.count
        return counts
    }

    package func next(within duration: Duration, recordLimit: Int) throws(TrafficLogError) -> GroupLogEvent? {
        precondition(recordLimit > 0, "a limit of \(recordLimit) records")
        guard !isClosed else { throw TrafficLogError(.closed, "\(location): the reader is closed") }
        while true {
            if !events.isEmpty { return events.removeFirst() }
            guard !isPaused, !isEnded else {
                MonotonicClock.sleep(milliseconds: duration.wholeMilliseconds)
                return nil
            }
            let found: (block: FileLogBlock, position: Int)?
            do throws(TrafficLogError) {
                found = try reader.nextBlock(within: duration)
            } catch {
                try skipGap(error)
                continue
            }
            guard let found else {
                guard endByClock() else { return nil }
                continue
            }
            deliver(found.block, found.position, recordLimit)
        }
    }

    private func deliver(_ block: FileLogBlock, _ start: Int, _ limit: Int) {
        let isCopied = block.raw.count > RecordCopies.valueLimitBytes
        var records: [LoggedRecord] = []
        records.reserveCapacity(min(limit, Int(block.header.endOffset) - Int(reader.nextOffset)))
        var copier = RecordCopier(held: held)
        var position = start
        var offset = UInt64(reader.nextOffset)
        while offset < block.header.endOffset, records.count < limit {
            let (record, next) = block.record(at: position, offset: offset)
            if let end, record.position.offset >= end { break }
            if case .time(let end) = settings.end, record.timestampMilliseconds >= end {
                isEnded = true
                break
            }
            if isCopied, record.value.count <= RecordCopies.valueLimitBytes {
                let byteCount = (record.key?.count ?? 0) + record.value.count
                if !copier.hasRoom(byteCount) {
                    copier.expect(byteCount: copyBytes(block, position, offset, limit - records.count))
                }
                records.append(
                    copier.copy(
                        key: record.key, value: record.value, position: record.position,
                        timestampMilliseconds: record.timestampMilliseconds))
            } else {
                block.account(held)
                records.append(record)
            }
            position = next
            offset += 1
        }
        reader.pass(to: offset, position: position)
        if !records.isEmpty { events.append(.records(records)) }
        if isEnded {
            events.append(.endReached(partition: 0, offset: reader.nextOffset))
        } else {
            endIfReached()
        }
    }

    /// How much the small records from `start` on need that share their memory: the first, and others while they fit.
    private func copyBytes(_ block: FileLogBlock, _ start: Int, _ first: UInt64, _ limit: Int) -> Int {
        var total = 0
        var position = start
        for offset in first..<min(block.header.endOffset, first + UInt64(limit)) {
            let (record, next) = block.record(at: position, offset: offset)
            position = next
            guard record.value.count <= RecordCopies.valueLimitBytes else { continue }
            let byteCount = (record.key?.count ?? 0) + record.value.count
            if offset > first, total + byteCount > RecordCopies.limitBytes { break }
            total += byteCount
        }
        return total
    }

    /// After records that retention removed the reading goes on.
    private func skipGap(_ error: TrafficLogError) throws(TrafficLogError) {
        let wanted = reader.nextOffset
        guard error.code == .missing,
            let base = try FileLogFolder.segments(folder).first(where: { Int64($0) > wanted })
        else { throw error }
        reader = try FileTrafficLogReader(path: folder, start: .offsets([0: Int64(base)]))
        counts.missingRecordCount += UInt64(Int64(base) - wanted)
        events.append(.missing(partition: 0, offsets: wanted..<Int64(base)))
        endIfReached()
    }

    private func endIfReached() {
        guard let end, !isEnded, reader.nextOffset >= end else { return }
        isEnded = true
        events.append(.endReached(partition: 0, offset: end))
    }

    private func endByClock() -> Bool {
        guard case .time(let end) = settings.end,
            MonotonicClock.wallMilliseconds >= end + LogEnd.graceMilliseconds
        else { return false }
        isEnded = true
        events.append(.endReached(partition: 0, offset: reader.nextOffset))
        return true
    }

    package func pause(_ partitions: [Int32]) { if partitions.contains(0) { isPaused = true } }
    package func resume(_ partitions: [Int32]) { if partitions.contains(0) { isPaused = false } }

    /// Without a group there is nothing to make durable.
    @discardableResult
    package func commit(_ wanted: [Int32: GroupPosition]) throws(TrafficLogError) -> Set<Int32> {
        guard !isClosed else { throw TrafficLogError(.closed, "\(location): the reader is closed") }
        let mine = wanted.filter { $0.key == 0 }
        counts.staleCommitCount += UInt64(wanted.count - mine.count)
        try positions?.commit(mine)
        return Set(mine.keys)
    }

    package func release(_ partitions: [Int32]) {}

    package func committedPositions() -> [Int32: GroupPosition] { positions?.positions ?? [:] }

    package func endOffsets() -> [Int32: Int64] {
        let durable = FileLogWatermark.read(folder: folder).map { Int64($0.nextOffset) } ?? 0
        return [0: max(reader.nextOffset, durable)]
    }

    package func close() {
        isClosed = true
        events = []
        positions = nil
    }
}
