import Dispatch
import EventIO
import HTTPMessage
import Synchronization

@testable import ClusterClient

/// One loop with `TargetConnections` on it, and a scripted server, for one test.
// Sound: immutable, and `connections` is used on its loop only.
final class TargetHarness: @unchecked Sendable {
    let server: ScriptedServer
    let loop: EventLoop
    let connections: TargetConnections

    init(
        change: (inout ClusterSettings) throws -> Void, timeouts: ExchangeTimeouts, signer: RawRequestSigner?,
        resolve: ConnectionPool.Resolve?, script: @escaping @Sendable (ScriptedServer.Peer) -> Void
    ) throws {
        server = ScriptedServer(script)
        loop = try EventLoop(label: "target-test")
        loop.start()
        var settings = ClusterSettings(url: try ClusterURL("http://127.0.0.1:\(server.port)"))
        try change(&settings)
        let port = UInt16(server.port)
        connections = TargetConnections(
            settings, timeouts: timeouts, tls: try settings.makeTLS(), signer: signer, loop: loop,
            resolve: resolve ?? { (_, _) throws(IOError) in [.loopback(port: port)] })
    }

    /// Runs `body` with a harness and cleans up; every connection must close.
    static func run(
        change: (inout ClusterSettings) throws -> Void = { _ in }, timeouts: ExchangeTimeouts = ExchangeTimeouts(),
        signer: RawRequestSigner? = nil, resolve: ConnectionPool.Resolve? = nil,
        script: @escaping @Sendable (ScriptedServer.Peer) -> Void, _ body: (TargetHarness) throws -> Void
    ) throws {
        let harness = try TargetHarness(
            change: change, timeouts: timeouts, signer: signer, resolve: resolve, script: script)
        defer { harness.stop() }
        try body(harness)
    }

    private func stop() {
        let isClosed = DispatchSemaphore(value: 0)
        loop.execute { [self] in
            connections.shutdown { isClosed.signal() }
            connections.cancelAll()
        }
        precondition(isClosed.wait(timeout: .now() + 10) == .success, "connections stay open")
        server.stop()
        loop.stop()
    }

    /// Runs `body` on the loop and returns what it returns.
    func onLoop<Value: Sendable>(_ body: @escaping @Sendable (TargetConnections) -> Value) -> Value {
        let value = Mutex<Value?>(nil)
        let done = DispatchSemaphore(value: 0)
        loop.execute { [self] in
            let result = body(connections)
            value.withLock { $0 = result }
            done.signal()
        }
        done.wait()
        guard let result = value.withLock({ $0 }) else { preconditionFailure("nothing was returned") }
        return result
    }

    /// What became of an exchange.
    final class Outcome: Sendable {
        private let result = Mutex<Result<RawResponse, ClusterError>?>(nil)
        private let done = DispatchSemaphore(value: 0)

        func set(_ value: Result<RawResponse, ClusterError>) {
            result.withLock { result in
                precondition(result == nil, "a completion was called twice")
                result = value
            }
            done.signal()
        }

        var isKnown: Bool { result.withLock { $0 != nil } }

        func wait() -> Result<RawResponse, ClusterError> {
            precondition(done.wait(timeout: .now() + 30) == .success, "an exchange has no end")
            done.signal()
            guard let value = result.withLock({ $0 }) else { preconditionFailure("signalled without a result") }
            return value
        }
    }

    /// A request in plain parts; what frames the body is added.
    struct Message: Sendable {
        var method = "GET"
        var target = "/"
        var fields = ""
        var body: [UInt8] = []

        var rawMethod: HTTPMethod {
            switch method {
            case "HEAD": .head
            case "CONNECT": .connect
            default: .other
            }
        }

        /// With the body in `sliceCount` slices.
        func request(sliceCount: Int = 3) -> RawRequest {
            var head = "\(method) \(target) HTTP/1.1\r\nHost: cluster.test\r\n\(fields)"
            if !body.isEmpty { head += "Content-Length: \(body.count)\r\n" }
            let memory = OwnedBytes(count: body.count)
            memory.bytes.copyBytes(from: body)
            let step = max(1, (body.count + sliceCount - 1) / sliceCount)
            let slices = stride(from: 0, to: body.count, by: step).map { start in
                UnsafeRawBufferPointer(rebasing: memory.bytes[start..<min(start + step, body.count)])
            }
            return RawRequest(
                method: rawMethod, head: Array("\(head)\r\n".utf8), body: slices, owner: memory,
                expectsContinue: fields.contains("100-continue"))
        }
    }

    func begin(_ message: Message) -> Outcome {
        let outcome = Outcome()
        loop.execute { [self] in connections.send(message.request()) { outcome.set($0) } }
        return outcome
    }

    func send(_ message: Message) -> Result<RawResponse, ClusterError> { begin(message).wait() }
    func get(_ target: String = "/") -> Result<RawResponse, ClusterError> { send(Message(target: target)) }

    /// Returns once no connection is left.
    func waitUntilAllAreClosed() {
        while onLoop({ $0.openCount }) > 0 {}
    }
}

extension Result where Success == RawResponse, Failure == ClusterError {
    var status: Int? { (try? get())?.status }
    var text: String? { (try? get()).map { String(decoding: $0.body, as: UTF8.self) } }
    var error: ClusterError? {
        if case .failure(let error) = self { return error }
        return nil
    }
}
