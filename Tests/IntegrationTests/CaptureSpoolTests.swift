import Foundation
import TestSupport
import Testing

extension CaptureKafkaTests {
    /// One capture that ends while its records are in the spool, and what follows it.
    private struct Spooled {
        let signal: Int32
        let log: String
        let source: CaptureSource
        let options: [String]
        let run: CaptureRun
        let load: CapturePacedLoad

        init(_ signal: Int32, _ broker: CaptureBroker, _ scratch: TemporaryFolder) throws {
            self.signal = signal
            log = try broker.makeTopic("spooled")
            source = try CaptureSource()
            options = ["--log-outage", "spool", "--spool", scratch.path("spool-\(signal)")]
            run = try CaptureRun(source: source, log: log, options, scratch: scratch, name: "spooled-\(signal)")
            load = CapturePacedLoad(port: run.port, label: "s\(signal)", perSecond: 100)
        }
    }

    @Test("ended with records in the spool, by SIGTERM or kill -9: the next process sends them first, in order")
    func endedWhileSpooled() throws {
        let scratch = try TemporaryFolder("capture-spooled")
        let broker = try CaptureBroker()
        let all = try [SIGTERM, SIGKILL].map { try Spooled($0, broker, scratch) }
        for spooled in all { #expect(spooled.load.waitForAnswers(4, since: 0)) }
        let killed = try broker.kill()
        defer { try? killed.restart(scratch) }
        let killedAt = CapturePacedLoad.now
        for spooled in all {
            // A write behind one that was held: the spool has both.
            #expect(spooled.load.waitForAnswers(8, since: killedAt + 1), "\(spooled.run.process.errorText)")
            spooled.run.process.kill(spooled.signal)
            let expected: ChildProcess.Ending = spooled.signal == SIGKILL ? .signalled(SIGKILL) : .exited(0)
            #expect(spooled.run.process.wait() == expected, "\(spooled.run.process.errorText)")
        }
        try killed.restart(scratch)
        for spooled in all { try goOn(spooled, scratch) }
    }

    private func goOn(_ spooled: Spooled, _ scratch: TemporaryFolder) throws {
        let outcomes = spooled.load.wait()
        #expect(spooled.source.waitForIdle())
        let run = try CaptureRun(
            source: spooled.source, log: spooled.log, spooled.options, scratch: scratch,
            name: "next-\(spooled.signal)")
        let next = try run.connect().exchange(CaptureRequest.write("next"))
        #expect(next?.status == 200)
        let deadline = CapturePacedLoad.now + 60
        var left = try run.metric("capture_spooled_records")
        while left != 0, CapturePacedLoad.now < deadline {
            usleep(10_000)
            left = try run.metric("capture_spooled_records")
        }
        #expect(left == 0, "\(run.process.errorText)")
        run.process.kill(SIGTERM)
        #expect(run.process.wait() == .exited(0), "\(run.process.errorText)")
        spooled.source.stop()
        let dump = try CaptureDump(spooled.log, scratch: scratch)
        #expect(dump.ending == .exited(0), "\(dump.remarks)")
        #expect(dump.missing(spooled.source.writes).isEmpty, "executed and not in the topic")
        #expect(spooled.source.writes.contains { $0.id == "next" })
        let answered = Set(outcomes.filter { $0.isWrite && $0.status == 200 }.map(\.id))
        #expect(answered.subtracting(spooled.source.writes.map(\.id)).isEmpty)
        let records = try CaptureRecords(spooled.log, scratch: scratch)
        #expect(records.connections.count == spooled.load.clientCount + 1)
        for connection in records.connections.values {
            // What the broker had taken and not acknowledged when it was killed is there twice.
            #expect(connection.isInOrder && !connection.hasGapMark, "\(connection.numbers)")
        }
    }
}
