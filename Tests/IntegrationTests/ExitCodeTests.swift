import TestSupport
import Testing

/// The program's exit codes where no service is needed.
@Suite("Exit codes of millraced", .enabled(if: TestEnvironment.millraced != nil))
struct ExitCodeTests {
    private let scratch: TemporaryFolder

    init() throws {
        scratch = try TemporaryFolder("exit")
        var snapshot = SyntheticSnapshot()
        snapshot.segmentsPerShard = 1
        _ = try snapshot.write(to: scratch.path("repo"), documentLimit: 50)
    }

    private func run(_ words: [String]) throws -> ChildProcess { try ChildProcess(words, folder: scratch.path) }

    private func backfill(repository: String? = nil, snapshot: String = "snapshot-1", target: String = "null:") throws
        -> ChildProcess
    {
        try run(
            try TestEnvironment.backfill(
                repository: repository ?? scratch.path("repo"), snapshot: snapshot, target: target,
                coordinator: scratch.path("state"), ["--retry-for", "1s", "--request-timeout", "1s"]))
    }

    @Test("everything read: 0")
    func done() throws {
        let run = try backfill()
        #expect(run.wait() == .exited(ExitCode.done), "\(run.errorText)")
    }

    @Test("no flags: 64, and each missing one is named")
    func usage() throws {
        let run = try run([TestEnvironment.millraced ?? "", "backfill"])
        #expect(run.wait() == .exited(ExitCode.usage))
        for flag in ["--repository", "--snapshot", "--target"] { #expect(run.errorText.contains(flag)) }
    }

    @Test("unknown snapshot: 65, and the existing one is named")
    func unknownSnapshot() throws {
        let run = try backfill(snapshot: "snapshot-2")
        #expect(run.wait() == .exited(ExitCode.unreadable))
        #expect((run.errorText + run.outputText).contains("snapshot-1"))
    }

    @Test("a flipped byte of a data file: 65, and the blob or file is named")
    func corruptBlob() throws {
        let blob = try #require(try largestFile(scratch.path("repo/indices")))
        var bytes = try FileTree.read(blob)
        bytes[bytes.count / 2] ^= 0x20
        try FileTree.write(blob, bytes)
        let run = try backfill()
        #expect(run.wait() == .exited(ExitCode.unreadable), "\(run.errorText)")
        #expect((run.errorText + run.outputText).contains("_0.fdt"))
    }

    @Test("a truncated index-N: 65")
    func truncatedIndex() throws {
        let path = scratch.path("repo/index-0")
        try FileTree.write(path, Array(try FileTree.read(path).dropLast(10)))
        let run = try backfill()
        #expect(run.wait() == .exited(ExitCode.unreadable), "\(run.errorText)")
        #expect((run.errorText + run.outputText).contains("index-0"))
    }

    @Test("no such repository folder: 69")
    func noRepository() throws {
        let run = try backfill(repository: scratch.path("nowhere"))
        #expect(run.wait() == .exited(ExitCode.unavailable), "\(run.errorText)")
    }

    @Test("nobody listens at the target: 69")
    func noTarget() throws {
        let sink = try BulkSink()
        let url = sink.url
        sink.stop()
        let run = try backfill(target: url)
        #expect(run.wait() == .exited(ExitCode.unavailable), "\(run.errorText)")
    }

    private func largestFile(_ folder: String) throws -> String? {
        try FileTree.allFiles(folder).max { $0.bytes < $1.bytes }?.path
    }
}
