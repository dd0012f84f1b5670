import EventIO

/// The same two services as `RawEpollServer`, on `EventLoop` and `Connection`.
final class EventLoopServer: Sendable {
    let loop: EventLoop
    private let listener: Listener

    var port: UInt16 { listener.localAddress.port }

    init(mode: RawEpollServer.Mode) throws {
        let loop = try EventLoop(label: "bench")
        self.loop = loop
        listener = try Listener(on: loop, address: .loopback(port: 0)) { connection in
            switch mode {
            case .echo: EchoHandler()
            case .proxy(let target): ProxyHandler.downstream(of: connection, target: target)
            }
        }
        loop.start()
    }
}

private final class EchoHandler: ConnectionHandler {
    func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
        connection.writeThrough(UnsafeRawBufferPointer(bytes))
    }

    func connectionClosed(_ connection: Connection, error: IOError?) {}
}

/// One side of a proxied connection.
private final class ProxyHandler: ConnectionHandler {
    private var peer: Connection?

    static func downstream(of connection: Connection, target: SocketAddress) -> ProxyHandler {
        let downstream = ProxyHandler()
        let upstream = ProxyHandler()
        upstream.peer = connection
        downstream.peer = Connection.connect(
            on: connection.loop, to: target, timeout: .seconds(5), handler: upstream)
        return downstream
    }

    func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
        peer?.writeThrough(UnsafeRawBufferPointer(bytes))
        if let peer, peer.pendingWriteBytes > 0 { connection.pauseReading() }
    }

    func connectionWritesDrained(_ connection: Connection) { peer?.resumeReading() }

    func connectionClosed(_ connection: Connection, error: IOError?) {
        peer?.close()
        peer = nil
    }
}
