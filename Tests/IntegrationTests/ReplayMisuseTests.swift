import Foundation
import TestSupport
import Testing

/// What an operator gets wrong: the message says what to do, and the exit status is the one that `--help` names.
@Suite("Misuse of replay", .enabled(if: TestEnvironment.millraced != nil))
struct ReplayMisuseTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        /// SCRATCH stands for a folder of the test; it holds an empty log, `log`.
        let flags: [String: String]
        let status: Int32
        let says: [String]

        init(_ name: String, _ flags: [String: String], _ status: Int32, _ says: [String]) {
            testDescription = name
            self.flags = flags
            self.status = status
            self.says = says
        }
    }

    private static let cases = [
        Case("unknown flag", ["--bogus": "1"], 64, ["--bogus", "--help"]),
        Case(
            "every value that is wrong", ["--speed": "fast", "--until": "yesterday", "--in-flight": "0"], 64,
            ["--speed", "--until", "--in-flight"]),
        Case("too little memory", ["--memory": "1MiB"], 64, ["64MiB"]),
        Case("no such scheme of a log", ["--log": "http://here"], 64, ["kafka://", "file:///", "archive:///"]),
        Case("a topic without a group", ["--log": "kafka://127.0.0.1:9/topic"], 64, ["?group="]),
        Case("a target that is no URL", ["--target": "ftp://here"], 64, ["--target", "http://"]),
        Case("no such rules", ["--rules": "SCRATCH/none"], 64, ["--rules", "SCRATCH/none"]),
        Case("rules that are none", ["--rules": "/dev/null"], 64, ["--rules"]),
        Case("no such log", ["--log": "file://SCRATCH/none"], 69, ["--log", "SCRATCH/none"]),
        Case("no such archive", ["--log": "archive://SCRATCH/none.gz"], 69, ["--log", "SCRATCH/none.gz"]),
        Case("a record that is not there", ["--from": "0:100"], 69, ["record 100 does not exist"]),
        Case("the tuples' folder has no parent", ["--tuples": "SCRATCH/a/b"], 69, ["SCRATCH/a/b", "parent"]),
        Case("the tuples' folder is a file", ["--tuples": "/etc/passwd"], 69, ["/etc/passwd"]),
        Case("nothing can be written into the tuples' folder", ["--tuples": "/proc"], 69, ["/proc", "written"]),
        Case("nothing can be written into the dead letters' folder", ["--dead-letters": "/proc"], 69, ["/proc"]),
        Case(
            "no such authority", ["--target": "https://127.0.0.1:9", "--ca-file": "SCRATCH/none"], 69,
            ["SCRATCH/none"]),
    ]

    private static func words(_ flags: [String: String], _ scratch: TemporaryFolder) -> [String] {
        var all = [
            "--log": "file://SCRATCH/log", "--target": "http://127.0.0.1:9", "--tuples": "SCRATCH/tuples",
            "--dead-letters": "SCRATCH/dead-letters", "--until": "end", "--log-format": "json",
        ]
        all.merge(flags) { $1 }
        return [TestEnvironment.millraced ?? "millraced", "replay"]
            + all.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value.replacing("SCRATCH", with: scratch.path)] }
    }

    @Test("is refused, and the message says what to do", arguments: cases)
    func misuse(_ misuse: Case) throws {
        let scratch = try TemporaryFolder("replay-misuse")
        try ReplayTraffic(requestCount: 0).write(to: "file://" + scratch.path("log"))
        let run = try ChildProcess(Self.words(misuse.flags, scratch), folder: scratch.path)
        #expect(run.wait() == .exited(misuse.status), "\(run.errorText)")
        for text in misuse.says {
            #expect(run.errorText.contains(text.replacing("SCRATCH", with: scratch.path)), "\(run.errorText)")
        }
        #expect(run.errorText.split(separator: "\n").count <= 6, "\(run.errorText)")
    }

    @Test("no flags: 64, and each that is missing is named")
    func nothing() throws {
        let scratch = try TemporaryFolder("replay-misuse")
        let run = try ChildProcess([TestEnvironment.millraced ?? "", "replay"], folder: scratch.path)
        #expect(run.wait() == .exited(ExitCode.usage))
        for flag in ["--log", "--target", "--tuples", "--dead-letters"] { #expect(run.errorText.contains(flag)) }
    }

    @Test("a second instance of a file log's group: 69; the first goes on, and another group may read")
    func secondInstance() throws {
        let scratch = try TemporaryFolder("replay-second")
        let log = "file://" + scratch.path("log")
        try ReplayTraffic(requestCount: 10, connectionCount: 2).write(to: log)
        var options = SinkOptions()
        options.journalPath = scratch.path("journal")
        let sink = try BulkSink(options)
        defer { sink.stop() }
        let first = try ReplayRun(log: log + "?group=g", target: sink.url, [], scratch: scratch, name: "first")
        #expect(ReplayRun.wait(30) { sink.snapshot.otherRequests == 10 })
        let second = try ReplayRun(log: log + "?group=g", target: sink.url, scratch: scratch, name: "second")
        #expect(second.end() == .exited(ExitCode.unavailable), "\(second.process.errorText)")
        #expect(second.process.errorText.contains("group"), "\(second.process.errorText)")
        let other = try ReplayRun(log: log + "?group=h", target: sink.url, scratch: scratch, name: "other")
        #expect(other.end() == .exited(0), "\(other.process.errorText)")
        #expect(first.isRunning)
        #expect(first.stop() == .exited(0), "\(first.process.errorText)")
    }

    /// The disk is full from the beginning of a file on (RLIMIT_FSIZE), until there is room again.
    @Test("the disk is full: nothing is committed, an operator is told, and the next run with room does the rest")
    func diskFull() throws {
        let scratch = try TemporaryFolder("replay-full")
        let traffic = ReplayTraffic(requestCount: 3000, connectionCount: 20)
        let log = "file://" + scratch.path("log")
        try traffic.write(to: log)
        var options = SinkOptions()
        options.journalPath = scratch.path("journal")
        let sink = try BulkSink(options)
        defer { sink.stop() }
        let words = Self.words(
            ["--log": log + "?group=g", "--target": sink.url, "--speed": "max", "--drain-timeout": "2s"], scratch)
        // In blocks of 512 bytes, or of 1024 as bash counts: more than the log and the position need. Not to be killed
        // for it is inherited.
        let script = "trap '' XFSZ; ulimit -f 40; exec \"$@\""
        let full = try ChildProcess(["sh", "-c", script, "sh"] + words, folder: scratch.path, name: "full")
        #expect(ReplayRun.wait(30) { full.errorText.contains("a file cannot be written") }, "\(full.errorText)")
        #expect(CaptureBroker.state(full.processID).map { $0 != "Z" } ?? false, "it goes on trying")
        full.kill(SIGTERM)
        #expect(full.wait() == .exited(3), "\(full.errorText)")
        #expect(full.errorText.split(separator: "\n").count < 100)
        #expect(try ReplayRun.lag(log + "?group=g", partitions: 1) > 0, "what is not written down is not done with")
        let roomy = try ReplayRun(log: log + "?group=g", target: sink.url, scratch: scratch, name: "roomy")
        #expect(roomy.end() == .exited(0), "\(roomy.process.errorText)")
        try ReplayJournal(scratch.path("journal")).check(traffic)
        #expect(try ReplayRun.lag(log + "?group=g", partitions: 1) == 0)
    }
}
