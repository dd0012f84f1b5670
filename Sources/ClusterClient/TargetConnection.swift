import EventIO
import HTTPMessage

/// One connection of `TargetConnections`: carries one exchange at a time and tells the pool when it is free or gone.
///
/// One timer serves every deadline. It is armed again only when a deadline comes sooner than it is due, and looks at
/// what is due when it fires, so that exchanges do not cost timers.
final class TargetConnection: ConnectionHandler {
    private enum State {
        /// Waiting for the look-up, for TCP or for TLS.
        case connecting
        case idle
        /// `exchange` runs.
        case busy
        /// Of no further use; `connectionClosed` follows or was called.
        case done
    }

    private enum Deadline {
        case connect, idle, continuation, write, firstByte, responseIdle, whole
    }

    private let pool: TargetConnections
    private let loop: EventLoop
    private var state = State.connecting
    private(set) var exchange: TargetExchange?
    private var connection: Connection?
    private let head = RequestHead()
    private var reader: ResponseReader

    /// The pool counts it among those that are being made.
    private var isCountedAsConnecting = true
    private var otherAddresses: ArraySlice<SocketAddress> = []
    private var connectDeadline = MonotonicInstant(nanoseconds: 0)
    /// Exchanges that ended well.
    private var exchangeCount = 0
    private var idleSince = MonotonicInstant(nanoseconds: 0)

    // Of the running exchange.
    private var start = MonotonicInstant(nanoseconds: 0)
    private var firstByte: MonotonicInstant?
    private var writtenBefore = 0
    private var requestByteCount = 0
    /// The body waits for a 100 response.
    private var isBodyHeld = false

    private var timer = TimerToken.none
    private var timerDue = MonotonicInstant(nanoseconds: .max)

    init(pool: TargetConnections) {
        self.pool = pool
        loop = pool.loop
        reader = ResponseReader(contentBytesLimit: pool.settings.responseBytesLimit, excess: .discarded)
    }

    // MARK: - Connecting

    var isConnecting: Bool { state == .connecting }

    /// Starts the clock of connecting, which runs while the name is looked up too.
    func begin() {
        connectDeadline = loop.now.advanced(by: pool.settings.connectTimeout)
        armTimer(connectDeadline)
    }

    func connect(to addresses: [SocketAddress]) {
        otherAddresses = addresses[...]
        connectToNext()
    }

    private func connectToNext() {
        let left = max(connectDeadline - loop.now, .milliseconds(1))
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

    func failConnecting(_ error: IOError) {
        state = .done
        disarmTimer()
        pool.connectFailed(self, pool.errors.connecting(error))
    }

    /// Closes at once when no exchange runs, else after it.
    func shutDown() {
        switch state {
        case .connecting:
            state = .done
            disarmTimer()
            if let connection { connection.close() } else { pool.closed(self, wasConnecting: true) }
        case .idle: retire()
        case .busy, .done: break
        }
    }

    // MARK: - An exchange

    /// Starts an exchange on a free connection.
    func start(_ exchange: TargetExchange) {
        guard state == .idle, let connection, connection.isOpen else { return pool.requeue(exchange) }
        let request = exchange.request
        head.removeAll()
        if let signer = pool.signer {
            do throws(ClusterError) {
                head.append(try signer.signed(request))
            } catch {
                exchange.complete(.failure(error))
                return pool.released(self)
            }
        } else {
            head.append(request.head)
        }
        state = .busy
        self.exchange = exchange
        exchange.connection = self
        reader.begin(request.method)
        start = loop.now
        firstByte = nil
        writtenBefore = connection.writtenByteCount
        requestByteCount = head.count
        for slice in request.body { requestByteCount += slice.count }
        isBodyHeld = request.expectsContinue && requestByteCount > head.count
        connection.write(head.bytes, owner: head)
        if isBodyHeld {
            armTimer(start.advanced(by: min(pool.shortestTimeout, pool.timeouts.continuation)))
        } else {
            if !request.body.isEmpty { connection.write(request.body, owner: request.owner) }
            armTimer(start.advanced(by: pool.shortestTimeout))
        }
    }

    private func sendHeldBody() {
        guard isBodyHeld, let exchange, let connection else { return }
        isBodyHeld = false
        connection.write(exchange.request.body, owner: exchange.request.owner)
        armTimer(loop.now.advanced(by: pool.shortestTimeout))
    }

    /// Gives the running exchange up.
    func cancel(_ error: ClusterError) { fail(error) }

    private var isSentWhole: Bool {
        guard let connection else { return false }
        return connection.writtenByteCount - writtenBefore == requestByteCount
    }

    // MARK: - ConnectionHandler

    func connectionReady(_ connection: Connection) {
        guard state == .connecting else { return }
        isCountedAsConnecting = false
        becomeIdle()
        pool.connected(self)
    }

    func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
        guard state == .busy else {
            // Nothing was asked: whatever this is, it must not pass for the next answer.
            if state == .idle { retire() }
            return
        }
        do throws(ResponseProblem) {
            let isComplete = try reader.receive(UnsafeRawBufferPointer(bytes))
            if firstByte == nil, !reader.isBeforeFinalHead { firstByte = loop.now }
            if isComplete { return finish() }
            // A final answer instead of the 100: the body is not wanted.
            if isBodyHeld, reader.isContinued, !reader.hasFinalHead { sendHeldBody() }
        } catch {
            fail(pool.errors.problem(error, of: exchange?.request.name ?? ""))
        }
    }

    func connectionReadEnded(_ connection: Connection) {
        switch state {
        case .busy:
            guard reader.hasBegun else { return lose(nil) }
            do throws(ResponseProblem) {
                if try reader.endOfInput() { finish() } else { lose(nil) }
            } catch {
                lose(nil)
            }
        case .idle: retire()
        case .connecting, .done: break
        }
    }

    func connectionClosed(_ connection: Connection, error: IOError?) {
        switch state {
        case .connecting:
            if mayTryAnotherAddress(after: error) { return connectToNext() }
            self.connection = nil
            failConnecting(error ?? IOError(code: .closed, message: "closed while connecting"))
        case .busy:
            lose(error)
            closed()
        case .idle:
            pool.unlist(self)
            closed()
        case .done: closed()
        }
    }

    private func closed() {
        connection = nil
        disarmTimer()
        pool.closed(self, wasConnecting: isCountedAsConnecting)
    }

    // MARK: - Ends of an exchange

    private func finish() {
        guard let exchange = endExchange() else { return }
        var response = reader.takeRaw()
        response.sendStart = start
        response.firstByte = firstByte ?? loop.now
        response.lastByte = loop.now
        // An answer that came before the request was out (413, 417, 429) leaves a request that will never be complete.
        let isUsable = reader.isPersistent && isSentWhole && connection?.isOpen == true && !pool.isShutDown
        exchangeCount += 1
        if isUsable {
            becomeIdle()
            pool.released(self)
        } else {
            retire()
        }
        exchange.complete(.success(response))
    }

    /// The connection broke before the response was complete.
    private func lose(_ error: IOError?) {
        let progress = progress
        guard let exchange = endExchange() else { return }
        retire()
        if progress.sentByteCount == 0, !progress.isConnectionFresh { return pool.requeue(exchange) }
        var failure = pool.errors.lost(exchange.request.name, error, hasBegun: progress.hasResponseBegun)
        failure.progress = progress
        failure.isNotSent = progress.sentByteCount == 0
        exchange.complete(.failure(failure))
    }

    private func fail(_ error: ClusterError) {
        var error = error
        error.progress = progress
        error.isNotSent = progress.sentByteCount == 0
        guard let exchange = endExchange() else { return }
        retire()
        exchange.complete(.failure(error))
    }

    private func endExchange() -> TargetExchange? {
        let ended = exchange
        ended?.connection = nil
        exchange = nil
        return ended
    }

    private var progress: ExchangeProgress {
        ExchangeProgress(
            sentByteCount: (connection?.writtenByteCount ?? writtenBefore) - writtenBefore, isSentWhole: isSentWhole,
            hasResponseBegun: reader.hasBegun, isConnectionFresh: exchangeCount == 0)
    }

    private func becomeIdle() {
        state = .idle
        idleSince = loop.now
        armTimer(idleSince.advanced(by: pool.settings.idleTimeout))
    }

    /// Gives the connection up: nothing more is read from it or written to it. What was queued is dropped, so that no
    /// slice of a body is read after its exchange was completed.
    private func retire() {
        if state == .idle { pool.unlist(self) }
        state = .done
        guard let connection else { return }
        if connection.pendingWriteBytes > 0 { connection.abort(with: nil) } else { connection.close() }
    }

    // MARK: - Time

    private func armTimer(_ instant: MonotonicInstant) {
        guard instant < timerDue else { return }
        loop.cancel(timer)
        timerDue = instant
        timer = loop.schedule(after: instant - loop.now) { [weak self] in self?.timerFired() }
    }

    private func disarmTimer() {
        loop.cancel(timer)
        timer = .none
        timerDue = MonotonicInstant(nanoseconds: .max)
    }

    private func timerFired() {
        timer = .none
        timerDue = MonotonicInstant(nanoseconds: .max)
        guard let (deadline, instant) = nextDeadline() else { return }
        guard instant <= loop.now else { return armTimer(instant) }
        act(on: deadline)
    }

    private func nextDeadline() -> (Deadline, MonotonicInstant)? {
        switch state {
        case .connecting: return (.connect, connectDeadline)
        case .idle: return (.idle, idleSince.advanced(by: pool.settings.idleTimeout))
        case .done: return nil
        case .busy: break
        }
        let timeouts = pool.timeouts
        let activity = max(start, connection?.lastActivity ?? start)
        let phase: (Deadline, MonotonicInstant)
        if firstByte != nil {
            phase = (.responseIdle, activity.advanced(by: timeouts.responseIdle))
        } else if isBodyHeld {
            phase = (.continuation, start.advanced(by: timeouts.continuation))
        } else if !isSentWhole {
            phase = (.write, activity.advanced(by: timeouts.write))
        } else {
            phase = (.firstByte, activity.advanced(by: timeouts.firstByte))
        }
        let whole = start.advanced(by: timeouts.whole)
        return whole < phase.1 ? (.whole, whole) : phase
    }

    private func act(on deadline: Deadline) {
        let timeouts = pool.timeouts
        switch deadline {
        case .connect: connectTimedOut()
        case .idle: retire()
        case .continuation: sendHeldBody()
        case .write: timeOut(.writing, timeouts.write)
        case .firstByte: timeOut(.answer, timeouts.firstByte)
        case .responseIdle: timeOut(.moreOfAnswer, timeouts.responseIdle)
        case .whole: timeOut(reader.hasBegun ? .completeAnswer : .answer, timeouts.whole)
        }
    }

    private func timeOut(_ wait: ExchangeErrors.Wait, _ limit: Duration) {
        fail(pool.errors.timedOut(exchange?.request.name ?? "", waitingFor: wait, limit: limit))
    }

    private func connectTimedOut() {
        // With an address in hand, `Connection` keeps the time and knows in which step it passed.
        guard connection == nil else { return }
        failConnecting(
            IOError(
                code: .resolveFailed,
                message: "resolve \(pool.settings.url.host): no answer within \(pool.settings.connectTimeout)"))
    }
}
