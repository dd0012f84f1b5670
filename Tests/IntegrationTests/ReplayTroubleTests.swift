import Foundation
import TestSupport
import Testing

/// A target that misbehaves towards one request, or is not to be reached for a while.
@Suite("Replay and a target in trouble", .serialized, .enabled(if: TestEnvironment.millraced != nil))
struct ReplayTroubleTests {
    private let scratch: TemporaryFolder
    private let journal: String

    init() throws {
        scratch = try TemporaryFolder("replay-trouble")
        journal = scratch.path("journal")
    }

    private func sink(port: UInt16 = 0) throws -> BulkSink {
        var options = SinkOptions()
        options.port = port
        options.journalPath = journal
        return try BulkSink(options)
    }

    @Test("one request is never answered: every other connection goes on, and it is sent again after the time-out")
    func oneHangs() throws {
        let traffic = ReplayTraffic(requestCount: 2000, connectionCount: 20)
        let log = "file://" + scratch.path("log")
        try traffic.write(to: log)
        let sink = try sink()
        defer { sink.stop() }
        sink.setOutage(SinkOutage(.hang, count: 1))
        let run = try ReplayRun(
            log: log + "?group=g", target: sink.url, ["--until", "end", "--response-timeout", "8s"], scratch: scratch)
        let perConnection = traffic.requestCount / traffic.connectionCount
        #expect(
            ReplayRun.wait(7) { sink.snapshot.otherRequests >= traffic.requestCount - perConnection },
            "the others do not wait: \(sink.snapshot.otherRequests)")
        let missing = traffic.all.subtracting(try ReplayJournal(journal).taken)
        #expect(Set(missing.map { $0 % traffic.connectionCount }).count <= 1, "one connection waits")
        #expect(run.end() == .exited(0), "\(run.process.errorText)")
        try ReplayJournal(journal).check(traffic)
        #expect(try ReplayJournal(journal).repeated.isEmpty)
    }

    @Test("connections are refused for a while: memory is flat, and no more than --in-flight come afterwards")
    func refused() throws {
        let traffic = ReplayTraffic(requestCount: 12_000, connectionCount: 200, paddingBytes: 2000)
        let log = "file://" + scratch.path("log")
        try traffic.write(to: log)
        let first = try sink()
        let run = try ReplayRun(
            log: log + "?group=g", target: first.url, ["--until", "end", "--in-flight", "8", "--memory", "64MiB"],
            scratch: scratch)
        #expect(ReplayRun.wait(60) { first.snapshot.otherRequests > 3000 }, "\(run.process.errorText)")
        first.stop()
        let outage = TestEnvironment.outageSeconds ?? 3
        var largest = 0
        let end = CapturePacedLoad.now + outage
        while CapturePacedLoad.now < end {
            largest = max(largest, run.memory("VmRSS"))
            usleep(50_000)
        }
        let second = try sink(port: first.port)
        defer { second.stop() }
        #expect(largest > 0 && largest <= 64 << 20, "\(largest >> 20) MiB while nothing goes out")
        #expect(ReplayRun.wait(60) { second.snapshot.otherRequests > 0 }, "\(run.process.errorText)")
        #expect(run.end() == .exited(0), "\(run.process.errorText)")
        // Each connection carries one request at a time.
        #expect(second.snapshot.connections <= 8, "\(second.snapshot.connections) connections")
        try ReplayJournal(journal).check(traffic)
    }

    @Test("TLS fails, then the certificate is another's: nothing is sent; then it is right and everything is")
    func wrongTLS() throws {
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        let traffic = ReplayTraffic(requestCount: 40, connectionCount: 4, readEvery: 1)
        let log = "file://" + scratch.path("log")
        try traffic.write(to: log)
        let server = try AnsweringServer(.reset, certificate: Self.certificate(certificates.wrongHost))
        defer { server.stop() }
        let run = try ReplayRun(
            log: log + "?group=g", target: "https://127.0.0.1:\(server.port)",
            ["--until", "end", "--ca-file", certificates.authorityFile], scratch: scratch)
        let retries = "replay_retries_total"
        #expect(ReplayRun.wait(30) { ((try? run.metric(retries)) ?? nil) ?? 0 >= 4 }, "\(run.process.errorText)")
        server.change(.answer(status: 200, contentType: "application/json", body: "{}"))
        let before = try run.metric(retries) ?? 0
        #expect(ReplayRun.wait(30) { ((try? run.metric(retries)) ?? nil) ?? 0 >= before + 4 })
        #expect(server.requests.isEmpty, "nobody else gets a request")
        #expect(run.isRunning && run.process.errorText.contains("\"warning\""))
        server.change(
            .answer(status: 200, contentType: "application/json", body: "{}"), Self.certificate(certificates.server))
        #expect(run.end() == .exited(0), "\(run.process.errorText)")
        let lines = Set(server.requests)
        #expect(lines.count == traffic.requestCount && server.requests.count == traffic.requestCount)
        #expect(try run.deadLetters().isEmpty)
    }

    private static func certificate(_ identity: TestCertificates.Identity) -> AnsweringServer.Certificate {
        .init(chainFile: identity.certificateFile, keyFile: identity.keyFile)
    }

    @Test("a target that is no HTTP: an operator is told, and nothing is given up")
    func noHTTP() throws {
        let traffic = ReplayTraffic(requestCount: 10, connectionCount: 2)
        let log = "file://" + scratch.path("log")
        try traffic.write(to: log)
        let server = try AnsweringServer(.garbage("220 mail.example ESMTP\r\n"))
        defer { server.stop() }
        let run = try ReplayRun(
            log: log + "?group=g", target: "http://127.0.0.1:\(server.port)",
            ["--until", "end", "--drain-timeout", "1s"], scratch: scratch)
        #expect(ReplayRun.wait(30) { run.process.errorText.contains("\"warning\"") })
        #expect(run.process.errorText.contains("HTTP"), "\(run.process.errorText)")
        // What has begun is not finished: 3, as --help says.
        #expect(run.stop() == .exited(3), "\(run.process.errorText)")
        #expect(try ReplayRun.lag(log + "?group=g", partitions: 1) == 10)
        #expect(try run.deadLetters().isEmpty)
    }
}
