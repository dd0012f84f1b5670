import Foundation
import TestSupport
import Testing

/// Snapshots that real engines wrote, migrated into a real OpenSearch by the built program.
@Suite("Backfill into OpenSearch", .serialized, .enabled(if: TestEnvironment.hasTarget))
struct FixtureBackfillTests {
    private let target = TestEnvironment.openSearch ?? ""
    private let snapshot = "snap-1"

    @Test(
        "every document arrives byte for byte, and a second run changes nothing",
        arguments: [
            "elasticsearch-7.10.2/basic", "opensearch-2.19.1/basic",
        ])
    func arrives(fixtureName: String) throws {
        let scratch = try TemporaryFolder("integration")
        let fixture = try #require(
            try TestEnvironment.fixture(fixtureName, scratch: scratch.path), "no such fixture here")
        let expected = try ExpectedDocuments(fixture: fixture, snapshot: snapshot)
        try #require(expected.documents.count > 100)
        try prepareIndices(expected)
        defer { for index in expected.shardCounts.keys { _ = try? RestCall.send("DELETE", target, path(index)) } }

        for attempt in 1...2 {
            let words = try TestEnvironment.backfill(
                repository: fixture + "/repo", snapshot: snapshot, target: target,
                coordinator: scratch.path("state-\(attempt)"), ["--include-system-indices"])
            let run = try ChildProcess(words, folder: scratch.path, name: "run-\(attempt)")
            #expect(run.wait() == .exited(ExitCode.done), "attempt \(attempt): \(run.errorText) \(run.outputText)")
            try expectCounts(expected, attempt)
        }
        try expectSources(expected, seed: 1)
    }

    @Test("a run that was finished is finished: the same command again sends nothing")
    func finishedRunSendsNothing() throws {
        let scratch = try TemporaryFolder("integration")
        let name = "elasticsearch-7.10.2/basic"
        let fixture = try #require(try TestEnvironment.fixture(name, scratch: scratch.path))
        let sink = try BulkSink()
        defer { sink.stop() }
        let expected = try ExpectedDocuments(fixture: fixture, snapshot: snapshot)
        for attempt in 1...2 {
            let words = try TestEnvironment.backfill(
                repository: fixture + "/repo", snapshot: snapshot, target: sink.url, coordinator: scratch.path("state"),
                ["--include-system-indices"])
            let run = try ChildProcess(words, folder: scratch.path, name: "run-\(attempt)")
            #expect(run.wait() == .exited(ExitCode.done), "\(run.errorText)")
            #expect(sink.snapshot.documents == expected.documents.count)
        }
    }

    /// Indices as the source had them in what decides where a document goes: the number of shards.
    private func prepareIndices(_ expected: ExpectedDocuments) throws {
        for (index, shardCount) in expected.shardCounts {
            try RestCall.send("DELETE", target, path(index))
            let body = """
                {"settings":{"number_of_shards":\(shardCount),"number_of_replicas":0},"mappings":{"dynamic":false}}
                """
            let answer = try RestCall.send("PUT", target, path(index), body)
            try #require(answer.status == 200, "\(index): \(String(decoding: answer.body, as: UTF8.self))")
        }
    }

    private func expectCounts(_ expected: ExpectedDocuments, _ attempt: Int) throws {
        for (index, count) in expected.countByIndex.sorted(by: { $0.key < $1.key }) {
            try RestCall.send("POST", target, path(index) + "/_refresh")
            let answer = try RestCall.send("GET", target, path(index) + "/_count").json()
            #expect(answer["count"] as? Int == count, "\(index) after attempt \(attempt)")
        }
    }

    /// A seeded sample of 300, read back with their routing.
    private func expectSources(_ expected: ExpectedDocuments, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for document in expected.documents.shuffled(using: &random).prefix(300) {
            let routing = document.routing.map { "?routing=" + RestCall.encode($0) } ?? ""
            let place = path(document.index) + "/_source/" + RestCall.encode(document.id) + routing
            let answer = try RestCall.send("GET", target, place)
            #expect(answer.status == 200, "\(document.index) \(document.id)")
            if let compact = document.compactSHA256 {
                #expect(
                    sha256Hex(ExpectedDocuments.compact(answer.body)) == compact, "\(document.index) \(document.id)")
            } else if let sha256 = document.sha256 {
                #expect(sha256Hex(answer.body) == sha256, "\(document.index) \(document.id)")
            }
        }
    }

    private func path(_ index: String) -> String { "/" + RestCall.encode(index) }
}
