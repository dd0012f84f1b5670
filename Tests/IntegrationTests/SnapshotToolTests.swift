import Foundation
import JSONBytes
import TestSupport
import Testing

/// `millrace snapshot list` and `show`.
@Suite("millrace snapshot", .enabled(if: TestEnvironment.millrace != nil))
struct SnapshotToolTests {
    private let scratch: TemporaryFolder
    private let tool = TestEnvironment.millrace ?? ""

    init() throws { scratch = try TemporaryFolder("tool") }

    private func fixture(_ archive: String) throws -> String {
        let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let path = top.appendingPathComponent("Fixtures/repositories/\(archive.replacing("/", with: "_")).tar.xz").path
        let tar = try ChildProcess(["/bin/tar", "-xJf", path, "-C", scratch.path], folder: scratch.path, name: "tar")
        try #require(tar.wait() == .exited(0), "\(tar.errorText)")
        return scratch.path("\(archive)/repo")
    }

    private func run(_ words: [String], environment: [String: String] = [:]) throws -> ErrorCase.Run {
        ErrorCase.end(try ChildProcess([tool] + words, folder: scratch.path, environment: environment))
    }

    @Test("list: a line a snapshot, columns aligned; the same as JSON")
    func list() throws {
        let repository = try fixture("elasticsearch-7.10.2/basic")
        let text = try run(["snapshot", "list", "--repository", repository])
        #expect(text.ending == .exited(0), "\(text.errorText)")
        let lines = text.outputText.split(separator: "\n").map(String.init)
        #expect(lines.count == 2)
        #expect(lines.first?.hasPrefix("SNAPSHOT  STATE    ENGINE") == true)
        let row = lines.last?.split(separator: " ").map(String.init) ?? []
        #expect(row.prefix(5) == ["snap-1", "SUCCESS", "Elasticsearch", "7.10.2", "6"])
        #expect(lines.allSatisfy { $0.count <= 100 && !$0.hasSuffix(" ") })

        let machine = try run(["snapshot", "list", "-o", "json"], environment: ["MILLRACE_REPOSITORY": repository])
        let snapshots = try #require(try machine.report()["snapshots"]?.arrayValue)
        #expect(snapshots.count == 1)
        #expect(snapshots[0]["name"]?.stringValue == "snap-1")
        #expect(snapshots[0]["indices"]?.intValue == 6)
        #expect(snapshots[0]["startTime"]?.stringValue?.hasSuffix("Z") == true)
    }

    @Test("show: sizes and documents of each index, as a backfill reads them")
    func show() throws {
        let repository = try fixture("elasticsearch-7.10.2/basic")
        let words = ["snapshot", "show", "--repository", repository, "--snapshot", "snap-1"]
        let machine = try run(words + ["--output=json"])
        #expect(machine.ending == .exited(0), "\(machine.errorText)")
        let indices = try #require(try machine.report()["indices"]?.arrayValue)
        let counts = indices.map { "\($0["name"]?.stringValue ?? "") \($0["documents"]?.intValue ?? -1)" }
        #expect(counts == ["empty 0", "gone 0", "ids 89", "logs 603", "sparse 2", "typed7 12"])
        for index in indices {
            #expect(index["isReadable"]?.boolValue == true)
            #expect(index["sourceMode"]?.stringValue == "stored")
            #expect(index["createdBy"]?.stringValue == "Elasticsearch 7.10.2")
            let (stored, all) = (index["storedBytes"]?.intValue ?? 0, index["totalBytes"]?.intValue ?? 0)
            #expect(stored <= all && all > 0)
        }
        let text = try run(words)
        #expect(text.outputText.split(separator: "\n").allSatisfy { $0.count <= 100 && !$0.hasSuffix(" ") })
    }

    @Test("show: why an index cannot be read, and what a partial snapshot lacks")
    func obstacles() throws {
        func indices(_ archive: String, _ snapshot: String) throws -> [String: JSONValue] {
            let words = ["--repository", try fixture(archive), "--snapshot", snapshot, "-o", "json"]
            let shown = try run(["snapshot", "show"] + words)
            #expect(shown.ending == .exited(0), "\(shown.errorText)")
            let indices = try shown.report()["indices"]?.arrayValue ?? []
            return Dictionary(uniqueKeysWithValues: indices.map { ($0["name"]?.stringValue ?? "", $0) })
        }
        let sources = try indices("elasticsearch-9.1.0/sources", "sources")
        #expect(sources["nosource"]?["isReadable"]?.boolValue == false)
        #expect(sources["nosource"]?["obstacle"]?.stringValue?.contains("disables _source") == true)
        #expect(sources["excluded"]?["sourceMode"]?.stringValue == "filtered")
        let old = try indices("elasticsearch-5.6.16/nested", "tree")
        #expect(old.values.allSatisfy { $0["obstacle"]?.stringValue?.contains("Elasticsearch 5") == true })
        let partial = try indices("opensearch-2.19.1/partial", "partial")
        #expect(partial["broken"]?["missingShards"]?.arrayValue?.first?["shard"]?.intValue == 2)
        #expect(partial["whole"]?["missingShards"]?.arrayValue?.isEmpty == true)
    }

    @Test("damage: what can be read is shown, one line says what cannot, and the exit code is 65")
    func damage() throws {
        let repository = try fixture("elasticsearch-7.10.2/basic")
        let list = try #require(
            try FileTree.allFiles(repository).map(\.path).first { $0.contains("/2/snap-") && $0.contains("/indices/") })
        var bytes = try FileTree.read(list)
        bytes[bytes.count / 2] ^= 1
        try FileTree.write(list, bytes)
        let shown = try run(["snapshot", "show", "--repository", repository, "--snapshot", "snap-1", "-o", "json"])
        #expect(shown.ending == .exited(ExitCode.unreadable))
        #expect(shown.errorLines.count == 1 && shown.errorText.contains(list), "\(shown.errorText)")
        let indices = try #require(try shown.report()["indices"]?.arrayValue)
        #expect(indices.filter { $0["isReadable"]?.boolValue == false }.count == 1)
        #expect(indices.count == 6)

        let blob = try #require(
            FileTree.names(repository).first { $0.hasPrefix("snap-") }.map { "\(repository)/\($0)" })
        try FileTree.write(blob, [1, 2, 3])
        let listed = try run(["snapshot", "list", "--repository", repository])
        #expect(listed.ending == .exited(ExitCode.unreadable))
        #expect(listed.outputText.contains("UNREADABLE"))
        #expect(listed.errorLines.count == 1 && listed.errorText.contains(blob), "\(listed.errorText)")
    }

    @Test("errors: one line, the documented exit code")
    func errors() throws {
        let old = try fixture("elasticsearch-1.7.6/nested")
        let cases: [([String], Int32, String)] = [
            (["snapshot", "list", "--repository", scratch.path("none")], ExitCode.unavailable, "No such file"),
            (["snapshot", "list", "--repository", scratch.path], ExitCode.unreadable, "no snapshot repository"),
            (["snapshot", "list", "--repository", old], ExitCode.unreadable, "Elasticsearch 1.x"),
            (["snapshot", "lost"], ExitCode.usage, "list, show"),
            (["snapshots"], ExitCode.usage, "snapshot list"),
        ]
        for (words, code, text) in cases {
            let run = try run(words)
            #expect(run.ending == .exited(code), "\(words): \(run.errorText)")
            #expect(run.errorLines.count == 1 && run.errorText.contains(text), "\(run.errorText)")
            #expect(run.outputText.isEmpty)
        }
        let usage = try run(["snapshot", "show", "--repositry", "x", "-o", "xml"])
        #expect(usage.ending == .exited(ExitCode.usage))
        for name in ["--repository: required", "--snapshot: required", "did you mean --repository", "--output: "] {
            #expect(usage.errorText.contains(name), "\(name): \(usage.errorText)")
        }
        #expect(try run(["--help"]).outputText.contains("Exit status"))
    }
}
