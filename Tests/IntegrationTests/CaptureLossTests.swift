import Foundation
import TestSupport
import Testing

/// What the reference project loses or does to clients when its broker or itself goes away, as measured there, must not
/// happen here. Each test is named after the symptom.
extension CaptureKafkaTests {
    /// One capture under paced load through an outage.
    private struct Load {
        let policy: String
        let log: String
        let source: CaptureSource
        let run: CaptureRun
        let load: CapturePacedLoad

        init(_ policy: String, _ broker: CaptureBroker, _ scratch: TemporaryFolder, _ more: [String] = []) throws {
            self.policy = policy
            log = try broker.makeTopic("loss-\(policy)")
            source = try CaptureSource()
            let spool = policy == "spool" ? ["--spool", scratch.path("loss-spool")] : []
            run = try CaptureRun(
                source: source, log: log, ["--log-outage", policy] + spool + more, scratch: scratch,
                name: "loss-\(policy)")
            load = CapturePacedLoad(port: run.port, label: policy, perSecond: 50)
        }

        /// Ends load and capture; every promise that holds for any policy.
        func finish(_ scratch: TemporaryFolder) throws -> [CapturePacedLoad.Outcome] {
            let outcomes = load.stop()
            run.process.kill(SIGTERM)
            #expect(run.process.wait() == .exited(0), "\(policy): \(run.process.errorText)")
            source.stop()
            #expect(outcomes.allSatisfy { $0.status != nil }, "\(policy): no connection ended")
            let executed = source.writes.map(\.id)
            #expect(Set(executed).count == executed.count, "\(policy): nothing is executed twice")
            let answered = Set(outcomes.filter { $0.isWrite && $0.status == 200 }.map(\.id))
            #expect(answered.subtracting(executed).isEmpty, "\(policy): what is answered was executed")
            let dump = try CaptureDump(log, scratch: scratch)
            #expect(dump.ending == .exited(0), "\(policy): \(dump.remarks)")
            #expect(dump.missing(source.writes).isEmpty, "\(policy): executed and not recorded")
            let reads = Set(outcomes.filter { !$0.isWrite && $0.status == 200 }.map(\.id))
            #expect(reads.subtracting(dump.reads).isEmpty, "\(policy): reads are recorded too")
            let records = try CaptureRecords(log, scratch: scratch)
            #expect(records.connections.count == load.clientCount)
            for connection in records.connections.values {
                #expect(!connection.hasGapMark, "\(policy): nothing is missing")
                #expect(!connection.firstNumbers.isEmpty && connection.isInOrder, "\(policy)")
            }
            return outcomes
        }
    }

    /// How long writes may be held in the tests that measure it.
    private static let holdSeconds = 2.0

    /// The reference project executed 1 625 of 2 000 writes without recording them (B1).
    @Test("broker killed: no write is executed and not recorded, and every connection goes on, under each policy")
    func brokerKilled() throws {
        let scratch = try TemporaryFolder("capture-killed-broker")
        let broker = try CaptureBroker()
        let hold = ["--hold-timeout", "\(Int(Self.holdSeconds))s"]
        let loads = try ["refuse", "forward", "spool"].map { try Load($0, broker, scratch, $0 == "refuse" ? hold : []) }
        for load in loads { #expect(load.load.waitForAnswers(4, since: 0)) }
        let killed = try broker.kill()
        let killedAt = CapturePacedLoad.now
        defer { try? killed.restart(scratch) }
        // Refused or released, every client is through.
        for load in loads where load.policy != "refuse" {
            #expect(load.load.waitForAnswers(4, since: killedAt + 1), "\(load.policy): \(load.run.process.errorText)")
        }
        try waitOut(since: killedAt)
        try killed.restart(scratch)
        for load in loads where load.policy != "spool" {
            #expect(load.run.line("the log takes records again", seconds: 60) != nil, "\(load.run.process.errorText)")
        }
        let backAt = CapturePacedLoad.now
        for load in loads {
            #expect(load.load.waitForAnswers(4, since: backAt), "\(load.policy): the same connections go on")
        }
        for load in loads {
            let outcomes = try load.finish(scratch)
            let during = outcomes.filter { $0.isWrite && $0.sentAt > killedAt && $0.sentAt < backAt }
            #expect(!during.isEmpty)
            #expect(outcomes.allSatisfy { $0.isWrite || $0.status == 200 }, "\(load.policy): reads are answered")
            let statuses = Set(during.compactMap(\.status))
            #expect(load.policy == "refuse" ? statuses.contains(503) : statuses == [200], "\(load.policy): \(statuses)")
            #expect(outcomes.filter { $0.isWrite && $0.sentAt > backAt + 1 }.allSatisfy { $0.status == 200 })
        }
    }

    /// There, 2 119 of 2 125 writes behind the stall were missing: capture of every open connection had ended (B2).
    @Test("broker stalled: capture of no connection ends, before, during and after")
    func brokerStalled() throws {
        let scratch = try TemporaryFolder("capture-stall")
        let broker = try CaptureBroker()
        let load = try Load("refuse", broker, scratch)
        #expect(load.load.waitForAnswers(4, since: 0))
        try broker.halt()
        defer { broker.goOn() }
        let haltedAt = CapturePacedLoad.now
        try #require(load.run.line("the log takes no records") != nil, "\(load.run.process.errorText)")
        try waitOut(since: haltedAt)
        broker.goOn()
        try #require(load.run.line("the log takes records again") != nil, "\(load.run.process.errorText)")
        let backAt = CapturePacedLoad.now
        #expect(load.load.waitForAnswers(8, since: backAt))
        let outcomes = try load.finish(scratch)
        // What was held when it began is executed afterwards, and so is all that follows.
        #expect(outcomes.filter { $0.isWrite && $0.sentAt > backAt }.allSatisfy { $0.status == 200 })
        #expect(outcomes.filter { !$0.isWrite }.allSatisfy { $0.status == 200 })
    }

    /// There, writes took 10, 20, 30, 40, 50 and more than 60 s, one after the other (B3).
    @Test("broker stalled: every write is held for the hold's time at the most, all at the same time")
    func holdTimes() throws {
        let scratch = try TemporaryFolder("capture-hold")
        let broker = try CaptureBroker()
        let load = try Load("refuse", broker, scratch, ["--hold-timeout", "\(Int(Self.holdSeconds))s"])
        #expect(load.load.waitForAnswers(2, since: 0))
        try broker.halt()
        defer { broker.goOn() }
        let haltedAt = CapturePacedLoad.now
        try #require(load.run.line("the log takes no records") != nil, "\(load.run.process.errorText)")
        let noticedAt = CapturePacedLoad.now
        let deadline = noticedAt + Self.holdSeconds + 1
        while CapturePacedLoad.now < deadline { usleep(20_000) }
        broker.goOn()
        try #require(load.run.line("the log takes records again") != nil, "\(load.run.process.errorText)")
        #expect(load.load.waitForAnswers(2, since: CapturePacedLoad.now))
        let outcomes = load.load.stop()
        let held = outcomes.filter { $0.isWrite && $0.sentAt > haltedAt && $0.sentAt < noticedAt }
        #expect(held.count >= load.load.clientCount, "each connection had a write that was held")
        let longest = outcomes.map(\.seconds).max() ?? 0
        #expect(longest < Self.holdSeconds + 1, "the longest wait was \(longest) s")
        let refused = outcomes.filter { $0.isWrite && $0.sentAt > noticedAt + 0.5 && $0.sentAt < deadline - 0.5 }
        #expect(refused.allSatisfy { $0.status == 503 && $0.seconds < 1 }, "an outage that is known holds nobody")
        // A write that was refused must not have been executed.
        let answered = Set(outcomes.filter { $0.status == 200 }.map(\.id))
        #expect(Set(load.source.writes.map(\.id)).subtracting(answered).isEmpty)
        load.source.stop()
    }

    /// Lets the outage last for as long as is asked for.
    private func waitOut(since: Double) throws {
        let least = TestEnvironment.outageSeconds ?? 0
        while CapturePacedLoad.now < since + least { usleep(50_000) }
    }

    /// There, every read that was not flushed was lost: 1 173 of 1 173 by kill -9 (B4), 871 of 871 by SIGTERM (B5).
    @Test("kill -9: reads are in the log a moment after their answers")
    func readsAfterKill() throws {
        let scratch = try TemporaryFolder("capture-reads-kill")
        try CaptureEndings.killKeepsReads(log: try CaptureBroker().makeTopic("reads-kill"), scratch: scratch)
    }

    @Test("SIGTERM under load: every read is in the log, and every write that was executed is answered and recorded")
    func orderlyEnd() throws {
        let scratch = try TemporaryFolder("capture-term")
        try CaptureEndings.termLosesNothing(log: try CaptureBroker().makeTopic("term"), scratch: scratch)
    }
}

/// The same with a file log, where no broker is needed.
@Suite("Capture loses nothing when it ends", .serialized, .enabled(if: TestEnvironment.hasCapture))
struct CaptureEndingTests {
    @Test("kill -9: reads are in the file log a moment after their answers")
    func readsAfterKill() throws {
        let scratch = try TemporaryFolder("capture-reads-kill")
        try CaptureEndings.killKeepsReads(log: "file://" + scratch.path("log"), scratch: scratch)
    }

    @Test("SIGTERM under load: nothing is missing in the file log, and no write is cut off")
    func orderlyEnd() throws {
        let scratch = try TemporaryFolder("capture-term")
        try CaptureEndings.termLosesNothing(log: "file://" + scratch.path("log"), scratch: scratch)
    }

    /// The reference project logs 15 lines for each client that resets its connection, and one for each write (B15).
    @Test("clients that reset their connections, and writes, do not flood the log")
    func logNoise() throws {
        let scratch = try TemporaryFolder("capture-noise")
        let source = try CaptureSource()
        defer { source.stop() }
        let run = try CaptureRun(source: source, log: "file://" + scratch.path("log"), scratch: scratch)
        for number in 0..<600 {
            let descriptor = try LoopbackSocket.connect(port: run.port)
            let connection = WireConnection(descriptor: descriptor)
            let write = CaptureRequest.write("noise-\(number)", padding: [UInt8](repeating: 0x61, count: 2000))
            switch number % 3 {
            case 0: #expect(connection.exchange(write)?.status == 200)
            // Within a request, and while the answer is on its way.
            case 1: connection.send(Array(write.dropLast(1000)))
            default: connection.send(write)
            }
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
        run.process.kill(SIGTERM)
        #expect(run.process.wait() == .exited(0), "\(run.process.errorText)")
        let lines = run.process.errorText.split(separator: "\n")
        #expect(lines.count < 10, "\(lines.count) lines for 600 connections: \(lines.prefix(20))")
        let dump = try CaptureDump("file://" + scratch.path("log"), scratch: scratch)
        #expect(dump.missing(source.writes).isEmpty)
    }
}

/// Ways to end a capture with traffic under way.
enum CaptureEndings {
    /// Longer than `--flush-after` and what the log takes.
    private static let flushedSeconds = 1.0

    static func killKeepsReads(log: String, scratch: TemporaryFolder) throws {
        let source = try CaptureSource()
        defer { source.stop() }
        let run = try CaptureRun(source: source, log: log, scratch: scratch)
        let load = CapturePacedLoad(port: run.port, label: "kill", perSecond: 400)
        #expect(load.waitForAnswers(50, since: 0))
        run.process.kill(SIGKILL)
        let killedAt = CapturePacedLoad.now
        #expect(run.process.wait() == .signalled(SIGKILL))
        let outcomes = load.wait()
        #expect(source.waitForIdle())
        let dump = try CaptureDump(log, scratch: scratch)
        #expect(dump.ending == .exited(0), "\(dump.remarks)")
        let reads = outcomes.filter { !$0.isWrite && $0.status == 200 }
        let due = reads.filter { $0.sentAt + $0.seconds < killedAt - flushedSeconds }
        #expect(due.count > 50)
        #expect(Set(due.map(\.id)).subtracting(dump.reads).isEmpty)
        #expect(dump.missing(source.writes).isEmpty)
    }

    static func termLosesNothing(log: String, scratch: TemporaryFolder) throws {
        let source = try CaptureSource()
        defer { source.stop() }
        let run = try CaptureRun(source: source, log: log, scratch: scratch)
        let load = CapturePacedLoad(port: run.port, label: "term", perSecond: 2000)
        #expect(load.waitForAnswers(40, since: 0))
        run.process.kill(SIGTERM)
        #expect(run.process.wait() == .exited(0), "\(run.process.errorText)")
        let outcomes = load.wait()
        #expect(source.waitForIdle())
        let executed = source.writes
        let answered = Set(outcomes.filter { $0.status == 200 }.map(\.id))
        #expect(executed.map(\.id).allSatisfy(answered.contains), "no write is executed and then cut off")
        let dump = try CaptureDump(log, scratch: scratch)
        #expect(dump.ending == .exited(0), "\(dump.remarks)")
        #expect(dump.missing(executed).isEmpty)
        #expect(answered.subtracting(dump.reads).subtracting(executed.map(\.id)).isEmpty, "answered and not recorded")
        #expect(dump.exchanges.allSatisfy { $0.isComplete }, "no exchange is half in the log")
    }
}
