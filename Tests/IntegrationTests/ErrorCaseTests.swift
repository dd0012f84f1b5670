import Foundation
import TestSupport
import Testing

/// Repositories and usage that are wrong: one clear line, the documented exit code, nothing half-done, and a run after
/// mending that completes.
@Suite("Repositories and usage that are wrong", .enabled(if: TestEnvironment.millraced != nil))
struct ErrorCaseTests {
    /// Damages a file by `change`, expects the run to say so and to send nothing, mends it, and expects the rest.
    private func expectDamageIsTold(
        _ errorCase: ErrorCase, _ path: String, naming names: [String], sent: Int = 0,
        sourceLocation: SourceLocation = #_sourceLocation, change: ([UInt8]) -> [UInt8]?
    ) throws {
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        let bytes = try FileTree.read(path)
        if let changed = change(bytes) { try FileTree.write(path, changed) } else { FileTree.remove(path) }
        let run = try errorCase.run(errorCase.words(target: sink.url))
        try ErrorCase.expectFailure(run, ExitCode.unreadable, naming: names, sourceLocation: sourceLocation)
        #expect(sink.snapshot.documents == sent, sourceLocation: sourceLocation)
        try FileTree.write(path, bytes)
        try errorCase.expectCompletes(sink, sourceLocation: sourceLocation)
    }

    private static func flipped(_ bytes: [UInt8], at position: Int) -> [UInt8] {
        var bytes = bytes
        bytes[position] ^= 0x10
        return bytes
    }

    private func name(_ path: String) -> String { String(path.split(separator: "/").last ?? "") }

    // MARK: - Blobs

    @Test("a flipped bit of stored fields", arguments: [0.0, 0.3, 0.999])
    func flippedData(place: Double) throws {
        let errorCase = try ErrorCase("flip")
        try expectDamageIsTold(errorCase, try errorCase.dataBlob(), naming: ["logs-synthetic/0", "_0.fdt"]) {
            Self.flipped($0, at: Int(Double($0.count - 1) * place))
        }
    }

    @Test("a flipped bit in the largest of three segments: the others arrive, and after mending the rest, once")
    func flippedSegment() throws {
        let errorCase = try ErrorCase("flip3", documents: 1000, segments: 3)
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        let path = try errorCase.dataBlob()
        let bytes = try FileTree.read(path)
        try FileTree.write(path, Self.flipped(bytes, at: bytes.count / 2))
        let run = try errorCase.run(errorCase.words(target: sink.url))
        try ErrorCase.expectFailure(run, ExitCode.unreadable, naming: ["logs-synthetic/0", ".fdt"])
        #expect(sink.snapshot.documents < errorCase.ids.count)
        try FileTree.write(path, bytes)
        try errorCase.expectCompletes(sink)
    }

    @Test("a flipped bit in a shard's list of files")
    func flippedShardList() throws {
        let errorCase = try ErrorCase("list")
        let list = try #require(try errorCase.blobs { $0.contains("/0/snap-") }.first)
        try expectDamageIsTold(errorCase, list, naming: [name(list)]) { Self.flipped($0, at: $0.count / 2) }
    }

    @Test("a flipped bit in index-N, in its syntax and in a name", arguments: ["{", "uuid\":\""])
    func flippedIndex(place: String) throws {
        let errorCase = try ErrorCase("index")
        try expectDamageIsTold(errorCase, errorCase.scratch.path("repo/index-0"), naming: ["repo/"]) { bytes in
            let text = Array(place.utf8)
            let start = bytes.indices.first { bytes[$0...].starts(with: text) } ?? 0
            return Self.flipped(bytes, at: start + text.count - (text.count == 1 ? 1 : 0))
        }
    }

    @Test("a blob that was cut off")
    func truncatedBlob() throws {
        let errorCase = try ErrorCase("cut")
        let blob = try errorCase.dataBlob()
        try expectDamageIsTold(errorCase, blob, naming: ["logs-synthetic/0", "_0.fdt", name(blob)]) {
            Array($0.prefix($0.count / 2))
        }
    }

    @Test("a blob that is not there")
    func missingBlob() throws {
        let errorCase = try ErrorCase("gone")
        let blob = try errorCase.dataBlob()
        try expectDamageIsTold(errorCase, blob, naming: ["logs-synthetic/0", "_0.fdt", name(blob)]) { _ in nil }
    }

    @Test("a part of a blob that is not there")
    func missingPart() throws {
        let errorCase = try ErrorCase("part") { $0.options.partBytes = 20_000 }
        let part = try #require(try errorCase.blobs { $0.hasSuffix(".part1") }.first)
        try expectDamageIsTold(errorCase, part, naming: ["logs-synthetic/0", name(part)]) { _ in nil }
    }

    @Test("the snapshot's own blob and an index's metadata", arguments: ["snap-", "indices/"])
    func damagedMetadata(place: String) throws {
        let errorCase = try ErrorCase("meta")
        let blob = try #require(
            try errorCase.blobs { $0.hasPrefix(place) && $0.hasSuffix(".dat") && !$0.contains("/0/") }.first)
        try expectDamageIsTold(errorCase, blob, naming: [name(blob)]) { Self.flipped($0, at: $0.count / 2) }
    }

    // MARK: - Repositories

    @Test("an unknown snapshot: the existing ones are listed")
    func unknownSnapshot() throws {
        let errorCase = try ErrorCase("unknown")
        let run = try errorCase.run(errorCase.words(target: "null:", snapshot: "nightly"))
        try ErrorCase.expectFailure(run, ExitCode.unreadable, naming: ["'nightly'", "'snapshot-1'"])
    }

    @Test("an empty folder, no folder, a file as repository")
    func noRepository() throws {
        let errorCase = try ErrorCase("none")
        let folder = errorCase.scratch.path("empty")
        try FileTree.makeFolder(folder)
        var run = try errorCase.run(errorCase.words(target: "null:", repository: folder))
        try ErrorCase.expectFailure(run, ExitCode.unreadable, naming: [folder, "no snapshot repository"])
        run = try errorCase.run(errorCase.words(target: "null:", repository: errorCase.scratch.path("nowhere")))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["nowhere", "No such file or directory"])
        let file = try errorCase.scratch.write("file", [1])
        run = try errorCase.run(errorCase.words(target: "null:", repository: file))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: [file, "not a folder"])
    }

    private func unpacked(_ archive: String, _ errorCase: ErrorCase) throws -> String {
        let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let path = top.appendingPathComponent("Fixtures/repositories/\(archive.replacing("/", with: "_")).tar.xz").path
        let tar = try ChildProcess(
            ["/bin/tar", "-xJf", path, "-C", errorCase.scratch.path], folder: errorCase.scratch.path, name: "tar")
        try #require(tar.wait() == .exited(0), "\(tar.errorText)")
        return errorCase.scratch.path("\(archive)/repo")
    }

    @Test("a repository of Elasticsearch 1.7")
    func elasticsearch1() throws {
        let errorCase = try ErrorCase("es1")
        let repository = try unpacked("elasticsearch-1.7.6/nested", errorCase)
        let run = try errorCase.run(errorCase.words(target: "null:", repository: repository, snapshot: "tree"))
        try ErrorCase.expectFailure(run, ExitCode.unreadable, naming: [repository, "Elasticsearch 1.x"])
    }

    @Test("indices of Elasticsearch 5.6 are left out one by one, with the reason, and nothing is sent")
    func elasticsearch5() throws {
        let errorCase = try ErrorCase("es5")
        let repository = try unpacked("elasticsearch-5.6.16/nested", errorCase)
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        let run = try errorCase.run(errorCase.words(target: sink.url, repository: repository, snapshot: "tree"))
        #expect(run.ending == .exited(ExitCode.doneWithOmissions), "\(run.errorText)")
        let leftOut = try #require(try run.report()["leftOut"]?.arrayValue)
        #expect(
            leftOut.map { $0["index"]?.stringValue } == ["family", "join", "orders", "orders-one", "orders-routed"])
        for entry in leftOut {
            #expect(entry["reason"]?.stringValue == "unsupported_index")
            #expect(entry["detail"]?.stringValue?.contains("Elasticsearch 5") == true)
        }
        #expect(sink.snapshot.bulkRequests == 0)
    }

    @Test("a PARTIAL snapshot is refused, and with --accept-partial comes without what it lacks")
    func partial() throws {
        let errorCase = try ErrorCase("partial")
        let repository = try unpacked("opensearch-2.19.1/partial", errorCase)
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        var run = try errorCase.run(errorCase.words(target: sink.url, repository: repository, snapshot: "partial"))
        try ErrorCase.expectFailure(
            run, ExitCode.unreadable, naming: ["partial", "PARTIAL", "broken/2", "--accept-partial"])
        #expect(sink.snapshot.bulkRequests == 0)
        let words = errorCase.words(
            target: sink.url, repository: repository, snapshot: "partial", ["--accept-partial"])
        for _ in 1...2 {
            run = try errorCase.run(words)
            #expect(run.ending == .exited(ExitCode.doneWithOmissions), "\(run.errorText)")
            #expect(ErrorCase.arrived(sink).count == 40, "each of the 40 documents once")
            let leftOut = try #require(try run.report()["leftOut"]?.arrayValue)
            #expect(leftOut.count == 1)
            #expect(leftOut.first?["index"]?.stringValue == "broken")
            #expect(leftOut.first?["shard"]?.intValue == 2)
        }
    }

    // MARK: - Usage

    @Test("every mistake of usage at once, and nothing is done")
    func usage() throws {
        let errorCase = try ErrorCase("usage")
        let run = try errorCase.run([
            TestEnvironment.millraced ?? "", "backfill", "--repository", "s3://bucket", "--target", "ftp://x",
            "--bulk-bytes", "1", "--workers", "many", "--indx", "a", "--index", "logs-*", "--progress", "loud",
            "--coordinator", errorCase.scratch.path("state"), "--username", "admin",
        ])
        #expect(run.ending == .exited(ExitCode.usage))
        #expect(run.outputText.isEmpty)
        for name in [
            "--repository: ", "--snapshot: required", "--target: ", "--bulk-bytes: ", "--workers: ",
            "--indx: unknown flag; did you mean --index?", "--index: ", "--progress: ", "--coordinator: ",
            "--username and a password",
        ] {
            #expect(run.errorLines.filter { $0.contains(name) }.count == 1, "\(name): \(run.errorText)")
        }
        #expect(!FileTree.isFolder(errorCase.scratch.path("state")))
    }

    @Test("an index that the snapshot does not hold is an error, not an empty success")
    func unmatchedIndex() throws {
        let errorCase = try ErrorCase("index")
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        for names in [["logs"], ["logs-synthetic", "logs"], ["regex:log"], ["regex:logs-.*", "regex:x.*"]] {
            let run = try errorCase.run(errorCase.words(target: sink.url, names.flatMap { ["--index", $0] }))
            try ErrorCase.expectFailure(
                run, ExitCode.unreadable, naming: ["snapshot-1", "--index \(names.last ?? "")", "logs-synthetic"])
        }
        #expect(sink.snapshot.bulkRequests == 0)
        try errorCase.expectCompletes(sink, errorCase.words(target: sink.url, ["--index", "regex:.*-synth[a-z]+"]))
    }

    @Test("a literal name is no expression: its dot is a dot")
    func literalIndex() throws {
        let errorCase = try ErrorCase("literal") { $0.indexName = "logs.2024" }
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        let run = try errorCase.run(errorCase.words(target: sink.url, ["--index", "logs-2024"]))
        try ErrorCase.expectFailure(run, ExitCode.unreadable, naming: ["--index logs-2024", "logs.2024"])
        try errorCase.expectCompletes(sink, errorCase.words(target: sink.url, ["--index", "logs.2024"]))
    }
}
