import Foundation
import JSONBytes
import TestSupport
import Testing

/// Targets that refuse, break or lie: one clear line, exit code 69, nothing half-done.
@Suite("Targets that are wrong", .enabled(if: TestEnvironment.millraced != nil))
struct TargetErrorTests {
    private struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let behaviour: AnsweringServer.Behaviour
        let naming: [String]

        init(_ name: String, _ behaviour: AnsweringServer.Behaviour, _ naming: [String]) {
            testDescription = name
            self.behaviour = behaviour
            self.naming = naming
        }
    }

    private static let json = "application/json"
    private static let cases = [
        Case(
            "404 for everything", .answer(status: 404, contentType: json, body: "{}"),
            ["not an Elasticsearch or OpenSearch cluster", "404"]),
        Case(
            "a web page", .answer(status: 200, contentType: "text/html", body: "<html><body>Welcome</body></html>"),
            ["not an Elasticsearch or OpenSearch cluster", "web page"]),
        Case(
            "401", .answer(status: 401, contentType: json, body: "{\"error\":\"Unauthorized\",\"status\":401}"),
            ["401", "--username"]),
        Case(
            "403",
            .answer(
                status: 403, contentType: json,
                body: "{\"error\":{\"type\":\"security_exception\",\"reason\":\"no permissions\"},\"status\":403}"),
            ["403", "no permissions"]),
        Case("something else that speaks JSON", .answer(status: 200, contentType: json, body: "{}"), ["version"]),
        Case("a reset", .reset, ["reset"]),
    ]

    @Test("before anything is sent", arguments: cases)
    private func atStart(_ wrong: Case) throws {
        let errorCase = try ErrorCase("target")
        let server = try AnsweringServer(wrong.behaviour)
        defer { server.stop() }
        let run = try errorCase.run(errorCase.words(target: "http://127.0.0.1:\(server.port)"))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["127.0.0.1:\(server.port)"] + wrong.naming)
        #expect(!server.requests.contains { $0.contains("_bulk") })
        #expect(!FileTree.isFolder(errorCase.scratch.path("state")), "nothing was begun")
    }

    @Test("nobody listens")
    func refused() throws {
        let errorCase = try ErrorCase("refused")
        let sink = try BulkSink()
        let port = sink.port
        sink.stop()
        let run = try errorCase.run(errorCase.words(target: "http://127.0.0.1:\(port)"))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["127.0.0.1:\(port)", "refused"])
    }

    @Test("a host name that does not exist")
    func unknownHost() throws {
        let errorCase = try ErrorCase("host")
        let run = try errorCase.run(errorCase.words(target: "http://nowhere.invalid:9200"))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["nowhere.invalid:9200", "name"])
    }

    @Test("https:// to a port that speaks plain HTTP")
    func wrongScheme() throws {
        let errorCase = try ErrorCase("scheme")
        let sink = try BulkSink()
        defer { sink.stop() }
        let run = try errorCase.run(errorCase.words(target: "https://127.0.0.1:\(sink.port)"))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["127.0.0.1:\(sink.port)", "TLS"])
        #expect(sink.snapshot.bulkRequests == 0)
    }

    @Test("TLS: an authority that is not trusted, a certificate for another name, http:// to a TLS port")
    func untrusted() throws {
        let errorCase = try ErrorCase("tls")
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        func server(_ identity: TestCertificates.Identity) throws -> AnsweringServer {
            try AnsweringServer(
                .answer(status: 404, contentType: "application/json", body: "{}"),
                certificate: .init(chainFile: identity.certificateFile, keyFile: identity.keyFile))
        }
        let trusted = try server(certificates.server)
        let elsewhere = try server(certificates.wrongHost)
        defer {
            trusted.stop()
            elsewhere.stop()
        }
        let address = "127.0.0.1:\(trusted.port)"
        var run = try errorCase.run(errorCase.words(target: "https://\(address)"))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: [address, "certificate", "--ca-file"])
        #expect(trusted.requests.isEmpty)
        let authority = ["--ca-file", certificates.authorityFile]
        run = try errorCase.run(errorCase.words(target: "https://127.0.0.1:\(elsewhere.port)", authority))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["127.0.0.1:\(elsewhere.port)", "certificate"])
        run = try errorCase.run(errorCase.words(target: "http://\(address)"))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: [address, "https://"])
        // With the authority given, TLS is not what stands in the way any more.
        run = try errorCase.run(errorCase.words(target: "https://\(address)", authority))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: [address, "404"])
        run = try errorCase.run(
            errorCase.words(target: "https://\(address)", ["--ca-file", errorCase.scratch.path("no.pem")]))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["no.pem"])
    }

    @Test("a cluster that refuses the bulk itself, once and for all", arguments: [401, 403, 404])
    func bulkRefused(status: Int) throws {
        let errorCase = try ErrorCase("bulk", documents: 3000, segments: 2)
        let refusing = try ErrorCase.recordingSink { $0.requestFault = SinkFault(every: 1, status: status) }
        let run = try errorCase.run(errorCase.words(target: refusing.url))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: [String(status)])
        #expect(refusing.snapshot.documents == 0)
        refusing.stop()
        // The same address, mended: the checkpoints are of that target.
        let sink = try ErrorCase.recordingSink { $0.port = refusing.port }
        defer { sink.stop() }
        try errorCase.expectCompletes(sink)
    }

    @Test("a cluster that stays overloaded: given up after --retry-for, and the next run completes")
    func overloaded() throws {
        let errorCase = try ErrorCase("busy", documents: 3000, segments: 2)
        let busy = try ErrorCase.recordingSink { $0.requestFault = SinkFault(every: 1, status: 503) }
        let run = try errorCase.run(errorCase.words(target: busy.url))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["503", "2.0 s"])
        busy.stop()
        let sink = try ErrorCase.recordingSink { $0.port = busy.port }
        defer { sink.stop() }
        try errorCase.expectCompletes(sink)
    }

    @Test("a cluster that goes away in the middle: the next run sends the rest")
    func goesAway() throws {
        let errorCase = try ErrorCase("away", documents: 4000, segments: 2)
        let first = try ErrorCase.recordingSink { $0.delayMilliseconds = 20 }
        let words = errorCase.words(
            target: first.url, ["--bulk-bytes", "64KiB", "--connections", "2", "--request-timeout", "1s"])
        let process = try errorCase.start(words).process
        #expect(first.waitForDocuments(100, seconds: 60))
        first.stop()
        let run = ErrorCase.end(process)
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["127.0.0.1:\(first.port)", "refused"])
        let second = try ErrorCase.recordingSink { $0.port = first.port }
        defer { second.stop() }
        let rest = try errorCase.run(words)
        #expect(rest.ending == .exited(ExitCode.done), "\(rest.errorText)")
        let arrived = ErrorCase.arrived(first) + ErrorCase.arrived(second)
        #expect(Set(arrived) == errorCase.ids)
        // What was accepted while the answer was lost may come twice: two requests of at most 64 KiB and one document.
        #expect(arrived.count - errorCase.ids.count < 200)
    }

    @Test("every document rejected: each stands in the dead-letter file, and a second run says the same")
    func everythingRejected() throws {
        let errorCase = try ErrorCase("rejected", documents: 300)
        let sink = try ErrorCase.recordingSink { $0.itemFault = SinkFault(every: 1, status: 400) }
        defer { sink.stop() }
        for attempt in 1...2 {
            let run = try errorCase.run(errorCase.words(target: sink.url))
            #expect(run.ending == .exited(ExitCode.doneWithOmissions), "\(attempt): \(run.errorText)")
            let report = try run.report()
            #expect(report["outcome"]?.stringValue == "left_out")
            #expect(report["total"]?["rejected"]?.intValue == 300)
            #expect(report["total"]?["migrated"]?.intValue == 0)
        }
        #expect(sink.snapshot.rejected == 300, "the second run sends nothing")
        try expectDeadLetters(errorCase, count: 300)
    }

    @Test("one document of many rejected")
    func oneRejected() throws {
        let errorCase = try ErrorCase("reject", documents: 500)
        let sink = try ErrorCase.recordingSink { $0.itemFault = SinkFault(every: 400, status: 400) }
        defer { sink.stop() }
        let run = try errorCase.run(errorCase.words(target: sink.url))
        #expect(run.ending == .exited(ExitCode.doneWithOmissions), "\(run.errorText)")
        let letters = try expectDeadLetters(errorCase, count: 1)
        #expect(Set(ErrorCase.arrived(sink)).union(letters) == errorCase.ids)
        #expect(ErrorCase.arrived(sink).count == errorCase.ids.count - 1)
    }

    /// Ids in the dead-letter file; each entry has what is needed to look at it and to send it again.
    @discardableResult
    private func expectDeadLetters(_ errorCase: ErrorCase, count: Int) throws -> Set<String> {
        let lines = try FileTree.read(errorCase.deadLetters).split(separator: 0x0A)
        #expect(lines.count == count)
        var ids: Set<String> = []
        for line in lines {
            let letter = try JSONValue.parse(Array(line))
            #expect(letter["index"]?.stringValue == "logs-synthetic")
            #expect(letter["reason"]?.stringValue == "rejected")
            #expect(letter["status"]?.intValue == 400)
            #expect(letter["source"]?.objectValue != nil)
            #expect(letter["detail"]?.stringValue?.isEmpty == false)
            if let id = letter["request"]?["index"]?["_id"]?.stringValue { ids.insert(id) }
        }
        #expect(ids.count == count)
        #expect(ids.isSubset(of: errorCase.ids))
        return ids
    }
}
