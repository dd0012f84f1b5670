import Foundation
import TestSupport
import Testing

/// kill -9 of `millraced capture` under load: what the source executed is in the log.
@Suite("Capture killed under load", .serialized, .enabled(if: TestEnvironment.hasCapture))
struct CaptureKillTests {
    @Test("every write that the source executed is in the file log, which opens again by itself")
    func fileLog() throws {
        let scratch = try TemporaryFolder("capture-kill")
        try CaptureKillRounds.run(scratch: scratch, seed: 1, checksEachRound: true) { number in
            "file://" + scratch.path("log-\(number)")
        }
    }
}

/// Rounds of load and kill, which go on with the same log for a while. It is compared with what the source executed
/// after each round or, where reading it takes its time, after its last one.
enum CaptureKillRounds {
    /// Logs are read as a whole, so the time for a round grows with the rounds before it.
    private static let roundsOfLog = 10

    /// - Parameter makeLog: address of a new log, given its number.
    static func run(
        scratch: TemporaryFolder, seed: UInt64, checksEachRound: Bool, makeLog: (Int) throws -> String
    ) throws {
        let source = try CaptureSource()
        defer { source.stop() }
        var random = SeededGenerator(seed: seed)
        var log = ""
        var executedCount = 0
        var ofLog = 0
        for round in 1...TestEnvironment.killRoundCount {
            if (round - 1) % roundsOfLog == 0 {
                log = try makeLog(round / roundsOfLog)
                ofLog = executedCount
            }
            let run = try CaptureRun(source: source, log: log, scratch: scratch, name: "capture-\(round)")
            let load = CaptureLoad(port: run.port, label: "r\(round)", seed: random.next())
            let isReached = source.waitForWrites(executedCount + 20 + random.below(400))
            run.process.kill(SIGKILL)
            #expect(run.process.wait() == .signalled(SIGKILL), "seed \(seed), round \(round): it ended before")
            load.wait()
            #expect(isReached, "seed \(seed), round \(round): \(run.process.errorText)")
            // What lay in the sockets at the kill is executed too.
            #expect(source.waitForIdle())
            let executed = source.writes
            executedCount = executed.count
            let isLast = round % roundsOfLog == 0 || round == TestEnvironment.killRoundCount
            guard checksEachRound || isLast else { continue }
            let dump = try CaptureDump(log, scratch: scratch)
            #expect(dump.ending == .exited(0), "seed \(seed), round \(round): \(dump.remarks)")
            let missing = dump.missing(Array(executed[ofLog...]))
            #expect(missing.isEmpty, "seed \(seed), round \(round): \(missing) \(dump.remarks)")
        }
        #expect(Set(source.writes.map(\.id)).count == executedCount, "nothing is executed twice")
        print("\(TestEnvironment.killRoundCount) rounds, seed \(seed): \(executedCount) writes executed and recorded")
    }
}

/// Clients that write and read until the server is gone: half of them wait for each answer, half pipeline.
final class CaptureLoad: Sendable {
    private static let clientCount = 6
    private let clients = DispatchGroup()

    init(port: Int, label: String, seed: UInt64) {
        for client in 0..<Self.clientCount {
            clients.enter()
            let clients = clients
            Thread.detachNewThread {
                defer { clients.leave() }
                var random = SeededGenerator(seed: seed &+ UInt64(client))
                guard let connection = try? WireConnection(port: port) else { return }
                Self.run(connection, "\(label)-c\(client)", isPipelining: client % 2 == 1, &random)
            }
        }
    }

    func wait() { clients.wait() }

    private static func run(
        _ connection: WireConnection, _ label: String, isPipelining: Bool, _ random: inout SeededGenerator
    ) {
        var number = 0
        while true {
            let count = isPipelining ? 1 + random.below(8) : 1
            var bytes: [UInt8] = []
            for _ in 0..<count {
                number += 1
                if random.below(4) == 0 {
                    bytes += CaptureRequest.read
                } else {
                    // The largest take several records.
                    let size = [0, 100, 4000, 20_000][random.below(4)] + (random.below(100) == 0 ? 600_000 : 0)
                    bytes += CaptureRequest.write(
                        "\(label)-\(number)", padding: random.bytes(size), isChunked: random.below(4) == 0)
                }
            }
            guard connection.send(bytes) else { return }
            for _ in 0..<count where connection.receive() == nil { return }
        }
    }
}
