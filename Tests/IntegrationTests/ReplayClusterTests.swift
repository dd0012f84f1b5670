import Foundation
import TestSupport
import Testing

/// Mixed traffic of many clients through `millraced capture` in front of one real cluster, replayed to another: both
/// hold the same documents.
@Suite(
    "Replay from cluster to cluster", .serialized,
    .enabled(
        if: TestEnvironment.hasSourceAndTarget, "needs MILLRACE_SOURCE_URL and MILLRACE_OPENSEARCH_URL"))
struct ReplayClusterTests {
    @Test(
        "three brokers: captured, then replayed as fast as the target answers",
        .enabled(if: TestEnvironment.hasCaptureAndCluster, "needs MILLRACE_KAFKA_CLUSTER_DIR"))
    func kafka() throws {
        let log = try CaptureBroker.cluster().makeTopic("e2e", partitions: 6, replicas: 3)
        try Migration("after", seed: 11).afterwards(log: log)
    }

    @Test(
        "three brokers: replayed while it is captured, at the source's pace",
        .enabled(if: TestEnvironment.hasCaptureAndCluster, "needs MILLRACE_KAFKA_CLUSTER_DIR"))
    func kafkaFollowing() throws {
        let log = try CaptureBroker.cluster().makeTopic("e2e-follow", partitions: 6, replicas: 3)
        try Migration("follow", seed: 12).following(log: log)
    }

    @Test("file log: captured, then replayed as fast as the target answers")
    func file() throws {
        let migration = try Migration("file", seed: 13)
        try migration.afterwards(log: "file://" + migration.scratch.path("log"))
    }

    @Test("file log: replayed while it is captured, at the source's pace")
    func fileFollowing() throws {
        let migration = try Migration("file-follow", seed: 14)
        try migration.following(log: "file://" + migration.scratch.path("log"))
    }
}

/// One source, one target, indices of its own on both.
private struct Migration {
    let scratch: TemporaryFolder
    let source: String
    let target: String
    var load = ReplayLoad.Settings()

    init(_ name: String, seed: UInt64) throws {
        scratch = try TemporaryFolder("replay-" + name)
        source = try #require(TestEnvironment.source)
        target = try #require(TestEnvironment.openSearch)
        load.label = "e2e-" + name
        load.seed = seed
        load.operationCount = TestEnvironment.replayOperationCount
        try ReplayLoad.prepare(source, load, isOdd: false)
        try ReplayLoad.prepare(target, load, isOdd: true)
    }

    private func remove() {
        for base in [source, target] { _ = try? RestCall.send("DELETE", base, "/" + load.indexPattern) }
    }

    func afterwards(log: String) throws {
        defer { remove() }
        let capture = try CaptureRun(source: source, log: log, scratch: scratch)
        let done = try ReplayLoad(load, port: capture.port).wait()
        capture.process.kill(SIGTERM)
        #expect(capture.process.wait() == .exited(0), "\(capture.process.errorText)")
        let start = Date()
        let run = try ReplayRun(log: log + "?group=e2e", target: target, scratch: scratch)
        #expect(run.process.wait() == .exited(0), "\(run.process.errorText)")
        print("\(load.label): replayed \(done.requestCount) requests in \(Date().timeIntervalSince(start)) s")
        try check(done, run)
    }

    func following(log: String) throws {
        defer { remove() }
        var load = load
        load.perSecond = 400
        // A log of files is there once it is written to.
        let capture = try CaptureRun(source: source, log: log, scratch: scratch)
        let run = try ReplayRun(
            log: log + "?group=e2e", target: target, [], speed: "1", scratch: scratch, name: "following")
        let done = try ReplayLoad(load, port: capture.port).wait()
        let replayed = try run.metric("replay_outcomes_total") ?? 0
        capture.process.kill(SIGTERM)
        #expect(capture.process.wait() == .exited(0), "\(capture.process.errorText)")
        #expect(replayed > Double(done.requestCount) / 10, "\(replayed) of \(done.requestCount) at the load's end")
        #expect(try run.waitForMetric("replay_outcomes_total", Double(done.requestCount)))
        #expect(run.stop() == .exited(0), "\(run.process.errorText)")
        let rest = try ReplayRun(
            log: log + "?group=e2e", target: target, scratch: scratch, name: "rest", output: "rest-")
        #expect(rest.process.wait() == .exited(0), "\(rest.process.errorText)")
        let left = FileTree.names(rest.tuplesFolder)
        #expect(left.isEmpty, "nothing is left for a second run: \(left)")
        try check(done, run)
    }

    private func check(_ done: ReplayLoad.Done, _ run: ReplayRun) throws {
        #expect(done.failures.isEmpty, "\(done.failures)")
        print("\(load.label): \(done.statuses.sorted { $0.key < $1.key }) items \(done.itemStatuses)")
        let before = try ClusterDocuments(source, load.indexPattern)
        let after = try ClusterDocuments(target, load.indexPattern)
        print("\(load.label): \(before.count) documents, \(done.generatedCount) ids were generated")
        #expect(before.count > load.operationCount / 2 && done.generatedCount > load.operationCount / 2)
        let differences = before.differences(after, except: ["\(load.label)-fixed/f0"])
        #expect(differences.isEmpty, "\(differences)")
        #expect(try run.deadLetters().isEmpty)
        try checkReport(done, run)
    }

    /// Reads of the document that was made different on purpose are told, and nothing else.
    private func checkReport(_ done: ReplayLoad.Done, _ run: ReplayRun) throws {
        // Whether a new index's shards start within the time of its creation is the machine's.
        let timing = ["--ignore", "shards_acknowledged"]
        let strict = try run.report(["--threshold", "1"] + timing, scratch: scratch)
        #expect(strict.ending == .exited(3), "\(strict.text.suffix(500))")
        #expect(try run.report(["--threshold", "0.9"] + timing, scratch: scratch).ending == .exited(0))
        let counts = strict.json["counts"]
        let differences = strict.json["differences"].map { "\($0)" } ?? ""
        #expect(counts?["compared"]?.intValue == Int64(done.requestCount), "\(strict.text.prefix(1000))")
        #expect(counts?["match"]?.intValue == Int64(done.requestCount - done.oddReads), "\(differences.prefix(3000))")
        #expect(counts?["bodyDiffers"]?.intValue == Int64(done.oddReads), "\(differences.prefix(3000))")
        #expect(strict.json["failedAtTarget"]?.intValue == 0)
    }
}
