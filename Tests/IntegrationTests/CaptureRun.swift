import Foundation
import JSONBytes
import TestSupport
import Testing

/// The built `millraced capture` in front of a source, on a port that the kernel chooses.
final class CaptureRun {
    let process: ChildProcess
    let port: Int
    private let adminPort: Int

    /// Returns when it listens.
    convenience init(
        source: CaptureSource, log: String, _ more: [String] = [], scratch: TemporaryFolder, name: String = "capture"
    ) throws {
        try self.init(source: "http://127.0.0.1:\(source.port)", log: log, more, scratch: scratch, name: name)
    }

    /// - Parameter source: URL of the source cluster.
    init(
        source: String, log: String, _ more: [String] = [], scratch: TemporaryFolder, name: String = "capture"
    ) throws {
        let process = try ChildProcess(
            [
                TestEnvironment.millraced ?? "millraced", "capture", "--listen", "127.0.0.1:0", "--source",
                source, "--log", log, "--workers", "2", "--log-format", "json", "--admin",
                "127.0.0.1:0",
            ] + more, folder: scratch.path, name: name)
        self.process = process
        adminPort = try Self.port("admin server", in: process)
        self.port = try Self.port("capture starts", in: process)
    }

    /// The port of the address that a line of its log tells.
    static func port(_ text: String, in process: ChildProcess) throws -> Int {
        let line = try #require(Self.line(text, in: process, seconds: 60), "\(process.errorText)")
        let address = try JSONValue.parse(Array(line.utf8))["address"]?.stringValue
        return try #require(Int(address?.split(separator: ":").last ?? ""), "\(line)")
    }

    /// Runs capture with a log that it cannot open: it has to end by itself.
    static func refused(_ log: String, _ more: [String] = []) throws -> (ending: ChildProcess.Ending, text: String) {
        let scratch = try TemporaryFolder("capture-refused")
        let words = [
            TestEnvironment.millraced ?? "millraced", "capture", "--listen", "127.0.0.1:0", "--source",
            "http://127.0.0.1:9", "--log", log, "--log-format", "json",
        ]
        let process = try ChildProcess(words + more, folder: scratch.path)
        while let state = CaptureBroker.state(process.processID), state != "Z" {
            // One that has opened its log serves until it is stopped.
            if process.errorText.contains("capture starts") { process.kill(SIGTERM) }
            usleep(10_000)
        }
        return (process.wait(), process.errorText)
    }

    func connect() throws -> WireConnection { try WireConnection(port: port) }

    /// The value of a metric without labels; nil when it is not served.
    func metric(_ name: String) throws -> Double? { try Self.metric(name, port: adminPort) }

    /// The sum of a metric over its labels; nil when it is not served.
    static func metric(_ name: String, port: Int) throws -> Double? {
        let request = Array("GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n".utf8)
        guard let answer = try WireConnection(port: port).exchange(request) else { return nil }
        let values = answer.bodyText.split(separator: "\n").compactMap { line -> Double? in
            guard line.hasPrefix(name + " ") || line.hasPrefix(name + "{") else { return nil }
            return line.split(separator: " ").last.flatMap { Double($0) }
        }
        return values.isEmpty ? nil : values.reduce(0, +)
    }

    /// Waits until it logs a line with that text; nil when it has not after `seconds`.
    @discardableResult
    func line(_ text: String, seconds: Double = 30) -> String? { Self.line(text, in: process, seconds: seconds) }

    /// A log file tells nobody that it grew, so it is looked at again and again.
    static func line(_ text: String, in process: ChildProcess, seconds: Double) -> String? {
        let deadline = Date(timeIntervalSinceNow: seconds)
        repeat {
            let lines = process.errorText.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            if let line = lines.first(where: { $0.contains(text) }) { return String(line) }
            usleep(5000)
        } while Date() < deadline
        return nil
    }
}

/// What `millrace traffic dump -o json` prints.
struct CaptureDump {
    struct Exchange {
        let connection: String
        let method: String
        let target: String
        let body: [UInt8]
        let isComplete: Bool
        let status: Int64?
        var id: String { CaptureRequest.id(of: body) }
        /// Of a read.
        var key: String { target.components(separatedBy: "?k=").dropFirst().first ?? "" }
    }

    let exchanges: [Exchange]
    let ending: ChildProcess.Ending
    /// Standard error: gaps, and what could not be read.
    let remarks: String

    init(_ log: String, scratch: TemporaryFolder) throws {
        let words = [TestEnvironment.millrace ?? "millrace", "traffic", "dump", "--log", log]
        let dump = try ChildProcess(words + ["-o", "json"], folder: scratch.path, name: "dump")
        ending = dump.wait()
        remarks = dump.errorText
        exchanges = try dump.outputText.split(separator: "\n").map { line in
            let value = try JSONValue.parse(Array(line.utf8))
            let body = value["requestBody"]?.stringValue.flatMap { Data(base64Encoded: $0) }
            return Exchange(
                connection: value["connection"]?.stringValue ?? "", method: value["method"]?.stringValue ?? "",
                target: value["target"]?.stringValue ?? "", body: Array(body ?? Data()),
                isComplete: value["complete"]?.boolValue ?? false, status: value["status"]?.intValue)
        }
    }

    /// Keys of the reads that are in the log with their answers.
    var reads: Set<String> {
        Set(exchanges.filter { $0.isComplete && $0.method == "GET" && $0.status == 200 }.map(\.key))
    }

    /// Ids of executed writes that are not in the log as they were executed.
    func missing(_ executions: [CaptureSource.Execution]) -> [String] {
        var recorded: [String: Exchange] = [:]
        for exchange in exchanges where exchange.isComplete && exchange.method != "GET" {
            recorded[exchange.id] = exchange
        }
        return executions.filter { execution in
            guard let exchange = recorded[execution.id] else { return true }
            let line = "\(exchange.method) \(exchange.target) HTTP/1.1"
            return line != execution.request.firstLine || exchange.body != execution.request.body
        }.map(\.id)
    }
}

/// What `millrace traffic dump --raw` prints, by connection.
struct CaptureRecords {
    struct Connection {
        /// What the client sent.
        var read: [UInt8] = []
        var numbers: [Int64] = []
        var hasGapMark = false
        /// Says that something is missing: in words, or by the numbers of its records, which begin at 1.
        var isMarked: Bool { hasGapMark || numbers != Array(1..<Int64(numbers.count) + 1) }
        /// As `numbers`, without those that had been there already, as a reader takes them.
        var firstNumbers: [Int64] {
            var last: Int64 = 0
            return numbers.filter { number in
                guard number > last else { return false }
                last = number
                return true
            }
        }
        /// No record is missing; one that was sent twice counts where it came first.
        var isInOrder: Bool { firstNumbers == Array(1..<Int64(firstNumbers.count) + 1) }
    }

    private(set) var connections: [String: Connection] = [:]

    init(_ log: String, scratch: TemporaryFolder) throws {
        let words = [TestEnvironment.millrace ?? "millrace", "traffic", "dump", "--raw", "-o", "json", "--log", log]
        let dump = try ChildProcess(words, folder: scratch.path, name: "raw")
        try #require(dump.wait() == .exited(0), "\(dump.errorText)")
        for line in dump.outputText.split(separator: "\n") {
            let record = try JSONValue.parse(Array(line.utf8))
            let name = record["connection"]?.stringValue ?? ""
            var connection = connections[name] ?? Connection()
            if let number = record["number"]?.intValue { connection.numbers.append(number) }
            for observation in record["observations"]?.arrayValue ?? [] {
                let data = observation["data"]?.stringValue.flatMap { Data(base64Encoded: $0) } ?? Data()
                switch observation["event"]?.stringValue {
                case "read", "readSegment": connection.read += data
                case "connectionException":
                    connection.hasGapMark = connection.hasGapMark || data == Data("millrace: gap".utf8)
                default: break
                }
            }
            connections[name] = connection
        }
    }
}
