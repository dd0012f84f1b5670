import Foundation
import JSONBytes
import TestSupport
import Testing

/// `millrace step …` around a backfill, with a real OpenSearch that is source and target: its indices are put into a
/// snapshot, deleted, made again from it, filled, and counted.
@Suite("millrace step", .serialized, .enabled(if: TestEnvironment.hasTarget && TestEnvironment.millrace != nil))
struct StepTests {
    private let cluster = TestEnvironment.openSearch ?? ""
    private let scratch: TemporaryFolder
    private let name = "step-\(UInt32.random(in: 0...UInt32.max))"

    init() throws { scratch = try TemporaryFolder("step") }

    private func step(_ words: String...) throws -> ErrorCase.Run {
        let tool = try #require(TestEnvironment.millrace)
        return ErrorCase.end(try ChildProcess([tool, "step"] + words, folder: scratch.path))
    }

    /// A folder that the cluster's nodes may keep snapshots in.
    private func repositoryFolder() throws -> String {
        let answer = try RestCall.send("GET", cluster, "/_nodes/settings").json()
        let nodes = try #require(answer["nodes"] as? [String: [String: Any]])
        let path = (nodes.values.first?["settings"] as? [String: Any])?["path"] as? [String: Any]
        return try #require((path?["repo"] as? [String])?.first, "the cluster has no path.repo") + "/\(name)"
    }

    private func call(_ method: String, _ path: String, _ body: String? = nil) throws {
        let answer = try RestCall.send(method, cluster, path, body)
        try #require((200..<300).contains(answer.status), "\(String(decoding: answer.body, as: UTF8.self))")
    }

    private func index(_ path: String) throws -> [String: Any] {
        let answer = try RestCall.send("GET", cluster, "/\(name)\(path)").json()
        return try #require(answer[name] as? [String: Any])
    }

    @Test("snapshot, metadata, backfill, validate: the index is what it was, and a missing document is seen")
    func around() throws {
        let folder = try repositoryFolder()
        defer {
            _ = try? RestCall.send("DELETE", cluster, "/\(name)")
            _ = try? RestCall.send("DELETE", cluster, "/_snapshot/\(name)")
        }
        try call(
            "PUT", "/\(name)",
            """
            {"settings":{"number_of_shards":3,"number_of_replicas":0,"refresh_interval":"7s","max_ngram_diff":4,
               "analysis":{"analyzer":{"own":{"type":"custom","tokenizer":"standard","filter":["lowercase"]}}}},
             "mappings":{"dynamic":"strict","_meta":{"by":"a test"},"properties":{"n":{"type":"long"},
               "text":{"type":"text","analyzer":"own"},
               "items":{"type":"nested","properties":{"quantity":{"type":"integer"}}}}},
             "aliases":{"\(name)-few":{"filter":{"range":{"n":{"lt":9}}}}}}
            """)
        let lines = (1...60).map { number in
            "{\"index\":{\"_id\":\"\(number)\"}}\n"
                + "{\"n\":\(number),\"text\":\"t\",\"items\":[{\"quantity\":1},{\"quantity\":2}]}\n"
        }
        try call("POST", "/\(name)/_bulk?refresh=true", lines.joined())
        try call("DELETE", "/\(name)/_doc/7?refresh=true")
        // A block in the source must not keep the documents out of the target.
        try call("PUT", "/\(name)/_settings", #"{"index.blocks.write":true}"#)
        let (mappings, aliases) = (try index("/_mapping"), try index("/_alias"))

        for _ in 1...2 {
            let run = try step(
                "snapshot", "--source", cluster, "--repository-name", name, "--location", folder, "--snapshot", "one",
                "--index", name, "--output", "json")
            #expect(run.ending == .exited(0), "\(run.errorText)")
            #expect(try run.report()["shards"]?.intValue == 3)
        }
        try call("DELETE", "/\(name)")

        let words = ["metadata", "--repository", folder, "--snapshot", "one", "--target", cluster, "--output", "json"]
        for (more, outcome) in [(["--evaluate"], "would_create"), ([], "created"), ([], "present")] {
            let run = try ErrorCase.end(
                ChildProcess([TestEnvironment.millrace ?? "", "step"] + words + more, folder: scratch.path))
            #expect(run.ending == .exited(0), "\(run.errorText)")
            let items = try run.report()["indices"]?.arrayValue ?? []
            #expect(items.map { $0["outcome"]?.stringValue } == [outcome])
        }
        #expect(try index("/_mapping") as NSDictionary == mappings as NSDictionary)
        #expect(try index("/_alias") as NSDictionary == aliases as NSDictionary)
        let settings = try #require(try index("/_settings?flat_settings=true")["settings"] as? [String: Any])
        let expected = [
            "number_of_shards": "3", "number_of_replicas": "0", "refresh_interval": "7s", "max_ngram_diff": "4",
            "analysis.analyzer.own.tokenizer": "standard",
        ]
        for (setting, value) in expected { #expect(settings["index.\(setting)"] as? String == value, "\(setting)") }
        #expect(settings["index.analysis.analyzer.own.filter"] as? [String] == ["lowercase"])
        #expect(settings["index.blocks.write"] == nil)

        let backfill = ErrorCase.end(
            try ChildProcess(
                TestEnvironment.backfill(
                    repository: folder, snapshot: "one", target: cluster, coordinator: scratch.path("state")),
                folder: scratch.path))
        #expect(backfill.ending == .exited(0), "\(backfill.errorText)")
        let report = scratch.path("report.json")
        try backfill.outputText.write(toFile: report, atomically: true, encoding: .utf8)

        let equal = try step("validate", "--expected", report, "--target", cluster, "--output", "json")
        #expect(equal.ending == .exited(0), "\(equal.errorText) \(equal.outputText)")
        let counted = try equal.report()["indices"]?.arrayValue?.first
        #expect(counted?["expected"]?.intValue == 59 && counted?["actual"]?.intValue == 59)
        try call("DELETE", "/\(name)/_doc/9")
        let fewer = try step("validate", "--expected", report, "--target", cluster)
        #expect(fewer.ending == .exited(3), "\(fewer.errorText)")
        #expect(fewer.outputText.contains("58 of 59  DIFFERS: 1 fewer than expected"), "\(fewer.outputText)")
    }

    @Test("an overloaded cluster is asked until the patience ends, 69; SIGTERM ends the wait")
    func unavailable() throws {
        let server = try AnsweringServer(.answer(status: 503, contentType: "application/json", body: "{}"))
        defer { server.stop() }
        let report = scratch.path("report.json")
        let text =
            #"{"outcome":"complete","indices":[{"name":"a","documents":{"migrated":1,"rejected":0,"omitted":0}}]}"#
        try text.write(toFile: report, atomically: true, encoding: .utf8)
        let target = "http://127.0.0.1:\(server.port)"
        let ended = try step("validate", "--expected", report, "--target", target, "--patience", "1s")
        #expect(ended.ending == .exited(69), "\(ended.errorText)")
        #expect(ended.errorText.contains("answered 503"), "\(ended.errorText)")
        let count = server.requests.count
        #expect(count > 1)

        let patient = try ChildProcess(
            [TestEnvironment.millrace ?? "", "step", "validate", "--expected", report, "--target", target],
            folder: scratch.path, name: "patient")
        while server.requests.count == count { usleep(1000) }
        patient.kill(SIGTERM)
        #expect(patient.wait() == .exited(128 + SIGTERM), "\(patient.errorText)")
    }
}
