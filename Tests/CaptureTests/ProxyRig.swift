import CSystem
import Capture
import CapturedTraffic
import Dispatch
import EventIO
import Glibc
import HTTPMessage
import Settings
import Synchronization
import Telemetry
import Testing
import TrafficLog

struct RigFailure: Error, CustomStringConvertible { let description: String }

/// What the scripted source does with a request.
struct SourceAnswer: Sendable {
    var bytes: [UInt8]
    var closes = false
    /// Closes with a reset instead of an answer.
    var resets = false
    /// Nothing is answered.
    var isSilent = false

    init(_ text: String, closes: Bool = false) {
        bytes = Array(text.utf8)
        self.closes = closes
    }

    init(_ bytes: [UInt8], closes: Bool = false) {
        self.bytes = bytes
        self.closes = closes
    }

    static let ok = SourceAnswer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

/// A source that notes every byte and answers each whole request by a script.
// Sound: `state` is locked, `idle` is used on the loop's queue; the rest are constants.
final class ScriptedSource: @unchecked Sendable {
    struct State {
        /// Bytes by connection, in order of acceptance.
        var received: [[UInt8]] = []
        /// Whole requests, in order of their end.
        var requests: [[UInt8]] = []
        var closedCount = 0
    }

    let loop: EventLoop
    private let listener: Listener
    fileprivate let state = Mutex(State())
    /// Connections that brought nothing yet. Only on `loop`.
    fileprivate var idle: [Connection] = []
    /// Only on `loop`.
    fileprivate var openConnections: [Connection] = []
    let address: SocketAddress

    init(tls: TLSServerConfiguration? = nil, answer: @escaping @Sendable ([UInt8]) -> SourceAnswer) throws {
        loop = try EventLoop(label: "source")
        loop.start()
        let box = Box()
        listener = try Listener(on: loop, address: .loopback(port: 0), tls: tls) { _ in
            SourceConnection(box.source, answer)
        }
        address = listener.localAddress
        box.source = self
    }

    // Sound: set once, before the first connection can come.
    final class Box: @unchecked Sendable { weak var source: ScriptedSource? }

    var received: [[UInt8]] { state.withLock { $0.received } }
    var requests: [[UInt8]] { state.withLock { $0.requests } }
    var connectionCount: Int { state.withLock { $0.received.count } }
    var closedCount: Int { state.withLock { $0.closedCount } }

    /// What is queued for the proxy and not taken by the kernel.
    var unsentBytes: Int {
        let done = DispatchSemaphore(value: 0)
        let count = Atomic<Int>(0)
        loop.execute {
            count.store(self.openConnections.reduce(0) { $0 + $1.pendingWriteBytes }, ordering: .relaxed)
            done.signal()
        }
        done.wait()
        return count.load(ordering: .relaxed)
    }

    func stop() { loop.stop() }

    /// Closes one that has not brought anything.
    func closeIdle() { loop.execute { if !self.idle.isEmpty { self.idle.removeFirst().close() } } }
}

/// One connection of the scripted source.
final class SourceConnection: ConnectionHandler {
    private weak var source: ScriptedSource?
    private let answer: @Sendable ([UInt8]) -> SourceAnswer
    private let index: Int
    private var current: [UInt8] = []
    private var isTunnel = false

    init(_ source: ScriptedSource?, _ answer: @escaping @Sendable ([UInt8]) -> SourceAnswer) {
        self.source = source
        self.answer = answer
        index =
            source?.state.withLock { state in
                state.received.append([])
                return state.received.count - 1
            } ?? 0
    }

    func connectionReady(_ connection: Connection) {
        source?.idle.append(connection)
        source?.openConnections.append(connection)
    }

    func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
        source?.idle.removeAll { $0 === connection }
        source?.state.withLock { $0.received[index].append(contentsOf: bytes) }
        if isTunnel { return connection.writeCopy(Array(bytes)) }
        current.append(contentsOf: bytes)
        while let count = Self.wholeRequest(current) {
            let request = [UInt8](current[..<count])
            current.removeFirst(count)
            source?.state.withLock { $0.requests.append(request) }
            let answer = answer(request)
            if answer.isSilent { continue }
            if answer.resets { return connection.abort(with: nil) }
            connection.writeCopy(answer.bytes)
            if answer.bytes.starts(with: Array("HTTP/1.1 101".utf8)) { isTunnel = true }
            if answer.closes { return connection.close() }
        }
        // The interim response that a waiting client needs.
        guard current.count < 4096 else { return }
        let text = String(decoding: current, as: UTF8.self).lowercased()
        if text.contains("expect: 100-continue"), text.hasSuffix("\r\n\r\n") {
            connection.writeCopy(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
        }
    }

    func connectionClosed(_ connection: Connection, error: IOError?) {
        source?.openConnections.removeAll { $0 === connection }
        source?.state.withLock { $0.closedCount += 1 }
    }

    /// The length of the whole request at the front.
    static func wholeRequest(_ bytes: [UInt8]) -> Int? {
        bytes.withUnsafeBytes { all in
            var scanner = HTTPHeadScanner()
            guard (try? scanner.scan(all)) == true else { return nil }
            var position = scanner.head.byteCount
            var body = HTTPBodyScanner(framing: scanner.head.framing)
            while let step = try? body.next(in: all, at: &position) {
                switch step {
                case .content: continue
                case .complete: return position
                case .needsMoreBytes: return nil
                }
            }
            return nil
        }
    }
}

/// A client with a blocking socket.
final class RawClient {
    let descriptor: Int32

    init(_ address: SocketAddress, receiveBufferBytes: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        if var receiveBufferBytes {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBufferBytes, socklen_t(MemoryLayout<Int32>.size))
        }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var inet = sockaddr_in()
        inet.sin_family = sa_family_t(AF_INET)
        inet.sin_port = address.port.bigEndian
        inet.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let code = withUnsafePointer(to: &inet) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else { throw RigFailure(description: "connect: errno \(errno)") }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { all -> Int in
                Glibc.send(descriptor, all.baseAddress.map { $0 + sent }, all.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw RigFailure(description: "send: errno \(errno)") }
            sent += count
        }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// One piece; empty at the end, nil after an error or 20 s.
    func receive(limit: Int = 65536) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor, &buffer, limit, 0)
        guard count >= 0 else { return nil }
        return [UInt8](buffer[..<count])
    }

    func receive(count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            guard let piece = receive(limit: count - bytes.count), !piece.isEmpty else {
                throw RigFailure(
                    description: "only \(bytes.count) of \(count) bytes: \(String(decoding: bytes, as: UTF8.self))")
            }
            bytes += piece
        }
        return bytes
    }

    /// Everything until the peer ends or fails.
    func receiveAll() -> [UInt8] {
        var bytes: [UInt8] = []
        while let piece = receive(), !piece.isEmpty { bytes += piece }
        return bytes
    }

    /// A whole response with a Content-Length or none.
    func receiveResponse() throws -> String {
        var bytes: [UInt8] = []
        while true {
            guard let piece = receive(), !piece.isEmpty else {
                throw RigFailure(description: "no whole response: \(String(decoding: bytes, as: UTF8.self))")
            }
            bytes += piece
            let isWhole = bytes.withUnsafeBytes { all -> Bool in
                var scanner = HTTPHeadScanner(responseTo: .get)
                guard (try? scanner.scan(all)) == true else { return false }
                if case .length(let count) = scanner.head.framing {
                    return Int64(all.count - scanner.head.byteCount) >= count
                }
                return true
            }
            if isWhole { return String(decoding: bytes, as: UTF8.self) }
        }
    }

    func endWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Whether something can be read within the time.
    func isReadable(within milliseconds: Int32) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, milliseconds) > 0
    }
}

/// A proxy in this process with its log and source.
final class ProxyRig {
    let source: ScriptedSource
    let log: MemoryTrafficLog?
    let proxy: CaptureProxy
    let metrics = MetricsRegistry()
    private var isStopped = false

    init(
        log: MemoryTrafficLog? = MemoryTrafficLog(), sourceTLS: TLSServerConfiguration? = nil,
        answer: @escaping @Sendable ([UInt8]) -> SourceAnswer,
        _ change: (inout CaptureSettings) throws -> Void = { _ in }
    ) throws {
        source = try ScriptedSource(tls: sourceTLS, answer: answer)
        self.log = log
        var settings = CaptureSettings(
            source: try ServiceURL.parse(
                sourceTLS == nil
                    ? "http://127.0.0.1:\(source.address.port)" : "https://localhost:\(source.address.port)"))
        settings.deadlines.flushAfter = .milliseconds(20)
        try change(&settings)
        proxy = try CaptureProxy(
            settings, trafficLog: log, metrics: metrics, log: Log(LogOutput(descriptor: -1)),
            wallClock: { 1_700_000_000_000_000_000 },
            certificateInterval: .milliseconds(50))
    }

    /// Every request is answered with "ok".
    convenience init(
        log: MemoryTrafficLog? = MemoryTrafficLog(), _ change: (inout CaptureSettings) throws -> Void = { _ in }
    ) throws { try self.init(log: log, answer: { _ in .ok }, change) }

    func client() throws -> RawClient { try RawClient(proxy.localAddress) }

    /// Returns when the proxy has taken what was sent before, and not more: its one loop answers in the order in which
    /// sockets became ready, and answers what is no HTTP by itself.
    func passTurn() throws {
        let other = try client()
        try other.send("no request\r\n\r\n")
        guard String(decoding: other.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 400 ") else {
            throw RigFailure(description: "the proxy does not refuse what is no HTTP")
        }
    }

    @discardableResult
    func stop(within duration: Duration = .seconds(10)) -> CaptureProxy.DrainReport {
        // A second stop reports nothing and does nothing.
        let report = proxy.stop(within: duration)
        if !isStopped { source.stop() }
        isStopped = true
        return report
    }

    deinit { stop(within: .milliseconds(200)) }

    func metric(_ name: String) -> String? {
        String(decoding: metrics.exposition(), as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix(name + " ") }.map { String($0.dropFirst(name.count + 1)) }
    }

    /// Exchanges of the recorded connections, by key.
    func exchanges() throws -> [CapturedExchange] {
        var result: [CapturedExchange] = []
        var byKey: [[UInt8]: [[UInt8]]] = [:]
        for record in log?.records ?? [] {
            byKey[record.key, default: []].append(record.value)
        }
        // Ids count upwards. The log has its own order: who has closed waits for those who have not.
        for key in byKey.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            var reassembler = ExchangeReassembler()
            var collector = ExchangeCollector()
            for value in byKey[key] ?? [] {
                try value.withUnsafeBytes {
                    _ = try reassembler.receive(try TrafficStreamReader($0), into: &collector)
                }
            }
            reassembler.finish(into: &collector)
            result += collector.takeFinished()
        }
        return result
    }

    /// How many bytes of clients stand in durable records.
    func recordedRequestBytes() throws -> Int {
        try observations().filter { $0.hasPrefix("read ") }.reduce(0) { $0 + (Int($1.dropFirst(5)) ?? 0) }
    }

    /// Names of the observations of all records, in order.
    func observations() throws -> [String] {
        var names: [String] = []
        for record in log?.records ?? [] {
            try record.value.withUnsafeBytes { value in
                var reader = try TrafficStreamReader(value)
                while let observation = try reader.next() {
                    switch observation.event {
                    case .read(let bytes): names.append("read \(bytes.count)")
                    case .write(let bytes): names.append("write \(bytes.count)")
                    case .endOfMessage: names.append("end")
                    case .close: names.append("close")
                    case .requestDropped: names.append("dropped")
                    case .connectionException(let text): names.append(String(decoding: text, as: UTF8.self))
                    default: names.append("other")
                    }
                }
            }
        }
        return names
    }
}

/// Waits until something holds that no event announces; fails after 20 s.
func eventually(_ what: String, _ condition: () -> Bool, location: SourceLocation = #_sourceLocation) {
    for _ in 0..<4000 {
        if condition() { return }
        usleep(5000)
    }
    Issue.record("never: \(what)", sourceLocation: location)
}

/// Stops a rig's proxy on a thread of its own.
// Sound: `report` is read after the group says that it was written.
final class StopThread: @unchecked Sendable {
    private let group = DispatchGroup()
    private var report: CaptureProxy.DrainReport?

    init(_ rig: ProxyRig) {
        let proxy = rig.proxy
        DispatchQueue.global().async(group: group) { self.report = proxy.stop(within: .seconds(10)) }
    }

    func wait() throws -> CaptureProxy.DrainReport {
        group.wait()
        return try #require(report)
    }
}
