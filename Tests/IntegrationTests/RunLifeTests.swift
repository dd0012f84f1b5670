import Foundation
import JSONBytes
import TestSupport
import Testing

/// Places that cannot be written, signals, and watching a run.
@Suite("Places, signals and watching", .enabled(if: TestEnvironment.millraced != nil))
struct RunLifeTests {
    private static var isRoot: Bool { geteuid() == 0 }

    // MARK: - Places

    /// Runs `body` with a tmpfs of its own mounted there, read-only without options: permissions do not stop root,
    /// mounts do.
    private func withMount(_ errorCase: ErrorCase, options: String?, _ body: (String) throws -> Void) throws {
        let folder = errorCase.scratch.path("mount")
        try FileTree.makeFolder(folder)
        // The overlay does not show mount(2), and minimal systems lack the program of that name.
        typealias Mount =
            @convention(c) (
                UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafePointer<CChar>, UInt, UnsafePointer<CChar>?
            ) -> Int32
        let mount = unsafeBitCast(try #require(dlsym(nil, "mount")), to: Mount.self)
        let unmount = unsafeBitCast(
            try #require(dlsym(nil, "umount")), to: (@convention(c) (UnsafePointer<CChar>) -> Int32).self)
        try #require(mount("tmpfs", folder, "tmpfs", options == nil ? 1 : 0, options) == 0, "mount: errno \(errno)")
        defer { _ = unmount(folder) }
        try body(folder)
    }

    @Test("a file where the coordinator's folder should be")
    func coordinatorIsFile() throws {
        let errorCase = try ErrorCase("file")
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        let place = try errorCase.scratch.write("state", [1])
        let run = try errorCase.run(errorCase.words(target: sink.url))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["coordinator", place, "a folder is needed"])
        #expect(sink.snapshot.bulkRequests == 0)
        FileTree.remove(place)
        try errorCase.expectCompletes(sink)
    }

    @Test("a coordinator that cannot be written", .enabled(if: isRoot, "needs root, to mount a file system"))
    func coordinatorNotWritable() throws {
        let errorCase = try ErrorCase("readonly")
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        try withMount(errorCase, options: nil) { folder in
            for place in [folder, folder + "/below"] {
                let run = try errorCase.run(errorCase.words(target: sink.url, coordinator: place))
                try ErrorCase.expectFailure(
                    run, ExitCode.unavailable, naming: ["coordinator", place, "Read-only file system"])
            }
        }
        #expect(sink.snapshot.bulkRequests == 0)
        try errorCase.expectCompletes(sink)
    }

    @Test("no room for the coordinator", .enabled(if: isRoot, "needs root, to mount a file system"))
    func diskFull() throws {
        let errorCase = try ErrorCase("full", documents: 3000)
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        try withMount(errorCase, options: "size=1m") { folder in
            for free in [0, 20_000, 100_000] {
                let filler = folder + "/filler"
                try FileTree.write(filler, [UInt8](repeating: 1, count: (1 << 20) - free - 4096))
                let run = try errorCase.run(errorCase.words(target: sink.url, coordinator: folder + "/state"))
                if free < 50_000 {
                    try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["coordinator", folder])
                } else {
                    #expect([.exited(ExitCode.done), .exited(ExitCode.unavailable)].contains(run.ending))
                }
                FileTree.remove(filler)
            }
            let run = try errorCase.run(errorCase.words(target: sink.url, coordinator: folder + "/state"))
            #expect(run.ending == .exited(ExitCode.done), "\(run.errorText)")
            #expect(Set(ErrorCase.arrived(sink)) == errorCase.ids)
        }
    }

    @Test("a dead-letter file that cannot be opened: nothing is sent")
    func deadLettersNotWritable() throws {
        let errorCase = try ErrorCase("letters")
        let sink = try ErrorCase.recordingSink()
        defer { sink.stop() }
        for place in [
            "/proc/millrace.jsonl", errorCase.scratch.path("nowhere/d.jsonl"), errorCase.scratch.path("repo"),
        ] {
            let run = try errorCase.run(errorCase.words(target: sink.url, ["--dead-letters", place]))
            try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["dead-letter file", place])
        }
        #expect(sink.snapshot.bulkRequests == 0)
        try errorCase.expectCompletes(sink)
    }

    @Test("a dead-letter file on a full disk: no document passes the checkpoint unrecorded")
    func deadLettersFull() throws {
        let errorCase = try ErrorCase("devfull", documents: 300)
        let rejecting = try ErrorCase.recordingSink { $0.itemFault = SinkFault(every: 100, status: 400) }
        let run = try errorCase.run(errorCase.words(target: rejecting.url, ["--dead-letters", "/dev/full"]))
        try ErrorCase.expectFailure(run, ExitCode.unavailable, naming: ["/dev/full", "No space left on device"])
        let first = Set(ErrorCase.arrived(rejecting))
        rejecting.stop()
        let sink = try ErrorCase.recordingSink { $0.port = rejecting.port }
        defer { sink.stop() }
        let rest = try errorCase.run(errorCase.words(target: sink.url))
        #expect(rest.ending == .exited(ExitCode.done), "\(rest.errorText)")
        #expect(first.union(ErrorCase.arrived(sink)) == errorCase.ids)
    }

    // MARK: - Signals

    @Test("SIGTERM and SIGINT in the middle: resumable", arguments: [SIGTERM, SIGINT])
    func signalled(signal: Int32) throws {
        let errorCase = try ErrorCase("signal", documents: 6000, segments: 2)
        let sink = try ErrorCase.recordingSink { $0.delayMilliseconds = 30 }
        defer { sink.stop() }
        let words = errorCase.words(target: sink.url, ["--bulk-bytes", "64KiB", "--connections", "2"])
        let process = try errorCase.start(words).process
        #expect(sink.waitForDocuments(200, seconds: 60))
        process.kill(signal)
        let run = ErrorCase.end(process)
        try ErrorCase.expectFailure(run, 128 + signal, naming: [signal == SIGINT ? "SIGINT" : "SIGTERM"])
        let before = sink.snapshot.documents
        #expect(before < errorCase.ids.count)
        #expect(try run.report()["total"]?["migrated"]?.intValue == Int64(before), "every answer was awaited and saved")
        // Exactly the rest: an orderly end leaves nothing in doubt.
        try errorCase.expectCompletes(sink, words)
    }

    @Test("the same command again does nothing and ends as before", arguments: [0, 100])
    func again(rejectedEvery: Int) throws {
        let errorCase = try ErrorCase("again", documents: 1000)
        let sink = try ErrorCase.recordingSink {
            if rejectedEvery > 0 { $0.itemFault = SinkFault(every: rejectedEvery, status: 400) }
        }
        defer { sink.stop() }
        let expected = rejectedEvery > 0 ? ExitCode.doneWithOmissions : ExitCode.done
        var totals: [JSONValue?] = []
        for _ in 1...2 {
            let run = try errorCase.run(errorCase.words(target: sink.url))
            #expect(run.ending == .exited(expected), "\(run.errorText)")
            totals.append(try run.report()["total"])
        }
        #expect(totals[0] == totals[1])
        #expect(sink.snapshot.documents + sink.snapshot.rejected == errorCase.ids.count)
    }

    // MARK: - Watching

    @Test("the admin server answers while a run is slow")
    func admin() throws {
        let errorCase = try ErrorCase("admin", documents: 6000)
        let sink = try ErrorCase.recordingSink { $0.delayMilliseconds = 50 }
        defer { sink.stop() }
        // A port that was free a moment ago.
        let probe = try BulkSink()
        let port = probe.port
        probe.stop()
        let words = errorCase.words(
            target: sink.url, ["--bulk-bytes", "64KiB", "--connections", "1", "--admin", "127.0.0.1:\(port)"])
        let process = try errorCase.start(words).process
        #expect(sink.waitForDocuments(100, seconds: 60))
        let base = "http://127.0.0.1:\(port)"
        #expect(try RestCall.send("GET", base, "/healthz").status == 200)
        #expect(try RestCall.send("GET", base, "/readyz").status == 200)
        let answer = try RestCall.send("GET", base, "/metrics")
        #expect(answer.status == 200)
        let metrics = String(decoding: answer.body, as: UTF8.self)
        #expect(metrics.contains("# TYPE backfill_documents_migrated_total counter"), "\(metrics)")
        #expect(try RestCall.send("GET", base, "/nothing").status == 404)
        #expect(sink.snapshot.documents < errorCase.ids.count, "it was still running")
        process.kill(SIGTERM)
        #expect(process.wait() == .exited(143))
    }

    @Test("an admin address that is taken: nothing is begun")
    func adminTaken() throws {
        let errorCase = try ErrorCase("taken")
        let sink = try BulkSink()
        defer { sink.stop() }
        let listener = try AnsweringServer(.reset)
        defer { listener.stop() }
        let run = try errorCase.run(errorCase.words(target: sink.url, ["--admin", "127.0.0.1:\(listener.port)"]))
        #expect(run.ending == .exited(ExitCode.unavailable))
        #expect(run.errorLines.count == 1, "\(run.errorText)")
        #expect(run.errorText.contains("--admin") && run.errorText.contains("127.0.0.1:\(listener.port)"))
        #expect(sink.snapshot.bulkRequests == 0)
    }
}
