import CRdKafka
import CapturedTraffic
import Dispatch
import EventIO
import Glibc

/// A Kafka topic as the log: idempotent, acks=all, many records in flight, order kept for each key.
///
/// Values are handed to librdkafka without a copy. Delivery reports come through an eventfd, which a DispatchSource or
/// an event loop watches (`report(on:)`). Records wait for the brokers without a deadline; an outage is seen by the
/// age of the oldest record and by what the brokers say, and ends when records are acknowledged in time again, or, when
/// none wait, when the brokers answer a question.
///
/// A batch that the brokers refuse as too large fails as a whole, and what follows it would overtake its small records.
/// So the producer runs with librdkafka's gapless guarantee, which stops it at such a failure; then everything that was
/// not acknowledged is sent again, in order, by a producer whose batches hold one record (`Mode.single`), where only
/// the
/// large one fails. The same repair serves any other fatal error of the idempotent producer. It is rare: the topic's
/// limit is asked for at the start, and batches are kept below it.
// Sound: `shared` is used only with `monitor` held, everything else mutable only with `reports` held, which is never
// taken with `monitor` held.
package final class KafkaTrafficLog: TrafficLogWriter, @unchecked Sendable {
    private enum Mode {
        /// Batches of many records.
        case batched
        /// One record a batch, after a failure, until what was salvaged is through.
        case single
    }

    private struct Shared {
        var producer: KafkaProducer?
        var tracker = UnacknowledgedTracker()
        var gate: HandOverGate
        /// Records of the gate that librdkafka did not take, to be reported.
        var untaken: [(segment: RecordSegment, failure: TrafficLogError?)] = []
        var bytes = 0
        /// No record may be queued: the producer is being replaced.
        var isReplacing = false
        var isClosed = false
        var refusedSinks: [any TrafficLogSink] = []
        var outage: (since: UInt64, reason: String)?
        var observer: (@Sendable (TrafficLogState) -> Void)?
        var statistics = TrafficLogStatistics()
        /// Records that librdkafka resolved and whose sinks have not returned.
        var unreportedCount = 0

        /// Records that librdkafka has, or had until they were salvaged.
        var handedCount: Int { tracker.count - gate.waitingCount }
    }

    package let location: String
    package let recordLimitBytes: Int
    /// nil when opening did not look.
    package let partitionCount: Int?
    private let settings: KafkaLogSettings
    private let configuration: KafkaConfiguration
    private let monitor = Monitor()
    private var shared: Shared
    /// Partitions that records are spread over here; 0 leaves it to librdkafka.
    private let spreadCount: Int32
    private let queue = DispatchQueue(label: "kafka-log")
    private let wake = WakeDescriptor()
    /// Held while events are taken and the producer is replaced.
    private let reports = Monitor()

    // Only with `reports` held.
    private var timer: (any DispatchSourceTimer)?
    private var source: (any DispatchSourceRead)?
    /// A loop watches in place of `source`.
    private var watch: DescriptorWatch?
    private var mode = Mode.batched
    private var salvaged: [RecordSegment] = []
    /// Salvaged records that the single producer has not resolved.
    private var salvagedPendingCount = 0
    /// The producer that is being replaced has failed, so what it has queued is taken back.
    private var hasFailed = false
    private var lastCause: (text: String, nanoseconds: UInt64)?
    private var isProbing = false

    /// Opens the topic. Fails when the brokers refuse the login or the certificate, when the topic is missing (and is
    /// not
    /// to be made), or when no broker answers within `startTimeout`.
    package init(_ settings: KafkaLogSettings) throws(TrafficLogError) {
        self.settings = settings
        location = settings.location
        let check = settings.startTimeout > .zero ? try KafkaTopicCheck.run(settings) : nil
        partitionCount = check?.partitionCount
        // A partitioner of the operator's choice wins.
        spreadCount = settings.properties.contains { $0.name == "partitioner" } ? 0 : Int32(partitionCount ?? 0)
        shared = Shared(gate: HandOverGate(partitionCount: Int(spreadCount)))
        // 1 MiB less a little is the brokers' default.
        let given = settings.properties.last { $0.name == "message.max.bytes" }.flatMap { Int($0.value) }
        let batchLimit = min(
            check?.batchLimitBytes ?? given ?? 1_000_000, given ?? .max, settings.recordLimitBytes ?? .max,
            Self.batchLimitBytes)
        recordLimitBytes = max(1, batchLimit - Self.batchOverheadBytes)
        configuration = try KafkaConfiguration(settings, batchLimitBytes: batchLimit)
        let producer = try makeProducer(.batched)
        shared.producer = producer
        reports.locked {
            startSource()
            startTimer()
        }
        start(producer)
        // The brokers have just answered; should they not any more, that is no reason not to start.
        if check != nil { producer.acquireID(milliseconds: 1000) }
    }

    /// A batch's and a record's header, with room for every varint.
    private static let batchOverheadBytes = 128
    /// librdkafka's own limit for `message.max.bytes` is 1 GB; nobody's brokers take that.
    private static let batchLimitBytes = 256 << 20
    private static let tickMilliseconds = 100
    /// How long reports are waited for after others; not sooner than the kernel's tick, as in `EventLoop`.
    private static let drainMilliseconds: Int32 = 5
    /// Bounds a turn on `queue` to a third of a second.
    private static let drainRoundLimit = 64

    private func makeProducer(_ mode: Mode) throws(TrafficLogError) -> KafkaProducer {
        var configuration = configuration
        switch mode {
        case .batched: configuration["enable.gapless.guarantee"] = "true"
        case .single: configuration["batch.num.messages"] = "1"
        }
        return try KafkaProducer(configuration, topic: settings.topic, location: location)
    }

    /// Has the events of `producer` taken.
    private func start(_ producer: KafkaProducer) {
        producer.wake(wake.descriptor)
        // What came before wakes nobody.
        wake.signal()
    }

    private func startSource() {
        guard source == nil, !monitor.locked({ shared.isClosed }) else { return }
        let source = DispatchSource.makeReadSource(fileDescriptor: wake.descriptor, queue: queue)
        source.setEventHandler { [weak self, wake] in
            wake.clear()
            self?.drainPatiently()
        }
        source.setCancelHandler { [wake] in withExtendedLifetime(wake) {} }
        source.activate()
        self.source = source
    }

    package func report(on loop: EventLoop) {
        loop.execute {
            self.reports.locked {
                guard self.watch == nil, !self.monitor.locked({ self.shared.isClosed }) else { return }
                self.watch = try? DescriptorWatch(
                    on: loop, descriptor: self.wake.descriptor,
                    // The descriptor has to stay open while it is watched.
                    readable: { [weak self, wake = self.wake] in
                        withExtendedLifetime(wake) { self?.reportWhatIsThere() }
                    },
                    stopped: { [weak self] in self?.loopStopped() })
                guard self.watch != nil else { return }
                self.source?.cancel()
                self.source = nil
            }
        }
    }

    private func reportWhatIsThere() {
        reports.locked {
            guard let producer = monitor.locked({ shared.producer }) else { return }
            _ = drain(producer)
            continueReplacing()
        }
    }

    private func loopStopped() {
        reports.locked {
            watch = nil
            startSource()
        }
        wake.signal()
    }

    private func startTimer() {
        let timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(
            deadline: .now() + .milliseconds(Self.tickMilliseconds), repeating: .milliseconds(Self.tickMilliseconds))
        timer.setEventHandler { [weak self] in
            guard let self else { return }
            self.reports.locked { self.tick() }
        }
        timer.activate()
        self.timer = timer
    }

    // MARK: Appending

    package func append(
        _ segment: RecordSegment, key: ConnectionKey, sink: any TrafficLogSink, more: Bool
    ) throws(TrafficLogError) {
        let bytes = segment.recordRange.count + key.bytes.count
        guard bytes <= recordLimitBytes else {
            throw TrafficLogError(.tooLarge, "\(location): a record of \(bytes) bytes, \(recordLimitBytes) at the most")
        }
        let partition =
            spreadCount > 0 ? key.bytes.withUnsafeBytes { Murmur2.partition(key: $0, count: spreadCount) } : -1
        // The lock is held while the record is queued, so that the numbers are in the order of the queue. Queuing takes
        // 0.2 to 0.4 µs at any size.
        try monitor.locked { () throws(TrafficLogError) in
            guard !shared.isClosed else {
                throw TrafficLogError(.closed, "\(location): the log is closed")
            }
            let isFull =
                shared.isReplacing || shared.tracker.count >= settings.queueLimitCount
                || (shared.tracker.count > 0 && shared.bytes + bytes > settings.queueLimitBytes)
            if isFull { throw refusal(sink) }
            segment.sink = sink
            segment.key = key
            segment.partition = partition
            segment.sequence = shared.tracker.append(time: MonotonicClock.nanoseconds)
            shared.gate.append(segment)
            if !more { handOverReady() }
            shared.bytes += bytes
            shared.statistics.appendedCount += 1
            shared.statistics.appendedBytes += UInt64(bytes)
        }
    }

    package func handOver() { monitor.locked { handOverReady() } }

    /// Hands over what the gate lets go. Only with `monitor` held.
    private func handOverReady() {
        guard !shared.isReplacing, !shared.isClosed, let producer = shared.producer,
            shared.gate.isOpen(oldestTime: shared.tracker.oldestTime, now: MonotonicClock.nanoseconds)
        else { return }
        var untaken: [(segment: RecordSegment, failure: TrafficLogError?)] = []
        shared.gate.release { segment in
            let code = producer.produce(segment)
            switch code {
            case RD_KAFKA_RESP_ERR_NO_ERROR: return .handed
            // Room comes with the next report, another producer with the event of the fatal error.
            case RD_KAFKA_RESP_ERR__QUEUE_FULL, RD_KAFKA_RESP_ERR__FATAL: return .full
            default:
                untaken.append((segment, KafkaFailure.make(code, location)))
                return .refused
            }
        }
        guard !untaken.isEmpty else { return }
        shared.untaken += untaken
        queue.async { [weak self] in
            guard let self else { return }
            self.reports.locked { self.reportUntaken() }
        }
    }

    /// Only with `monitor` held.
    private func refusal(_ sink: any TrafficLogSink) -> TrafficLogError {
        shared.statistics.refusedCount += 1
        if !shared.refusedSinks.contains(where: { $0 === sink }) { shared.refusedSinks.append(sink) }
        return TrafficLogError(.full, "\(location): \(shared.tracker.count) records wait for the brokers")
    }

    // MARK: Reports, with `reports` held

    /// Takes the events that are there, then waits a little for more: while reports come, that spares the way through
    /// Dispatch's threads for each of them. Leaves now and then, so that the timer has its turn.
    private func drainPatiently() {
        for round in 0..<Self.drainRoundLimit {
            let isOver = reports.locked { () -> Bool in
                guard let producer = monitor.locked({ shared.producer }), watch == nil else { return true }
                let isEmpty = !drain(producer, waitMilliseconds: round == 0 ? 0 : Self.drainMilliseconds)
                continueReplacing()
                return isEmpty
            }
            handOver()
            if isOver { break }
        }
    }

    /// Takes the events that are there, waiting for the first one. Returns whether there was any.
    private func drain(_ producer: KafkaProducer, waitMilliseconds: Int32 = 0) -> Bool {
        guard let first = producer.nextEvent(milliseconds: waitMilliseconds) else { return false }
        var batch = ReportBatch()
        take(event: first, of: producer, into: &batch)
        while let event = producer.nextEvent() { take(event: event, of: producer, into: &batch) }
        report(&batch)
        return true
    }

    private func take(event: OpaquePointer, of producer: KafkaProducer, into batch: inout ReportBatch) {
        switch rd_kafka_event_type(event) {
        case RD_KAFKA_EVENT_DR:
            while let message = rd_kafka_event_message_next(event) { take(message, into: &batch) }
            if batch.count >= ReportBatch.limitCount { report(&batch) }
        case RD_KAFKA_EVENT_ERROR: hear(event)
        case RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH: producer.refreshToken(settings.login)
        default: break
        }
        rd_kafka_event_destroy(event)
    }

    /// Deliveries that are to be reported together.
    private struct ReportBatch {
        static let limitCount = 4096
        var resolved: [(segment: RecordSegment, failure: TrafficLogError?)] = []
        /// Empty between batches.
        var groups = SinkGroups()
        var count: Int { resolved.count }
    }

    private func take(_ message: UnsafePointer<rd_kafka_message_t>, into batch: inout ReportBatch) {
        guard let opaque = message.pointee._private else { return }
        let segment = Unmanaged<RecordSegment>.fromOpaque(opaque).takeRetainedValue()
        let error = message.pointee.err
        if error == RD_KAFKA_RESP_ERR_NO_ERROR {
            batch.resolved.append((segment, nil))
        } else if isSalvageable(error) {
            salvaged.append(segment)
            beginReplacing(reason: KafkaFailure.text(error))
            return
        } else {
            let failure = KafkaFailure.make(error, location)
            batch.resolved.append((segment, failure))
            if failure.disposition != .rejectItem { begin(outage: failure.message) }
        }
        if mode == .single, salvagedPendingCount > 0 { salvagedPendingCount -= 1 }
    }

    /// The record itself is not at fault, as far as can be known.
    private func isSalvageable(_ error: rd_kafka_resp_err_t) -> Bool {
        if monitor.locked({ shared.isClosed }) { return false }
        switch error {
        case RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE, RD_KAFKA_RESP_ERR__PURGE_QUEUE,
            RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
            return true
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE: return mode == .batched
        default: return false
        }
    }

    private func report(_ batch: inout ReportBatch) {
        guard batch.count > 0 else { return }
        let count = batch.count
        let woken = monitor.locked { () -> [any TrafficLogSink] in
            for (segment, failure) in batch.resolved {
                shared.tracker.resolve(segment.sequence)
                if segment.isHandedOver { shared.gate.resolved(partition: segment.partition) }
                shared.bytes -= segment.recordRange.count + (segment.key?.bytes.count ?? 0)
                if failure == nil {
                    shared.statistics.durableCount += 1
                } else {
                    shared.statistics.failedCount += 1
                }
                if let sink = segment.sink {
                    batch.groups.add(LogDelivery(segment: segment, failure: failure), to: sink)
                }
                segment.sink = nil
                segment.key = nil
            }
            shared.unreportedCount += count
            return takeRefusedSinks()
        }
        batch.resolved.removeAll(keepingCapacity: true)
        batch.groups.report()
        for sink in woken { sink.logHasRoom() }
        monitor.locked {
            shared.unreportedCount -= count
            if shared.unreportedCount == 0, shared.tracker.count == 0 { monitor.signalAll() }
        }
    }

    private func reportUntaken() {
        var batch = ReportBatch()
        monitor.locked { swap(&batch.resolved, &shared.untaken) }
        report(&batch)
    }

    /// Sinks that may try again, when a quarter of the queue is free. Only with `monitor` held.
    private func takeRefusedSinks() -> [any TrafficLogSink] {
        guard !shared.refusedSinks.isEmpty, !shared.isReplacing,
            shared.tracker.count <= settings.queueLimitCount - settings.queueLimitCount / 4,
            shared.bytes <= settings.queueLimitBytes - settings.queueLimitBytes / 4
        else { return [] }
        defer { shared.refusedSinks = [] }
        return shared.refusedSinks
    }

    private func hear(_ event: OpaquePointer) {
        let error = rd_kafka_event_error(event)
        let detail = rd_kafka_event_error_string(event).map { String(cString: $0) }
        let failure = KafkaFailure.make(error, location, detail)
        lastCause = (failure.message, MonotonicClock.nanoseconds)
        if error == RD_KAFKA_RESP_ERR__FATAL {
            beginReplacing(reason: failure.message)
        } else if failure.code == .authentication || failure.code == .tls {
            begin(outage: failure.message)
        } else if error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN {
            // Brokers also close connections that are idle. Whether they are gone is asked before it is said.
            probe(reason: failure.message)
        }
    }

    // MARK: Replacing the producer, with `reports` held

    private func beginReplacing(reason: String) {
        let (isFirst, producer) = monitor.locked { () -> (Bool, KafkaProducer?) in
            guard !shared.isReplacing, !shared.isClosed else { return (false, nil) }
            shared.isReplacing = true
            return (true, shared.producer)
        }
        hasFailed = true
        lastCause = (reason, MonotonicClock.nanoseconds)
        // What is on its way is waited for: purging it would send again what the brokers may already have.
        if isFirst, let producer { purge(producer, RD_KAFKA_PURGE_F_QUEUE) }
    }

    private func purge(_ producer: KafkaProducer, _ what: Int32) {
        rd_kafka_purge(producer.handle, what | RD_KAFKA_PURGE_F_NON_BLOCKING)
    }

    /// Goes on as soon as the old producer has nothing any more.
    private func continueReplacing() {
        let (isDue, needsPurge) = monitor.locked { () -> (Bool, KafkaProducer?) in
            guard !shared.isClosed else { return (false, nil) }
            if !shared.isReplacing, mode == .single, salvagedPendingCount == 0 { shared.isReplacing = true }
            guard shared.isReplacing else { return (false, nil) }
            if shared.handedCount == salvaged.count { return (true, nil) }
            return (false, hasFailed ? shared.producer : nil)
        }
        if let needsPurge { purge(needsPurge, RD_KAFKA_PURGE_F_QUEUE) }
        guard isDue else { return }
        let next: Mode = salvaged.isEmpty ? .batched : .single
        do throws(TrafficLogError) {
            let producer = try makeProducer(next)
            mode = next
            salvaged.sort { $0.sequence < $1.sequence }
            salvagedPendingCount = salvaged.count
            install(producer)
        } catch {
            begin(outage: error.message)
        }
    }

    private func install(_ producer: KafkaProducer) {
        let again = salvaged
        salvaged = []
        hasFailed = false
        let (old, woken) = monitor.locked { () -> (KafkaProducer?, [any TrafficLogSink]) in
            let old = shared.producer
            shared.producer = producer
            for (index, segment) in again.enumerated() {
                guard producer.produce(segment) == RD_KAFKA_RESP_ERR_NO_ERROR else {
                    // The rest keeps its place behind this one and has its turn when the others are through.
                    salvaged = Array(again[index...])
                    salvagedPendingCount = index
                    break
                }
            }
            shared.statistics.resentCount += UInt64(again.count - salvaged.count)
            shared.isReplacing = !salvaged.isEmpty
            handOverReady()
            return (old, takeRefusedSinks())
        }
        start(producer)
        // Ending the old one waits for its threads.
        DispatchQueue.global().async { withExtendedLifetime(old) {} }
        for sink in woken { sink.logHasRoom() }
    }

    // MARK: State

    package var state: TrafficLogState {
        monitor.locked { shared.outage.map { .outage(since: $0.since, reason: $0.reason) } ?? .healthy }
    }

    package func observeState(_ observer: @escaping @Sendable (TrafficLogState) -> Void) {
        monitor.locked { shared.observer = observer }
    }

    package var statistics: TrafficLogStatistics {
        monitor.locked {
            var statistics = shared.statistics
            statistics.unacknowledgedCount = UInt64(shared.tracker.count)
            statistics.unacknowledgedBytes = UInt64(max(0, shared.bytes))
            statistics.oldestUnacknowledgedNanoseconds = oldestAge()
            return statistics
        }
    }

    /// Only with `monitor` held.
    private func oldestAge() -> UInt64 {
        guard let oldest = shared.tracker.oldestTime else { return 0 }
        let now = MonotonicClock.nanoseconds
        return now > oldest ? now - oldest : 0
    }

    private func tick() {
        let (age, count, isOut) = monitor.locked { (oldestAge(), shared.tracker.count, shared.outage != nil) }
        if age > settings.outageAfter.wholeNanoseconds {
            if !isOut {
                let recent = lastCause.flatMap {
                    MonotonicClock.nanoseconds - $0.nanoseconds < 60_000_000_000 ? $0.text : nil
                }
                begin(
                    outage: recent
                        ?? "\(location): no acknowledgement for \(age / 1_000_000_000) s, \(count) records wait")
            }
        } else if isOut {
            probe(reason: nil)
        }
        monitor.locked {
            handOverReady()
        }
        continueReplacing()
    }

    private func begin(outage reason: String) {
        let (observer, since) = monitor.locked { () -> ((@Sendable (TrafficLogState) -> Void)?, UInt64) in
            let since = shared.outage?.since ?? MonotonicClock.nanoseconds
            let isNew = shared.outage == nil
            if isNew { shared.statistics.outageCount += 1 }
            shared.outage = (since, reason)
            return (isNew ? shared.observer : nil, since)
        }
        observer?(.outage(since: since, reason: reason))
    }

    private func endOutage() {
        let observer = monitor.locked { () -> (@Sendable (TrafficLogState) -> Void)? in
            guard shared.outage != nil, oldestAge() <= settings.outageAfter.wholeNanoseconds else { return nil }
            shared.outage = nil
            return shared.observer
        }
        observer?(.healthy)
    }

    /// Asks the brokers for the topic: an answer ends an outage, none begins one when there is a `reason`.
    private func probe(reason: String?) {
        guard !isProbing, let producer = monitor.locked({ shared.producer }) else { return }
        isProbing = true
        DispatchQueue.global().async { [weak self] in
            let answered = producer.isTopicThere(milliseconds: 1000)
            guard let self else { return }
            self.reports.locked {
                self.isProbing = false
                if answered { self.endOutage() } else if let reason { self.begin(outage: reason) }
            }
        }
    }

    // MARK: Ending

    package func flush(within duration: Duration) -> Bool {
        let deadline = MonotonicClock.nanoseconds &+ duration.wholeNanoseconds
        return monitor.locked {
            while shared.tracker.count > 0 || shared.unreportedCount > 0 {
                guard MonotonicClock.nanoseconds < deadline else { return false }
                monitor.wait(until: deadline)
            }
            return true
        }
    }

    /// Must not be called from a sink.
    package func close() {
        guard
            let producer = monitor.locked({ () -> KafkaProducer? in
                defer { shared.isClosed = true }
                return shared.isClosed ? nil : shared.producer
            })
        else { return }
        // Without a flush before, what is queued or on its way is given up and reported so.
        purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
        let deadline = MonotonicClock.nanoseconds + 5_000_000_000
        reports.locked {
            while monitor.locked({ shared.handedCount > salvaged.count }), MonotonicClock.nanoseconds < deadline {
                _ = drain(producer)
                purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
                poll(nil, 0, 1)
            }
            var batch = ReportBatch()
            let failure = TrafficLogError(.closed, "\(location): the log is closed")
            batch.resolved = salvaged.map { ($0, failure) }
            salvaged = []
            monitor.locked {
                batch.resolved += shared.untaken + shared.gate.removeAll().map { ($0, failure) }
                shared.untaken = []
            }
            report(&batch)
            timer?.cancel()
            timer = nil
            source?.cancel()
            source = nil
        }
        monitor.locked { shared.producer = nil }
    }
}
