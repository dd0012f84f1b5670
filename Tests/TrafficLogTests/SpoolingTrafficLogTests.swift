import Synchronization
import TestSupport
import Testing

@testable import TrafficLog

@Suite struct SpoolingTrafficLogTests {
    private func append(
        _ log: SpoolingTrafficLog, _ range: Range<UInt64>, to sink: CollectingSink, keyCount: UInt64 = 3
    ) throws {
        for token in range {
            try log.append(RecordSegment(token, "\(token)"), key: ConnectionKey("c\(token % keyCount)"), sink: sink)
        }
    }

    private func numbers(_ log: MemoryTrafficLog) -> [UInt64] {
        log.records.map { UInt64(String(decoding: $0.value, as: UTF8.self)) ?? .max }
    }

    @Test func withoutAnOutageNothingGoesToTheSpool() throws {
        let folder = try TemporaryFolder()
        let primary = MemoryTrafficLog()
        let log = try SpoolingTrafficLog(primary: primary, spoolPath: folder.path)
        let sink = CollectingSink()
        try append(log, 0..<100, to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(numbers(primary) == Array(0..<100))
        #expect(sink.outcomes.allSatisfy { $0.isReusable && $0.failure == nil })
        #expect(!log.isSpooling && log.statistics.spooledCount == 0)
        log.close()
    }

    private struct StateError: Error {
        let state: TrafficLogState
    }

    @Test func theObserverHearsOfSpoolingAndOfItsEnd() throws {
        let folder = try TemporaryFolder()
        let primary = MemoryTrafficLog(isAutomatic: true)
        let log = try SpoolingTrafficLog(primary: primary, spoolPath: folder.path)
        defer { log.close() }
        let states = Mutex<[TrafficLogState]>([])
        log.observeState { state in states.withLock { $0.append(state) } }
        for count in 1...3 {
            primary.beginOutage(reason: "outage \(count)")
            try append(log, UInt64(count) * 10..<UInt64(count) * 10 + 5, to: CollectingSink())
            primary.endOutage()
            #expect(eventually { states.withLock { $0.count } == 2 * count })
        }
        let heard = states.withLock { $0 }
        for count in 1...3 {
            guard case .spooling(_, "outage \(count)") = heard[2 * count - 2] else {
                throw StateError(state: heard[2 * count - 2])
            }
            #expect(heard[2 * count - 1] == .healthy)
        }
        #expect(log.waitUntilDrained(within: .seconds(60)))
        #expect(numbers(primary).count == 15)
    }

    @Test func anOutageMakesWaitingRecordsDurableInTheSpoolAndDrainsInOrder() throws {
        let folder = try TemporaryFolder()
        let primary = MemoryTrafficLog(isAutomatic: false)
        let log = try SpoolingTrafficLog(primary: primary, spoolPath: folder.path)
        let sink = CollectingSink()
        try append(log, 0..<10, to: sink)
        #expect(sink.outcomes.isEmpty)
        primary.beginOutage(reason: "ordered by the test")
        #expect(log.isSpooling)
        // The log still reads the memory of the ten, so they are durable but not to be used again.
        #expect(sink.wait { $0.outcomes.count == 10 })
        #expect(sink.outcomes.allSatisfy { $0.failure == nil && !$0.isReusable })
        try append(log, 10..<30, to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens == Array(0..<30))
        #expect(sink.outcomes.suffix(20).allSatisfy { $0.isReusable })
        guard case .spooling(_, "ordered by the test") = log.state else { throw StateError(state: log.state) }
        #expect(log.state.takesRecords && log.statistics.spooledCount == 30 && log.statistics.spooledBytes > 0)
        #expect(primary.records.isEmpty)
        primary.endOutage()
        // The spool waits for the ten that the log has in its hands.
        #expect(primary.pendingCount == 10)
        primary.isAutomatic = true
        #expect(log.waitUntilDrained(within: .seconds(60)))
        #expect(numbers(primary) == Array(0..<30))
        #expect(log.statistics.spooledCount == 0)
        try append(log, 30..<40, to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(numbers(primary) == Array(0..<40))
        #expect(sink.durableTokens == Array(0..<40))
        log.close()
    }

    @Test func aSpoolOfAnEarlierProcessIsDrainedFirst() throws {
        let folder = try TemporaryFolder()
        let sink = CollectingSink()
        let first = MemoryTrafficLog()
        first.beginOutage(reason: "out from the start")
        let log = try SpoolingTrafficLog(primary: first, spoolPath: folder.path)
        try append(log, 0..<50, to: sink)
        #expect(log.flush(within: .seconds(60)))
        log.close()
        #expect(first.records.isEmpty)
        let second = MemoryTrafficLog()
        let again = try SpoolingTrafficLog(primary: second, spoolPath: folder.path)
        try append(again, 50..<80, to: sink)
        #expect(again.flush(within: .seconds(60)))
        #expect(again.waitUntilDrained(within: .seconds(60)))
        #expect(numbers(second) == Array(0..<80))
        again.close()
        let third = MemoryTrafficLog()
        let last = try SpoolingTrafficLog(primary: third, spoolPath: folder.path)
        #expect(!last.isSpooling)
        last.close()
        #expect(third.records.isEmpty)
    }

    @Test func recordsThatTheLogRefusesForGoodAreKept() throws {
        let folder = try TemporaryFolder()
        let sink = CollectingSink()
        let first = MemoryTrafficLog()
        first.beginOutage(reason: "out")
        let log = try SpoolingTrafficLog(primary: first, spoolPath: folder.path)
        try append(log, 0..<5, to: sink)
        try log.append(RecordSegment(5, String(repeating: "x", count: 500)), key: ConnectionKey("big"), sink: sink)
        try append(log, 6..<9, to: sink)
        #expect(log.flush(within: .seconds(60)))
        log.close()
        let second = MemoryTrafficLog(recordLimitBytes: 100)
        let again = try SpoolingTrafficLog(primary: second, spoolPath: folder.path)
        #expect(again.waitUntilDrained(within: .seconds(60)))
        #expect(numbers(second) == [0, 1, 2, 3, 4, 6, 7, 8])
        #expect(again.statistics.spoolRefusedCount == 1)
        again.close()
        let refused = try FileTrafficLogReader(path: folder.path + "/refused").readAll()
        #expect(refused.map(\.key) == ["big"])
    }

    @Test func aFullSpoolRefusesAndWakes() throws {
        let folder = try TemporaryFolder()
        let primary = MemoryTrafficLog()
        primary.beginOutage(reason: "out")
        let isFull = Atomic<Bool>(true)
        var settings = FileLogSettings()
        settings.queueLimitCount = 5
        settings.retryAfter = .milliseconds(5)
        settings.fault = { $0 == .write && isFull.load(ordering: .acquiring) ? 28 : 0 }
        let log = try SpoolingTrafficLog(primary: primary, spoolPath: folder.path, settings: settings)
        let sink = CollectingSink()
        try append(log, 0..<5, to: sink)
        #expect {
            try append(log, 5..<6, to: sink)
        } throws: { ($0 as? TrafficLogError)?.code == .full }
        #expect(eventually { !log.state.isHealthy })
        isFull.store(false, ordering: .releasing)
        #expect(sink.wait { $0.roomCount > 0 })
        try append(log, 5..<6, to: sink)
        #expect(log.flush(within: .seconds(60)))
        primary.endOutage()
        #expect(log.waitUntilDrained(within: .seconds(60)))
        #expect(numbers(primary) == Array(0..<6))
        log.close()
    }

    /// Outages at random moments: every record once, each key in order, and the right number of deliveries.
    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func randomOutagesLoseNothingAndKeepTheOrder(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let folder = try TemporaryFolder()
        let primary = MemoryTrafficLog(isAutomatic: false)
        var settings = FileLogSettings()
        settings.segmentBytes = 3000
        settings.syncPolicy = .none
        let log = try SpoolingTrafficLog(primary: primary, spoolPath: folder.path, settings: settings)
        let sink = CollectingSink()
        var next: UInt64 = 0
        var isOut = false
        for _ in 0..<400 {
            switch random.below(10) {
            case 0:
                isOut.toggle()
                if isOut { primary.beginOutage(reason: "random") } else { primary.endOutage() }
            case 1, 2, 3: primary.acknowledge(random.below(30))
            case 4: if random.below(4) == 0 { _ = log.flush(within: .milliseconds(20)) }
            default:
                let count = UInt64(random.below(12))
                try append(log, next..<next + count, to: sink, keyCount: 5)
                next += count
            }
        }
        primary.endOutage()
        primary.isAutomatic = true
        #expect(log.flush(within: .seconds(60)))
        #expect(log.waitUntilDrained(within: .seconds(60)))
        #expect(numbers(primary).sorted() == Array(0..<next), "seed \(seed)")
        for key in 0..<UInt64(5) {
            let ofKey = numbers(primary).filter { $0 % 5 == key }
            #expect(ofKey == ofKey.sorted(), "seed \(seed)")
        }
        #expect(sink.durableTokens.sorted() == Array(0..<next), "seed \(seed)")
        log.close()
    }
}
