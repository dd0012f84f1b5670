import Foundation
import TestSupport
import Testing

/// Clean stops of `millraced replay` in the middle of its work, while what it reads is still being captured: the runs
/// after it go on where it ended.
@Suite("Replay stopped and gone on with", .serialized, .enabled(if: TestEnvironment.hasCapture))
struct ReplayStopTests {
    @Test("file log: nothing is sent twice, nothing is left out, each connection's order is kept")
    func file() throws {
        let scratch = try TemporaryFolder("replay-stop")
        try stopAndGoOn("file://" + scratch.path("log"), scratch: scratch, seed: 5)
    }

    @Test(
        "three brokers: nothing is sent twice, nothing is left out, each connection's order is kept",
        .enabled(if: TestEnvironment.hasCaptureAndCluster, "needs MILLRACE_KAFKA_CLUSTER_DIR"))
    func kafka() throws {
        let scratch = try TemporaryFolder("replay-stop-kafka")
        let log = try CaptureBroker.cluster().makeTopic("replay-stop", partitions: 3, replicas: 3)
        try stopAndGoOn(log, scratch: scratch, seed: 6)
    }

    private func stopAndGoOn(_ log: String, scratch: TemporaryFolder, seed: UInt64) throws {
        let source = try CaptureSource()
        defer { source.stop() }
        // Slow enough that a stop finds requests under way and more of them waiting.
        let target = try ReplayTarget(delayMicroseconds: 2000)
        defer { target.stop() }
        let capture = try CaptureRun(source: source, log: log, scratch: scratch)
        let load = CaptureLoad(port: capture.port, label: "stop", seed: seed)
        var random = SeededGenerator(seed: seed)
        func run(_ number: Int, _ more: [String]) throws -> ReplayRun {
            try ReplayRun(
                log: log + "?group=stop", target: target.url, ["--in-flight", "16"] + more,
                scratch: scratch, name: "replay-\(number)")
        }
        for number in 1...3 {
            let goal = target.arrivals.count + 30 + random.below(200)
            // So much is in the log, if not more.
            #expect(source.waitForWrites(goal), "\(capture.process.errorText)")
            let replay = try run(number, [])
            #expect(target.waitForArrivals(goal), "\(replay.process.errorText)")
            // The last stop finds a log that grows no more.
            if number == 3 {
                capture.process.kill(SIGTERM)
                #expect(capture.process.wait() == .exited(0), "\(capture.process.errorText)")
                load.wait()
            }
            #expect(replay.stop() == .exited(0), "stop \(number), seed \(seed): \(replay.process.errorText)")
        }
        let last = try run(4, ["--until", "end"])
        #expect(last.process.wait() == .exited(0), "\(last.process.errorText)")
        try check(target, log, scratch)
        #expect(try last.deadLetters().isEmpty)
    }

    private func check(_ target: ReplayTarget, _ log: String, _ scratch: TemporaryFolder) throws {
        let dump = try CaptureDump(log, scratch: scratch)
        #expect(dump.ending == .exited(0), "\(dump.remarks)")
        let recorded = dump.exchanges.filter(\.isComplete)
        let arrivals = target.arrivals
        var places: [String: [Int]] = [:]
        for (place, arrival) in arrivals.enumerated() where arrival.method != "GET" {
            places[CaptureRequest.id(of: arrival.body), default: []].append(place)
        }
        let writes = recorded.filter { $0.method != "GET" }
        let twice = places.filter { $0.value.count > 1 }.map(\.key).sorted()
        #expect(twice.isEmpty, "\(twice.count) were sent twice: \(twice.prefix(10))")
        let missing = writes.filter { places[$0.id] == nil }.map(\.id)
        #expect(missing.isEmpty, "\(missing.count) were not sent: \(missing.prefix(10))")
        #expect(places.count == writes.count)
        #expect(arrivals.count(where: { $0.method == "GET" }) == recorded.count(where: { $0.method == "GET" }))
        var last: [String: Int] = [:]
        for write in writes {
            guard let place = places[write.id]?.first else { continue }
            #expect(place > last[write.connection] ?? -1, "\(write.id) was sent too early")
            last[write.connection] = place
            #expect(arrivals[place].body == write.body, "\(write.id) is changed")
        }
        print("\(writes.count) writes and \(recorded.count - writes.count) reads, in four runs, once each")
    }
}
