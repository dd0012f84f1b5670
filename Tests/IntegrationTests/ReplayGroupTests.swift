import Foundation
import TestSupport
import Testing

/// Instances of one group that come and go, over the partitions of a real broker.
@Suite("Replay in a group", .serialized, .enabled(if: TestEnvironment.millraced != nil && TestEnvironment.kafka != nil))
struct ReplayGroupTests {
    private static let partitionCount = 12

    /// MILLRACE_CHURN_SECONDS, default 40, of traffic at its own pace. An instance that is stopped takes its time.
    @Test("instances added and removed every few seconds: no stall, nothing lost or twice, order kept")
    func churn() throws {
        let scratch = try TemporaryFolder("replay-churn")
        let seconds = TestEnvironment.churnSeconds
        let traffic = ReplayTraffic(requestCount: seconds * 1000, connectionCount: 120)
        let log = try CaptureBroker().makeTopic("churn", partitions: Int32(Self.partitionCount))
        try traffic.write(to: log)
        var options = SinkOptions()
        options.journalPath = scratch.path("journal")
        let sink = try BulkSink(options)
        defer { sink.stop() }
        var random = SeededGenerator(seed: 11)
        var number = 0
        func start(_ more: [String] = []) throws -> ReplayRun {
            number += 1
            return try ReplayRun(
                log: log + "?group=g", target: sink.url, ["--in-flight", "64", "--drain-timeout", "10s"] + more,
                speed: "1", scratch: scratch, name: "instance-\(number)")
        }
        var running = [try start()]
        var stopped: [ReplayRun] = []
        var longestPause = 0.0
        var lastCount = 0
        var lastProgress = CapturePacedLoad.now
        var nextChange = lastProgress + 3
        let deadline = lastProgress + Double(seconds) * 3 + 60
        while lastCount < traffic.requestCount, CapturePacedLoad.now < deadline {
            let now = CapturePacedLoad.now
            let count = sink.snapshot.otherRequests
            if count > lastCount {
                (lastCount, lastProgress) = (count, now)
            }
            longestPause = max(longestPause, now - lastProgress)
            if now > nextChange {
                nextChange = now + 1 + Double(random.below(4000)) / 1000
                if running.count == 1 || (running.count < 4 && random.below(2) == 0) {
                    running.append(try start())
                } else {
                    let run = running.remove(at: random.below(running.count))
                    run.process.kill(SIGTERM)
                    stopped.append(run)
                }
            }
            usleep(20_000)
        }
        for run in running { run.process.kill(SIGTERM) }
        for run in stopped + running {
            let ending = run.end()
            #expect(ending == .exited(0), "\(String(describing: ending)): \(run.process.errorText)")
        }
        let last = try start(["--until", "end"])
        #expect(last.end() == .exited(0), "\(last.process.errorText)")
        let journal = try ReplayJournal(scratch.path("journal"))
        journal.check(traffic)
        #expect(
            journal.repeated.isEmpty, "\(journal.repeated.count) taken twice: \(journal.repeated.sorted().prefix(20))")
        #expect(longestPause < 20, "nothing was sent for \(longestPause) s")
        #expect(try ReplayRun.lag(log + "?group=g", partitions: Self.partitionCount) == 0)
        print("\(number) instances, longest pause \(longestPause) s")
    }
}
