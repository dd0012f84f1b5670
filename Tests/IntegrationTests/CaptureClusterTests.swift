import Foundation
import TestSupport
import Testing

/// Three brokers, one of which is killed.
@Suite(
    "Capture into three brokers", .serialized,
    .enabled(if: TestEnvironment.hasCaptureAndCluster, "needs MILLRACE_KAFKA_CLUSTER_DIR"))
struct CaptureClusterTests {
    @Test("a leader killed under load: no write is lost, each connection's order is kept")
    func leaderKilled() throws {
        let scratch = try TemporaryFolder("capture-leader")
        let broker = try CaptureBroker.cluster()
        // Each broker leads one of them.
        let log = try broker.makeTopic("leader", partitions: 3, replicas: 3)
        let source = try CaptureSource()
        defer { source.stop() }
        let run = try CaptureRun(source: source, log: log, ["--hold-timeout", "1m"], scratch: scratch)
        let load = CaptureLoad(port: run.port, label: "leader", seed: 4)
        let paced = CapturePacedLoad(port: run.port, label: "paced", perSecond: 100)
        #expect(source.waitForWrites(200) && paced.waitForAnswers(2, since: 0))
        let killed = try broker.kill(2)
        defer { try? killed.restart(scratch) }
        // Those whose leader it was wait for the next one, which comes after about 6 s; who comes when that has lasted
        // for more than 5 s is refused.
        let killedAt = source.writes.count
        #expect(paced.waitForAnswers(10, since: CapturePacedLoad.now + 1), "\(run.process.errorText)")
        #expect(source.waitForWrites(killedAt + 300), "\(run.process.errorText)")
        run.process.kill(SIGTERM)
        #expect(run.process.wait() == .exited(0), "\(run.process.errorText)")
        load.wait()
        let answered = Set(paced.wait().filter { $0.isWrite && $0.status == 200 }.map(\.id))
        #expect(source.waitForIdle())
        #expect(answered.subtracting(source.writes.map(\.id)).isEmpty)
        let dump = try CaptureDump(log, scratch: scratch)
        #expect(dump.ending == .exited(0), "\(dump.remarks)")
        let missing = dump.missing(source.writes)
        #expect(missing.isEmpty, "\(missing)")
        let records = try CaptureRecords(log, scratch: scratch)
        for connection in records.connections.values { #expect(!connection.isMarked, "\(connection.numbers)") }
        #expect(Set(source.writes.map(\.id)).count == source.writes.count, "nothing is executed twice")
    }
}

/// What is wrong with the log is said at the start, with the exit code that is documented.
extension CaptureKafkaTests {
    @Test("topic missing: 69, and the message names it and says what to do")
    func topicMissing() throws {
        let broker = try CaptureBroker()
        let run = try CaptureRun.refused("kafka://\(broker.bootstrap)/millrace-never-made")
        #expect(run.ending == .exited(ExitCode.unavailable))
        #expect(run.text.contains("the topic millrace-never-made does not exist; create it first"), "\(run.text)")
    }

    @Test("topic that takes small records only: 69, and the message says how small and which setting to raise")
    func topicTooSmall() throws {
        let broker = try CaptureBroker()
        let topic = try broker.makeTopic(named: "small", settings: [("max.message.bytes", "4000")])
        let run = try CaptureRun.refused("kafka://\(broker.bootstrap)/\(topic)")
        #expect(run.ending == .exited(ExitCode.unavailable))
        #expect(run.text.contains(topic) && run.text.contains("max.message.bytes"), "\(run.text)")
    }

    @Test("request larger than the topic's records: it becomes several, and is executed")
    func largeRequest() throws {
        let scratch = try TemporaryFolder("capture-large")
        let broker = try CaptureBroker()
        let topic = try broker.makeTopic(named: "large", settings: [("max.message.bytes", "50000")])
        let log = "kafka://\(broker.bootstrap)/\(topic)"
        let source = try CaptureSource()
        defer { source.stop() }
        let run = try CaptureRun(source: source, log: log, scratch: scratch)
        let connection = try run.connect()
        var random = SeededGenerator(seed: 8)
        for number in 0..<4 {
            let request = CaptureRequest.write("large-\(number)", padding: random.bytes(number * 150_000))
            #expect(connection.exchange(request)?.status == 200)
        }
        run.process.kill(SIGTERM)
        #expect(run.process.wait() == .exited(0), "\(run.process.errorText)")
        let dump = try CaptureDump(log, scratch: scratch)
        #expect(dump.missing(source.writes).isEmpty && source.writes.count == 4)
    }

    @Test(
        "wrong credentials: 69, the message says so and shows no secret; right ones are taken",
        .enabled(if: CaptureBroker.setting("KAFKA_SASL_BOOTSTRAP", in: TestEnvironment.kafkaFolder) != nil),
        arguments: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
    func credentials(mechanism: String) throws {
        let scratch = try TemporaryFolder("capture-login")
        let broker = try CaptureBroker()
        let log = "kafka://\(try broker.setting("KAFKA_SASL_BOOTSTRAP"))/\(try broker.makeTopic(named: "login"))"
        func login(_ password: String) throws -> [String] {
            let text = "sasl.username=millrace\nsasl.password=\(password)\n"
            let file = try scratch.write("login-\(password.count)", Array(text.utf8))
            return [
                "--kafka-property", "security.protocol=sasl_plaintext", "--kafka-property",
                "sasl.mechanism=\(mechanism)", "--kafka-property-file", file,
            ]
        }
        let run = try CaptureRun.refused(log, try login("wrong-hunter2"))
        #expect(run.ending == .exited(ExitCode.unavailable))
        #expect(run.text.lowercased().contains("authentication") && !run.text.contains("hunter2"), "\(run.text)")
        let source = try CaptureSource()
        defer { source.stop() }
        let good = try CaptureRun(source: source, log: log, try login("millrace-secret"), scratch: scratch)
        let answer = try good.connect().exchange(CaptureRequest.write("logged-in"))
        #expect(answer?.status == 200)
        good.process.kill(SIGTERM)
        #expect(good.process.wait() == .exited(0))
        #expect(!good.process.errorText.contains("millrace-secret"))
    }

    @Test(
        "untrusted certificate: 69, and the message says so; the right authority is taken",
        .enabled(if: CaptureBroker.setting("KAFKA_TLS_BOOTSTRAP", in: TestEnvironment.kafkaFolder) != nil))
    func certificate() throws {
        let scratch = try TemporaryFolder("capture-certificate")
        let broker = try CaptureBroker()
        let topic = try broker.makeTopic(named: "certificate")
        let log = "kafka://\(try broker.setting("KAFKA_TLS_BOOTSTRAP"))/\(topic)"
        func authority(_ name: String) throws -> [String] {
            [
                "--kafka-property", "security.protocol=ssl", "--kafka-property",
                "ssl.ca.location=\(try broker.setting(name))",
            ]
        }
        let run = try CaptureRun.refused(log, try authority("KAFKA_OTHER_CA"))
        #expect(run.ending == .exited(ExitCode.unavailable))
        #expect(run.text.contains("certificate"), "\(run.text)")
        let source = try CaptureSource()
        defer { source.stop() }
        let good = try CaptureRun(source: source, log: log, try authority("KAFKA_CA"), scratch: scratch)
        let answer = try good.connect().exchange(CaptureRequest.write("trusted"))
        #expect(answer?.status == 200)
        good.process.kill(SIGTERM)
        #expect(good.process.wait() == .exited(0))
    }
}

@Suite("Capture's log at the start", .enabled(if: TestEnvironment.hasCapture))
struct CaptureLogStartTests {
    @Test("no broker: 69 within the start's time, and the message names the address")
    func noBroker() throws {
        let listener = try LoopbackSocket.listen()
        close(listener.descriptor)
        let run = try CaptureRun.refused("kafka://127.0.0.1:\(listener.port)/nothing")
        #expect(run.ending == .exited(ExitCode.unavailable))
        #expect(run.text.contains("127.0.0.1:\(listener.port)"), "\(run.text)")
    }
}
