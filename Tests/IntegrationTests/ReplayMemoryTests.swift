import Foundation
import TestSupport
import Testing

/// `--memory` is what the process gets by with, whatever the log holds and however slow the target is.
@Suite("Memory of replay", .serialized, .enabled(if: TestEnvironment.millraced != nil))
struct ReplayMemoryTests {
    struct Load: CustomTestStringConvertible, Sendable {
        let kind: ReplayLogKind
        let paddingBytes: Int
        let requestCount: Int
        let memoryMiB: Int
        var testDescription: String { "\(requestCount) of \(paddingBytes) bytes, \(memoryMiB) MiB, \(kind)" }
    }

    /// Each is a multiple of the memory. MILLRACE_LAG_FACTOR makes the log longer still.
    private static let loads: [Load] = ReplayLogKind.available.flatMap { kind in
        // A topic takes records of 1 MiB with what is around them.
        let bulkBytes = 1_000_000
        return [
            Load(kind: kind, paddingBytes: bulkBytes, requestCount: 250, memoryMiB: 64),
            Load(kind: kind, paddingBytes: 0, requestCount: 150_000, memoryMiB: 64),
            Load(kind: kind, paddingBytes: bulkBytes, requestCount: 500, memoryMiB: 256),
        ]
    }

    @Test("a long lag and a target that is down, then slow: the peak is within the setting", arguments: loads)
    func peak(_ load: Load) throws {
        let scratch = try TemporaryFolder("replay-memory")
        let traffic = ReplayTraffic(
            requestCount: load.requestCount * TestEnvironment.lagFactor, connectionCount: 500,
            paddingBytes: load.paddingBytes)
        let log = try load.kind.make("memory", scratch)
        try traffic.write(to: log)
        var options = SinkOptions()
        options.journalPath = scratch.path("journal")
        let sink = try BulkSink(options)
        defer { sink.stop() }
        // Until as much as may be was read.
        sink.setOutage(SinkOutage(.status(503), seconds: 4))
        let run = try ReplayRun(
            log: log + "?group=g", target: sink.url, ["--until", "end", "--memory", "\(load.memoryMiB)MiB"],
            scratch: scratch)
        var peak = 0
        while run.isRunning {
            peak = max(peak, run.memory())
            usleep(20_000)
        }
        #expect(run.end() == .exited(0), "\(run.process.errorText)")
        print("\(load.testDescription): peak \(peak >> 20) MiB")
        #expect(peak <= load.memoryMiB << 20, "\(peak >> 20) MiB")
        try ReplayJournal(scratch.path("journal")).check(traffic)
    }
}
