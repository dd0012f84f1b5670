import Dispatch
import Synchronization

/// A log in memory, for tests and for trying things out: its owner decides when records become durable.
///
/// With `isAutomatic` every record is durable at once (reported from a queue of the log). Otherwise records wait for
/// `acknowledge`, and an outage can be ordered.
package final class MemoryTrafficLog: TrafficLogWriter {
    /// A copy of an appended record.
    package struct Record: Sendable, Equatable {
        package let key: [UInt8]
        package let value: [UInt8]
    }

    private struct Pending {
        let segment: RecordSegment
        let key: ConnectionKey
        let sink: any TrafficLogSink
        let time = MonotonicClock.nanoseconds
    }

    private struct Content {
        var durable: [Record] = []
        var pending: [Pending] = []
        var refused: [any TrafficLogSink] = []
        var state = TrafficLogState.healthy
        var observer: (@Sendable (TrafficLogState) -> Void)?
        var isAutomatic: Bool
        var isClosed = false
        var pendingLimitCount: Int
        var statistics = TrafficLogStatistics()
    }

    package let location = "memory:"
    private let queue = DispatchQueue(label: "memory-log")
    private let content: Mutex<Content>
    package let recordLimitBytes: Int

    package init(isAutomatic: Bool = true, pendingLimitCount: Int = .max, recordLimitBytes: Int = .max) {
        content = Mutex(Content(isAutomatic: isAutomatic, pendingLimitCount: pendingLimitCount))
        self.recordLimitBytes = recordLimitBytes
    }

    package func append(
        _ segment: RecordSegment, key: ConnectionKey, sink: any TrafficLogSink, more: Bool
    ) throws(TrafficLogError) {
        guard segment.record.count <= recordLimitBytes else {
            throw TrafficLogError(.tooLarge, "memory: a record of \(segment.record.count) bytes is too large")
        }
        try content.withLock { (content) throws(TrafficLogError) in
            guard !content.isClosed else { throw TrafficLogError(.closed, "memory: the log is closed") }
            guard content.pending.count < content.pendingLimitCount else {
                content.statistics.refusedCount += 1
                if !content.refused.contains(where: { $0 === sink }) { content.refused.append(sink) }
                throw TrafficLogError(.full, "memory: \(content.pending.count) records wait")
            }
            content.statistics.appendedCount += 1
            content.statistics.appendedBytes += UInt64(segment.record.count)
            content.pending.append(Pending(segment: segment, key: key, sink: sink))
            guard content.isAutomatic, content.pending.count == 1 else { return }
            queue.async { self.resolve(limit: .max, failure: nil) }
        }
    }

    /// Makes the oldest `count` waiting records durable, on the caller's thread.
    package func acknowledge(_ count: Int = .max) { resolve(limit: count, failure: nil) }

    /// Reports the oldest `count` waiting records as failed, on the caller's thread.
    package func fail(_ count: Int = .max, with failure: TrafficLogError) { resolve(limit: count, failure: failure) }

    /// What is durable, in the order of the appends.
    package var records: [Record] { content.withLock { $0.durable } }

    /// Records that wait for `acknowledge`.
    package var pendingCount: Int { content.withLock { $0.pending.count } }

    package var isAutomatic: Bool {
        get { content.withLock { $0.isAutomatic } }
        set {
            content.withLock { $0.isAutomatic = newValue }
            if newValue { queue.async { self.resolve(limit: .max, failure: nil) } }
        }
    }

    package func beginOutage(reason: String) {
        change(to: .outage(since: MonotonicClock.nanoseconds, reason: reason))
    }

    package func endOutage() { change(to: .healthy) }

    package var state: TrafficLogState { content.withLock { $0.state } }

    package func observeState(_ observer: @escaping @Sendable (TrafficLogState) -> Void) {
        content.withLock { $0.observer = observer }
    }

    package var statistics: TrafficLogStatistics {
        content.withLock { content in
            var statistics = content.statistics
            statistics.unacknowledgedCount = UInt64(content.pending.count)
            statistics.oldestUnacknowledgedNanoseconds =
                content.pending.first.map { MonotonicClock.nanoseconds - $0.time } ?? 0
            statistics.unacknowledgedBytes = content.pending.reduce(0) { $0 + UInt64($1.segment.record.count) }
            return statistics
        }
    }

    package func flush(within duration: Duration) -> Bool {
        if isAutomatic { queue.sync { resolve(limit: .max, failure: nil) } }
        return pendingCount == 0
    }

    package func close() {
        content.withLock { $0.isClosed = true }
        resolve(limit: .max, failure: TrafficLogError(.closed, "memory: the log is closed"))
    }

    private func change(to state: TrafficLogState) {
        let observer = content.withLock { content -> (@Sendable (TrafficLogState) -> Void)? in
            if content.state.isHealthy, !state.isHealthy { content.statistics.outageCount += 1 }
            content.state = state
            return content.observer
        }
        observer?(state)
    }

    private func resolve(limit: Int, failure: TrafficLogError?) {
        var groups = SinkGroups()
        let refused = content.withLock { content -> [any TrafficLogSink] in
            let count = min(limit, content.pending.count)
            for pending in content.pending.prefix(count) {
                if failure == nil {
                    content.durable.append(Record(key: pending.key.bytes, value: Array(pending.segment.record)))
                    content.statistics.durableCount += 1
                } else {
                    content.statistics.failedCount += 1
                }
                groups.add(LogDelivery(segment: pending.segment, failure: failure), to: pending.sink)
            }
            content.pending.removeFirst(count)
            defer { content.refused = [] }
            return content.refused
        }
        groups.report()
        for sink in refused { sink.logHasRoom() }
    }
}

/// Deliveries sorted by who hears them; the order within a sink is the order of `add`. There are as many sinks as event
/// loops, so a linear search is the fastest. Used again and again it keeps its memory, and the sinks.
struct SinkGroups {
    private static let keptLimit = 4096
    /// Sinks that hear of a single record come and go; they are not kept.
    private static let sinkLimit = 64
    private var groups: [(sink: any TrafficLogSink, deliveries: [LogDelivery])] = []

    mutating func add(_ delivery: LogDelivery, to sink: any TrafficLogSink) {
        for index in groups.indices where groups[index].sink === sink {
            groups[index].deliveries.append(delivery)
            return
        }
        groups.append((sink, [delivery]))
    }

    /// Calls every sink once. Never with a lock held.
    mutating func report() {
        for index in groups.indices where !groups[index].deliveries.isEmpty {
            groups[index].sink.recordsResolved(groups[index].deliveries)
            groups[index].deliveries.removeAll(keepingCapacity: groups[index].deliveries.capacity <= Self.keptLimit)
        }
        if groups.count > Self.sinkLimit { groups = [] }
    }
}
