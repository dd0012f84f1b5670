import Replay
import TestSupport
import Testing
import TrafficLog

/// Whole replays with a virtual clock, under faults drawn from a seed. Every run ends with the checks of `Run.check`:
/// nothing lost, nothing sent that must not be, order kept, commits never ahead, everything let go.
@Suite struct ReplaySimulationTests {
    private static let seedCount = 250

    /// One run with its parts.
    final class Run {
        let seed: UInt64
        var random: SeededGenerator
        let clock = VirtualClock(now: SimulatedTraffic.startTime + 3_600_000_000_000)
        let traffic: SimulatedTraffic
        let group: SimulatedGroup
        let target: SimulatedTarget
        var instances: [SimulatedInstance] = []
        var limits = ReplayEngine.Limits()
        var feedSettings = LogFeed.Settings()
        var budgetBytes = 1 << 20
        var speed = ReplaySchedule.Speed.maximum
        var problems: [String] = []
        private var instanceCount = 0

        init(seed: UInt64, withAccidents: Bool = true, requestCount: Int = 20) {
            self.seed = seed
            random = SeededGenerator(seed: seed)
            traffic = SimulatedTraffic(
                seed: seed, partitionCount: 1 + random.below(4), connectionCount: 2 + random.below(10),
                requestCount: requestCount, withAccidents: withAccidents)
            group = SimulatedGroup(traffic)
            target = SimulatedTarget(clock: clock, seed: seed &+ 1)
            limits.inFlightCount = 1 + random.below(8)
            limits.expiry = 30_000_000_000
            group.committing = { [weak self] partition, position in self?.checkCommit(partition, position) }
        }

        @discardableResult
        func start() -> SimulatedInstance {
            instanceCount += 1
            let instance = SimulatedInstance(
                id: instanceCount, clock: clock, group: group, target: target,
                seed: seed &+ UInt64(instanceCount) &* 1000, loopCount: 1 + random.below(3), speed: speed,
                limits: limits, budgetBytes: budgetBytes, feedSettings: feedSettings)
            instances.append(instance)
            return instance
        }

        /// Runs until some instance has come to the end, or `seconds` are over.
        func run(seconds: Int64) {
            let end = clock.now + seconds * 1_000_000_000
            while clock.now < end, instances.contains(where: { $0.isAlive }) {
                guard clock.step() else { break }
            }
        }

        private func checkCommit(_ partition: Int32, _ position: GroupPosition) {
            let read = ReplayPosition(offset: position.offset, note: position.note)
            for request in traffic.requests where request.partition == partition {
                guard request.firstOffset < read.offset || request.endOffset < read.ends else { continue }
                let hash = ReplayPosition.OpenConnection.hash(of: "node/c\(request.connection)")
                if request.firstOffset >= read.offset,
                    read.open.contains(where: { $0.hash == hash && $0.number <= request.number })
                {
                    continue
                }
                let isSent = target.journal.contains {
                    $0.connection == request.connection && $0.number == request.number
                }
                if !isSent { problems.append("commit \(read) passes c\(request.connection)-\(request.number)") }
            }
        }

        /// - Parameters:
        ///   - isExact: no request may have been executed twice.
        ///   - keepsAssignments: no instance lost a partition and read it again, which begins anew within one instance.
        func check(isExact: Bool, keepsAssignments: Bool = true) {
            problems += target.forbidden.map { "sent \($0)" }
            var counts: [String: Int] = [:]
            for entry in target.journal { counts["\(entry.connection)-\(entry.number)", default: 0] += 1 }
            for request in traffic.requests {
                let count = counts["\(request.connection)-\(request.number)"] ?? 0
                if count == 0 { problems.append("lost c\(request.connection)-\(request.number)") }
                if isExact, count > 1 {
                    problems.append("c\(request.connection)-\(request.number) was executed \(count) times")
                }
            }
            if keepsAssignments { checkOrder() }
            for instance in instances where instance.status == .complete && instance.budget.usedBytes != 0 {
                problems.append("instance \(instance.id) still holds \(instance.budget.usedBytes) bytes")
            }
            for (index, instance) in instances.enumerated() where instance.status == .running && instance.isAlive {
                problems.append("instance \(index + 1) never came to its end: \(instance.feed.positions)")
            }
            #expect(problems.isEmpty, "seed \(seed): \(problems.prefix(5))")
        }

        /// Of one connection, within one instance, no request is executed before one that it followed, and no two at
        /// a time.
        private func checkOrder() {
            var last: [String: SimulatedTarget.Entry] = [:]
            for entry in target.journal {
                let key = "\(entry.connection)/\(entry.instance)"
                if let before = last[key], before.number > entry.number || before.end > entry.start {
                    problems.append("c\(entry.connection)-\(entry.number) after \(before.number) by \(entry.instance)")
                }
                last[key] = entry
            }
        }
    }

    @Test("nothing is lost, order is kept and commits never run ahead, whatever the target does")
    func faults() {
        for seed in 1...UInt64(Self.seedCount) {
            let run = Run(seed: seed)
            var time = run.clock.now
            for _ in 0..<run.random.below(4) {
                let fault: SimulatedTarget.Fault =
                    [.serverError, .refused, .lostAfterExecution, .hang][run.random.below(4)]
                time += Int64(run.random.below(2_000)) * 1_000_000
                let end = time + Int64(run.random.below(20_000)) * 1_000_000
                run.target.outages.append((time, end, fault))
                time = end
            }
            run.speed = [.maximum, .factor(1), .factor(10), .factor(0.5)][run.random.below(4)]
            run.start()
            run.run(seconds: 1200)
            run.check(isExact: !run.target.outages.contains { $0.fault == .lostAfterExecution })
            #expect(run.target.peakInFlight <= run.limits.inFlightCount * 3, "seed \(seed): above the cap")
        }
    }

    @Test("killed at any point, the next run loses nothing and commits stay behind what is resolved")
    func kills() {
        for seed in 1...UInt64(Self.seedCount) {
            let run = Run(seed: seed &+ 10_000)
            for _ in 0..<1 + run.random.below(4) {
                let instance = run.start()
                let delay = Int64(run.random.below(3_000)) * 1_000_000
                run.clock.after(delay) { instance.kill() }
                run.run(seconds: 600)
            }
            run.start()
            run.run(seconds: 1200)
            run.check(isExact: false)
        }
    }

    @Test("after a clean stop nothing is sent twice")
    func stops() {
        for seed in 1...UInt64(Self.seedCount) {
            let run = Run(seed: seed &+ 20_000)
            run.speed = [.maximum, .factor(1), .factor(20)][run.random.below(3)]
            for _ in 0..<1 + run.random.below(4) {
                let instance = run.start()
                let delay = Int64(run.random.below(3_000)) * 1_000_000
                run.clock.after(delay) { instance.stop() }
                run.run(seconds: 600)
                #expect(
                    instance.status == .stopped || instance.status == .complete,
                    "seed \(run.seed): \(instance.status) \(instance.feed.positions)")
            }
            run.start()
            run.run(seconds: 1200)
            run.check(isExact: true)
        }
    }

    @Test("instances come and go: no stall, no loss, order kept, nothing twice")
    func rebalances() {
        for seed in 1...UInt64(Self.seedCount) {
            let run = Run(seed: seed &+ 30_000)
            run.speed = [.maximum, .factor(1), .factor(5)][run.random.below(3)]
            for _ in 0..<1 + run.random.below(3) { run.start() }
            for _ in 0..<run.random.below(6) {
                run.clock.after(Int64(run.random.below(4_000)) * 1_000_000) {
                    let alive = run.instances.filter(\.isAlive)
                    if alive.count > 1, run.random.below(2) == 0 {
                        alive[run.random.below(alive.count)].stop()
                    } else {
                        run.start()
                    }
                }
            }
            run.run(seconds: 1200)
            // Whoever is left when the others have gone may have been told to go as well.
            run.start()
            run.run(seconds: 1200)
            run.check(isExact: true)
        }
    }

    @Test("stopped while the target hangs: what had begun is left open, nothing is lost and the stop ends in time")
    func stopsInAnOutage() {
        for seed in 1...UInt64(Self.seedCount) {
            let run = Run(seed: seed &+ 40_000)
            run.feedSettings.drainTime = 2_000_000_000
            let start = run.clock.now
            let fault: SimulatedTarget.Fault = [.hang, .serverError, .refused][run.random.below(3)]
            run.target.outages.append((start + 50_000_000, start + 20_000_000_000, fault))
            let instance = run.start()
            run.clock.after(Int64(run.random.below(500)) * 1_000_000) { instance.stop() }
            run.run(seconds: 10)
            #expect(instance.status != .running, "seed \(run.seed): still running")
            run.start()
            run.run(seconds: 1200)
            run.check(isExact: true)
        }
    }

    @Test("a member that the group gives up in the middle of requests takes nothing with it")
    func lostMembers() {
        for seed in 1...UInt64(Self.seedCount) {
            let run = Run(seed: seed &+ 50_000)
            for _ in 0..<2 { run.start() }
            for _ in 0..<1 + run.random.below(4) {
                run.clock.after(Int64(run.random.below(2_000)) * 1_000_000) {
                    let alive = run.instances.filter(\.isAlive)
                    if !alive.isEmpty { run.group.expire(alive[run.random.below(alive.count)].reader) }
                }
            }
            run.run(seconds: 1200)
            run.start()
            run.run(seconds: 1200)
            run.check(isExact: false, keepsAssignments: false)
        }
    }

    @Test("with memory used up nothing waits for a group of tuples to grow old")
    func hurries() {
        for seed in 1...UInt64(Self.seedCount) {
            let run = Run(seed: seed &+ 60_000, withAccidents: false)
            run.budgetBytes = 16 << 10
            let start = run.clock.now
            let instance = run.start()
            for loop in instance.loops { loop.recordInterval = 10_000_000_000 }
            run.run(seconds: 1200)
            run.check(isExact: true)
            // What is left when everything has been read waits for its group twice at most.
            #expect(run.clock.now - start < 40_000_000_000, "seed \(run.seed): waited for groups")
        }
    }
}
