import Dispatch
import EventIO
import Synchronization
import Testing

/// A handler made of closures that also checks the order every handler is promised.
// Sound: used on one loop only; tests set the closures before they hand it over.
final class ScriptedHandler: ConnectionHandler, @unchecked Sendable {
    var onReady: (Connection) -> Void = { _ in }
    var onReceived: (Connection, UnsafeMutableRawBufferPointer) -> Void = { _, _ in }
    var onReadEnded: (Connection) -> Void = { $0.close() }
    var onDrained: (Connection) -> Void = { _ in }
    var onClosed: (Connection, IOError?) -> Void = { _, _ in }
    var readBuffer: (Connection) -> UnsafeMutableRawBufferPointer? = { _ in nil }
    private(set) var isReady = false
    private(set) var isClosed = false
    private var isReadEnded = false

    func connectionReady(_ connection: Connection) {
        #expect(!isReady && !isClosed, "ready comes once and first")
        isReady = true
        onReady(connection)
    }

    func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
        if !isReady || isClosed || isReadEnded || bytes.count == 0 { Issue.record("received out of order") }
        onReceived(connection, bytes)
    }

    func connectionReadEnded(_ connection: Connection) {
        #expect(isReady && !isClosed && !isReadEnded, "read end comes once")
        isReadEnded = true
        onReadEnded(connection)
    }

    func connectionWritesDrained(_ connection: Connection) {
        if !isReady || isClosed || connection.pendingWriteBytes != 0 { Issue.record("drained out of order") }
        onDrained(connection)
    }

    func connectionClosed(_ connection: Connection, error: IOError?) {
        #expect(!isClosed, "closed comes once")
        isClosed = true
        onClosed(connection, error)
    }

    func connectionReadBuffer(_ connection: Connection) -> UnsafeMutableRawBufferPointer? { readBuffer(connection) }
}

/// A value that another thread sets once and the test waits for.
final class Promise<Value: Sendable>: Sendable {
    private let state = Mutex<Value?>(nil)
    private let semaphore = DispatchSemaphore(value: 0)

    func fulfil(_ value: Value) {
        state.withLock { state in
            #expect(state == nil, "fulfilled twice")
            state = value
        }
        semaphore.signal()
    }

    /// Waits for the value; a test that would hang fails after 30 s.
    func wait(_ location: SourceLocation = #_sourceLocation) throws -> Value {
        try #require(semaphore.wait(timeout: .now() + 30) == .success, "nothing came", sourceLocation: location)
        semaphore.signal()
        return try #require(state.withLock { $0 }, sourceLocation: location)
    }
}

/// Memory that a write owns.
final class OwnedBytes: Sendable {
    nonisolated(unsafe) let memory: UnsafeMutableRawBufferPointer
    private let released: (@Sendable () -> Void)?

    init(_ bytes: [UInt8], released: (@Sendable () -> Void)? = nil) {
        memory = .allocate(byteCount: max(bytes.count, 1), alignment: 16)
        memory.copyBytes(from: bytes)
        count = bytes.count
        self.released = released
    }

    let count: Int

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<count]) }

    deinit {
        memory.deallocate()
        released?()
    }
}

/// Runs `body` with a started loop and stops it afterwards.
func withLoop<Result>(_ label: String = "test", _ body: (EventLoop) throws -> Result) throws -> Result {
    let loop = try EventLoop(label: label)
    loop.start()
    defer { loop.stop() }
    return try body(loop)
}

extension EventLoop {
    /// Runs `body` on the loop and waits for its value.
    func sync<Value: Sendable>(_ body: @escaping @Sendable () -> Value) throws -> Value {
        let promise = Promise<Value>()
        execute { promise.fulfil(body()) }
        return try promise.wait()
    }

    func connect(
        to address: SocketAddress, tls: TLSClientConfiguration? = nil, serverName: String? = nil,
        timeout: Duration = .seconds(20), handler: ScriptedHandler
    ) {
        execute {
            Connection.connect(
                on: self, to: address, tls: tls, serverName: serverName, timeout: timeout, handler: handler)
        }
    }

    /// A listener that echoes until the peer ends.
    func echoListener(tls: TLSServerConfiguration? = nil) throws -> Listener {
        try Listener(on: self, address: .loopback(port: 0), tls: tls) { _ in
            let handler = ScriptedHandler()
            handler.onReceived = { connection, bytes in connection.writeThrough(UnsafeRawBufferPointer(bytes)) }
            return handler
        }
    }
}
