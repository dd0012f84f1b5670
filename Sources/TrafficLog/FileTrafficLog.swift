import EventIO
import Glibc

/// The embedded log: a folder of this machine (layout: `FileLogFormat`).
///
/// Group commit: appends queue up, one thread takes all that wait, writes them with one `write` and one `fdatasync`,
/// and
/// reports them together. The slower the disk, the larger the groups; an idle log adds no delay.
///
/// When the disk fails or is full the records stay queued and the write is tried again until it succeeds or the log is
/// closed; meanwhile `state` is an outage and, when the queue is full, `append` throws `.full`.
// Sound: `shared` is used only with `monitor` held, `appender` and `batch` only by the writer thread.
package final class FileTrafficLog: TrafficLogWriter, @unchecked Sendable {
    private struct Pending {
        let segment: RecordSegment
        let key: ConnectionKey
        let sink: any TrafficLogSink
        let timestampMilliseconds: Int64
        let appendedNanoseconds: UInt64
        var bytes: Int { segment.recordRange.count + key.bytes.count }
    }

    private struct Shared {
        var waiting: [Pending] = []
        /// Records that are not resolved, those in the thread's hands included.
        var unresolvedCount = 0
        var unresolvedBytes = 0
        /// Records whose delivery has not been reported to the end.
        var unreportedCount = 0
        /// When the oldest unresolved record in the thread's hands was appended; 0 when it has none.
        var oldestTakenNanoseconds: UInt64 = 0
        var refusedSinks: [any TrafficLogSink] = []
        var outage: (since: UInt64, reason: String)?
        var observer: (@Sendable (TrafficLogState) -> Void)?
        var isClosing = false
        var statistics = TrafficLogStatistics()
        var nextOffset: UInt64
    }

    package let location: String
    /// What opening the log cut off; nil when nothing was torn.
    package let recovery: FileLogRecovery?
    private let settings: FileLogSettings
    private let monitor = Monitor()
    private var shared: Shared
    private let appender: FileLogAppender
    /// Of the writer thread; empty between batches.
    private var groups = SinkGroups()
    private let batch = FileLogBatch()
    private var thread: WorkerThread?

    /// Opens or makes the log in the folder `path`. Fails when another writer has it, when its newest segment is
    /// damaged
    /// (`.corrupt` names file and byte), or when the disk refuses.
    package init(path: String, settings: FileLogSettings = FileLogSettings()) throws(TrafficLogError) {
        location = "file://" + path
        self.settings = settings
        appender = try FileLogAppender(folder: path, settings: settings)
        recovery = appender.recovery
        shared = Shared(nextOffset: appender.nextOffset)
        thread = WorkerThread(name: "file-log") { self.run() }
    }

    package func append(
        _ segment: RecordSegment, key: ConnectionKey, sink: any TrafficLogSink, more: Bool
    ) throws(TrafficLogError) {
        let bytes = segment.recordRange.count + key.bytes.count
        guard bytes <= settings.recordLimitBytes, key.bytes.count <= FileLogFormat.keyLimitBytes else {
            throw TrafficLogError(
                .tooLarge, "\(location): a record of \(bytes) bytes is larger than \(settings.recordLimitBytes)")
        }
        let pending = Pending(
            segment: segment, key: key, sink: sink, timestampMilliseconds: MonotonicClock.wallMilliseconds,
            appendedNanoseconds: MonotonicClock.nanoseconds)
        try monitor.locked { () throws(TrafficLogError) in
            guard !shared.isClosing else { throw TrafficLogError(.closed, "\(location): the log is closed") }
            let isFull =
                shared.unresolvedCount >= settings.queueLimitCount
                || (shared.unresolvedCount > 0 && shared.unresolvedBytes + bytes > settings.queueLimitBytes)
            guard !isFull else {
                shared.statistics.refusedCount += 1
                if !shared.refusedSinks.contains(where: { $0 === sink }) { shared.refusedSinks.append(sink) }
                throw TrafficLogError(.full, "\(location): \(shared.unresolvedCount) records wait for the disk")
            }
            shared.waiting.append(pending)
            shared.unresolvedCount += 1
            shared.unreportedCount += 1
            shared.unresolvedBytes += bytes
            shared.statistics.appendedCount += 1
            shared.statistics.appendedBytes += UInt64(bytes)
            if !more { monitor.signalAll() }
        }
    }

    package func handOver() {
        monitor.locked {
            if !shared.waiting.isEmpty { monitor.signalAll() }
        }
    }

    package func flush(within duration: Duration) -> Bool {
        let deadline = MonotonicClock.nanoseconds &+ duration.wholeNanoseconds
        return monitor.locked {
            while shared.unreportedCount > 0, MonotonicClock.nanoseconds < deadline { monitor.wait(until: deadline) }
            return shared.unreportedCount == 0
        }
    }

    package var recordLimitBytes: Int { settings.recordLimitBytes }

    package var state: TrafficLogState {
        monitor.locked {
            if let outage = shared.outage { return .outage(since: outage.since, reason: outage.reason) }
            let (age, since) = oldestAge()
            guard age > settings.outageAfter.wholeNanoseconds else { return .healthy }
            return .outage(since: since, reason: "\(location): the disk has not answered for \(age / 1_000_000_000) s")
        }
    }

    package func observeState(_ observer: @escaping @Sendable (TrafficLogState) -> Void) {
        monitor.locked { shared.observer = observer }
    }

    package var statistics: TrafficLogStatistics {
        monitor.locked {
            var statistics = shared.statistics
            statistics.unacknowledgedCount = UInt64(shared.unresolvedCount)
            statistics.unacknowledgedBytes = UInt64(shared.unresolvedBytes)
            statistics.oldestUnacknowledgedNanoseconds = oldestAge().age
            return statistics
        }
    }

    /// Offset that the next durable record gets.
    package var nextOffset: Int64 { monitor.locked { Int64(shared.nextOffset) } }

    /// Ends the thread after the write it is at. Must not be called from a sink.
    package func close() {
        let thread = monitor.locked { () -> WorkerThread? in
            shared.isClosing = true
            monitor.signalAll()
            defer { self.thread = nil }
            return self.thread
        }
        thread?.join()
    }

    /// What the segments hold on disk.
    package var storedBytes: UInt64 {
        let segments = (try? FileLogFolder.segments(appender.folder)) ?? []
        return segments.reduce(0) { total, base in
            var status = stat()
            let isThere = stat(appender.folder + "/" + FileLogFormat.segmentName(base), &status) == 0
            return total + (isThere ? UInt64(max(0, status.st_size)) : 0)
        }
    }

    /// Removes the segments that hold no record from `offset` on. The newest stays.
    package func removeSegments(before offset: Int64) throws(TrafficLogError) {
        let segments = try FileLogFolder.segments(appender.folder)
        for (base, next) in zip(segments, segments.dropFirst()) where next <= UInt64(max(0, offset)) {
            FileLogAppender.remove(base, in: appender.folder)
        }
    }

    /// Age of the oldest unresolved record and when it was appended. Only with `monitor` held.
    private func oldestAge() -> (age: UInt64, since: UInt64) {
        var oldest = shared.oldestTakenNanoseconds
        if oldest == 0 { oldest = shared.waiting.first?.appendedNanoseconds ?? 0 }
        guard oldest > 0 else { return (0, 0) }
        let now = MonotonicClock.nanoseconds
        return (now > oldest ? now - oldest : 0, oldest)
    }

    // MARK: The writer thread

    private func run() {
        var taken: [Pending] = []
        var nextUpkeep = upkeepDeadline()
        while true {
            let isClosing = monitor.locked { () -> Bool in
                while shared.waiting.isEmpty, !shared.isClosing, MonotonicClock.nanoseconds < nextUpkeep {
                    monitor.wait(until: nextUpkeep)
                }
                swap(&taken, &shared.waiting)
                shared.oldestTakenNanoseconds = taken.first?.appendedNanoseconds ?? 0
                return shared.isClosing
            }
            writeAll(taken)
            taken.removeAll(keepingCapacity: taken.capacity <= 1 << 16)
            if MonotonicClock.nanoseconds >= nextUpkeep {
                upkeep()
                nextUpkeep = upkeepDeadline()
            }
            if isClosing, monitor.locked({ shared.waiting.isEmpty }) { break }
        }
        groups = SinkGroups()
        try? appender.sync()
        appender.closeAll()
    }

    private func upkeepDeadline() -> UInt64 {
        var interval = Duration.seconds(60)
        if case .interval(let chosen) = settings.syncPolicy { interval = min(interval, chosen) }
        return MonotonicClock.nanoseconds &+ interval.wholeNanoseconds
    }

    /// The timed sync of `.interval`, and retention by age.
    private func upkeep() {
        do throws(TrafficLogError) {
            if case .interval = settings.syncPolicy { try appender.sync() }
            try appender.retain()
            endOutage()
        } catch {
            begin(outage: error)
        }
    }

    /// Writes records in batches of at most `batchBytes`; a larger record has a batch of its own.
    private func writeAll(_ records: [Pending]) {
        var start = 0
        while start < records.count {
            batch.clear()
            var end = start
            while end < records.count {
                let record = records[end]
                guard end == start || batch.rawBytes + record.bytes <= settings.batchBytes else { break }
                batch.add(
                    key: record.key.bytes, value: record.segment.record,
                    timestampMilliseconds: record.timestampMilliseconds)
                end += 1
            }
            batch.compress(settings.isCompressed)
            let failure = commit()
            resolve(records[start..<end], next: end < records.count ? records[end] : nil, failure: failure)
            start = end
        }
    }

    /// Tries until the batch is in the log; the failure when the log is closed first.
    private func commit() -> TrafficLogError? {
        while true {
            do throws(TrafficLogError) {
                try appender.commit(batch)
                endOutage()
                return nil
            } catch {
                begin(outage: error)
                let deadline = MonotonicClock.nanoseconds &+ settings.retryAfter.wholeNanoseconds
                let isClosing = monitor.locked { () -> Bool in
                    while !shared.isClosing, MonotonicClock.nanoseconds < deadline { monitor.wait(until: deadline) }
                    return shared.isClosing
                }
                if isClosing {
                    return TrafficLogError(.closed, "\(location): closed before a write succeeded: \(error)")
                }
            }
        }
    }

    private func resolve(_ records: ArraySlice<Pending>, next: Pending?, failure: TrafficLogError?) {
        var bytes = 0
        for record in records {
            bytes += record.bytes
            groups.add(LogDelivery(segment: record.segment, failure: failure), to: record.sink)
        }
        let woken = monitor.locked { () -> [any TrafficLogSink] in
            if failure == nil {
                shared.statistics.durableCount += UInt64(records.count)
                shared.nextOffset = appender.nextOffset
            } else {
                shared.statistics.failedCount += UInt64(records.count)
            }
            shared.oldestTakenNanoseconds = next?.appendedNanoseconds ?? 0
            shared.unresolvedBytes -= bytes
            shared.unresolvedCount -= records.count
            defer { shared.refusedSinks = [] }
            return shared.refusedSinks
        }
        groups.report()
        for sink in woken { sink.logHasRoom() }
        // After the report: who was told by `flush` that all is resolved has heard of all.
        monitor.locked {
            shared.unreportedCount -= records.count
            if shared.unreportedCount == 0 { monitor.signalAll() }
        }
    }

    private func begin(outage failure: TrafficLogError) {
        let observer = monitor.locked { () -> (@Sendable (TrafficLogState) -> Void)? in
            let isNew = shared.outage?.reason != failure.message
            if shared.outage == nil { shared.statistics.outageCount += 1 }
            shared.outage = (shared.outage?.since ?? MonotonicClock.nanoseconds, failure.message)
            return isNew ? shared.observer : nil
        }
        observer?(.outage(since: MonotonicClock.nanoseconds, reason: failure.message))
    }

    private func endOutage() {
        let observer = monitor.locked { () -> (@Sendable (TrafficLogState) -> Void)? in
            guard shared.outage != nil else { return nil }
            shared.outage = nil
            return shared.observer
        }
        observer?(.healthy)
    }
}
