import EventIO
import Glibc

/// A log with a local disk behind it: while the log is out, records become durable in a file log and are sent on, in
/// order, when the log is back.
///
///     direct    append → log
///     spooling  append → spool; the drain thread reads the spool → log
///
/// - *Into spooling*: when the log reports an outage. Records that the log has and has not acknowledged are copied
///   to the
///   spool (shadows) and count as durable there, so nobody waits for the outage to end; the log still owns their memory
///   (`LogDelivery.isReusable` is false) and still sends them.
/// - *Draining*: begins when the log is healthy. The drain thread waits at a shadow until the log has resolved it,
///   so no
///   record is sent twice and each key keeps its order.
/// - *Back to direct*: when everything in the spool has been handed to the log, under the lock that appends take; what
///   follows queues behind it.
///
/// `DRAINED` holds the offset up to which the log has everything; a spool that an earlier process left is drained
/// first.
/// After a kill records beyond it may be sent twice. A record that the log refuses for good goes to the folder
/// `refused`.
// Sound: everything mutable is used only with `monitor` held, but for `observer` and `published`: with
// `publishing` held.
package final class SpoolingTrafficLog: TrafficLogWriter, @unchecked Sendable {
    /// A record on its way, remembered by its segment's `relay`.
    private final class Entry {
        let number: UInt64
        let segment: RecordSegment
        let key: ConnectionKey
        let sink: any TrafficLogSink
        /// Offset in the spool, when it is there or on its way there.
        var spoolOffset: UInt64?
        var isReported = false

        init(number: UInt64, segment: RecordSegment, key: ConnectionKey, sink: any TrafficLogSink) {
            self.number = number
            self.segment = segment
            self.key = key
            self.sink = sink
        }
    }

    /// A record that the drain thread handed to the log.
    private final class DrainItem {
        let offset: UInt64
        let key: ConnectionKey

        init(offset: UInt64, key: ConnectionKey) {
            self.offset = offset
            self.key = key
        }
    }

    /// Hears one of the two logs.
    private final class Ear: TrafficLogSink {
        private let resolved: @Sendable ([LogDelivery]) -> Void
        private let room: @Sendable () -> Void

        init(resolved: @escaping @Sendable ([LogDelivery]) -> Void, room: @escaping @Sendable () -> Void) {
            self.resolved = resolved
            self.room = room
        }

        func recordsResolved(_ deliveries: [LogDelivery]) { resolved(deliveries) }
        func logHasRoom() { room() }
    }

    package let location: String
    private let primary: any TrafficLogWriter
    private let spool: FileTrafficLog
    private let spoolPath: String
    private let checkpoint: SpoolCheckpoint
    private let monitor = Monitor()
    /// Held while the observer is called, so that it hears states in their order.
    private let publishing = Monitor()
    private var observer: (@Sendable (TrafficLogState) -> Void)?
    private var published = TrafficLogState.healthy
    private var primaryEar: Ear?
    private var spoolEar: Ear?
    private var thread: WorkerThread?

    /// Since when and why records go to the spool; nil: they do not.
    private var spooling: (since: UInt64, reason: String)?
    private var isClosing = false
    private var nextNumber: UInt64 = 0
    /// Records in the log's hands that came directly, by number.
    private var direct: [UInt64: Entry] = [:]
    /// Those of them that are in the spool as well, by their offset there.
    private var shadows: [UInt64: Entry] = [:]
    /// Records that are still to become shadows: the spool was full.
    private var awaitingSpool: [Entry] = []
    private var refusedSinks: [any TrafficLogSink] = []
    /// Offset of the next record that goes to the spool.
    private var nextSpoolOffset: UInt64
    /// Records of the spool in front of this can be read.
    private var readableOffset: UInt64
    /// Offset of the next record to drain.
    private var drainCursor: UInt64
    private var drained: DrainTracker
    private var drainInFlightCount = 0
    /// A drained record failed: the drain thread starts again behind `drained`.
    private var mustRewind = false
    private var refusedLog: FileTrafficLog?
    private var spoolRefusedCount: UInt64 = 0
    private var unreportedCount = 0
    private var removedBefore: UInt64 = 0

    /// Stands in front of `primary`, which nobody else may append to, with a spool in the folder `spoolPath`.
    package init(
        primary: any TrafficLogWriter, spoolPath: String, settings: FileLogSettings = FileLogSettings()
    ) throws(TrafficLogError) {
        self.primary = primary
        self.spoolPath = spoolPath
        location = primary.location
        spool = try FileTrafficLog(path: spoolPath, settings: settings)
        checkpoint = try SpoolCheckpoint(folder: spoolPath)
        nextSpoolOffset = UInt64(spool.nextOffset)
        readableOffset = nextSpoolOffset
        let first = try FileLogFolder.segments(spoolPath).first ?? nextSpoolOffset
        let start = min(max(checkpoint.read() ?? first, first), nextSpoolOffset)
        drained = DrainTracker(drainedOffset: start)
        drainCursor = start
        if start < nextSpoolOffset { beginSpooling(reason: "an earlier process left records in the spool") }
        primaryEar = Ear(
            resolved: { [weak self] in self?.primaryResolved($0) }, room: { [weak self] in self?.roomAppeared() })
        spoolEar = Ear(
            resolved: { [weak self] in self?.spoolResolved($0) }, room: { [weak self] in self?.roomAppeared() })
        primary.observeState { [weak self] state in self?.primaryChanged(state) }
        spool.observeState { [weak self] _ in self?.publish() }
        primaryChanged(primary.state)
        thread = WorkerThread(name: "spool-drain") { self.drain() }
    }

    /// Records go to the spool at the moment.
    package var isSpooling: Bool { monitor.locked { spooling != nil } }
    package var recordLimitBytes: Int { min(primary.recordLimitBytes, spool.recordLimitBytes) }

    // MARK: Appending

    package func append(
        _ segment: RecordSegment, key: ConnectionKey, sink: any TrafficLogSink, more: Bool
    ) throws(TrafficLogError) {
        // Before anything is durable anywhere: what the log never takes must not go to the spool.
        let bytes = segment.recordRange.count + key.bytes.count
        guard bytes <= recordLimitBytes else {
            throw TrafficLogError(.tooLarge, "\(location): a record of \(bytes) bytes, \(recordLimitBytes) at the most")
        }
        try monitor.locked { () throws(TrafficLogError) in
            guard !isClosing, let primaryEar, let spoolEar else {
                throw TrafficLogError(.closed, "\(location): the log is closed")
            }
            let entry = Entry(number: nextNumber, segment: segment, key: key, sink: sink)
            segment.relay = entry
            do throws(TrafficLogError) {
                if spooling != nil {
                    guard awaitingSpool.isEmpty else { throw TrafficLogError(.full, "\(location): the spool is full") }
                    try spool.append(segment, key: key, sink: spoolEar, more: more)
                    entry.spoolOffset = nextSpoolOffset
                    nextSpoolOffset += 1
                } else {
                    try primary.append(segment, key: key, sink: primaryEar, more: more)
                    direct[entry.number] = entry
                }
            } catch {
                segment.relay = nil
                if error.code == .full, !refusedSinks.contains(where: { $0 === sink }) { refusedSinks.append(sink) }
                throw error
            }
            nextNumber += 1
            unreportedCount += 1
        }
    }

    package func handOver() {
        primary.handOver()
        spool.handOver()
    }

    package func report(on loop: EventLoop) { primary.report(on: loop) }

    private func primaryChanged(_ state: TrafficLogState) {
        monitor.locked {
            if case .outage(_, let reason) = state, spooling == nil, !isClosing {
                beginSpooling(reason: reason)
                awaitingSpool = direct.values.filter { $0.spoolOffset == nil }.sorted { $0.number < $1.number }
                makeShadows()
            }
            monitor.signalAll()
        }
        // Who was refused by a log that is out may go on with the spool.
        if !state.isHealthy { roomAppeared() }
        publish()
    }

    /// Only with `monitor` held, or before anybody else knows the log.
    private func beginSpooling(reason: String) {
        if spooling == nil { spooling = (MonotonicClock.nanoseconds, reason) }
    }

    /// Copies waiting records to the spool as far as it takes them. Only with `monitor` held.
    private func makeShadows() {
        guard let spoolEar else { return }
        var madeCount = 0
        for entry in awaitingSpool {
            // The log resolved it in the meantime.
            if direct[entry.number] != nil {
                let copy = RecordSegment(copying: entry.segment.record)
                copy.relay = entry
                do { try spool.append(copy, key: entry.key, sink: spoolEar) } catch { break }
                entry.spoolOffset = nextSpoolOffset
                shadows[nextSpoolOffset] = entry
                nextSpoolOffset += 1
            }
            madeCount += 1
        }
        awaitingSpool.removeFirst(madeCount)
    }

    private func roomAppeared() {
        let woken = monitor.locked { () -> [any TrafficLogSink] in
            makeShadows()
            monitor.signalAll()
            guard awaitingSpool.isEmpty else { return [] }
            defer { refusedSinks = [] }
            return refusedSinks
        }
        for sink in woken { sink.logHasRoom() }
    }

    // MARK: Outcomes

    private func spoolResolved(_ deliveries: [LogDelivery]) {
        var groups = SinkGroups()
        var count = 0
        monitor.locked {
            for delivery in deliveries {
                guard let entry = delivery.segment.relay as? Entry, let offset = entry.spoolOffset else { continue }
                delivery.segment.relay = nil
                let isShadow = delivery.segment !== entry.segment
                if delivery.failure == nil { readableOffset = max(readableOffset, offset + 1) }
                // A shadow that did not reach the disk is still the log's to resolve.
                guard !entry.isReported, !isShadow || delivery.failure == nil else { continue }
                entry.isReported = true
                count += 1
                // As long as the log has not resolved the record it reads the memory.
                let isReusable = !isShadow || direct[entry.number] == nil
                groups.add(
                    LogDelivery(segment: entry.segment, failure: delivery.failure, isReusable: isReusable),
                    to: entry.sink)
            }
            monitor.signalAll()
        }
        report(groups, count)
    }

    private func primaryResolved(_ deliveries: [LogDelivery]) {
        var groups = SinkGroups()
        var count = 0
        monitor.locked {
            for delivery in deliveries {
                defer { delivery.segment.relay = nil }
                if let item = delivery.segment.relay as? DrainItem {
                    drainResolved(item, delivery)
                    continue
                }
                guard let entry = delivery.segment.relay as? Entry else { continue }
                direct[entry.number] = nil
                if let offset = entry.spoolOffset {
                    shadows[offset] = nil
                    // After a failure the drain thread sends it from the spool, or finds it refused there.
                    if delivery.failure == nil || !entry.isReported { markDrained(offset) }
                }
                guard !entry.isReported else { continue }
                entry.isReported = true
                count += 1
                groups.add(delivery, to: entry.sink)
            }
            monitor.signalAll()
        }
        report(groups, count)
    }

    private func report(_ groups: SinkGroups, _ count: Int) {
        var groups = groups
        groups.report()
        monitor.locked {
            unreportedCount -= count
            if unreportedCount == 0 { monitor.signalAll() }
        }
    }

    /// Only with `monitor` held.
    private func drainResolved(_ item: DrainItem, _ delivery: LogDelivery) {
        drainInFlightCount -= 1
        guard let failure = delivery.failure else { return markDrained(item.offset) }
        guard failure.disposition == .rejectItem else {
            // `.closed` leaves the record to the next process, the rest is tried again.
            mustRewind = true
            beginSpooling(reason: failure.message)
            return
        }
        keepRefused(delivery.segment, item.key, item.offset)
    }

    /// Only with `monitor` held.
    private func keepRefused(_ segment: RecordSegment, _ key: ConnectionKey, _ offset: UInt64) {
        spoolRefusedCount += 1
        if refusedLog == nil { refusedLog = try? FileTrafficLog(path: spoolPath + "/refused") }
        let copy = RecordSegment(copying: segment.record)
        let ear = Ear(
            resolved: { [weak self] deliveries in
                guard let self, deliveries.allSatisfy({ $0.failure == nil }) else { return }
                self.monitor.locked { self.markDrained(offset) }
            }, room: {})
        // Without a place for it the record stays in the spool, and so does everything behind it on disk.
        try? refusedLog?.append(copy, key: key, sink: ear)
    }

    /// Only with `monitor` held.
    private func markDrained(_ offset: UInt64) {
        let before = drained.drainedOffset
        drained.insert(offset)
        if drained.drainedOffset != before { checkpoint.write(drained.drainedOffset) }
    }

    // MARK: The drain thread

    private func drain() {
        var reader: FileTrafficLogReader?
        while let wanted = waitForWork() {
            do throws(TrafficLogError) {
                if reader == nil || UInt64(reader?.nextOffset ?? 0) != wanted {
                    reader = try FileTrafficLogReader(path: spoolPath, start: .offsets([0: Int64(wanted)]))
                }
                guard let record = try reader?.next() else {
                    pause(milliseconds: 5)
                    continue
                }
                handOver(record)
            } catch {
                // A damaged spool: what is behind the damage stays there, and the state says so.
                monitor.locked { damage = damage ?? error }
                publish()
                reader = nil
                pause(milliseconds: 1000)
            }
        }
    }

    private var damage: TrafficLogError?

    private enum Work {
        /// The record at this offset.
        case drain(UInt64)
        /// Nothing yet; what has changed is to be published.
        case wait
        case end
    }

    /// Waits until there is a record to drain and the log takes records; the record's offset, or nil at the end.
    private func waitForWork() -> UInt64? {
        while true {
            switch monitor.locked(nextWork) {
            case .drain(let offset): return offset
            case .wait: publish()
            case .end: return nil
            }
        }
    }

    /// Only with `monitor` held.
    private func nextWork() -> Work {
        if isClosing { return .end }
        if mustRewind, drainInFlightCount == 0 {
            mustRewind = false
            drainCursor = drained.drainedOffset
        }
        while drainCursor < readableOffset, drained.contains(drainCursor) { drainCursor += 1 }
        let isHealthy = primary.state.isHealthy
        if drainCursor < readableOffset {
            if isHealthy, !mustRewind, shadows[drainCursor] == nil { return .drain(drainCursor) }
        } else if spooling != nil, isHealthy, !mustRewind, drainCursor == nextSpoolOffset, awaitingSpool.isEmpty {
            spooling = nil
            return .wait
        }
        removeDrainedSegments()
        // Changes signal; the timeout is for a state that changes without anybody saying so.
        monitor.wait(until: MonotonicClock.nanoseconds + 100_000_000)
        return .wait
    }

    /// Gives the record at `drainCursor` to the log, waiting for room.
    private func handOver(_ record: LoggedRecord) {
        let segment = RecordSegment(copying: record.value)
        let offset = UInt64(record.position.offset)
        let key = ConnectionKey(record.key.map(Array.init) ?? [])
        monitor.locked {
            while !isClosing, !mustRewind, let primaryEar {
                segment.relay = DrainItem(offset: offset, key: key)
                do throws(TrafficLogError) {
                    try primary.append(segment, key: key, sink: primaryEar)
                    drainInFlightCount += 1
                    drainCursor = offset + 1
                    return
                } catch {
                    segment.relay = nil
                    if error.disposition == .rejectItem {
                        keepRefused(segment, key, offset)
                        drainCursor = offset + 1
                        return
                    }
                    monitor.wait(until: MonotonicClock.nanoseconds + 50_000_000)
                }
            }
        }
    }

    /// Only with `monitor` held.
    private func removeDrainedSegments() {
        guard drained.drainedOffset > removedBefore else { return }
        removedBefore = drained.drainedOffset
        try? spool.removeSegments(before: Int64(removedBefore))
    }

    private func pause(milliseconds: UInt64) {
        monitor.locked {
            if !isClosing { monitor.wait(until: MonotonicClock.nanoseconds + milliseconds * 1_000_000) }
        }
    }

    // MARK: State

    /// An outage only when the spool cannot help either.
    package var state: TrafficLogState {
        let (damage, spooling) = monitor.locked { () -> (TrafficLogError?, (since: UInt64, reason: String)?) in
            (self.damage, self.spooling)
        }
        if let damage { return .outage(since: 0, reason: damage.message) }
        guard let spooling else { return .healthy }
        let local = spool.state
        return local.isHealthy ? .spooling(since: spooling.since, reason: spooling.reason) : local
    }

    package func observeState(_ observer: @escaping @Sendable (TrafficLogState) -> Void) {
        publishing.locked { self.observer = observer }
    }

    /// Tells the observer the state when it is another one than it heard last. Never with `monitor` held.
    private func publish() {
        publishing.locked {
            let state = state
            guard state != published else { return }
            published = state
            observer?(state)
        }
    }

    package var statistics: TrafficLogStatistics {
        var statistics = primary.statistics
        let local = spool.statistics
        statistics.refusedCount += local.refusedCount
        statistics.spooledBytes = spool.storedBytes
        monitor.locked {
            statistics.spooledCount = nextSpoolOffset - drained.drainedOffset
            statistics.spoolRefusedCount = spoolRefusedCount
        }
        return statistics
    }

    /// Waits until every record is durable in the log or in the spool.
    package func flush(within duration: Duration) -> Bool {
        let deadline = MonotonicClock.nanoseconds &+ duration.wholeNanoseconds
        return monitor.locked {
            while unreportedCount > 0 {
                guard MonotonicClock.nanoseconds < deadline else { return false }
                monitor.wait(until: deadline)
            }
            return true
        }
    }

    /// Waits until the log itself has everything.
    package func waitUntilDrained(within duration: Duration) -> Bool {
        let deadline = MonotonicClock.nanoseconds &+ duration.wholeNanoseconds
        return monitor.locked {
            while spooling != nil || drained.drainedOffset < nextSpoolOffset || !direct.isEmpty {
                guard MonotonicClock.nanoseconds < deadline else { return false }
                monitor.wait(until: min(deadline, MonotonicClock.nanoseconds + 20_000_000))
            }
            return true
        }
    }

    package func close() {
        let thread = monitor.locked { () -> WorkerThread? in
            isClosing = true
            monitor.signalAll()
            defer { self.thread = nil }
            return self.thread
        }
        thread?.join()
        primary.close()
        spool.close()
        refusedLog?.close()
    }
}
