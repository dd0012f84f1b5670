import Foundation
import TestSupport
import Testing

/// kill -9 in the middle, the same command again: nothing may be missing at the end.
@Suite("Kill and restart", .serialized, .enabled(if: TestEnvironment.hasProgram))
struct KillRestartTests {
    @Test("ten kills at random points of 200 000 documents; the union is exact", arguments: [UInt64(1)])
    func tenKills(seed: UInt64) throws {
        let scratch = try TemporaryFolder("kill")
        let ids = try makeSnapshot(scratch, documents: 200_000, seed: seed)
        var options = SinkOptions()
        options.isRecording = true
        options.delayMilliseconds = 5
        let sink = try BulkSink(options)
        defer { sink.stop() }
        var random = SeededGenerator(seed: seed)
        let words = try backfill(scratch, target: sink.url)
        for kill in 1...10 {
            let run = try ChildProcess(words, folder: scratch.path, name: "run-\(kill)")
            let goal = sink.snapshot.documents + 1 + random.below(15_000)
            let isReached = sink.waitForDocuments(goal, seconds: 60)
            run.kill(SIGKILL)
            #expect(run.wait() == .signalled(SIGKILL), "seed \(seed), kill \(kill): it ended before the kill")
            #expect(isReached, "seed \(seed), kill \(kill): \(run.errorText)")
        }
        let last = try ChildProcess(words, folder: scratch.path, name: "last")
        #expect(last.wait() == .exited(ExitCode.done), "\(last.errorText) \(last.outputText)")
        let arrived = sink.recordedLines.map { String($0.split(separator: "\t").last ?? "") }
        #expect(Set(arrived) == ids, "seed \(seed)")
        // Bounded by what was in flight or not yet in a checkpoint at each kill.
        #expect(arrived.count - ids.count < ids.count, "seed \(seed): \(arrived.count - ids.count) sent again")

        let again = try ChildProcess(words, folder: scratch.path, name: "again")
        #expect(again.wait() == .exited(ExitCode.done), "\(again.errorText)")
        #expect(sink.snapshot.documents == arrived.count, "a finished run sends nothing")
    }

    @Test("refused items and whole refused requests are retried until everything has arrived")
    func refusals() throws {
        let scratch = try TemporaryFolder("refusals")
        let ids = try makeSnapshot(scratch, documents: 20_000, seed: 2)
        var options = SinkOptions()
        options.isRecording = true
        options.itemFault = SinkFault(every: 997, status: 429)
        options.requestFault = SinkFault(every: 7, status: 503)
        let sink = try BulkSink(options)
        defer { sink.stop() }
        let run = try ChildProcess(try backfill(scratch, target: sink.url), folder: scratch.path)
        #expect(run.wait() == .exited(ExitCode.done), "\(run.errorText) \(run.outputText)")
        let arrived = sink.recordedLines.map { String($0.split(separator: "\t").last ?? "") }
        #expect(Set(arrived) == ids)
        #expect(arrived.count == ids.count, "nothing accepted is sent again")
        #expect(sink.snapshot.rejected > 0)
    }

    @Test("documents that the target refuses for good are reported and the run ends with 3")
    func refusedForGood() throws {
        let scratch = try TemporaryFolder("refused")
        let ids = try makeSnapshot(scratch, documents: 5000, seed: 3)
        var options = SinkOptions()
        options.itemFault = SinkFault(every: 500, status: 400)
        let sink = try BulkSink(options)
        defer { sink.stop() }
        let run = try ChildProcess(try backfill(scratch, target: sink.url), folder: scratch.path)
        #expect(run.wait() == .exited(ExitCode.doneWithOmissions), "\(run.errorText) \(run.outputText)")
        let refused = ids.count / 500
        #expect(sink.snapshot.documents == ids.count - refused)
        let letters = try FileTree.read(scratch.path("state/dead-letters.jsonl")).split(separator: 0x0A)
        #expect(letters.count == refused)
    }

    @Test("SIGTERM ends the run with 143, and the next one completes it")
    func terminated() throws {
        let scratch = try TemporaryFolder("term")
        let ids = try makeSnapshot(scratch, documents: 20_000, seed: 4)
        var options = SinkOptions()
        options.isRecording = true
        options.delayMilliseconds = 50
        let sink = try BulkSink(options)
        defer { sink.stop() }
        let words = try backfill(scratch, target: sink.url)
        let first = try ChildProcess(words, folder: scratch.path, name: "first")
        #expect(sink.waitForDocuments(1, seconds: 60), "\(first.errorText)")
        first.kill(SIGTERM)
        #expect(first.wait() == .exited(143), "\(first.errorText)")
        let second = try ChildProcess(words, folder: scratch.path, name: "second")
        #expect(second.wait() == .exited(ExitCode.done), "\(second.errorText)")
        #expect(Set(sink.recordedLines.map { String($0.split(separator: "\t").last ?? "") }) == ids)
    }

    @Test("three kills of a run into OpenSearch; the count is exact", .enabled(if: TestEnvironment.hasTarget))
    func killsIntoOpenSearch() throws {
        let scratch = try TemporaryFolder("kill-real")
        let ids = try makeSnapshot(scratch, documents: 20_000, seed: 5)
        let target = TestEnvironment.openSearch ?? ""
        try RestCall.send("DELETE", target, "/logs-synthetic")
        let settings = "{\"settings\":{\"number_of_replicas\":0},\"mappings\":{\"dynamic\":false}}"
        try #require(try RestCall.send("PUT", target, "/logs-synthetic", settings).status == 200)
        defer { _ = try? RestCall.send("DELETE", target, "/logs-synthetic") }
        var random = SeededGenerator(seed: 5)
        let words = try backfill(scratch, target: target)
        for kill in 1...3 {
            let run = try ChildProcess(words, folder: scratch.path, name: "run-\(kill)")
            let before = try count(target)
            let goal = before + 1 + random.below(3000)
            let deadline = Date(timeIntervalSinceNow: 60)
            while try count(target) < goal && Date() < deadline {}
            run.kill(SIGKILL)
            #expect(run.wait() == .signalled(SIGKILL), "kill \(kill): it ended before the kill")
        }
        let last = try ChildProcess(words, folder: scratch.path, name: "last")
        #expect(last.wait() == .exited(ExitCode.done), "\(last.errorText)")
        #expect(try count(target) == ids.count)
    }

    private func count(_ target: String) throws -> Int {
        try RestCall.send("POST", target, "/logs-synthetic/_refresh")
        return try RestCall.send("GET", target, "/logs-synthetic/_count").json()["count"] as? Int ?? -1
    }

    private func backfill(_ scratch: TemporaryFolder, target: String) throws -> [String] {
        try TestEnvironment.backfill(
            repository: scratch.path("repo"), snapshot: "snapshot-1", target: target,
            coordinator: scratch.path("state"),
            ["--bulk-bytes", "256KiB", "--connections", "4", "--memory-budget", "8MiB"])
    }

    /// A synthetic snapshot and the ids of its live documents.
    private func makeSnapshot(_ scratch: TemporaryFolder, documents: Int, seed: UInt64) throws -> Set<String> {
        let words = [
            TestEnvironment.bench ?? "", "make-snapshot", "--out", scratch.path("repo"), "--documents",
            String(documents),
            "--seed", String(seed), "--segments", "3", "--delete-every", "11", "--ids", scratch.path("ids"),
        ]
        let made = try ChildProcess(words, folder: scratch.path, name: "make")
        try #require(made.wait() == .exited(0), "\(made.errorText)")
        let lines = try FileTree.read(scratch.path("ids")).split(separator: 0x0A)
        return Set(lines.map { String(decoding: $0, as: UTF8.self) })
    }
}
