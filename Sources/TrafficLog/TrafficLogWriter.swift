import EventIO

/// What became of one appended record.
package struct LogDelivery: Sendable {
    package let segment: RecordSegment
    /// nil: the record is durable. `tooLarge` concerns this record alone; anything else says that the log could not
    /// take
    /// it, and a later attempt with the same record may.
    package let failure: TrafficLogError?
    /// The segment's memory is the owner's again. False when the record is durable elsewhere while a library still
    /// reads
    /// the memory: then the owner drops its reference and takes a fresh segment.
    package let isReusable: Bool

    package init(segment: RecordSegment, failure: TrafficLogError?, isReusable: Bool = true) {
        self.segment = segment
        self.failure = failure
        self.isReusable = isReusable
    }
}

/// Who hears what became of records: usually an event loop, for all of its connections.
package protocol TrafficLogSink: AnyObject, Sendable {
    /// A batch of outcomes, records of one key in the order of their appends. Called on a thread of the writer, never
    /// within `append`; must not block.
    func recordsResolved(_ deliveries: [LogDelivery])

    /// After `append` threw `.full` for this sink: there is room again. Called once for any number of refusals.
    func logHasRoom()
}

extension TrafficLogSink {
    package func logHasRoom() {}
}

/// Whether a log takes records at the moment.
package enum TrafficLogState: Sendable, Equatable {
    case healthy
    /// Records do not become durable. `since` is nanoseconds of the monotonic clock, `reason` one line for a person.
    case outage(since: UInt64, reason: String)
    /// The log does not take them, a spool does: they become durable in due time.
    case spooling(since: UInt64, reason: String)

    package var isHealthy: Bool { self == .healthy }

    /// Records become durable in due time.
    package var takesRecords: Bool {
        switch self {
        case .healthy, .spooling: true
        case .outage: false
        }
    }
}

/// Counters of a writer, for metrics. Monotone, except for those named unacknowledged and spooled.
package struct TrafficLogStatistics: Sendable, Equatable {
    package var appendedCount: UInt64 = 0
    package var appendedBytes: UInt64 = 0
    package var durableCount: UInt64 = 0
    package var failedCount: UInt64 = 0
    /// Appends refused with `.full`.
    package var refusedCount: UInt64 = 0
    package var unacknowledgedCount: UInt64 = 0
    package var unacknowledgedBytes: UInt64 = 0
    /// Age of the oldest record that is not resolved, nanoseconds; 0 when there is none.
    package var oldestUnacknowledgedNanoseconds: UInt64 = 0
    package var outageCount: UInt64 = 0
    /// Records that were sent again because others of their batch made it fail.
    package var resentCount: UInt64 = 0
    /// Records in the spool that the log itself does not have yet.
    package var spooledCount: UInt64 = 0
    package var spooledBytes: UInt64 = 0
    /// Records that came from the spool and that the log refused for good; they stay in the spool's `refused` folder.
    package var spoolRefusedCount: UInt64 = 0

    package init() {}
}

/// The writing end of a traffic log. Thread-safe: event loops append directly.
package protocol TrafficLogWriter: AnyObject, Sendable {
    /// For messages: the address without settings.
    var location: String { get }

    /// The largest record, key included, that the log takes.
    var recordLimitBytes: Int { get }

    /// Hands a record over; never blocks. Its delivery is reported to `sink` exactly once, unless this throws: then the
    /// segment was not taken. `.full` is back-pressure; `.tooLarge` and `.closed` are final.
    ///
    /// With `more` the caller promises further appends or `handOver` at once, and the record may wait for them: what
    /// one turn of an event loop records is handed over together.
    func append(
        _ segment: RecordSegment, key: ConnectionKey, sink: any TrafficLogSink, more: Bool
    ) throws(TrafficLogError)

    /// Lets go what was appended with `more`. Cheap when there is nothing.
    func handOver()

    /// Has reports come on `loop` from now on, which spares the way over a thread of the writer; the sink of that loop
    /// is then called on it. A hint: a writer that has its own thread for other reasons ignores it. The loop calls
    /// `handOver` when it has served a batch of events.
    func report(on loop: EventLoop)

    /// Blocks until everything appended so far is resolved; false when `duration` was not enough.
    func flush(within duration: Duration) -> Bool

    var state: TrafficLogState { get }

    /// `observer` hears every change of `state`, on a thread of the writer. One observer; a later call replaces it.
    func observeState(_ observer: @escaping @Sendable (TrafficLogState) -> Void)

    var statistics: TrafficLogStatistics { get }

    /// Ends the writer. Records that are not durable yet are reported with `.closed`. Call `flush` before.
    func close()
}

extension TrafficLogWriter {
    package func append(
        _ segment: RecordSegment, key: ConnectionKey, sink: any TrafficLogSink
    ) throws(TrafficLogError) {
        try append(segment, key: key, sink: sink, more: false)
    }

    package func handOver() {}
    package func report(on loop: EventLoop) {}
}
