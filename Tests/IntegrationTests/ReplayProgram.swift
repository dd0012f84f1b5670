import Foundation
import JSONBytes
import TestSupport
import Testing

/// The built `millraced replay`, with its tuples and dead letters in a folder of their own.
final class ReplayProgram {
    let process: ChildProcess
    /// Folders; those of an earlier run of the same name are added to.
    let tuples: String
    let deadLetters: String

    /// Does not wait until it runs.
    init(
        log: String, target: String, _ more: [String] = [], scratch: TemporaryFolder, name: String = "replay",
        output: String = "replay"
    ) throws {
        tuples = scratch.path(output + "-tuples")
        deadLetters = scratch.path(output + "-dead-letters")
        for folder in [tuples, deadLetters] where !FileTree.isFolder(folder) { try FileTree.makeFolder(folder) }
        process = try ChildProcess(
            [
                TestEnvironment.millraced ?? "millraced", "replay", "--log", log, "--target", target, "--tuples",
                tuples,
                "--dead-letters", deadLetters, "--workers", "2", "--log-format", "json", "--admin", "127.0.0.1:0",
            ] + more, folder: scratch.path, name: name)
    }

    /// Asks for a clean stop and waits for it.
    func stop() -> ChildProcess.Ending {
        process.kill(SIGTERM)
        return process.wait()
    }

    /// The sum of a metric over its labels; nil when it is not served.
    func metric(_ name: String) throws -> Double? {
        let port = try CaptureRun.port("admin server", in: process)
        return try CaptureRun.metric(name, port: port)
    }

    /// Waits until the metric is at least `value`; false when it is not after `seconds`, or when the run ended.
    func waitForMetric(_ name: String, _ value: Double, seconds: Double = 60) throws -> Bool {
        let deadline = Date(timeIntervalSinceNow: seconds)
        repeat {
            if let now = try metric(name), now >= value { return true }
            usleep(10_000)
        } while Date() < deadline && CaptureBroker.state(process.processID) != "Z"
        return false
    }

    /// Lines of all files of dead letters.
    func letters() throws -> [JSONValue] {
        try FileManager.default.contentsOfDirectory(atPath: deadLetters).sorted().flatMap { name in
            try FileTree.read(deadLetters + "/" + name).split(separator: 0x0A).map { try JSONValue.parse(Array($0)) }
        }
    }

    /// What `millrace traffic report -o json` says about its tuples.
    func report(_ more: [String] = [], scratch: TemporaryFolder) throws -> ReplayReport {
        try ReplayReport(folder: tuples, more, scratch: scratch)
    }
}

/// `millrace traffic report -o json`.
struct ReplayReport {
    let ending: ChildProcess.Ending
    let json: JSONValue
    let text: String

    init(folder: String, _ more: [String], scratch: TemporaryFolder) throws {
        let words = [TestEnvironment.millrace ?? "millrace", "traffic", "report", folder, "-o", "json"]
        let process = try ChildProcess(words + more, folder: scratch.path, name: "report")
        ending = process.wait()
        text = process.outputText + process.errorText
        json = try JSONValue.parse(Array(process.outputText.utf8))
    }
}
