import CRdKafka
import Dispatch
import EventIO
import Glibc

/// A Kafka topic as the log: idempotent, acks=all, many records in flight, order kept for each key.
///
/// Values are handed to librdkafka without a copy; delivery reports come in batches through one DispatchSource. Records
/// wait for the brokers without a deadline; an outage is seen by the age of the oldest record and by what the brokers
/// say, and ends when records are acknowledged in time again, or, when none wait, when the brokers answer a question.
///
/// A batch that the brokers refuse as too large fails as a whole, and what follows it would overtake its small records.
/// So the producer runs with librdkafka's gapless guarantee, which stops it at such a failure; then everything that was
/// not acknowledged is sent again, in order, by a producer whose batches hold one record (`Mode.single`), where only
/// the
/// large one fails. The same repair serves any other fatal error of the idempotent producer. It is rare: the topic's
/// limit is asked for at the start, and batches are kept below it.
// Sound: `shared` is used only with `monitor` held; everything else mutable is confined to `queue`.
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
        /// Records that are numbered and not handed to librdkafka yet, in order. See `isGateClosed`.
        var waiting: [RecordSegment] = []
        /// Records of `waiting` that librdkafka did not take, to be reported on `queue`.
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
        var handedCount: Int { tracker.count - waiting.count }
    }

    package let location: String
    package let recordLimitBytes: Int
    /// nil when opening did not look.
    package let partitionCount: Int?
    private let settings: KafkaLogSettings
    private let configuration: KafkaConfiguration
    private let monitor = Monitor()
    private var shared = Shared()
    private let queue = DispatchQueue(label: "kafka-log")
    private var timer: (any DispatchSourceTimer)?

    // Confined to `queue`.
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
        // 1 MiB less a little is the brokers' default.
        let given = settings.properties.last { $0.name == "message.max.bytes" }.flatMap { Int($0.value) }
        let batchLimit = min(
            check?.batchLimitBytes ?? given ?? 1_000_000, given ?? .max, settings.recordLimitBytes ?? .max,
            Self.batchLimitBytes)
        recordLimitBytes = max(1, batchLimit - Self.batchOverheadBytes)
        configuration = try Self.configuration(settings, batchLimitBytes: batchLimit)
        let producer = try makeProducer(.batched)
        shared.producer = producer
        start(producer)
        startTimer()
    }

    /// A batch's and a record's header, with room for every varint.
    private static let batchOverheadBytes = 128
    /// librdkafka's own limit for `message.max.bytes` is 1 GB; nobody's brokers take that.
    private static let batchLimitBytes = 256 << 20
    private static let tickMilliseconds = 100
    /// Records that are handed over one by one: each is a request at the most.
    private static let gateCount = 2
    /// Acknowledgements that take longer open the gate.
    private static let gateNanoseconds: UInt64 = 20_000_000
    private static let retainedWaitingLimit = 4096
    /// How long reports are waited for after others; not sooner than the kernel's tick, as in `EventLoop`.
    private static let drainMilliseconds: Int32 = 5
    /// Bounds a turn on `queue` to a third of a second.
    private static let drainRoundLimit = 64

    private static func configuration(
        _ settings: KafkaLogSettings, batchLimitBytes: Int
    ) throws(TrafficLogError) -> KafkaConfiguration {
        var configuration = try KafkaConfiguration(settings)
        var own: [(String, String)] = [
            ("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", "0"),
            ("partitioner", "murmur2_random"), ("request.timeout.ms", "10000"), ("retry.backoff.ms", "50"),
            ("compression.type", settings.compression),
            // The writer's own limits come first; these only keep the library from a third opinion.
            ("queue.buffering.max.messages", "\(settings.queueLimitCount + 1000)"),
            ("queue.buffering.max.kbytes", "\(settings.queueLimitBytes / 1024 + 65536)"),
        ]
        let microseconds = settings.linger.wholeNanoseconds / 1000
        own.append(("linger.ms", "\(microseconds / 1000).\(String(1000 + microseconds % 1000).dropFirst())"))
        let given = Set(settings.properties.map(\.name))
        for (name, value) in own where !given.contains(name) { configuration[name] = value }
        // The smaller of the given one and the topic's.
        configuration["message.max.bytes"] = "\(max(1000, batchLimitBytes))"
        return configuration
    }

    private func makeProducer(_ mode: Mode) throws(TrafficLogError) -> KafkaProducer {
        var configuration = configuration
        switch mode {
        case .batched: configuration["enable.gapless.guarantee"] = "true"
        case .single: configuration["batch.num.messages"] = "1"
        }
        return try KafkaProducer(configuration, topic: settings.topic, location: location)
    }

    private func start(_ producer: KafkaProducer) {
        producer.start(on: queue) { [weak self] producer in self?.drain(producer) }
    }

    private func startTimer() {
        let timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(
            deadline: .now() + .milliseconds(Self.tickMilliseconds), repeating: .milliseconds(Self.tickMilliseconds))
        timer.setEventHandler { [weak self] in self?.tick() }
        timer.activate()
        self.timer = timer
    }

    // MARK: Appending

    package func append(
        _ segment: RecordSegment, key: ConnectionKey, sink: any TrafficLogSink
    ) throws(TrafficLogError) {
        let bytes = segment.recordRange.count + key.bytes.count
        guard bytes <= recordLimitBytes else {
            throw TrafficLogError(.tooLarge, "\(location): a record of \(bytes) bytes, \(recordLimitBytes) at the most")
        }
        // The lock is held while the record is queued, so that the numbers are in the order of the queue. Queuing takes
        // 0.2 to 0.4 µs at any size.
        try monitor.locked { () throws(TrafficLogError) in
            guard !shared.isClosed, let producer = shared.producer else {
                throw TrafficLogError(.closed, "\(location): the log is closed")
            }
            let isFull =
                shared.isReplacing || shared.tracker.count >= settings.queueLimitCount
                || (shared.tracker.count > 0 && shared.bytes + bytes > settings.queueLimitBytes)
            if isFull { throw refusal(sink) }
            segment.sink = sink
            segment.key = key
            let now = MonotonicClock.nanoseconds
            let waits = isGateClosed(now: now)
            segment.sequence = shared.tracker.append(time: now)
            if waits {
                shared.waiting.append(segment)
            } else {
                handOverWaiting()
                try handOver(segment, key: key, sink: sink, to: producer)
            }
            shared.bytes += bytes
            shared.statistics.appendedCount += 1
            shared.statistics.appendedBytes += UInt64(bytes)
        }
    }

    /// Only with `monitor` held.
    private func handOver(
        _ segment: RecordSegment, key: ConnectionKey, sink: any TrafficLogSink, to producer: KafkaProducer
    ) throws(TrafficLogError) {
        // What stands in front could not be handed over: this one keeps its place behind it.
        guard shared.waiting.isEmpty else { return shared.waiting.append(segment) }
        let opaque = Unmanaged.passRetained(segment)
        let code = producer.produce(segment, key: key, opaque: opaque.toOpaque())
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        opaque.release()
        shared.tracker.resolve(segment.sequence)
        segment.sink = nil
        segment.key = nil
        // A fatal producer is about to be replaced.
        if code == RD_KAFKA_RESP_ERR__QUEUE_FULL || code == RD_KAFKA_RESP_ERR__FATAL { throw refusal(sink) }
        throw KafkaFailure.make(code, location)
    }

    /// Whether a record waits until those before it are acknowledged, and then goes with all that came meanwhile.
    ///
    /// librdkafka sends a record at once, and an idempotent producer has five requests on their way at the most. When
    /// more is queued it asks without a pause whether it may go on: at 32 connections that write, its thread took 75 %
    /// of the program's time, polling a hundred times a request. So few enough records are handed over one by one to
    /// stay below that, and the rest in groups. Nobody waits longer than for the group under way, and when that takes
    /// long (a broker of several hangs) there is no gate. Only with `monitor` held.
    private func isGateClosed(now: UInt64) -> Bool {
        guard shared.handedCount >= Self.gateCount, let oldest = shared.tracker.oldestTime else { return false }
        return now < oldest + Self.gateNanoseconds
    }

    /// Hands over what waits, as one group. Only with `monitor` held.
    private func handOverWaiting() {
        guard !shared.waiting.isEmpty, !shared.isReplacing, !shared.isClosed, let producer = shared.producer else {
            return
        }
        var takenCount = 0
        for segment in shared.waiting {
            let opaque = Unmanaged.passRetained(segment)
            let code = producer.produce(segment, key: segment.key ?? ConnectionKey([]), opaque: opaque.toOpaque())
            if code != RD_KAFKA_RESP_ERR_NO_ERROR {
                opaque.release()
                // Room comes with the next report, another producer with the event of the fatal error.
                if code == RD_KAFKA_RESP_ERR__QUEUE_FULL || code == RD_KAFKA_RESP_ERR__FATAL { break }
                if shared.untaken.isEmpty { queue.async { [weak self] in self?.reportUntaken() } }
                shared.untaken.append((segment, KafkaFailure.make(code, location)))
            }
            takenCount += 1
        }
        if takenCount == shared.waiting.count {
            shared.waiting.removeAll(keepingCapacity: takenCount <= Self.retainedWaitingLimit)
        } else {
            shared.waiting.removeFirst(takenCount)
        }
    }

    /// Only with `monitor` held.
    private func refusal(_ sink: any TrafficLogSink) -> TrafficLogError {
        shared.statistics.refusedCount += 1
        if !shared.refusedSinks.contains(where: { $0 === sink }) { shared.refusedSinks.append(sink) }
        return TrafficLogError(.full, "\(location): \(shared.tracker.count) records wait for the brokers")
    }

    // MARK: Reports, on `queue`

    /// Takes the events that are there, then waits a little for more: while reports come, that spares the way through
    /// Dispatch's threads for each of them. Leaves now and then, so that the timer has its turn.
    private func drain(_ producer: KafkaProducer) {
        var batch = ReportBatch()
        var waitMilliseconds: Int32 = 0
        for _ in 0..<Self.drainRoundLimit {
            guard let first = producer.nextEvent(milliseconds: waitMilliseconds) else { break }
            take(event: first, of: producer, into: &batch)
            while let event = producer.nextEvent() { take(event: event, of: producer, into: &batch) }
            report(&batch)
            continueReplacing()
            let isDone = monitor.locked { shared.isClosed || shared.isReplacing || shared.producer !== producer }
            waitMilliseconds = isDone ? 0 : Self.drainMilliseconds
        }
        continueReplacing()
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
        var groups = SinkGroups()
        let count = batch.count
        let woken = monitor.locked { () -> [any TrafficLogSink] in
            for (segment, failure) in batch.resolved {
                shared.tracker.resolve(segment.sequence)
                shared.bytes -= segment.recordRange.count + (segment.key?.bytes.count ?? 0)
                if failure == nil {
                    shared.statistics.durableCount += 1
                } else {
                    shared.statistics.failedCount += 1
                }
                if let sink = segment.sink { groups.add(LogDelivery(segment: segment, failure: failure), to: sink) }
                segment.sink = nil
                segment.key = nil
            }
            shared.unreportedCount += count
            if shared.handedCount < Self.gateCount { handOverWaiting() }
            return takeRefusedSinks()
        }
        batch.resolved.removeAll(keepingCapacity: true)
        groups.report()
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

    // MARK: Replacing the producer, on `queue`

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
                let opaque = Unmanaged.passRetained(segment)
                let key = segment.key ?? ConnectionKey([])
                guard producer.produce(segment, key: key, opaque: opaque.toOpaque()) == RD_KAFKA_RESP_ERR_NO_ERROR
                else {
                    opaque.release()
                    // The rest keeps its place behind this one and has its turn when the others are through.
                    salvaged = Array(again[index...])
                    salvagedPendingCount = index
                    break
                }
            }
            shared.statistics.resentCount += UInt64(again.count - salvaged.count)
            shared.isReplacing = !salvaged.isEmpty
            handOverWaiting()
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
            if !isGateClosed(now: MonotonicClock.nanoseconds) { handOverWaiting() }
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
            var metadata: UnsafePointer<rd_kafka_metadata>?
            let code = rd_kafka_metadata(producer.handle, 0, producer.topic, &metadata, 1000)
            var isThere = false
            if code == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata {
                isThere =
                    metadata.pointee.topic_cnt == 1 && metadata.pointee.topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR
                rd_kafka_metadata_destroy(metadata)
            }
            guard let self else { return }
            let answered = isThere
            self.queue.async {
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
        queue.sync {
            while monitor.locked({ shared.handedCount > salvaged.count }), MonotonicClock.nanoseconds < deadline {
                drain(producer)
                purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
                poll(nil, 0, 1)
            }
            var batch = ReportBatch()
            let failure = TrafficLogError(.closed, "\(location): the log is closed")
            batch.resolved = salvaged.map { ($0, failure) }
            salvaged = []
            monitor.locked {
                batch.resolved += shared.untaken + shared.waiting.map { ($0, failure) }
                shared.untaken = []
                shared.waiting = []
            }
            report(&batch)
            timer?.cancel()
            timer = nil
        }
        monitor.locked { shared.producer = nil }
    }
}
