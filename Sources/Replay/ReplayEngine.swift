import CapturedTraffic
import TrafficLog

/// What the engine has done for it: the outside world, or a simulation of it. Confined to the engine's loop. Nothing
/// here calls back into the engine before it has returned, but for what says so.
package protocol ReplayPort: AnyObject {
    /// Nanoseconds since 1970; does not go back.
    var now: Int64 { get }
    /// Whether the source's response has to be known before the request is sent.
    func responseNeed(of exchange: ReplayExchange) -> ResponseNeed
    /// Sets `exchange.outgoing`, or says why it is not sent.
    func prepare(_ exchange: ReplayExchange) -> ReplayOutcome?
    /// Sends `exchange.outgoing`; `ReplayEngine.attemptEnded` follows, perhaps at once.
    func send(_ exchange: ReplayExchange)
    /// Ends the attempt under way. `attemptEnded` may follow, at once or later, and changes nothing any more.
    func cancel(_ exchange: ReplayExchange)
    /// What an answer says, the items of a bulk included.
    func read(_ answer: TargetAnswer, to exchange: ReplayExchange) -> OutcomePolicy.Answer
    /// Takes the items out of `exchange.outgoing` that `answer` says are done or never will be.
    func keepRetryableItems(_ exchange: ReplayExchange, after answer: TargetAnswer)
    /// Writes what became of it; `ReplayEngine.recorded` follows when that is durable.
    func record(_ exchange: ReplayExchange)
    /// Keeps what cannot be replayed; `done` is called later, when that is durable.
    func deadLetter(_ letter: DeadLetter, done: @escaping () -> Void)
    /// Nothing more can be done before what was given to `record` and `deadLetter` is durable.
    func hurryRecords()
    /// `ReplayEngine.dispatch` is to be called at that time, or later ones as well.
    func wake(at time: Int64)
    func settled(_ records: SettledRecords)
}

/// What sending a request waits for, beside its turn and its time.
package enum ResponseNeed: Sendable {
    case none
    /// For a while: a write that the proxy refused was never executed, and its response says so.
    case preferred
    /// Until it ends or is given up: it holds what is to be sent.
    case required
}

/// What cannot be replayed, and where it stands. The slices are valid during the call that takes it.
package struct DeadLetter {
    package var partition: Int32
    package var offset: Int64
    package var connection: String?
    package var request: Int?
    package var reason: String
    /// The record, or the request as far as it is there.
    package var content: [UnsafeRawBufferPointer]
}

/// Decides what is sent to the target and when, for the connections of one loop. It does no I/O and reads no clock:
/// everything comes in by calls and goes out by its port.
///
/// Of one connection one exchange is at the target at a time, in the order of the source; all together at most
/// `Limits.inFlightCount`. An exchange holds its records until it is resolved: the target's part is settled, the
/// source's response has ended, and what became of both is durable.
package final class ReplayEngine {
    package struct Limits: Sendable {
        /// Attempts at a time.
        package var inFlightCount = 64
        /// Bytes of requests that are being sent; one is sent whatever its size.
        package var inFlightBytes = 64 << 20
        /// Kept of a response that only the tuple needs.
        package var keptResponseBytes = 64 << 10
        /// A connection without news for so long, by the source's time or, when all is quiet, by the wall, has
        /// nothing to come for what is under way. Nanoseconds.
        package var expiry: Int64 = 360_000_000_000
        /// How long a write waits for the source's response that may say that it was never executed.
        package var responseWait: Int64 = 5_000_000_000

        package init() {}
    }

    enum Mode: Equatable {
        case running
        /// Nothing more is begun.
        case quiet
        /// Only requests that end in this record or before are sent, and at once.
        case draining(lastOffset: Int64)
    }

    struct PartitionState {
        let epoch: UInt32
        /// By an earlier assignment, here or elsewhere.
        let resolved: ReplayPosition
        var mode = Mode.running
        var newestTime = Int64.min
        var arrivalTime = Int64.min
        /// Highest offset that a request which was begun ends in.
        var lastBegunEnd: Int64 = -1
    }

    struct ConnectionKey: Hashable {
        let partition: Int32
        let id: String
    }

    let port: any ReplayPort
    let limits: Limits
    let patience: OutcomePolicy.Patience
    let metrics: ReplayMetrics
    let budget: ByteBudget
    let origin: SharedOrigin
    var schedule: ReplaySchedule
    var backoff = BackoffPolicy()
    var random: SplitMix
    let collector = SettledCollector()
    var partitions: [Int32: PartitionState] = [:]
    var connections: [ConnectionKey: SourceConnection] = [:]
    private var recent = RecentConnections()
    var heap = DueHeap<ReplayExchange>()
    var inFlightCount = 0
    var inFlightBytes = 0
    /// Handed to the port to be recorded.
    var recordingCount = 0
    var isDispatching = false
    /// Memory is used up, so nothing is read.
    var isReadingPaused = false
    /// Changed since the current call began; looked at when its connection's record was taken in.
    var touched: [ReplayExchange] = []

    package init(
        port: any ReplayPort, schedule: ReplaySchedule, origin: SharedOrigin, limits: Limits,
        patience: OutcomePolicy.Patience, budget: ByteBudget, metrics: ReplayMetrics, seed: UInt64
    ) {
        self.port = port
        self.schedule = schedule
        self.origin = origin
        self.limits = limits
        self.patience = patience
        self.budget = budget
        self.metrics = metrics
        random = SplitMix(seed: seed)
    }

    /// Work that goes on without anything more being read.
    package var pendingCount: Int { inFlightCount + recordingCount + heap.count }
    /// Of that, at the target or being written down.
    package var busyCount: Int { inFlightCount + recordingCount }
    /// When the next request may go, nanoseconds since 1970; nil when none waits.
    package var nextDue: Int64? { heap.first?.notBefore }

    /// Does what the feed says.
    package func take(_ message: FeedMessage, reply: (FeedReply) -> Void) {
        switch message {
        case .assign(let partition, let epoch, let resolved):
            assign(partition, epoch: epoch, resolved: resolved)
        case .records(let records): receive(records)
        case .unreadable(let record): receive(record)
        case .quiesce(let partition):
            guard let epoch = partitions[partition]?.epoch else { return }
            reply(.quiet(partition: partition, epoch: epoch, lastOffset: quiesce(partition)))
        case .drain(let partition, let lastOffset):
            guard let epoch = partitions[partition]?.epoch else { return }
            let open = drain(partition, to: lastOffset)
            if !open.isEmpty { reply(.open(partition: partition, epoch: epoch, open)) }
        case .endDrain(let partition):
            guard let epoch = partitions[partition]?.epoch else { return }
            let open = leaveOpen(partition) { _ in true }
            if !open.isEmpty { reply(.open(partition: partition, epoch: epoch, open)) }
        case .drop(let partition): drop(partition)
        case .finishInput: finishInput()
        case .originChanged: originChanged()
        case .sweep(let isReadingPaused): sweep(isReadingPaused: isReadingPaused)
        }
    }

    // MARK: Partitions

    package func assign(_ partition: Int32, epoch: UInt32, resolved: ReplayPosition) {
        precondition(partitions[partition] == nil, "partition \(partition) is assigned already")
        partitions[partition] = PartitionState(epoch: epoch, resolved: resolved)
    }

    /// Begins nothing more of the partition. Returns the highest offset that a begun request ends in, -1 for none.
    package func quiesce(_ partition: Int32) -> Int64 {
        guard partitions[partition] != nil else { return -1 }
        partitions[partition]?.mode = .quiet
        return partitions[partition]?.lastBegunEnd ?? -1
    }

    /// Sends now what ends at `lastOffset` or before, so that the partition can be left at that point; nothing more is
    /// read of it. Returns the connections for which that cannot be.
    func drain(_ partition: Int32, to lastOffset: Int64) -> [ReplayPosition.OpenConnection] {
        partitions[partition]?.mode = .draining(lastOffset: lastOffset)
        for connection in connections.values where connection.key.partition == partition {
            for exchange in connection.exchanges where exchange.phase == .answered { record(exchange) }
        }
        let open = leaveOpen(partition) {
            $0.phase == .waiting && $0.responseNeed == .required && $0.responseEnding == nil
        }
        requeueAll()
        dispatch()
        let left = Set(open.map(\.hash))
        return progress(partition).filter { !left.contains($0.hash) } + open
    }

    /// How far the connections have come, or will when the drain is done, that an earlier assignment left open.
    private func progress(_ partition: Int32) -> [ReplayPosition.OpenConnection] {
        guard case .draining(let lastOffset)? = partitions[partition]?.mode,
            let before = partitions[partition]?.resolved.open, !before.isEmpty
        else { return [] }
        return connections.values.compactMap { connection in
            guard connection.key.partition == partition else { return nil }
            let hash = ReplayPosition.OpenConnection.hash(of: connection.key.id)
            guard let entry = before.first(where: { $0.hash == hash }) else { return nil }
            let next = connection.exchanges.first { $0.phase == .waiting && $0.endOffset > lastOffset }
            let number = next?.number ?? connection.nextNumber
            return .init(hash: hash, number: max(entry.number, number), endOffset: next?.endOffset ?? .max)
        }
    }

    /// Gives up, of each connection, the first request that is not answered and for which `isStuck`, and all behind it:
    /// they count as resolved, and the connection is said to be open.
    func leaveOpen(
        _ partition: Int32, where isStuck: (ReplayExchange) -> Bool
    ) -> [ReplayPosition.OpenConnection] {
        guard case .draining(let lastOffset)? = partitions[partition]?.mode else { return [] }
        var open: [ReplayPosition.OpenConnection] = []
        for connection in connections.values where connection.key.partition == partition {
            let left = connection.exchanges.filter { $0.phase == .waiting || $0.phase == .inFlight }
            guard let first = left.firstIndex(where: isStuck), left[first].endOffset <= lastOffset else { continue }
            open.append(
                .init(
                    hash: ReplayPosition.OpenConnection.hash(of: connection.key.id), number: left[first].number,
                    endOffset: left[first].endOffset, isLeftHere: true))
            for exchange in left[first...] where !exchange.isLeftOpen {
                exchange.leaveOpen()
                if exchange.phase == .inFlight { cancelAttempt(exchange) }
            }
        }
        flush()
        return open
    }

    /// Of an exchange that was given up: the end of the attempt may be told before this returns.
    private func cancelAttempt(_ exchange: ReplayExchange) {
        inFlightCount -= 1
        inFlightBytes -= exchange.outgoing?.byteCount ?? 0
        metrics.inFlight.add(-1)
        exchange.phase = .waiting
        port.cancel(exchange)
    }

    /// Gives up everything of the partition, unresolved.
    package func drop(_ partition: Int32) {
        partitions[partition] = nil
        for connection in connections.values where connection.key.partition == partition {
            for exchange in connection.removeAll() { abandon(exchange) }
            forget(connection)
        }
        requeueAll()
        dispatch()
    }

    private func abandon(_ exchange: ReplayExchange) {
        exchange.isAbandoned = true
        switch exchange.phase {
        case .inFlight: cancelAttempt(exchange)
        case .recorded: recordingCount -= 1
        case .reading, .waiting, .answered: break
        }
        exchange.letGo()
    }

    // MARK: Records

    /// Takes records in; those of partitions that were dropped since are let go.
    package func receive(_ records: [LoggedRecord]) {
        let now = port.now
        for record in records {
            guard let partition = partitions[record.position.partition] else {
                budget.release(record.value.count + HeldRecord.overheadBytes)
                continue
            }
            let held = HeldRecord(record, epoch: partition.epoch, collector: collector, budget: budget)
            receive(held, now)
            held.wasRead()
        }
        dispatch()
    }

    private func receive(_ held: HeldRecord, _ now: Int64) {
        let reader: TrafficStreamReader
        do throws(TrafficStreamError) {
            reader = try TrafficStreamReader(held.record.value)
        } catch {
            return refuse(held, "the record is no TrafficStream: \(error)")
        }
        guard reader.header.observationCount > 0 else { return refuse(held, "the record holds no observation") }
        guard !reader.header.connectionID.isEmpty else { return refuse(held, "the record names no connection") }
        let connection = connection(of: reader.header, held.place.partition)
        do throws(TrafficStreamError) {
            switch try connection.receive(reader, in: held, at: now) {
            case .inOrder: break
            case .duplicate: metrics.duplicateRecords.increment()
            case .gap(let count): metrics.missingRecords.add(count)
            }
        } catch {
            refuse(held, "an observation of the record is broken: \(error)")
        }
        partitions[held.place.partition]?.arrivalTime = now
        let newest = max(partitions[held.place.partition]?.newestTime ?? .min, connection.newestTime)
        partitions[held.place.partition]?.newestTime = newest
        takeChanges()
        forgetIfDone(connection)
    }

    private func connection(of header: TrafficStreamHeader, _ partition: Int32) -> SourceConnection {
        if let connection = recent.find(partition, node: header.nodeID, id: header.connectionID) { return connection }
        var id = String(decoding: header.connectionID, as: UTF8.self)
        if !header.nodeID.isEmpty { id = String(decoding: header.nodeID, as: UTF8.self) + "/" + id }
        let key = ConnectionKey(partition: partition, id: id)
        let connection = connections[key] ?? SourceConnection(header, key: key, budget: budget, observer: self)
        connections[key] = connection
        recent.keep(connection)
        return connection
    }

    private func forget(_ connection: SourceConnection) {
        connections[connection.key] = nil
        recent.forget(connection)
    }

    /// The record goes to the dead letters; its place in the partition is settled when it is there.
    private func refuse(_ held: HeldRecord, _ reason: String) {
        metrics.poisonRecords.increment()
        held.requestEnded()
        let letter = DeadLetter(
            partition: held.place.partition, offset: held.place.offset, connection: nil, request: nil, reason: reason,
            content: [held.record.value])
        port.deadLetter(letter) { [weak self] in
            held.requestResolved()
            self?.flushLater()
        }
    }

    /// A record that the log could not even hand over.
    package func receive(_ record: UnreadableRecord) {
        guard let partition = partitions[record.position.partition] else { return }
        metrics.poisonRecords.increment()
        let place = RecordPlace(
            partition: record.position.partition, offset: record.position.offset, epoch: partition.epoch)
        record.bytes.withUnsafeBytes { bytes in
            let letter = DeadLetter(
                partition: place.partition, offset: place.offset, connection: nil, request: nil,
                reason: record.reason, content: [bytes])
            port.deadLetter(letter) { [weak self] in
                self?.collector.records.resolved.append(place)
                self?.collector.records.released.append(place)
                self?.flushLater()
            }
        }
    }

    private func takeChanges() {
        let changed = touched
        touched.removeAll(keepingCapacity: true)
        for exchange in changed where !exchange.isAbandoned {
            if exchange.phase == .answered, exchange.responseEnding != nil { record(exchange) }
            enqueue(exchange.connection)
        }
    }

    /// There is nothing more to read: what waits for more goes on with what there is.
    package func finishInput() {
        for connection in connections.values { connection.finish() }
        takeChanges()
        dispatch()
    }

    // MARK: Sweeping

    /// Ends what waits in vain. About once a second.
    /// - Parameter isReadingPaused: the reader holds back, so silence says nothing.
    package func sweep(isReadingPaused: Bool) {
        let now = port.now
        if isReadingPaused != self.isReadingPaused {
            self.isReadingPaused = isReadingPaused
            requeueAll()
        }
        for connection in connections.values {
            guard let partition = partitions[connection.key.partition] else { continue }
            let isPast =
                partition.newestTime.subtractingSaturating(connection.newestTime) > limits.expiry
                && connection.newestTime != .min
            let quietSince = max(partition.arrivalTime, connection.arrivalTime)
            let isQuiet = !isReadingPaused && now.subtractingSaturating(quietSince) > limits.expiry
            guard isPast || isQuiet else { continue }
            if connection.isWaitingForInput {
                metrics.expiredConnections.increment()
                connection.finish()
            }
            takeChanges()
            if connection.isIdle { forget(connection) }
        }
        dispatch()
    }

    func forgetIfDone(_ connection: SourceConnection) {
        if connection.isClosed, connection.isIdle { forget(connection) }
    }

    // MARK: Settled records

    /// Says what has been settled since the last time.
    package func flush() {
        if !collector.records.isEmpty { port.settled(collector.take()) }
    }

    /// What is let go within a call is known only after it.
    func flushLater() { port.wake(at: port.now) }
}

extension ReplayEngine: SourceConnectionObserver {
    var keptResponseBytes: Int { limits.keptResponseBytes }

    func requestIsWhole(_ exchange: ReplayExchange) {
        metrics.requests.increment()
        if isResolvedBefore(exchange) {
            // Sent by whoever had the partition before.
            metrics.resolvedBefore.increment()
            exchange.phase = .recorded
            exchange.connection.remove(exchange)
            exchange.resolve()
            return
        }
        exchange.responseNeed = port.responseNeed(of: exchange)
        exchange.arrivalTime = port.now
        touched.append(exchange)
    }

    private func isResolvedBefore(_ exchange: ReplayExchange) -> Bool {
        guard let resolved = partitions[exchange.partition]?.resolved, exchange.endOffset < resolved.ends else {
            return false
        }
        guard !resolved.open.isEmpty else { return true }
        let hash = ReplayPosition.OpenConnection.hash(of: exchange.connection.key.id)
        return !resolved.open.contains { $0.hash == hash && exchange.number >= $0.number }
    }

    func requestIsIncomplete(_ exchange: ReplayExchange, _ ending: MessageEnding) {
        metrics.incompleteRequests(ending).increment()
        guard ending == .gap, let place = exchange.firstPlace else { return }
        // Its rest was perhaps recorded, and the source perhaps executed it.
        let letter = DeadLetter(
            partition: place.partition, offset: place.offset, connection: exchange.connectionID,
            request: exchange.number, reason: "records of the request are missing or cannot be read",
            content: exchange.request)
        let holders = exchange.holders
        port.deadLetter(letter) { [weak self] in
            _ = holders
            self?.flushLater()
        }
    }

    func requestWasDropped(_ exchange: ReplayExchange) { metrics.droppedRequests.increment() }

    func responseEnded(_ exchange: ReplayExchange) { touched.append(exchange) }
}
