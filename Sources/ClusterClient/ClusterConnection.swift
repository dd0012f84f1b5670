import EventIO
import HTTPMessage

/// One connection to the cluster: carries one exchange at a time and tells its pool when it is free or gone.
///
/// Holds one of the pool's slots from its making to `connectionClosed`. One timer serves both the response deadline and
/// the idle limit: it is armed again only when it is due too late, so requests do not cost timers.
// Sound: confined to `loop`; other threads only hand it over through the loop's inbox.
final class ClusterConnection: ConnectionHandler, @unchecked Sendable {
    private enum State {
        /// Connecting on behalf of this request.
        case connecting(PendingRequest)
        case idle
        case busy(PendingRequest)
        /// Of no further use; `connectionClosed` follows or was called.
        case done
    }

    let loop: EventLoop
    private let pool: ConnectionPool
    private var state: State
    private var connection: Connection?
    private let head = RequestHead()
    private var reader: ResponseReader
    /// The whole request has reached the kernel.
    private var isRequestWritten = false
    /// What else to try when connecting fails, and until when.
    private var otherAddresses: ArraySlice<SocketAddress> = []
    private var connectDeadline = MonotonicInstant(nanoseconds: 0)
    /// Exchanges that ended well.
    private var exchangeCount = 0
    private var deadline: MonotonicInstant?
    private var timer: TimerToken?
    private var timerDue = MonotonicInstant(nanoseconds: .max)
    private var isShuttingDown = false

    init(pool: ConnectionPool, loop: EventLoop, for pending: PendingRequest) {
        self.pool = pool
        self.loop = loop
        state = .connecting(pending)
        reader = ResponseReader(contentBytesLimit: pool.settings.responseBytesLimit)
    }

    /// Starts connecting to the first address that answers. On the loop.
    func connect(to addresses: [SocketAddress], timeout: Duration) {
        otherAddresses = addresses[...]
        connectDeadline = loop.now.advanced(by: timeout)
        connectToNext()
    }

    private func connectToNext() {
        let left = connectDeadline - loop.now
        let limit = ConnectionPool.attemptTimeout(left: left, count: otherAddresses.count)
        let address = otherAddresses.removeFirst()
        connection = Connection.connect(
            on: loop, to: address, tls: pool.tls, serverName: pool.settings.url.host, timeout: limit, handler: self)
    }

    /// Whether another address may do better: the name's other addresses share its certificate, but not its machine.
    private func mayTryAnotherAddress(after error: IOError?) -> Bool {
        guard !otherAddresses.isEmpty, loop.now < connectDeadline, let code = error?.code else { return false }
        return [.refused, .timedOut, .unreachable, .reset].contains(code)
    }

    /// Starts an exchange on an idle connection. On the loop. When it was closed since the pool gave it out, the
    /// request goes back: nothing of it was sent.
    func start(_ pending: PendingRequest) {
        guard case .idle = state, let connection, connection.isOpen else { return pool.submit(pending) }
        state = .busy(pending)
        isRequestWritten = false
        reader.begin(pending.method)
        pool.headWriter.write(pending, into: head)
        connection.write(head.bytes, owner: head)
        if let body = pending.body { connection.write(body.slices, owner: body) }
        setDeadline(loop.now.advanced(by: pending.timeout))
    }

    /// Closes at once when idle, else after the exchange. On the loop.
    func shutDown() {
        isShuttingDown = true
        if case .idle = state { retire() }
    }

    // MARK: - ConnectionHandler

    func connectionReady(_ connection: Connection) {
        guard case .connecting(let pending) = state else { return }
        state = .idle
        start(pending)
    }

    func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
        guard case .busy(let pending) = state else {
            // Nothing was asked: whatever this is, it must not pass for the next answer.
            if case .idle = state { retire() }
            return
        }
        do throws(ResponseProblem) {
            if try reader.receive(UnsafeRawBufferPointer(bytes)) { finish(pending) }
        } catch {
            fail(pending, pool.errors.problem(error, of: pending.name))
        }
    }

    func connectionWritesDrained(_ connection: Connection) { isRequestWritten = true }

    func connectionReadEnded(_ connection: Connection) {
        switch state {
        case .busy(let pending):
            guard reader.hasBegun else { return lose(pending, nil) }
            do throws(ResponseProblem) {
                if try reader.endOfInput() { finish(pending) } else { lose(pending, nil) }
            } catch {
                lose(pending, nil)
            }
        case .idle: retire()
        case .connecting, .done: break
        }
    }

    func connectionClosed(_ connection: Connection, error: IOError?) {
        self.connection = nil
        setDeadline(nil)
        switch state {
        case .connecting(let pending):
            if mayTryAnotherAddress(after: error) { return connectToNext() }
            state = .done
            pool.connectFailed(self, pending, error ?? IOError(code: .closed, message: "closed while connecting"))
        case .busy(let pending):
            lose(pending, error)
            pool.closed(self)
        case .idle, .done:
            state = .done
            pool.closed(self)
        }
    }

    // MARK: - Ends of an exchange

    private func finish(_ pending: PendingRequest) {
        let isGzip = reader.isGzip
        var response = reader.take()
        // An answer that came before the request was out (413, 429) leaves a request that will never be complete.
        let isUsable =
            reader.isPersistent && isRequestWritten && connection?.isOpen == true && !isShuttingDown
        exchangeCount += 1
        if isUsable {
            state = .idle
            setDeadline(loop.now.advanced(by: pool.settings.idleTimeout))
            pool.released(self)
        } else {
            retire()
        }
        if isGzip, !response.body.isEmpty {
            guard let body = GzipBody.inflated(response.body, limitBytes: pool.settings.responseBytesLimit) else {
                return pending.complete(.failure(pool.errors.notInflated(pending.name)))
            }
            response = response.withBody(body)
        }
        pending.complete(.success(response))
    }

    /// The connection broke before the response was complete. A kept connection that breaks before the first byte of
    /// the response most likely was closed by the cluster while it was idle (RFC 9112 §9.3.1): what may be repeated is
    /// sent once more, on a fresh connection.
    private func lose(_ pending: PendingRequest, _ error: IOError?) {
        let hasBegun = reader.hasBegun
        retire()
        if exchangeCount > 0, !hasBegun, pending.isRepeatable, !pending.wasResent, !isShuttingDown {
            pending.wasResent = true
            pool.resend(pending)
        } else {
            pending.complete(.failure(pool.errors.lost(pending.name, error, hasBegun: hasBegun)))
        }
    }

    private func fail(_ pending: PendingRequest, _ error: ClusterError) {
        retire()
        pending.complete(.failure(error))
    }

    /// Gives the connection up: nothing more is read from it or written to it. What was queued is dropped, so that no
    /// slice of a body is read after its request was completed.
    private func retire() {
        state = .done
        setDeadline(nil)
        guard let connection else { return }
        if connection.pendingWriteBytes > 0 { connection.abort(with: nil) } else { connection.close() }
    }

    // MARK: - Time

    private func setDeadline(_ instant: MonotonicInstant?) {
        deadline = instant
        guard let instant else {
            if let timer { loop.cancel(timer) }
            timer = nil
            timerDue = MonotonicInstant(nanoseconds: .max)
            return
        }
        guard instant < timerDue else { return }
        if let timer { loop.cancel(timer) }
        arm(instant)
    }

    private func arm(_ instant: MonotonicInstant) {
        timerDue = instant
        timer = loop.schedule(after: instant - loop.now) { [weak self] in self?.timerFired() }
    }

    private func timerFired() {
        timer = nil
        timerDue = MonotonicInstant(nanoseconds: .max)
        guard let deadline else { return }
        if loop.now < deadline { return arm(deadline) }
        switch state {
        case .busy(let pending):
            let wait = reader.hasBegun ? ExchangeErrors.Wait.completeAnswer : .answer
            fail(pending, pool.errors.timedOut(pending.name, waitingFor: wait, limit: pending.timeout))
        case .idle: retire()
        case .connecting, .done: break
        }
    }
}
