import Foundation
import TestSupport
import Testing

/// `millraced capture` with a real broker, which is halted in between: so these tests run one after the other.
@Suite(
    "Capture into Kafka", .serialized,
    .enabled(if: TestEnvironment.hasCaptureAndKafka, "needs MILLRACE_KAFKA and MILLRACE_KAFKA_DIR"))
struct CaptureKafkaTests {
    @Test("a topic replays byte-exact requests")
    func byteExact() throws {
        let scratch = try TemporaryFolder("capture-exact")
        let log = try CaptureBroker().makeTopic("exact")
        let source = try CaptureSource()
        defer { source.stop() }
        let run = try CaptureRun(source: source, log: log, scratch: scratch)
        var random = SeededGenerator(seed: 3)
        var sent: [[UInt8]] = []
        for client in 0..<5 {
            let connection = try run.connect()
            var bytes: [UInt8] = []
            for (number, size) in [0, 1, 5000, 100_000, 1_500_000].enumerated() {
                let odd =
                    "PUT /a%20b/_doc/\(number)?x=%C3%A9&y HTTP/1.1\r\nhOsT:source\r\nX-Odd:  \tblanks \t\r\nX-Odd:\r\n"
                let body = Array("c\(client)-odd-\(number)\n".utf8) + random.bytes(size / 3)
                let requests = [
                    CaptureRequest.write(
                        "c\(client)-\(number)", padding: random.bytes(size), isChunked: client % 2 == 1),
                    CaptureRequest.read, Array("\(odd)Content-Length: \(body.count)\r\n\r\n".utf8) + body,
                ]
                for request in requests {
                    #expect(connection.exchange(request)?.status == 200)
                    bytes += request
                }
            }
            sent.append(bytes)
        }
        run.process.kill(SIGTERM)
        #expect(run.process.wait() == .exited(0), "\(run.process.errorText)")
        let dump = try CaptureDump(log, scratch: scratch)
        #expect(dump.ending == .exited(0) && dump.remarks.isEmpty, "\(dump.remarks)")
        #expect(dump.missing(source.writes).isEmpty)
        #expect(source.writes.count == 50)
        #expect(dump.exchanges.count == 75)
        #expect(dump.exchanges.allSatisfy { $0.isComplete && $0.status == 200 })
        let records = try CaptureRecords(log, scratch: scratch)
        #expect(Set(records.connections.values.map(\.read)) == Set(sent), "every byte that clients sent, and no other")
        #expect(records.connections.values.allSatisfy { !$0.isMarked })
    }

    @Test("broker halted: no whole write reaches the source, reads are as fast as before, then all end in order")
    func halted() throws {
        let scratch = try TemporaryFolder("capture-halted")
        let broker = try CaptureBroker()
        let source = try CaptureSource()
        defer { source.stop() }
        let run = try CaptureRun(source: source, log: try broker.makeTopic("halted"), scratch: scratch)
        let writers = try (0..<6).map { _ in try run.connect() }
        for (number, writer) in writers.enumerated() {
            #expect(writer.exchange(CaptureRequest.write("w\(number)-before"))?.status == 200)
        }
        let reader = try run.connect()
        let before = try latencies(reader, seconds: 0.5)
        try broker.halt()
        defer { broker.goOn() }
        let executed = source.writes.count
        let expected = writers.indices.map { writer in (1...3).map { "w\(writer)-held-\($0)" } }
        for (number, writer) in writers.enumerated() {
            // Three whole requests in one segment; the largest take several records.
            let padding = [UInt8](repeating: 0x61, count: [0, 3000, 200_000][number / 2])
            writer.send(
                expected[number].flatMap { CaptureRequest.write($0, padding: padding, isChunked: number % 2 == 1) })
        }
        let during = try latencies(reader, seconds: 2)
        #expect(source.writes.count == executed, "what is not recorded is not executed")
        let (median, wasMedian) = (during[during.count / 2], before[before.count / 2])
        #expect(
            median < 3 * wasMedian + 0.002, "reads took \(wasMedian) s before, \(median) s while the broker was halted")
        #expect(during[during.count - 1] < 1, "the slowest read took \(during[during.count - 1]) s")
        broker.goOn()
        for (number, writer) in writers.enumerated() {
            for id in expected[number] { #expect(writer.receive()?.bodyText == "{\"id\":\"\(id)\"}") }
            let inOrder = source.writes.map(\.id).filter { $0.hasPrefix("w\(number)-held") }
            #expect(inOrder == expected[number])
        }
    }

    /// Sorted, in seconds, of reads one after the other.
    private func latencies(_ connection: WireConnection, seconds: Double) throws -> [Double] {
        let end = ProcessInfo.processInfo.systemUptime + seconds
        var taken: [Double] = []
        while true {
            let start = ProcessInfo.processInfo.systemUptime
            if start >= end, !taken.isEmpty { return taken.sorted() }
            try #require(connection.exchange(CaptureRequest.read)?.status == 200)
            taken.append(ProcessInfo.processInfo.systemUptime - start)
        }
    }

    @Test("every write that the source executed is in the topic after kill -9 under load")
    func killed() throws {
        let scratch = try TemporaryFolder("capture-kill-kafka")
        let broker = try CaptureBroker()
        try CaptureKillRounds.run(scratch: scratch, seed: 2, checksEachRound: false) { number in
            try broker.makeTopic("killed-\(number)")
        }
    }

    // MARK: - An outage that is noticed

    /// One capture with its policy, its connections kept alive throughout.
    private struct Outage {
        let policy: String
        let log: String
        let source: CaptureSource
        let run: CaptureRun
        let first: WireConnection
        let second: WireConnection
        let reader: WireConnection

        init(_ policy: String, _ broker: CaptureBroker, _ scratch: TemporaryFolder) throws {
            self.policy = policy
            log = try broker.makeTopic(policy)
            source = try CaptureSource()
            let more =
                switch policy {
                case "spool": ["--spool", scratch.path("spool")]
                case "forward": ["--in-flight-budget", "4MiB"]
                default: [String]()
                }
            run = try CaptureRun(
                source: source, log: log, ["--log-outage", policy] + more, scratch: scratch, name: policy)
            (first, second, reader) = (try run.connect(), try run.connect(), try run.connect())
        }

        func write(_ id: String, on connection: WireConnection) -> Int? {
            connection.exchange(CaptureRequest.write(id))?.status
        }

        var executed: [String] { source.writes.map(\.id) }
    }

    @Test("broker halted for longer than an outage takes to be noticed: each policy does what it promises")
    func outages() throws {
        let scratch = try TemporaryFolder("capture-outage")
        let broker = try CaptureBroker()
        let outages = try ["refuse", "forward", "spool"].map { try Outage($0, broker, scratch) }
        defer { for outage in outages { outage.source.stop() } }
        for outage in outages {
            #expect(outage.write("before-1", on: outage.first) == 200)
            #expect(outage.write("before-2", on: outage.second) == 200)
        }
        try broker.halt()
        defer { broker.goOn() }
        for outage in outages {
            outage.first.send(CaptureRequest.write("held"))
            #expect(outage.reader.exchange(CaptureRequest.read)?.status == 200)
            #expect(!outage.executed.contains("held"), "\(outage.policy)")
        }
        for outage in outages { try duringOutage(outage) }
        broker.goOn()
        for outage in outages { try afterOutage(outage) }
        for outage in outages { try checkLog(outage, scratch) }
    }

    private func duringOutage(_ outage: Outage) throws {
        // With a spool there is a log all the time; that the broker is gone shows by what is held being released.
        if outage.policy != "spool" {
            try #require(outage.run.line("the log takes no records") != nil, "\(outage.run.process.errorText)")
        }
        if outage.policy == "refuse" {
            #expect(outage.write("during", on: outage.second) == 503)
            #expect(outage.executed == ["before-1", "before-2"])
        } else {
            #expect(outage.first.receive()?.status == 200, "what was held is released: \(outage.policy)")
            #expect(outage.write("during", on: outage.second) == 200, "\(outage.policy)")
            #expect(outage.executed == ["before-1", "before-2", "held", "during"])
        }
        if outage.policy == "forward" {
            // More than may wait for the broker.
            for number in 1...40 {
                let flood = CaptureRequest.write("flood-\(number)", padding: [UInt8](repeating: 0x61, count: 200_000))
                try #require(outage.first.exchange(flood)?.status == 200, "flood-\(number) is not held")
            }
        }
        for connection in [outage.reader, outage.second] {
            #expect(connection.exchange(CaptureRequest.read)?.status == 200, "\(outage.policy)")
        }
    }

    private func afterOutage(_ outage: Outage) throws {
        if outage.policy != "spool" {
            try #require(outage.run.line("the log takes records again") != nil, "\(outage.run.process.errorText)")
        }
        if outage.policy == "refuse" {
            #expect(outage.first.receive()?.status == 200, "held throughout, then executed")
        }
        #expect(outage.write("after-1", on: outage.first) == 200, "\(outage.policy): the same connection goes on")
        #expect(outage.write("after-2", on: outage.second) == 200, "\(outage.policy): the same connection goes on")
        outage.run.process.kill(SIGTERM)
    }

    private func checkLog(_ outage: Outage, _ scratch: TemporaryFolder) throws {
        #expect(outage.run.process.wait() == .exited(0), "\(outage.policy): \(outage.run.process.errorText)")
        let dump = try CaptureDump(outage.log, scratch: scratch)
        #expect(dump.ending == .exited(0), "\(outage.policy): \(dump.remarks)")
        let records = try CaptureRecords(outage.log, scratch: scratch)
        let missing = dump.missing(outage.source.writes)
        if outage.policy == "forward" {
            // As many as may wait are recorded when the broker is back, the others are not, and the log says where.
            #expect(
                !missing.isEmpty && missing.count < 40 && missing.allSatisfy { $0.hasPrefix("flood-") }, "\(missing)")
            let flooded = dump.exchanges.first { $0.id == "held" }?.connection ?? ""
            let marked = records.connections.filter(\.value.hasGapMark).map(\.key)
            #expect(marked == [flooded], "the gap is marked where it is")
        } else {
            #expect(missing.isEmpty, "\(outage.policy): \(missing) \(dump.remarks)")
            #expect(records.connections.values.allSatisfy { !$0.isMarked }, "\(outage.policy): nothing is missing")
        }
        #expect(outage.executed.contains("during") == (outage.policy != "refuse"))
        for id in ["before-1", "before-2", "held", "after-1", "after-2"] {
            #expect(dump.exchanges.count(where: { $0.id == id && $0.isComplete }) == 1, "\(outage.policy): \(id)")
            #expect(outage.executed.count(where: { $0 == id }) == 1, "\(outage.policy): \(id)")
        }
    }
}
