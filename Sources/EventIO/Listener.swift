import CSystem
import Glibc

/// How a listener accepts.
package struct ListenerOptions: Sendable {
    /// SO_REUSEPORT: several loops listen on one address, and the kernel spreads connections over them.
    package var isPortReused = false
    /// Connections the kernel keeps waiting (bounded by net.core.somaxconn).
    package var backlogCount: Int32 = 1024
    /// At this many open connections accepting pauses; further ones wait in the backlog.
    package var connectionLimit = Int.max
    /// Connections begin with the PROXY protocol's header, before TLS; it is taken off.
    package var takesProxyHeader = false
    /// For that header and the TLS handshake together.
    package var handshakeTimeout = Duration.seconds(10)
    /// After an accept that failed for want of descriptors or memory, nothing is accepted for so long.
    package var acceptBackoff = Duration.milliseconds(100)

    package init() {}
}

/// Accepts connections on one loop.
// Sound: after `init`, which hands the listener to the loop, everything is used on the loop's queue only.
package final class Listener: PollTarget, @unchecked Sendable {
    /// Accepts per event; the level-triggered event comes again while more are waiting.
    private static let acceptsPerEvent = 64

    package let loop: EventLoop
    /// The address that is listened on, with the port that the kernel chose.
    package let localAddress: SocketAddress
    private let tls: TLSServerConfiguration?
    private let options: ListenerOptions
    private let handlerFactory: @Sendable (Connection) -> any ConnectionHandler
    private(set) var descriptor: Int32
    private var backoff = TimerToken.none
    /// Not accepting: at the connection limit, or backing off.
    private var isPaused = false
    /// Connections of this listener that are open. Only on the loop.
    package private(set) var connectionCount = 0
    /// Connections accepted so far. Only on the loop.
    package private(set) var acceptedCount = 0
    /// Accepts that failed. Only on the loop.
    package private(set) var failedAcceptCount = 0

    /// Listens at once, so a taken address is reported here; accepting starts with the loop. May be called from any
    /// thread. `handlerFactory` is called on the loop for each connection, before its TLS handshake.
    package init(
        on loop: EventLoop, address: SocketAddress, tls: TLSServerConfiguration? = nil,
        options: ListenerOptions = ListenerOptions(),
        handlerFactory: @escaping @Sendable (Connection) -> any ConnectionHandler
    ) throws(IOError) {
        let descriptor = millrace_stream_socket(address.family)
        guard descriptor >= 0 else { throw .system(errno, "listen on \(address): make a socket") }
        do throws(IOError) {
            localAddress = try Self.listen(descriptor, address, options)
        } catch {
            _ = Glibc.close(descriptor)
            throw error
        }
        self.loop = loop
        self.tls = tls
        self.options = options
        self.handlerFactory = handlerFactory
        self.descriptor = descriptor
        super.init()
        if !loop.execute({ self.begin() }) {
            _ = Glibc.close(descriptor)
            self.descriptor = -1
        }
    }

    private static func listen(
        _ descriptor: Int32, _ address: SocketAddress, _ options: ListenerOptions
    ) throws(IOError) -> SocketAddress {
        _ = millrace_set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1)
        if options.isPortReused { _ = millrace_set_option(descriptor, SOL_SOCKET, SO_REUSEPORT, 1) }
        if address.family == AF_INET6 { _ = millrace_set_option(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        let code = address.withSocketAddress { bind(descriptor, $0, $1) }
        guard code == 0, Glibc.listen(descriptor, options.backlogCount) == 0 else {
            throw .system(errno, "listen on \(address)")
        }
        return SocketAddress.local(of: descriptor) ?? address
    }

    /// Stops listening. Connections that were accepted go on. May be called from any thread.
    package func close() {
        if loop.isCurrent {
            end()
        } else {
            loop.execute { self.end() }
        }
    }

    private func begin() {
        let code = loop.register(self, descriptor: descriptor, events: millrace_epoll_in)
        precondition(code == 0, "epoll_ctl(ADD) of the listener on \(localAddress): errno \(code)")
    }

    private func end() {
        guard descriptor >= 0 else { return }
        loop.cancel(backoff)
        if slot >= 0 { loop.unregister(self) }
        _ = Glibc.close(descriptor)
        descriptor = -1
    }

    override func loopStopped() { end() }

    override func ready(_ mask: UInt32) {
        for _ in 0..<Self.acceptsPerEvent where descriptor >= 0 {
            guard connectionCount < options.connectionLimit else { return pause() }
            var storage = sockaddr_storage()
            var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let (accepted, peer) = withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    (millrace_accept(descriptor, address, &size), SocketAddress(address))
                }
            }
            guard accepted >= 0 else {
                guard acceptFailed(errno) else { return }
                continue
            }
            accept(accepted, from: peer ?? localAddress)
        }
    }

    /// Returns whether to go on at once.
    private func acceptFailed(_ number: Int32) -> Bool {
        switch number {
        case EAGAIN: return false
        // The connection was gone before it was accepted; others are waiting.
        case EINTR, ECONNABORTED, EPROTO, EPERM: return true
        default:
            failedAcceptCount += 1
            pause()
            backoff = loop.schedule(after: options.acceptBackoff) { [unowned(unsafe) self] in resume() }
            return false
        }
    }

    private func pause() {
        guard !isPaused, descriptor >= 0 else { return }
        isPaused = true
        // Taken out altogether: a mask of zero would still report errors, again and again.
        loop.unwatch(descriptor)
    }

    private func resume() {
        guard isPaused, descriptor >= 0, connectionCount < options.connectionLimit else { return }
        isPaused = false
        loop.watch(self, descriptor: descriptor, events: millrace_epoll_in)
    }

    private func accept(_ accepted: Int32, from peer: SocketAddress) {
        acceptedCount += 1
        connectionCount += 1
        let connection = Connection(loop: loop, remoteAddress: peer, descriptor: accepted, state: .open)
        connection.listener = self
        let handler = handlerFactory(connection)
        if let tls {
            do throws(IOError) {
                try connection.prepareTLS(tls)
            } catch {
                connection.fail(error)
            }
        }
        if options.takesProxyHeader { connection.state = .proxyHeader }
        connection.startAccepted(handler: handler, handshakeTimeout: options.handshakeTimeout)
    }

    /// Called by an accepted connection when it is closed.
    func connectionEnded() {
        connectionCount -= 1
        resume()
    }
}
