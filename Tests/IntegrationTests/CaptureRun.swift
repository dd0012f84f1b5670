import Foundation
import JSONBytes
import TestSupport
import Testing
import TrafficLog

/// The built `millraced capture` in front of a source, on a port that the kernel chooses.
final class CaptureRun {
    let process: ChildProcess
    let port: Int

    /// Returns when it listens.
    init(
        source: CaptureSource, log: String, _ more: [String] = [], scratch: TemporaryFolder, name: String = "capture"
    ) throws {
        let process = try ChildProcess(
            [
                TestEnvironment.millraced ?? "millraced", "capture", "--listen", "127.0.0.1:0", "--source",
                "http://127.0.0.1:\(source.port)", "--log", log, "--workers", "2", "--log-format", "json",
            ] + more, folder: scratch.path, name: name)
        self.process = process
        let line = try #require(Self.line("capture starts", in: process, seconds: 60), "\(process.errorText)")
        let address = try JSONValue.parse(Array(line.utf8))["address"]?.stringValue
        port = try #require(Int(address?.split(separator: ":").last ?? ""), "\(line)")
    }

    func connect() throws -> WireConnection { try WireConnection(port: port) }

    /// Waits until it logs a line with that text; nil when it has not after `seconds`.
    @discardableResult
    func line(_ text: String, seconds: Double = 30) -> String? { Self.line(text, in: process, seconds: seconds) }

    /// A log file tells nobody that it grew, so it is looked at again and again.
    private static func line(_ text: String, in process: ChildProcess, seconds: Double) -> String? {
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

/// The real broker of these tests.
struct CaptureBroker {
    let bootstrap: String
    let processID: pid_t

    init() throws {
        bootstrap = try #require(TestEnvironment.kafka)
        let file = try #require(TestEnvironment.kafkaFolder) + "/broker-1/pid"
        let text = String(decoding: try FileTree.read(file), as: UTF8.self)
        processID = try #require(pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        try #require(processID > 1)
    }

    /// Makes a topic of its own and returns its log's address.
    func makeTopic(_ label: String, partitions: Int32 = 3) throws -> String {
        let address = "kafka://\(bootstrap)/millrace-\(label)-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        var options = TrafficLogAddress.Options()
        options.topicCreation = .init(partitionCount: partitions, replicationFactor: 1)
        try TrafficLogAddress.parse(address).openWriter(options).close()
        return address
    }

    /// Its connections stay open and it answers nothing.
    func halt() throws {
        try #require(kill(processID, SIGSTOP) == 0)
        // "1234 (java) T ...": the state changes when its threads have been caught.
        while true {
            let status = String(decoding: try FileTree.read("/proc/\(processID)/stat"), as: UTF8.self)
            if status.contains(") T ") { return }
            usleep(1000)
        }
    }

    func goOn() { kill(processID, SIGCONT) }
}
