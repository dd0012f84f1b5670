import ClusterClient
import Dispatch
import EventIO
import Glibc
import HTTPMessage
import Synchronization
import TestSupport

/// Processor time of `TargetConnections` an exchange: the client alone is measured, the sink is another process.
///
/// Every connection is kept busy: each completion sends the next request. `--body` of 0 sends small `GET` requests,
/// otherwise bulks of that size in slices of 64 KiB, as a consumed record has them.
func runTargetSessionBenchmark(arguments: [String]) throws {
    let arguments = try BenchmarkArguments(arguments)
    let bodyBytes = arguments.text("body") == "0" ? 0 : Int(try arguments.bytes("body", default: 0))
    let connectionCount = try arguments.int("connections", default: 32)
    let requestCount = try arguments.int("requests", default: bodyBytes == 0 ? 200_000 : 2_000)
    let roundCount = try arguments.int("rounds", default: 3)
    guard connectionCount > 0, requestCount > 0 else {
        throw BenchmarkArguments.Mistake(description: "--connections and --requests are at least 1")
    }
    let folder = try TemporaryFolder()
    let sink = try arguments.text("url") == nil ? SinkProcess(folder: folder.path) : nil
    defer { sink?.stop() }
    let url = try ClusterURL(arguments.text("url") ?? sink?.url ?? "")

    let loop = try EventLoop(label: "session")
    loop.start()
    defer { loop.stop() }
    var settings = ClusterSettings(url: url)
    settings.connectionLimit = connectionCount
    let load = SessionLoad(
        TargetConnections(settings, tls: try settings.makeTLS(), loop: loop), bodyBytes: bodyBytes,
        sliceBytes: Int(try arguments.bytes("slice", default: 65_536)))
    try load.run(requestCount: min(requestCount, connectionCount * 10), connectionCount: connectionCount)
    for _ in 0..<roundCount {
        let time = try WorkTime.measure {
            try load.run(requestCount: requestCount, connectionCount: connectionCount)
        }
        let microseconds = time.cpuSeconds * 1e6 / Double(requestCount)
        var line = "\(requestCount) exchanges on \(connectionCount) connections: "
        line +=
            "\(twoDecimals(microseconds)) us CPU each, \(twoDecimals(Double(requestCount) / time.wallSeconds)) a second"
        if bodyBytes > 0 {
            line += ", \(twoDecimals(Double(requestCount * bodyBytes) / 1e6 / time.cpuSeconds)) MB a CPU-second"
        }
        print(line)
        fflush(nil)
    }
    load.shutDown()
}

/// A closed loop over every connection.
// Sound: what changes is used on the loop only; `run` hands over and waits.
private final class SessionLoad: @unchecked Sendable {
    private let connections: TargetConnections
    private let head: [UInt8]
    private let body: [UnsafeRawBufferPointer]
    private let memory: UnsafeMutableRawBufferPointer
    private var leftToSend = 0
    private var leftToEnd = 0
    private var failure: ClusterError?
    private let done = DispatchSemaphore(value: 0)

    init(_ connections: TargetConnections, bodyBytes: Int, sliceBytes: Int) {
        self.connections = connections
        memory = .allocate(byteCount: bodyBytes, alignment: 64)
        let document = Array("{\"index\":{\"_id\":\"1\"}}\n{\"a\":\"\(String(repeating: "b", count: 994))\"}\n".utf8)
        for index in 0..<bodyBytes { memory[index] = document[index % document.count] }
        if bodyBytes > 0 { memory[bodyBytes - 1] = UInt8(ascii: "\n") }
        let bytes = UnsafeRawBufferPointer(memory)
        body = stride(from: 0, to: bodyBytes, by: sliceBytes).map {
            UnsafeRawBufferPointer(rebasing: bytes[$0..<min($0 + sliceBytes, bodyBytes)])
        }
        let common = "Host: sink\r\nUser-Agent: elasticsearch-py/7.17.9 (Python 3.11.2)\r\nAccept: application/json\r\n"
        head = Array(
            (bodyBytes == 0
                ? "GET /index/_doc/1 HTTP/1.1\r\n\(common)\r\n"
                : "POST /index/_bulk?filter_path=took HTTP/1.1\r\n\(common)Content-Type: application/x-ndjson\r\n"
                    + "Content-Length: \(bodyBytes)\r\n\r\n").utf8)
    }

    deinit { memory.deallocate() }

    func run(requestCount: Int, connectionCount: Int) throws {
        connections.loop.execute { [self] in
            leftToSend = requestCount
            leftToEnd = requestCount
            for _ in 0..<min(connectionCount, requestCount) { sendNext() }
        }
        done.wait()
        if let failure { throw failure }
    }

    private func sendNext() {
        guard leftToSend > 0 else { return }
        leftToSend -= 1
        let request = RawRequest(
            method: body.isEmpty ? .get : .post, head: head, body: body, owner: body.isEmpty ? nil : self)
        connections.send(request) { [self] result in
            if case .failure(let error) = result { failure = error }
            leftToEnd -= 1
            if leftToEnd == 0 { done.signal() } else { sendNext() }
        }
    }

    func shutDown() {
        connections.loop.execute { [self] in connections.shutdown { self.done.signal() } }
        done.wait()
    }
}

/// `millrace-bench sink` as a process of its own.
private final class SinkProcess {
    let url: String
    private let process: ChildProcess

    init(folder: String) throws {
        var program = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &program, program.count - 1)
        guard count > 0 else { throw BenchmarkArguments.Mistake(description: "this program does not know its path") }
        let path = String(decoding: program[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        process = try ChildProcess([path, "sink", "--listen", "127.0.0.1:0"], folder: folder, name: "sink")
        var line = ""
        for _ in 0..<500 where line.isEmpty {
            usleep(10_000)
            line = process.outputText.split(separator: "\n").first.map(String.init) ?? ""
        }
        guard line.hasPrefix("http://") else {
            throw BenchmarkArguments.Mistake(description: "the sink does not start: \(process.errorText)")
        }
        url = line
    }

    func stop() {
        process.kill(SIGTERM)
        process.wait()
    }
}
