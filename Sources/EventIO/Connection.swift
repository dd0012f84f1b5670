import CSystem
import Glibc

/// One stream connection, plain or TLS, as a client or accepted by a `Listener`.
///
/// Confined to its loop. Nothing that a handler calls here calls the handler back: writes, re-reads and the close are
/// done when the current callback has returned, still before the loop waits again, so the slices of one callback leave
/// in one system call. The connection and its handler hold each other until `connectionClosed`.
///
/// Bounds: one callback round reads at most `readTurnBytes` before other connections have their turn; the write queue
/// has no bound of its own, its owner watches `pendingWriteBytes`.
// Sound: every member is used on the loop's serial queue only; `assertOnLoop` checks that in debug builds.
package final class Connection: PollTarget, @unchecked Sendable {
    static let tlsRecordBytes = 16 * 1024
    static let readTurnBytes = 1 << 20
    /// How long `close()` goes on writing what is queued.
    static let drainTimeout = Duration.seconds(10)

    enum State {
        /// The TCP connect is under way.
        case connecting
        /// The PROXY protocol's header is due.
        case proxyHeader
        /// TCP is up, TLS is not.
        case handshaking
        /// Usable.
        case open
        /// `connectionClosed` has been called.
        case closed
    }

    enum End {
        case orderly
        case failed(IOError)
        /// As `failed` or `orderly`, with a reset for the peer.
        case reset(IOError?)
    }

    package let loop: EventLoop
    /// The peer's address.
    package let remoteAddress: SocketAddress
    var descriptor: Int32
    var state: State
    var handler: (any ConnectionHandler)?
    /// The listener that accepted the connection and counts it.
    var listener: Listener?

    var output = OutputQueue()
    /// The kernel took less than was offered; an EPOLLOUT event will follow.
    var isWriteBlocked = false
    /// `shutdownWrite` was called.
    var isWriteEnding = false
    var isWriteEnded = false
    var isReadPaused = false
    var isReadEnded = false
    /// What the kernel has said since the peer's end, for `continueHangup`; 0 when nothing waits for that.
    var hangupMask: UInt32 = 0
    /// The peer has closed its side, so a short read does not mean that the socket is empty.
    var sawHangup = false
    /// `close` was called.
    var isClosing = false
    var end: End? { didSet { hasEnd = end != nil } }
    /// Whether `end` is set; on the byte path a flag costs less than looking into an enumeration with an error in it.
    private(set) var hasEnd = false

    var isDeferred = false
    var isPostponed = false
    var needsRead = false
    var needsFlush = false

    /// The deadline of connecting, of the handshake, or of draining.
    var deadline = TimerToken.none
    var idleTimer = TimerToken.none
    var idleLimit: Duration?
    /// When bytes were last received, or written as far as the kernel; before that, when the connection was made or
    /// became ready.
    package internal(set) var lastActivity: MonotonicInstant

    var proxyHeader = ProxyHeaderScanner()
    // TLS: see Connection+TLS.swift.
    var ssl: OpaquePointer?
    var tlsClient: TLSClientConfiguration?
    var sessionKey: String?
    var readWantsWrite = false
    var writeWantsRead = false

    init(loop: EventLoop, remoteAddress: SocketAddress, descriptor: Int32, state: State) {
        self.loop = loop
        self.remoteAddress = remoteAddress
        self.descriptor = descriptor
        self.state = state
        lastActivity = loop.now
    }

    // MARK: Life

    /// Starts connecting; only on `loop`. The handler hears of the outcome later: `connectionReady` or
    /// `connectionClosed`.
    ///
    /// - Parameters:
    ///   - tls: nil for a plain connection.
    ///   - serverName: the host name for SNI and for checking the certificate; nil, or an address literal, checks the
    ///     certificate for that address.
    ///   - timeout: for the TCP connect and the TLS handshake together.
    @discardableResult
    package static func connect(
        on loop: EventLoop, to address: SocketAddress, tls: TLSClientConfiguration? = nil, serverName: String? = nil,
        timeout: Duration, handler: any ConnectionHandler
    ) -> Connection {
        precondition(loop.isCurrent, "connect off loop \(loop.label)")
        let connection = Connection(loop: loop, remoteAddress: address, descriptor: -1, state: .connecting)
        connection.handler = handler
        connection.startConnecting(timeout: timeout, tls: tls, serverName: serverName)
        return connection
    }

    private func startConnecting(timeout: Duration, tls: TLSClientConfiguration?, serverName: String?) {
        guard !loop.isStopping else { return loopStopped() }
        descriptor = millrace_stream_socket(remoteAddress.family)
        guard descriptor >= 0 else { return fail(.system(errno, "connect to \(remoteAddress): make a socket")) }
        if let tls {
            do throws(IOError) {
                try prepareTLS(tls, serverName: serverName)
            } catch {
                return fail(error)
            }
        }
        let code = remoteAddress.withSocketAddress { Glibc.connect(descriptor, $0, $1) }
        guard code == 0 || errno == EINPROGRESS else { return fail(.system(errno, "connect to \(remoteAddress)")) }
        register()
        deadline = loop.schedule(after: timeout) { [unowned(unsafe) self] in
            let step = state == .connecting ? "connect" : "TLS handshake"
            fail(
                IOError(code: .timedOut, message: "\(step) to \(remoteAddress): no answer within \(timeout.shortText)"))
        }
    }

    /// Takes over an accepted descriptor. The handler is called from the loop right after.
    func startAccepted(handler: any ConnectionHandler, handshakeTimeout: Duration) {
        self.handler = handler
        register()
        guard !hasEnd else { return }
        _ = millrace_set_option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        guard ssl != nil || state == .proxyHeader else { return becomeReady() }
        deadline = loop.schedule(after: handshakeTimeout) { [unowned(unsafe) self] in
            let limit = handshakeTimeout.shortText
            let step = state == .proxyHeader ? "PROXY protocol header of" : "TLS handshake with"
            fail(IOError(code: .timedOut, message: "\(step) \(remoteAddress): not done within \(limit)"))
        }
    }

    private func register() {
        let events = millrace_epoll_in | millrace_epoll_out | millrace_epoll_rdhup | millrace_epoll_et
        let code = loop.register(self, descriptor: descriptor, events: events)
        if code != 0 { fail(.system(code, "watch the connection with \(remoteAddress)")) }
    }

    /// Stops reading, writes what is queued (for at most 10 s), ends TLS in order and closes. Further writes are
    /// ignored; only `connectionClosed` follows.
    package func close() {
        assertOnLoop()
        guard !hasEnd, !isClosing, state != .closed else { return }
        isClosing = true
        if state != .open || output.isEmpty {
            end = .orderly
        } else {
            needsFlush = true
            deadline = loop.schedule(after: Self.drainTimeout) { [unowned(unsafe) self] in
                fail(
                    IOError(code: .timedOut, message: "close the connection with \(remoteAddress): peer does not read"))
            }
        }
        deferWork()
    }

    /// Drops what is queued and closes with a reset, so that the peer sees an error and not an orderly end.
    /// `connectionClosed` gets `error`.
    package func abort(with error: IOError?) {
        assertOnLoop()
        guard state != .closed else { return }
        if case .failed? = end { return }
        end = .reset(error)
        deferWork()
    }

    /// Sends the end of our stream behind what is queued. Reading goes on; when the peer ends too, the connection
    /// closes without error.
    package func shutdownWrite() {
        assertOnLoop()
        guard !hasEnd, !isClosing, !isWriteEnding, state != .closed else { return }
        isWriteEnding = true
        needsFlush = true
        deferWork()
    }

    /// Aborts the connection when nothing was received and nothing written for so long; nil: never (the default).
    /// Only the start of a period costs a timer, traffic does not.
    package var idleTimeout: Duration? {
        get { idleLimit }
        set {
            assertOnLoop()
            idleLimit = newValue
            loop.cancel(idleTimer)
            idleTimer = .none
            lastActivity = loop.now
            guard let newValue, state != .closed else { return }
            armIdleTimer(after: newValue)
        }
    }

    private func armIdleTimer(after delay: Duration) {
        idleTimer = loop.schedule(after: delay) { [unowned(unsafe) self] in
            guard let limit = idleLimit else { return }
            let left = limit - (loop.now - lastActivity)
            if left > .zero { return armIdleTimer(after: left) }
            fail(IOError(code: .timedOut, message: "connection with \(remoteAddress): idle for \(limit.shortText)"))
        }
    }

    /// Whether the connection is usable: ready, and neither closed nor about to be.
    package var isOpen: Bool { state == .open && !hasEnd && !isClosing }

    /// The address of this side.
    package var localAddress: SocketAddress? { descriptor >= 0 ? .local(of: descriptor) : nil }

    func assertOnLoop() { assert(loop.isCurrent, "connection with \(remoteAddress) used off its loop") }

    // MARK: Events

    override func ready(_ mask: UInt32) {
        let ends = millrace_epoll_rdhup | millrace_epoll_err | millrace_epoll_hup
        let isNewEnd = mask & ends != 0 && !sawHangup && state == .open
        if isNewEnd || hangupMask != 0 { hangUpLater(mask) } else { handle(mask) }
    }

    /// The peer has ended, perhaps together with thousands of others: that waits until those who have not were served.
    private func hangUpLater(_ mask: UInt32) {
        if hangupMask == 0 { loop.hangUpLater(self) }
        hangupMask |= mask
    }

    /// Called by the loop when it is this connection's turn to end.
    func continueHangup() {
        let mask = hangupMask
        hangupMask = 0
        handle(mask)
    }

    private func handle(_ mask: UInt32) {
        let broken = millrace_epoll_err | millrace_epoll_hup
        switch state {
        case .connecting:
            if mask & (millrace_epoll_out | broken) != 0 { finishConnecting(mask) }
        case .proxyHeader:
            continueProxyHeader()
        case .handshaking:
            continueHandshake()
        case .open:
            if mask & (millrace_epoll_out | broken) != 0 {
                isWriteBlocked = false
                if !output.isEmpty || isWriteEnding { requestFlush() }
            }
            if mask & (millrace_epoll_rdhup | broken) != 0 { sawHangup = true }
            if mask & (millrace_epoll_in | millrace_epoll_rdhup | broken) != 0 || readWantsWrite { readAvailable() }
            if mask & millrace_epoll_err != 0, !hasEnd { failFromSocket() }
            if writeWantsRead {
                writeWantsRead = false
                requestFlush()
            }
        case .closed:
            break
        }
    }

    /// A socket error that no read has reported: reading is paused or has ended.
    private func failFromSocket() {
        let number = millrace_socket_error(descriptor)
        if number != 0 { fail(.system(number, "connection with \(remoteAddress)")) }
    }

    private func finishConnecting(_ mask: UInt32) {
        let number = millrace_socket_error(descriptor)
        guard number == 0 else { return fail(.system(number, "connect to \(remoteAddress)")) }
        // A connect to a free port of the ephemeral range can meet itself (simultaneous open).
        if SocketAddress.local(of: descriptor) == remoteAddress {
            return fail(IOError(code: .refused, message: "connect to \(remoteAddress): connection refused"))
        }
        _ = millrace_set_option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        if mask & millrace_epoll_rdhup != 0 { sawHangup = true }
        if ssl != nil {
            state = .handshaking
            continueHandshake()
        } else {
            becomeReady()
        }
    }

    /// The connection is up: reports it, then reads what has come already and writes what was queued meanwhile.
    func becomeReady() {
        loop.cancel(deadline)
        deadline = .none
        state = .open
        lastActivity = loop.now
        handler?.connectionReady(self)
        needsRead = true
        needsFlush = true
        deferWork()
    }

    // MARK: Deferred work

    func deferWork() {
        guard !isDeferred, state != .closed else { return }
        isDeferred = true
        loop.deferWork(of: self)
    }

    /// Called by the loop when the callback that asked for it has returned.
    func runDeferred() {
        isDeferred = false
        if !hasEnd, needsRead { readAvailable() }
        if !hasEnd, needsFlush { flush() }
        if let end, state != .closed { finish(end) }
    }

    func fail(_ error: IOError) {
        guard !hasEnd, state != .closed else { return }
        end = .failed(error)
        deferWork()
    }

    override func loopStopped() {
        fail(IOError(code: .closed, message: "connection with \(remoteAddress): the event loop stopped"))
    }

    /// The only way out of life: releases everything, then tells the handler.
    private func finish(_ end: End) {
        var error: IOError?
        switch end {
        case .orderly: endTLS(isOrderly: true)
        case .failed(let why):
            error = why
            endTLS(isOrderly: false)
        case .reset(let why):
            error = why
            endTLS(isOrderly: false)
            if descriptor >= 0 { _ = millrace_set_reset_on_close(descriptor) }
        }
        state = .closed
        loop.cancel(deadline)
        loop.cancel(idleTimer)
        if slot >= 0 { loop.unregister(self) }
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        descriptor = -1
        output.removeAll()
        loop.bury(self)
        let handler = handler
        self.handler = nil
        handler?.connectionClosed(self, error: error)
        listener?.connectionEnded()
        listener = nil
    }
}

extension Duration {
    /// "5 s" or "250 ms", for messages.
    var shortText: String {
        let milliseconds = wholeNanoseconds / 1_000_000
        guard milliseconds >= 1000 else { return "\(milliseconds) ms" }
        let tenths = (milliseconds + 50) / 100
        return tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
    }
}
