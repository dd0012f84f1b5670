import Foundation
import TestSupport
import Testing

/// What the reference project loses, or sends twice, when its target or itself is gone for a while, as measured there,
/// must not happen here. Each test is named after the symptom.
@Suite("Replay loses nothing", .serialized, .enabled(if: TestEnvironment.millraced != nil))
struct ReplayLossTests {
    /// With MILLRACE_OUTAGE_SECONDS, what was measured there.
    private static var isFull: Bool { TestEnvironment.outageSeconds != nil }
    private static var traffic: ReplayTraffic {
        ReplayTraffic(requestCount: isFull ? 100_000 : 8000, connectionCount: 100, readEvery: 10)
    }

    /// There, 6 718 of 100 000 requests were lost by 60 s of 503, and the group had no lag (B6).
    @Test(
        "target answers 503 for a while: every request is taken, in order, and the lag is 0",
        arguments: ReplayLogKind.available)
    func refused(_ kind: ReplayLogKind) throws {
        try outage(.status(503), seconds: TestEnvironment.outageSeconds ?? 3, kind)
    }

    /// There, 3 781 of 100 000 were lost by 30 s of dropped connections (B7).
    @Test(
        "target drops connections for a while: every request is taken, in order, and the lag is 0",
        arguments: ReplayLogKind.available)
    func dropped(_ kind: ReplayLogKind) throws {
        try outage(.drop, seconds: (TestEnvironment.outageSeconds ?? 6) / 2, kind)
    }

    private func outage(_ outage: SinkOutage.Kind, seconds: Double, _ kind: ReplayLogKind) throws {
        let scratch = try TemporaryFolder("replay-outage")
        let traffic = Self.traffic
        let log = try kind.make("outage", scratch) + "?group=g"
        try traffic.write(to: String(log.dropLast("?group=g".count)))
        let (sink, journal) = try Self.sink(scratch)
        defer { sink.stop() }
        let run = try ReplayRun(log: log, target: sink.url, scratch: scratch)
        #expect(
            ReplayRun.wait(60) { sink.snapshot.otherRequests > traffic.requestCount / 5 }, "\(run.process.errorText)")
        sink.setOutage(SinkOutage(outage, seconds: seconds))
        let ending = run.end(seconds: 240 + seconds)
        #expect(ending == .exited(0), "\(run.process.errorText)")
        let after = try ReplayJournal(journal)
        after.check(traffic, "\(kind)")
        // What was answered was answered once; a dropped connection may have had its request.
        #expect(after.repeated.isEmpty, "\(after.repeated.count) taken twice")
        if case .status = outage { #expect(after.entries.contains { $0.status == 503 }, "the outage was felt") }
        #expect(run.process.errorText.contains("\"warning\""), "an operator is told of it")
        #expect(run.process.errorText.split(separator: "\n").count < 100, "and not of each request")
        #expect(try run.deadLetters().isEmpty)
        #expect(try ReplayRun.lag(log, partitions: kind.partitionCount) == 0)
        let again = try ReplayRun(log: log, target: sink.url, scratch: scratch, name: "again")
        #expect(again.end() == .exited(0), "\(again.process.errorText)")
        #expect(try ReplayJournal(journal).entries.count == after.entries.count, "a finished group sends nothing again")
    }

    /// There, a replayer that was killed and then stopped in order had executed 10 774 of 100 000 requests twice, and a
    /// group whose replayer was stopped after a clean finish had a lag of 6 661 of 50 102 (B8).
    @Test(
        "replayer killed, then stopped, then resumed: nothing lost, nothing again after the stop, lag 0",
        arguments: ReplayLogKind.available)
    func resumed(_ kind: ReplayLogKind) throws {
        let scratch = try TemporaryFolder("replay-resumed")
        let traffic = Self.traffic
        let log = try kind.make("resumed", scratch) + "?group=g"
        try traffic.write(to: String(log.dropLast("?group=g".count)))
        let (sink, journal) = try Self.sink(scratch)
        defer { sink.stop() }
        func taken() -> Int { (try? ReplayJournal(journal).taken.count) ?? 0 }

        let killed = try ReplayRun(log: log, target: sink.url, scratch: scratch, name: "killed")
        #expect(ReplayRun.wait(60) { sink.snapshot.otherRequests > traffic.requestCount / 4 })
        killed.process.kill(SIGKILL)
        #expect(killed.process.wait() == .signalled(SIGKILL), "it had not finished")

        // What lies in the sockets of a killed process is taken all the same.
        #expect(ReplayRun.wait(60) { sink.snapshot.connections == sink.snapshot.closedConnections })
        let atKill = try ReplayJournal(journal).entries.count
        let before = sink.snapshot.otherRequests
        let stopped = try ReplayRun(log: log, target: sink.url, scratch: scratch, name: "stopped")
        #expect(ReplayRun.wait(90) { sink.snapshot.otherRequests > before + traffic.requestCount / 4 })
        #expect(stopped.stop() == .exited(0), "\(stopped.process.errorText)")
        let atStop = try ReplayJournal(journal)
        #expect(atStop.taken.count < traffic.requestCount, "it was stopped on the way")

        // Without an end: it is stopped when it has finished, and its group has no lag then.
        let resumed = try ReplayRun(log: log, target: sink.url, [], scratch: scratch, name: "resumed")
        #expect(ReplayRun.wait(120) { taken() == traffic.requestCount }, "\(resumed.process.errorText)")
        #expect(resumed.stop() == .exited(0), "\(resumed.process.errorText)")
        let after = try ReplayJournal(journal)
        after.check(traffic, "\(kind)")
        let sent = after.entries[atStop.entries.count...].map(\.number)
        // What the killed run had not committed may come a second time; what the stopped one took may not.
        let again = Set(atStop.entries[atKill...].map(\.number)).intersection(sent)
        #expect(again.isEmpty, "\(again.count) sent again after a clean stop: \(again.sorted().prefix(20))")
        #expect(Set(sent).count == sent.count, "\(kind): \(sent.count - Set(sent).count) sent twice by one run")
        #expect(try ReplayRun.lag(log, partitions: kind.partitionCount) == 0)
    }

    private static func sink(_ scratch: TemporaryFolder) throws -> (BulkSink, String) {
        var options = SinkOptions()
        options.journalPath = scratch.path("journal")
        return (try BulkSink(options), scratch.path("journal"))
    }
}
