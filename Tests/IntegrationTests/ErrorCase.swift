import Foundation
import JSONBytes
import TestSupport
import Testing

/// A place to make things go wrong in: a synthetic snapshot, its ids, a sink that records, and runs of the program.
final class ErrorCase {
    let scratch: TemporaryFolder
    let ids: Set<String>
    private var runCount = 0

    /// What one run left behind.
    struct Run {
        let ending: ChildProcess.Ending
        let errorText: String
        let outputText: String

        /// Lines on standard error.
        var errorLines: [String] { errorText.split(separator: "\n").map(String.init) }

        func report() throws -> JSONValue { try JSONValue.parse(Array(outputText.utf8)) }
    }

    init(
        _ label: String = "case", documents: Int = 400, segments: Int = 1,
        options change: (inout SyntheticSnapshot) -> Void = { _ in }
    ) throws {
        scratch = try TemporaryFolder(label)
        var snapshot = SyntheticSnapshot()
        snapshot.segmentsPerShard = segments
        change(&snapshot)
        var ids: Set<String> = []
        _ = try snapshot.write(to: scratch.path("repo"), documentLimit: documents) { ids.insert($0) }
        self.ids = ids
    }

    var repository: String { scratch.path("repo") }
    var deadLetters: String { scratch.path("state/dead-letters.jsonl") }

    /// Words of a run that logs errors alone, so that standard error holds the one line that matters.
    func words(
        target: String, repository: String? = nil, snapshot: String = "snapshot-1", coordinator: String? = nil,
        _ more: [String] = []
    ) -> [String] {
        [
            TestEnvironment.millraced ?? "", "backfill", "--repository", repository ?? self.repository, "--snapshot",
            snapshot, "--target", target, "--coordinator", "file://\(coordinator ?? scratch.path("state"))",
            "--progress", "none", "--log-format", "json", "--log-level", "error", "--retry-for", "2s",
        ] + more
    }

    func start(_ words: [String]) throws -> (process: ChildProcess, name: String) {
        runCount += 1
        let name = "run-\(runCount)"
        return (try ChildProcess(words, folder: scratch.path, name: name), name)
    }

    func run(_ words: [String]) throws -> Run {
        let process = try start(words).process
        return Self.end(process)
    }

    static func end(_ process: ChildProcess) -> Run {
        let ending = process.wait()
        return Run(ending: ending, errorText: process.errorText, outputText: process.outputText)
    }

    /// One line on standard error that names what it is about, the same message in the report, and the exit code in
    /// both.
    static func expectFailure(
        _ run: Run, _ code: Int32, naming names: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let context = "\(run.errorText) \(run.outputText)"
        #expect(run.ending == .exited(code), "\(context)", sourceLocation: sourceLocation)
        #expect(run.errorLines.count == 1, "\(context)", sourceLocation: sourceLocation)
        let line = try JSONValue.parse(Array((run.errorLines.first ?? "").utf8))
        let reason = line["reason"]?.stringValue ?? ""
        #expect(line["level"]?.stringValue == "error", sourceLocation: sourceLocation)
        #expect(!reason.contains("\n") && reason.count <= 400, "\(reason)", sourceLocation: sourceLocation)
        for name in names { #expect(reason.contains(name), "\(name): \(reason)", sourceLocation: sourceLocation) }
        let report = try run.report()
        #expect(report["message"]?.stringValue == reason, sourceLocation: sourceLocation)
        #expect(report["exitCode"]?.intValue == Int64(code), sourceLocation: sourceLocation)
        #expect(report["outcome"]?.stringValue == "stopped", sourceLocation: sourceLocation)
        if let path = TestEnvironment.variable("MILLRACE_SHOW_MESSAGES") {
            let shown = "\(code) \(reason)\n"
            if let file = fopen(path, "a") {
                fputs(shown, file)
                fclose(file)
            }
        }
    }

    /// A run into the sink that migrates everything that had not arrived, and nothing twice.
    func expectCompletes(
        _ sink: BulkSink, _ words: [String]? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let run = try run(words ?? self.words(target: sink.url))
        #expect(
            run.ending == .exited(ExitCode.done), "\(run.errorText) \(run.outputText)", sourceLocation: sourceLocation)
        #expect(Self.arrived(sink).sorted() == ids.sorted(), sourceLocation: sourceLocation)
    }

    /// Ids in the order of arrival.
    static func arrived(_ sink: BulkSink) -> [String] {
        sink.recordedLines.map { String($0.split(separator: "\t").last ?? "") }
    }

    static func recordingSink(_ change: (inout SinkOptions) -> Void = { _ in }) throws -> BulkSink {
        var options = SinkOptions()
        options.isRecording = true
        change(&options)
        return try BulkSink(options)
    }

    /// Blobs of the repository by the beginning or the end of their names.
    func blobs(_ matches: (String) -> Bool) throws -> [String] {
        try FileTree.allFiles(repository).map(\.path).filter { path in
            matches(String(path.dropFirst(repository.count + 1)))
        }
    }

    /// The largest blob: stored fields' data.
    func dataBlob() throws -> String {
        try #require(try FileTree.allFiles(repository).max { $0.bytes < $1.bytes }).path
    }
}
