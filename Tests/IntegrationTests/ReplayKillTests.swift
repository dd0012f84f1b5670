import Foundation
import TestSupport
import Testing

/// kill -9 of `millraced replay` at seeded points: every request reaches the target, in order per connection.
@Suite("Replay killed under load", .serialized, .enabled(if: TestEnvironment.millraced != nil))
struct ReplayKillTests {
    @Test("every request is taken at least once, in order of its connection", arguments: ReplayLogKind.available)
    func killed(_ kind: ReplayLogKind) throws {
        let scratch = try TemporaryFolder("replay-kill")
        let traffic = ReplayTraffic(requestCount: 12_000, connectionCount: 40)
        let log = try kind.make("kill", scratch)
        try traffic.write(to: log)
        let seed: UInt64 = kind == .file ? 1 : 2
        var random = SeededGenerator(seed: seed)
        var killCount = 0
        var group = 0
        while killCount < TestEnvironment.killRoundCount {
            group += 1
            let rounds = min(10, TestEnvironment.killRoundCount - killCount)
            killCount += try killRounds(
                rounds, kind, "\(log)?group=g\(group)", traffic, scratch, &random, "seed \(seed)")
        }
        print("\(killCount) kills, seed \(seed), \(kind)")
    }

    /// One group to its end, with kills on the way; returns how many.
    private func killRounds(
        _ rounds: Int, _ kind: ReplayLogKind, _ log: String, _ traffic: ReplayTraffic, _ scratch: TemporaryFolder,
        _ random: inout SeededGenerator, _ comment: String
    ) throws -> Int {
        var options = SinkOptions()
        options.journalPath = scratch.path("journal")
        FileTree.remove(scratch.path("journal"))
        let sink = try BulkSink(options)
        defer { sink.stop() }
        var killCount = 0
        for round in 1...rounds {
            let before = sink.snapshot.otherRequests
            // Some of the requests are not resolved while others behind them are.
            switch random.below(4) {
            case 0: sink.setOutage(SinkOutage(.status(503), count: 1 + random.below(200)))
            case 1: sink.setOutage(SinkOutage(.drop, count: 1 + random.below(50)))
            case 2: sink.setOutage(SinkOutage(.hang, count: 1 + random.below(5)))
            default: sink.setOutage(nil)
            }
            let point = before + 1 + random.below(traffic.requestCount / 3)
            let run = try ReplayRun(log: log, target: sink.url, scratch: scratch, name: "kill-\(round)")
            let isReached = ReplayRun.wait(60) { sink.snapshot.otherRequests >= point || !run.isRunning }
            #expect(isReached, "\(comment), round \(round): \(run.process.errorText)")
            run.process.kill(SIGKILL)
            guard run.process.wait() == .signalled(SIGKILL) else { break }
            killCount += 1
        }
        sink.setOutage(nil)
        let last = try ReplayRun(log: log, target: sink.url, scratch: scratch, name: "last")
        #expect(last.end() == .exited(0), "\(comment): \(last.process.errorText)")
        // Were the position behind a request that was not resolved, it would be missing now.
        try ReplayJournal(scratch.path("journal")).check(traffic, "\(comment), \(kind), group \(log.suffix(3))")
        #expect(try last.deadLetters().isEmpty)
        #expect(
            !FileTree.names(last.tuplesFolder).contains { $0.hasSuffix(".part") }, "killed runs' files are finished")
        return killCount
    }
}
