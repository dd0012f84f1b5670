import EventIO
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import TrafficLog

@Suite struct FileTrafficLogTests {
    private func append(_ log: FileTrafficLog, _ texts: [String], to sink: CollectingSink, from first: UInt64 = 0)
        throws
    {
        for (index, text) in texts.enumerated() {
            let token = first + UInt64(index)
            try log.append(RecordSegment(token, text), key: ConnectionKey("k\(token % 3)"), sink: sink)
        }
    }

    @Test func recordsComeBackInOrderWithKeysTimesAndOffsets() throws {
        let folder = try TemporaryFolder()
        let log = try FileTrafficLog(path: folder.path + "/log")
        let sink = CollectingSink()
        let before = MonotonicClock.wallMilliseconds
        try append(log, (0..<500).map { "record \($0)" } + [""], to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens == Array(0..<501))
        #expect(log.nextOffset == 501)
        let reader = try FileTrafficLogReader(path: folder.path + "/log")
        let first = try #require(try reader.next())
        #expect(first.timestampMilliseconds >= before && first.timestampMilliseconds <= MonotonicClock.wallMilliseconds)
        let rest = try reader.readAll()
        #expect(rest.map(\.offset) == Array(1..<501))
        #expect(rest.prefix(2).map(\.key) == ["k1", "k2"])
        #expect(rest.dropLast().map { String(decoding: $0.value, as: UTF8.self) } == (1..<500).map { "record \($0)" })
        // A reader follows: what comes later is found by the same reader.
        try append(log, ["later"], to: sink, from: 501)
        let later = try #require(try reader.next(within: .seconds(60)))
        #expect(later.position.offset == 501)
        log.close()
        #expect(log.state == .healthy)
        #expect(log.statistics.durableCount == 502)
    }

    @Test func manyAppendsShareOneSync() throws {
        let folder = try TemporaryFolder()
        var settings = FileLogSettings()
        let syncCount = Atomic<Int>(0)
        let gate = Monitor()
        let isOpen = Atomic<Bool>(false)
        settings.fault = { operation in
            guard operation == .sync else { return 0 }
            syncCount.add(1, ordering: .relaxed)
            gate.locked { while !isOpen.load(ordering: .acquiring) { gate.wait(until: .max) } }
            return 0
        }
        let log = try FileTrafficLog(path: folder.path, settings: settings)
        let sink = CollectingSink()
        try append(log, ["first"], to: sink)
        #expect(eventually { syncCount.load(ordering: .relaxed) == 1 })
        try append(log, (0..<1000).map { "r\($0)" }, to: sink, from: 1)
        #expect(sink.outcomes.isEmpty)
        gate.locked {
            isOpen.store(true, ordering: .releasing)
            gate.signalAll()
        }
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens == Array(0...1000))
        #expect(syncCount.load(ordering: .relaxed) == 2)
        #expect(sink.batchCount == 2)
        log.close()
    }

    @Test func twoWritersNeverShareAFolder() throws {
        let folder = try TemporaryFolder()
        let log = try FileTrafficLog(path: folder.path)
        #expect {
            try FileTrafficLog(path: folder.path)
        } throws: { ($0 as? TrafficLogError)?.code == .locked }
        log.close()
        let next = try FileTrafficLog(path: folder.path)
        next.close()
        #expect(next.recovery == nil)
    }

    @Test func segmentsRotateAndOldOnesAreRemovedBySize() throws {
        let folder = try TemporaryFolder()
        var settings = FileLogSettings()
        settings.segmentBytes = 4000
        settings.batchBytes = 1000
        settings.retainedBytes = 20_000
        settings.isCompressed = false
        let log = try FileTrafficLog(path: folder.path, settings: settings)
        let sink = CollectingSink()
        for round in 0..<100 {
            try append(log, [String(repeating: "x", count: 500)], to: sink, from: UInt64(round))
            #expect(log.flush(within: .seconds(60)))
        }
        let segments = try FileLogFolder.segments(folder.path)
        #expect(segments.count > 2 && segments.count < 7 && segments[0] > 0)
        let records = try FileTrafficLogReader(path: folder.path).readAll()
        #expect(records.map(\.offset) == Array(Int64(segments[0])..<100))
        #expect {
            try FileTrafficLogReader(path: folder.path, start: .offsets([0: 0])).next()
        } throws: { ($0 as? TrafficLogError)?.code == .missing }
        try log.removeSegments(before: 99)
        #expect(try FileLogFolder.segments(folder.path).count == 1)
        log.close()
    }

    @Test func readersBeginAnywhere() throws {
        let folder = try TemporaryFolder()
        var settings = FileLogSettings()
        settings.segmentBytes = 300_000
        settings.batchBytes = 20_000
        settings.isCompressed = false
        let log = try FileTrafficLog(path: folder.path, settings: settings)
        let sink = CollectingSink()
        try append(log, (0..<2000).map { "\($0) " + String(repeating: "y", count: 400) }, to: sink)
        #expect(log.flush(within: .seconds(60)))
        for start: Int64 in [0, 1, 777, 1234, 1998, 1999] {
            let reader = try FileTrafficLogReader(path: folder.path, start: .offsets([0: start]))
            #expect(try reader.readAll().map(\.offset) == Array(start..<2000))
        }
        #expect(try FileTrafficLogReader(path: folder.path, start: .offsets([0: 2000])).readAll().isEmpty)
        #expect {
            try FileTrafficLogReader(path: folder.path, start: .offsets([0: 2001]))
        } throws: { ($0 as? TrafficLogError)?.code == .missing }
        let end = try FileTrafficLogReader(path: folder.path, start: .latest)
        #expect(try end.next() == nil)
        try append(log, ["new"], to: sink, from: 2000)
        #expect(try end.next(within: .seconds(60))?.position.offset == 2000)
        log.close()
    }

    @Test func fullDiskIsAnOutageAndEndsWhenThereIsRoom() throws {
        let folder = try TemporaryFolder()
        let isDiskFull = Atomic<Bool>(false)
        var settings = FileLogSettings()
        settings.retryAfter = .milliseconds(5)
        settings.queueLimitCount = 10
        settings.fault = { $0 == .write && isDiskFull.load(ordering: .acquiring) ? ENOSPC : 0 }
        let log = try FileTrafficLog(path: folder.path, settings: settings)
        let states = Mutex<[Bool]>([])
        log.observeState { state in states.withLock { $0.append(state.isHealthy) } }
        let sink = CollectingSink()
        try append(log, ["a", "b"], to: sink)
        #expect(log.flush(within: .seconds(60)))
        isDiskFull.store(true, ordering: .releasing)
        try append(log, (2..<12).map { "r\($0)" }, to: sink, from: 2)
        #expect(eventually { !log.state.isHealthy })
        guard case .outage(_, let reason) = log.state else { return }
        #expect(reason.contains("No space left"))
        #expect {
            try append(log, ["too many"], to: sink, from: 12)
        } throws: { ($0 as? TrafficLogError)?.code == .full }
        #expect(sink.durableTokens == [0, 1])
        isDiskFull.store(false, ordering: .releasing)
        #expect(sink.wait { $0.roomCount == 1 })
        #expect(log.flush(within: .seconds(60)))
        #expect(log.state == .healthy)
        #expect(sink.durableTokens == Array(0..<12))
        #expect(states.withLock { $0 } == [false, true])
        #expect(log.statistics.outageCount == 1 && log.statistics.refusedCount == 1)
        log.close()
        #expect(try FileTrafficLogReader(path: folder.path).readAll().count == 12)
    }

    @Test func failedSyncIsNeverTakenForDurable() throws {
        let folder = try TemporaryFolder()
        let failures = Atomic<Int>(0)
        var settings = FileLogSettings()
        settings.retryAfter = .milliseconds(5)
        settings.fault = { operation in
            guard operation == .sync, failures.load(ordering: .acquiring) > 0 else { return 0 }
            failures.subtract(1, ordering: .acquiringAndReleasing)
            return EIO
        }
        let log = try FileTrafficLog(path: folder.path, settings: settings)
        let sink = CollectingSink()
        try append(log, ["a"], to: sink)
        #expect(log.flush(within: .seconds(60)))
        failures.store(3, ordering: .releasing)
        try append(log, ["b"], to: sink, from: 1)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens == [0, 1])
        // What failed is written again into a segment of its own, for the kernel may have dropped the pages.
        #expect(try FileLogFolder.segments(folder.path) == [0, 1])
        log.close()
        #expect(try FileTrafficLogReader(path: folder.path).readAll().map(\.value) == [[0x61], [0x62]])
        let again = try FileTrafficLog(path: folder.path)
        #expect(again.recovery == nil && again.nextOffset == 2)
        again.close()
    }

    @Test func tooLargeAndClosedAreSaid() throws {
        let folder = try TemporaryFolder()
        var settings = FileLogSettings()
        settings.recordLimitBytes = 10
        let log = try FileTrafficLog(path: folder.path, settings: settings)
        let sink = CollectingSink()
        #expect {
            try append(log, ["12345678901"], to: sink)
        } throws: { ($0 as? TrafficLogError)?.code == .tooLarge }
        log.close()
        #expect {
            try append(log, ["1"], to: sink)
        } throws: { ($0 as? TrafficLogError)?.code == .closed }
        #expect(sink.outcomes.isEmpty)
    }

    @Test func closingDuringAnOutageReportsWhatIsNotDurable() throws {
        let folder = try TemporaryFolder()
        var settings = FileLogSettings()
        settings.fault = { $0 == .write ? EIO : 0 }
        let log = try FileTrafficLog(path: folder.path, settings: settings)
        let sink = CollectingSink()
        try append(log, ["a", "b"], to: sink)
        #expect(eventually { !log.state.isHealthy })
        log.close()
        #expect(sink.outcomes.map(\.failure) == [.closed, .closed])
    }

    @Test(arguments: [FileLogSettings.SyncPolicy.interval(.milliseconds(5)), .none])
    func relaxedPoliciesStillWriteAtOnce(policy: FileLogSettings.SyncPolicy) throws {
        let folder = try TemporaryFolder()
        var settings = FileLogSettings()
        settings.syncPolicy = policy
        let log = try FileTrafficLog(path: folder.path, settings: settings)
        let sink = CollectingSink()
        try append(log, (0..<50).map { "\($0)" }, to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(try FileTrafficLogReader(path: folder.path).readAll().count == 50)
        if policy != .none {
            #expect(eventually { FileLogWatermark.read(folder: folder.path)?.nextOffset == 50 })
        }
        log.close()
    }
}
