import Dispatch
import EventIO
import Glibc
import Synchronization

@testable import ClusterClient

/// A server on loopback whose connections are played by a script, each on a thread of its own with blocking sockets.
final class ScriptedServer: Sendable {
    struct Request: Sendable {
        var method: String
        var target: String
        /// Names in lower case.
        var fields: [(name: String, value: String)]
        var body: [UInt8]
        var head: String

        func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }
    }

    private struct State {
        var descriptors: Set<Int32> = []
        var acceptedCount = 0
        var openCount = 0
        var highestOpenCount = 0
        var requests: [Request] = []
        var isStopped = false
    }

    let port: Int
    private let listener: Int32
    private let state = Mutex(State())
    private let threads = DispatchGroup()

    init(_ script: @escaping @Sendable (Peer) -> Void) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { erased in
                bind(descriptor, erased, size) == 0 && listen(descriptor, 256) == 0
                    && getsockname(descriptor, erased, &size) == 0
            }
        }
        precondition(code, "no loopback socket: \(errno)")
        listener = descriptor
        port = Int(UInt16(bigEndian: address.sin_port))
        spawn { [self] in
            while true {
                let accepted = accept(listener, nil, nil)
                if accepted < 0 {
                    if errno == EINTR || errno == ECONNABORTED { continue }
                    return
                }
                run(accepted, script)
            }
        }
    }

    private func run(_ descriptor: Int32, _ script: @escaping @Sendable (Peer) -> Void) {
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        let number: Int? = state.withLock { state in
            if state.isStopped { return nil }
            state.acceptedCount += 1
            state.openCount += 1
            state.highestOpenCount = max(state.highestOpenCount, state.openCount)
            state.descriptors.insert(descriptor)
            return state.acceptedCount
        }
        guard let number else {
            close(descriptor)
            return
        }
        spawn { [self] in
            script(Peer(server: self, descriptor: descriptor, number: number))
            state.withLock { state in
                state.openCount -= 1
                state.descriptors.remove(descriptor)
                close(descriptor)
            }
        }
    }

    /// Connections accepted so far.
    var acceptedCount: Int { state.withLock { $0.acceptedCount } }
    var highestOpenCount: Int { state.withLock { $0.highestOpenCount } }
    var requests: [Request] { state.withLock { $0.requests } }

    fileprivate func note(_ request: Request) { state.withLock { $0.requests.append(request) } }

    /// Ends every connection and waits for the scripts.
    func stop() {
        state.withLock { state in
            state.isStopped = true
            for descriptor in state.descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
        threads.wait()
        close(listener)
    }

    private func spawn(_ body: @escaping @Sendable () -> Void) {
        threads.enter()
        let box = Unmanaged.passRetained(
            ThreadBody { [threads] in
                body()
                threads.leave()
            })
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().body() }
                return nil
            }, box.toOpaque())
        precondition(code == 0, "pthread_create: \(code)")
        pthread_detach(thread)
    }

    private final class ThreadBody: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// One accepted connection, used by its script's thread.
    final class Peer {
        private let server: ScriptedServer
        let descriptor: Int32
        /// 1 for the first connection.
        let number: Int
        private var buffer: [UInt8] = []

        fileprivate init(server: ScriptedServer, descriptor: Int32, number: Int) {
            self.server = server
            self.descriptor = descriptor
            self.number = number
        }

        /// The head of the next request; its body stays unread. nil at the end of the stream.
        func readHead() -> Request? {
            while true {
                if let end = endOfHead() {
                    let head = String(decoding: buffer[..<end], as: UTF8.self)
                    buffer.removeFirst(end)
                    var lines = head.split(separator: "\r\n").map(String.init)
                    let first = lines.removeFirst().split(separator: " ").map(String.init)
                    let fields = lines.map { line -> (name: String, value: String) in
                        let colon = line.firstIndex(of: ":") ?? line.endIndex
                        return (
                            line[..<colon].lowercased(),
                            String(line[colon...].dropFirst().drop { $0 == " " })
                        )
                    }
                    return Request(method: first[0], target: first[1], fields: fields, body: [], head: head)
                }
                guard fill() else { return nil }
            }
        }

        /// The next request with its body.
        func readRequest() -> Request? {
            guard var request = readHead() else { return nil }
            let count = request.field("content-length").flatMap { Int($0) } ?? 0
            guard let body = readBody(count) else { return nil }
            request.body = body
            server.note(request)
            return request
        }

        /// The next bytes, as many as that.
        func readBody(_ count: Int) -> [UInt8]? {
            while buffer.count < count { guard fill() else { return nil } }
            defer { buffer.removeFirst(count) }
            return Array(buffer[..<count])
        }

        /// Whether anything was sent that was not read; does not wait.
        var hasUnreadBytes: Bool {
            var byte: UInt8 = 0
            return !buffer.isEmpty || recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) > 0
        }

        private func endOfHead() -> Int? {
            guard buffer.count >= 4 else { return nil }
            for index in 3..<buffer.count where buffer[index] == 10 && buffer[index - 2] == 10 { return index + 1 }
            return nil
        }

        /// Waits for more bytes. False at the end of the stream.
        func fill() -> Bool {
            var chunk = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { return false }
            buffer += chunk[..<count]
            return true
        }

        @discardableResult func send(_ text: String) -> Bool { send(Array(text.utf8)) }

        @discardableResult func send(_ bytes: [UInt8]) -> Bool {
            var sent = 0
            while sent < bytes.count {
                let count = bytes.withUnsafeBytes { raw in
                    Glibc.send(
                        descriptor, raw.baseAddress.unsafelyUnwrapped + sent, raw.count - sent,
                        Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return false }
                sent += count
            }
            return true
        }

        func respond(_ status: Int = 200, _ body: String = "{}", fields: String = "") {
            send("HTTP/1.1 \(status) Some Reason\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }

        func shutdownWrite() { shutdown(descriptor, Int32(SHUT_WR)) }

        /// Closes with a reset when the script returns.
        func resetOnReturn() {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }

        /// Answers every request until the stream ends.
        func serve(_ answer: (Request) -> Void) {
            while let request = readRequest() { answer(request) }
        }
    }
}

/// A port of loopback that refuses connections and that nobody else gets: bound, but not listened to.
final class RefusingPort: Sendable {
    let port: UInt16
    private let descriptor: Int32

    init() {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { [descriptor] pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { erased in
                bind(descriptor, erased, size) == 0 && getsockname(descriptor, erased, &size) == 0
            }
        }
        precondition(isBound, "no loopback socket: \(errno)")
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }
}

/// Loops, a server and a client for one test.
final class Harness: Sendable {
    let server: ScriptedServer
    let loops: EventLoopGroup
    let client: ClusterClient

    init(
        loopCount: Int = 2, change: (inout ClusterSettings) throws -> Void = { _ in },
        script: @escaping @Sendable (ScriptedServer.Peer) -> Void
    ) throws {
        server = ScriptedServer(script)
        loops = try EventLoopGroup(count: loopCount)
        var settings = ClusterSettings(url: try ClusterURL("http://127.0.0.1:\(server.port)"))
        settings.requestTimeout = .seconds(20)
        try change(&settings)
        client = try ClusterClient(settings, loops: loops)
    }

    func stop() {
        client.shutdown()
        client.waitUntilClosed(within: .seconds(5))
        server.stop()
        loops.stop()
    }

    func get(_ path: String = "/", timeout: Duration? = nil) -> Result<ClusterResponse, ClusterError> {
        Result { () throws(ClusterError) in try client.sendAndWait(ClusterRequest("GET", path, timeout: timeout)) }
    }

    func send(_ request: ClusterRequest) -> Result<ClusterResponse, ClusterError> {
        Result { () throws(ClusterError) in try client.sendAndWait(request) }
    }

    /// Runs `body` with a harness and cleans up.
    static func run(
        loopCount: Int = 2, change: (inout ClusterSettings) throws -> Void = { _ in },
        script: @escaping @Sendable (ScriptedServer.Peer) -> Void, _ body: (Harness) throws -> Void
    ) throws {
        let harness = try Harness(loopCount: loopCount, change: change, script: script)
        defer { harness.stop() }
        try body(harness)
    }
}

extension Result where Success == ClusterResponse, Failure == ClusterError {
    var status: Int? { (try? get())?.status }
    var text: String? { (try? get()).map { String(decoding: $0.body, as: UTF8.self) } }
    var error: ClusterError? {
        if case .failure(let error) = self { return error }
        return nil
    }
}
