import HTTPMessage
import Replay
import Telemetry
import TestSupport
import TrafficLog

/// A clock that jumps from one thing to do to the next.
final class VirtualClock {
    private var events: [(time: Int64, order: Int, work: () -> Void)] = []
    private var order = 0
    private(set) var now: Int64

    init(now: Int64) { self.now = now }

    func after(_ delay: Int64, _ work: @escaping () -> Void) {
        order += 1
        let event = (time: now + max(0, delay), order: order, work: work)
        var low = 0
        var high = events.count
        // Latest first, so that the next one is taken from the end.
        while low < high {
            let middle = (low + high) / 2
            if (events[middle].time, events[middle].order) > (event.time, event.order) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        events.insert(event, at: low)
    }

    /// Returns false when there is nothing left to do.
    func step() -> Bool {
        guard let event = events.popLast() else { return false }
        now = event.time
        event.work()
        return true
    }
}

/// A target that takes its time, fails on demand, and keeps a journal.
final class SimulatedTarget {
    struct Entry {
        let connection: Int
        let number: Int
        let instance: Int
        let start: Int64
        let end: Int64
    }

    enum Fault {
        case serverError, refused, lostAfterExecution, hang
    }

    private let clock: VirtualClock
    private var random: SeededGenerator
    /// Between these times it fails in that way.
    var outages: [(start: Int64, end: Int64, fault: Fault)] = []
    private(set) var journal: [Entry] = []
    private(set) var forbidden: [String] = []
    private(set) var inFlight = 0
    private(set) var peakInFlight = 0
    private(set) var attemptCount = 0

    init(clock: VirtualClock, seed: UInt64) {
        self.clock = clock
        random = SeededGenerator(seed: seed)
    }

    func attempt(
        _ path: String, instance: Int, isAlive: @escaping () -> Bool,
        completion: @escaping (Result<TargetAnswer, AttemptFailure>) -> Void
    ) {
        attemptCount += 1
        inFlight += 1
        peakInFlight = max(peakInFlight, inFlight)
        let start = clock.now
        let fault = outages.first { $0.start <= start && start < $0.end }?.fault
        let latency = Int64(1_000_000 + random.below(30_000_000))
        clock.after(fault == .hang ? 60_000_000_000 : latency) { [self] in
            inFlight -= 1
            // A killed instance's request was on the wire: the target may have executed it all the same.
            switch fault {
            case nil:
                execute(path, instance, start)
                if isAlive() { completion(.success(TargetAnswer(status: 200))) }
            case .serverError: if isAlive() { completion(.success(TargetAnswer(status: 503))) }
            case .refused: if isAlive() { completion(.failure(AttemptFailure(.connect, "refused"))) }
            case .lostAfterExecution:
                execute(path, instance, start)
                if isAlive() { completion(.failure(AttemptFailure(.connectionLost, "reset"))) }
            case .hang: if isAlive() { completion(.failure(AttemptFailure(.timeout, "no answer"))) }
            }
        }
    }

    private func execute(_ path: String, _ instance: Int, _ start: Int64) {
        let name = path.dropFirst("/k/".count)
        let parts = name.dropFirst().split(separator: "-")
        guard name.hasPrefix("c"), parts.count == 2, let connection = Int(parts[0]), let number = Int(parts[1]) else {
            forbidden.append(path)
            return
        }
        journal.append(
            Entry(connection: connection, number: number, instance: instance, start: start, end: clock.now))
    }
}

/// The log and its consumer group: partitions move only when their reader has released them or is gone.
final class SimulatedGroup {
    let traffic: SimulatedTraffic
    private(set) var committed: [Int32: GroupPosition] = [:]
    private var owners: [Int32: SimulatedReader] = [:]
    private var members: [SimulatedReader] = []
    /// Of every commit, for the checker.
    var committing: ((Int32, GroupPosition) -> Void)?

    init(_ traffic: SimulatedTraffic) { self.traffic = traffic }

    func join(_ reader: SimulatedReader) {
        members.append(reader)
        balance()
    }

    func leave(_ reader: SimulatedReader) {
        members.removeAll { $0 === reader }
        for (partition, owner) in owners where owner === reader { owners[partition] = nil }
        balance()
    }

    /// The member was silent for too long: its partitions go to others at once, and it comes back.
    func expire(_ reader: SimulatedReader) {
        guard members.contains(where: { $0 === reader }) else { return }
        members.removeAll { $0 === reader }
        for partition in owners.keys.sorted() where owners[partition] === reader {
            owners[partition] = nil
            reader.lose(partition)
        }
        balance()
        join(reader)
    }

    func owns(_ reader: SimulatedReader, _ partition: Int32) -> Bool { owners[partition] === reader }

    func released(_ partition: Int32) {
        owners[partition] = nil
        balance()
    }

    func commit(_ partition: Int32, _ position: GroupPosition) {
        committing?(partition, position)
        committed[partition] = position
    }

    private func balance() {
        guard !members.isEmpty else { return }
        for partition in traffic.partitions.indices.map(Int32.init) {
            let wanted = members[Int(partition) % members.count]
            if let owner = owners[partition] {
                if owner !== wanted { owner.revoke(partition) }
            } else {
                owners[partition] = wanted
                wanted.assign(partition, committed[partition])
            }
        }
    }
}

/// One member's reading end.
final class SimulatedReader: GroupLogReader {
    let location = "simulated:"
    let group: String? = "g"
    var statistics = GroupReaderStatistics()
    private let shared: SimulatedGroup
    private var random: SeededGenerator
    private var events: [GroupLogEvent] = []
    private var next: [Int32: Int] = [:]
    private var paused: Set<Int32> = []
    private var revoking: Set<Int32> = []
    private var ended: Set<Int32> = []
    private var isClosed = false

    init(_ shared: SimulatedGroup, seed: UInt64) {
        self.shared = shared
        random = SeededGenerator(seed: seed)
        shared.join(self)
    }

    func assign(_ partition: Int32, _ position: GroupPosition?) {
        let offset = position?.offset ?? 0
        next[partition] = Int(offset)
        ended.remove(partition)
        events.append(
            .assigned([
                PartitionStart(
                    partition: partition, offset: offset, note: position?.note,
                    endOffset: Int64(shared.traffic.partitions[Int(partition)].count))
            ]))
    }

    func revoke(_ partition: Int32) {
        guard revoking.insert(partition).inserted else { return }
        next[partition] = nil
        events.append(.revoked([partition]))
    }

    func lose(_ partition: Int32) {
        next[partition] = nil
        revoking.remove(partition)
        events.append(.lost([partition]))
    }

    func next(within duration: Duration, recordLimit: Int) throws(TrafficLogError) -> GroupLogEvent? {
        if !events.isEmpty { return events.removeFirst() }
        let readable = next.keys.sorted().filter { !paused.contains($0) }
        guard let partition = readable.randomElement(using: &random), let position = next[partition] else { return nil }
        let records = shared.traffic.partitions[Int(partition)]
        if position == records.count {
            guard ended.insert(partition).inserted else { return nil }
            return .endReached(partition: partition, offset: Int64(position))
        }
        let count = min(1 + random.below(5), records.count - position, recordLimit)
        next[partition] = position + count
        return .records(Array(records[position..<position + count]))
    }

    func pause(_ partitions: [Int32]) { paused.formUnion(partitions) }
    func resume(_ partitions: [Int32]) { paused.subtract(partitions) }

    func commit(_ positions: [Int32: GroupPosition]) -> Set<Int32> {
        var done: Set<Int32> = []
        // Now and then the group is between two generations.
        guard random.below(4) > 0 else { return [] }
        for (partition, position) in positions where !isClosed && shared.owns(self, partition) {
            shared.commit(partition, position)
            done.insert(partition)
        }
        return done
    }

    func release(_ partitions: [Int32]) {
        for partition in partitions {
            next[partition] = nil
            // A program that stops releases what nobody asked for; it gets it back until it leaves.
            guard revoking.remove(partition) != nil, shared.owns(self, partition) else { continue }
            shared.released(partition)
        }
    }

    func committedPositions() -> [Int32: GroupPosition] { shared.committed }
    func endOffsets() -> [Int32: Int64] { [:] }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        shared.leave(self)
    }
}

/// One replayer: a feed with its loops, driven by the virtual clock.
final class SimulatedInstance {
    let id: Int
    let feed: LogFeed
    let reader: SimulatedReader
    let budget: ByteBudget
    private(set) var loops: [SimulatedLoop] = []
    private let clock: VirtualClock
    private var replies: [FeedReply] = []
    private(set) var status = LogFeed.Status.running
    private(set) var isAlive = true

    init(
        id: Int, clock: VirtualClock, group: SimulatedGroup, target: SimulatedTarget, seed: UInt64, loopCount: Int,
        speed: ReplaySchedule.Speed, limits: ReplayEngine.Limits, budgetBytes: Int, feedSettings: LogFeed.Settings
    ) {
        self.id = id
        self.clock = clock
        let registry = MetricsRegistry()
        budget = ByteBudget(limitBytes: budgetBytes)
        let origin = SharedOrigin()
        reader = SimulatedReader(group, seed: seed &+ 77)
        let metrics = ReplayMetrics(registry)
        for index in 0..<loopCount {
            loops.append(SimulatedLoop(clock: clock, target: target, instance: id, seed: seed &+ UInt64(index)))
        }
        feed = LogFeed(
            reader: reader, loops: loops, settings: feedSettings, speed: speed, budget: budget, origin: origin,
            metrics: FeedMetrics(registry, budget: budget), log: Log(LogOutput(descriptor: -1, level: .error)))
        for (index, loop) in loops.enumerated() {
            loop.reply = { [weak self] in self?.replies.append($0) }
            loop.isAlive = { [weak self] in self?.isAlive ?? false }
            loop.engine = ReplayEngine(
                port: loop, schedule: ReplaySchedule(speed: speed), origin: origin, limits: limits,
                patience: OutcomePolicy.Patience(), budget: budget, metrics: metrics, seed: seed &+ UInt64(index))
        }
        turnLater(0)
    }

    private func turnLater(_ delay: Int64) {
        clock.after(delay) { [weak self] in
            guard let self, self.isAlive, self.status == .running else { return }
            self.turn()
        }
    }

    private func turn() {
        let taken = replies
        replies.removeAll()
        do throws(TrafficLogError) {
            status = try feed.turn(now: clock.now, replies: taken, wait: .zero)
        } catch {
            preconditionFailure("the simulated log does not fail: \(error)")
        }
        guard status != .running else { return turnLater(5_000_000) }
        reader.close()
        // The loops take what the feed has told them to the end.
        clock.after(1_000_000_000) { [weak self] in self?.end() }
    }

    func stop() { if isAlive { feed.stop(now: clock.now) } }

    /// As by kill -9: nothing is committed any more, and what is on the wire may still be executed.
    func kill() { end() }

    private func end() {
        guard isAlive else { return }
        isAlive = false
        reader.close()
    }
}

/// One loop of an instance and what surrounds its engine.
// Sound: everything runs on the test's thread.
final class SimulatedLoop: ReplayLoopPort, ReplayPort, @unchecked Sendable {
    private let clock: VirtualClock
    private let target: SimulatedTarget
    private let instance: Int
    private var random: SeededGenerator
    var engine: ReplayEngine?
    var reply: (FeedReply) -> Void = { _ in }
    var isAlive: () -> Bool = { true }
    private var takenCount = 0
    private var nextWake: Int64?
    /// What is recorded is durable when it is asked for in a hurry, or else only after this time.
    var recordInterval: Int64?
    private var unhurried: [ReplayExchange] = []
    private(set) var deadLetters: [String] = []
    private(set) var outcomes: [ReplayOutcome] = []

    init(clock: VirtualClock, target: SimulatedTarget, instance: Int, seed: UInt64) {
        self.clock = clock
        self.target = target
        self.instance = instance
        random = SeededGenerator(seed: seed)
    }

    var activity: LoopActivity {
        var activity = LoopActivity()
        activity.takenCount = takenCount
        activity.pendingCount = engine?.pendingCount ?? 0
        activity.busyCount = engine?.busyCount ?? 0
        activity.nextDue = engine?.nextDue
        return activity
    }

    private func later(_ delay: Int64, _ work: @escaping (ReplayEngine) -> Void) {
        clock.after(delay) { [weak self] in
            guard let self, self.isAlive(), let engine = self.engine else { return }
            work(engine)
            engine.flush()
        }
    }

    func post(_ message: FeedMessage) {
        // One delay for all, so that the order holds.
        later(200_000) { engine in
            self.takenCount += 1
            engine.take(message) { self.reply($0) }
        }
    }

    // MARK: ReplayPort

    var now: Int64 { clock.now }
    func responseNeed(of exchange: ReplayExchange) -> ResponseNeed {
        [.none, .preferred, .preferred, .none, .required][exchange.number % 5]
    }

    func prepare(_ exchange: ReplayExchange) -> ReplayOutcome? {
        let bytes = Array(exchange.request.joined())
        exchange.outgoing = OutgoingRequest(method: .put, head: bytes, body: [], isMutating: true)
        return nil
    }

    func send(_ exchange: ReplayExchange) {
        let head = exchange.outgoing.map { String(decoding: $0.head, as: UTF8.self) } ?? ""
        let path = String(head.split(separator: " ")[1])
        target.attempt(path, instance: instance, isAlive: isAlive) { [weak self] result in
            guard let engine = self?.engine else { return }
            engine.attemptEnded(exchange, result)
            engine.flush()
        }
    }

    /// The end of the attempt is told within the call, as the real connections do; the target answers all the same.
    func cancel(_ exchange: ReplayExchange) {
        engine?.attemptEnded(exchange, .failure(AttemptFailure(.cancelled, "cancelled")))
    }

    func read(_ answer: TargetAnswer, to exchange: ReplayExchange) -> OutcomePolicy.Answer { .status(answer.status) }
    func keepRetryableItems(_ exchange: ReplayExchange, after answer: TargetAnswer) {}

    func record(_ exchange: ReplayExchange) {
        if let outcome = exchange.outcome { outcomes.append(outcome) }
        guard let recordInterval else { return later(Int64(random.below(100_000_000))) { $0.recorded(exchange) } }
        unhurried.append(exchange)
        later(recordInterval) { _ in
            if self.unhurried.contains(where: { $0 === exchange }) { self.hurryRecords() }
        }
    }

    func deadLetter(_ letter: DeadLetter, done: @escaping () -> Void) {
        deadLetters.append(letter.reason)
        later(Int64(random.below(100_000_000))) { _ in done() }
    }

    func hurryRecords() {
        let waiting = unhurried
        unhurried = []
        for exchange in waiting { later(1_000_000) { $0.recorded(exchange) } }
    }

    func wake(at time: Int64) {
        let wakeTime = max(time, clock.now)
        if let nextWake, nextWake <= wakeTime { return }
        nextWake = wakeTime
        later(wakeTime - clock.now) { engine in
            if self.nextWake == wakeTime { self.nextWake = nil }
            engine.dispatch()
        }
    }

    func settled(_ records: SettledRecords) { reply(.settled(records)) }
}
