import Foundation
import JSONBytes
import TestSupport
import Testing
import TrafficLog

/// The built `millraced replay` between a log and a sink.
final class ReplayRun {
    let process: ChildProcess
    let tuplesFolder: String
    let deadLettersFolder: String

    /// Does not wait until it runs.
    /// - Parameters:
    ///   - log: address with its group.
    ///   - output: what its folders' names begin with; those of an earlier run of the same name are added to.
    init(
        log: String, target: String, _ more: [String] = ["--until", "end"], speed: String = "max",
        scratch: TemporaryFolder, name: String = "replay", output: String = ""
    ) throws {
        tuplesFolder = scratch.path(output + "tuples")
        deadLettersFolder = scratch.path(output + "dead-letters")
        process = try ChildProcess(
            [
                TestEnvironment.millraced ?? "millraced", "replay", "--log", log, "--target", target, "--tuples",
                tuplesFolder, "--dead-letters", deadLettersFolder, "--speed", speed, "--log-format", "json", "--admin",
                "127.0.0.1:0",
            ] + more, folder: scratch.path, name: name)
    }

    var isRunning: Bool { CaptureBroker.state(process.processID).map { $0 != "Z" } ?? false }

    /// Waits for its end; kills it, and says nil, when it has not ended after `seconds`.
    func end(seconds: Double = 120) -> ChildProcess.Ending? {
        guard Self.wait(seconds, { !self.isRunning }) else {
            process.kill(SIGKILL)
            process.wait()
            return nil
        }
        return process.wait()
    }

    /// Asks it to end in order.
    func stop(seconds: Double = 60) -> ChildProcess.Ending? {
        process.kill(SIGTERM)
        return end(seconds: seconds)
    }

    /// The value of a metric, all labels together; nil when it is not served.
    func metric(_ name: String) throws -> Double? {
        try CaptureRun.metric(name, port: CaptureRun.port("admin server", in: process))
    }

    /// Waits until the metric is at least `value`; false when it is not after `seconds`, or when the run ended.
    func waitForMetric(_ name: String, _ value: Double, seconds: Double = 60) throws -> Bool {
        var isReached = false
        try Self.wait(seconds) {
            isReached = try (metric(name) ?? 0) >= value
            return isReached || !isRunning
        }
        return isReached
    }

    /// What `millrace traffic report -o json` says about its tuples.
    func report(_ more: [String] = [], scratch: TemporaryFolder) throws -> ReplayReport {
        try ReplayReport(folder: tuplesFolder, more, scratch: scratch)
    }

    /// Memory that the process has resident, or had at its peak (`VmHWM`), bytes.
    func memory(_ name: String = "VmHWM") -> Int {
        let bytes = (try? FileTree.read("/proc/\(process.processID)/status")) ?? []
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(name + ":") }
        return (line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first).flatMap { Int($0) }
            .map { $0 << 10 } ?? 0
    }

    /// Dead letters that are there now, finished files or not.
    func deadLetters() throws -> [JSONValue] {
        try FileTree.names(deadLettersFolder).flatMap { name in
            try FileTree.read(deadLettersFolder + "/" + name).split(separator: 0x0A).map {
                try JSONValue.parse(Array($0))
            }
        }
    }

    /// A condition that nobody reports is looked at again and again.
    @discardableResult
    static func wait(_ seconds: Double, _ isDone: () throws -> Bool) rethrows -> Bool {
        let deadline = CapturePacedLoad.now + seconds
        while try !isDone() {
            if CapturePacedLoad.now > deadline { return try isDone() }
            usleep(2000)
        }
        return true
    }

    /// Records that a group has not done with, by its committed positions, over all partitions of a log.
    static func lag(_ log: String, partitions: Int) throws -> Int64 {
        let reader = try TrafficLogAddress.parse(log).openGroupReader()
        defer { reader.close() }
        var starts: [Int32: PartitionStart] = [:]
        let deadline = CapturePacedLoad.now + 60
        while starts.count < partitions, CapturePacedLoad.now < deadline {
            if case .assigned(let assigned)? = try reader.next(within: .milliseconds(50), recordLimit: 1) {
                for start in assigned { starts[start.partition] = start }
            }
        }
        try #require(starts.count == partitions)
        return starts.values.reduce(0) { $0 + $1.endOffset - $1.offset }
    }
}

/// Where the tests' logs are: files, or a real broker.
enum ReplayLogKind: String, CaseIterable, Sendable, CustomStringConvertible {
    case file, kafka

    var description: String { rawValue }
    var partitionCount: Int { self == .file ? 1 : 4 }

    static var available: [ReplayLogKind] { TestEnvironment.kafka == nil ? [.file] : allCases }

    /// Address of a new log, without a group.
    func make(_ label: String, _ scratch: TemporaryFolder) throws -> String {
        switch self {
        case .file: "file://" + scratch.path("log-\(label)")
        case .kafka: try CaptureBroker().makeTopic(label, partitions: Int32(partitionCount))
        }
    }
}
