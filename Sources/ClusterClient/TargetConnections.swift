import Dispatch
import EventIO

/// Kept connections of one event loop to one cluster, for requests that are sent as they are.
///
/// The same rules as `ConnectionPool`, which serves many threads: requests are taken in order of arrival by whichever
/// connection is free first, and of the free ones the one used last is used next. Nothing that may have reached the
/// cluster is sent again: the error says how far the exchange had come, and the caller decides.
///
/// Confined to its loop. It and its connections hold each other until `shutdown`. Bounds, from `ClusterSettings`:
/// `connectionLimit`, `waitingLimit`, `connectTimeout`, `idleTimeout`, and `responseBytesLimit`, of which the content
/// beyond is counted and dropped.
// Sound: everything is used on the loop only; the resolver's queue hands its answer over through the loop's inbox.
package final class TargetConnections: @unchecked Sendable {
    /// Called on the loop, exactly once.
    package typealias Completion = (Result<RawResponse, ClusterError>) -> Void

    package let settings: ClusterSettings
    package let timeouts: ExchangeTimeouts
    package let loop: EventLoop
    let errors: ExchangeErrors
    let tls: TLSClientConfiguration?
    let signer: RawRequestSigner?
    let shortestTimeout: Duration

    /// Free connections, the one used last at the end. Not empty only when nothing waits.
    private var idle: [TargetConnection] = []
    private var all: [ObjectIdentifier: TargetConnection] = [:]
    /// Those of `all` that are being made; each is made for one of the exchanges that wait.
    private var connectingCount = 0
    private var waiting = TargetExchangeQueue()
    private(set) var isShutDown = false
    private var whenClosed: (() -> Void)?

    private let resolve: ConnectionPool.Resolve
    /// Looking names up blocks, so it never runs on the loop.
    private let resolver = DispatchQueue(label: "millrace.target.resolver")
    private var addresses: [SocketAddress] = []
    private var addressesFrom: MonotonicInstant?
    private var nextAddress = 0
    private var isResolving = false
    /// Connections that wait for the look-up.
    private var unaddressed: [TargetConnection] = []

    private static let addressLifetime = Duration.seconds(10)

    /// Nothing is connected yet.
    ///
    /// - Parameter tls: from `ClusterSettings.makeTLS`; several loops share one, and with it their sessions.
    /// - Parameter signer: signs each request when it is sent; nil sends heads as they are. `settings.authentication`
    ///   is not looked at.
    package convenience init(
        _ settings: ClusterSettings, timeouts: ExchangeTimeouts = ExchangeTimeouts(), tls: TLSClientConfiguration?,
        signer: RawRequestSigner? = nil, loop: EventLoop
    ) {
        self.init(settings, timeouts: timeouts, tls: tls, signer: signer, loop: loop) { (host, port) throws(IOError) in
            try SocketAddress.resolve(host: host, port: port)
        }
    }

    init(
        _ settings: ClusterSettings, timeouts: ExchangeTimeouts, tls: TLSClientConfiguration?,
        signer: RawRequestSigner?, loop: EventLoop, resolve: @escaping ConnectionPool.Resolve
    ) {
        precondition(settings.connectionLimit > 0, "a connection limit of \(settings.connectionLimit)")
        precondition(settings.url.isTLS == (tls != nil), "TLS settings that do not fit \(settings.url)")
        self.settings = settings
        self.timeouts = timeouts
        self.tls = tls
        self.signer = signer
        self.loop = loop
        self.resolve = resolve
        errors = ExchangeErrors(settings, sendsForeignRequests: true)
        shortestTimeout = timeouts.shortest
        addresses = SocketAddress(literal: settings.url.host, port: UInt16(settings.url.port)).map { [$0] } ?? []
    }

    /// Connections that exist or are being made.
    package var openCount: Int { all.count }
    package var idleCount: Int { idle.count }
    /// Exchanges that wait for a connection, one that is being made for them included.
    package var waitingCount: Int { waiting.count }

    /// Sends a request. A complete response is a success, whatever its status. The completion is called before this
    /// returns only when the request is refused: by the limits, or after `shutdown`.
    @discardableResult
    package func send(_ request: RawRequest, completion: @escaping Completion) -> TargetExchange {
        assert(loop.isCurrent, "a request sent off loop \(loop.label)")
        let exchange = TargetExchange(request, pool: self, completion: completion)
        if isShutDown {
            exchange.complete(.failure(errors.shutDown()))
        } else if request.method == .connect {
            exchange.complete(.failure(errors.invalidRequest("CONNECT is not a request to a cluster")))
        } else if let connection = idle.popLast() {
            connection.start(exchange)
        } else if all.count >= settings.connectionLimit, waiting.count >= settings.waitingLimit + connectingCount {
            exchange.complete(.failure(errors.queueFull()))
        } else {
            waiting.append(exchange)
            openWhatIsNeeded()
        }
        return exchange
    }

    /// Gives every exchange up, as `TargetExchange.cancel` does for one. Idle connections stay.
    package func cancelAll() {
        let waited = waiting.removeAll()
        let busy = all.values.compactMap(\.exchange)
        for exchange in waited { exchange.complete(.failure(errors.cancelled(exchange.request.name))) }
        for exchange in busy { exchange.cancel() }
    }

    /// Refuses new requests, fails those that wait, and closes connections: idle ones now, busy ones after their
    /// exchange. `whenClosed` is called on the loop once all are closed, perhaps before this returns.
    package func shutdown(whenClosed: (() -> Void)? = nil) {
        isShutDown = true
        self.whenClosed = whenClosed
        let waited = waiting.removeAll()
        idle.removeAll()
        for connection in Array(all.values) { connection.shutDown() }
        for exchange in waited { exchange.complete(.failure(errors.shutDown())) }
        reportClosed()
    }

    private func reportClosed() {
        guard isShutDown, all.isEmpty, let whenClosed else { return }
        self.whenClosed = nil
        whenClosed()
    }

    // MARK: - Called by exchanges and connections

    /// Takes an exchange out of the queue.
    func withdraw(_ exchange: TargetExchange, _ error: ClusterError) {
        waiting.remove(exchange)
        exchange.complete(.failure(error))
    }

    /// Nothing of the exchange was sent on a kept connection that turned out to be closed: it is the next again.
    func requeue(_ exchange: TargetExchange) {
        exchange.connection = nil
        if isShutDown { return exchange.complete(.failure(errors.shutDown())) }
        if let connection = idle.popLast() { return connection.start(exchange) }
        waiting.prepend(exchange)
        openWhatIsNeeded()
    }

    func connected(_ connection: TargetConnection) {
        connectingCount -= 1
        released(connection)
    }

    /// The connection is free: it gets the exchange that waits longest, or becomes idle.
    func released(_ connection: TargetConnection) {
        if let exchange = waiting.popFirst() { return connection.start(exchange) }
        idle.append(connection)
    }

    /// An idle connection is of no further use.
    func unlist(_ connection: TargetConnection) {
        if let index = idle.lastIndex(where: { $0 === connection }) { idle.remove(at: index) }
    }

    /// The connection is gone.
    func closed(_ connection: TargetConnection, wasConnecting: Bool) {
        all[ObjectIdentifier(connection)] = nil
        if wasConnecting { connectingCount -= 1 }
        openWhatIsNeeded()
        reportClosed()
    }

    /// A connection could not be made: the exchange that waits longest fails with it, so that an outage is told to
    /// callers one by one and not by a burst.
    func connectFailed(_ connection: TargetConnection, _ error: ClusterError) {
        let exchange = waiting.popFirst()
        closed(connection, wasConnecting: true)
        exchange?.complete(.failure(error))
    }

    // MARK: - Opening

    private func openWhatIsNeeded() {
        while waiting.count > connectingCount, all.count < settings.connectionLimit {
            let connection = TargetConnection(pool: self)
            all[ObjectIdentifier(connection)] = connection
            connectingCount += 1
            connection.begin()
            if let known = currentAddresses() {
                connection.connect(to: known)
            } else {
                unaddressed.append(connection)
                lookUp()
            }
        }
    }

    /// The addresses to try in turn; nil when they are unknown or were looked up too long ago.
    private func currentAddresses() -> [SocketAddress]? {
        if let addressesFrom {
            guard loop.now - addressesFrom < Self.addressLifetime else { return nil }
        } else if addresses.isEmpty {
            return nil
        }
        return rotated()
    }

    /// Starts with another address each time, as names of managed domains have several.
    private func rotated() -> [SocketAddress] {
        guard addresses.count > 1 else { return addresses }
        let start = nextAddress % addresses.count
        nextAddress &+= 1
        return Array(addresses[start...] + addresses[..<start])
    }

    private func lookUp() {
        guard !isResolving else { return }
        isResolving = true
        let host = settings.url.host
        let port = UInt16(settings.url.port)
        resolver.async { [self] in
            let answer = Result { () throws(IOError) in try resolve(host, port) }
            // Once the loop has ended nothing else touches this object, so what waits may fail here.
            if !loop.execute({ self.lookedUp(answer) }) {
                lookedUp(.failure(IOError(code: .closed, message: "the event loop stopped")))
            }
        }
    }

    private func lookedUp(_ answer: Result<[SocketAddress], IOError>) {
        isResolving = false
        var failure: IOError?
        switch answer {
        case .success(let found): addresses = found
        // Addresses that were good a while ago are better than none: the name service may be what is out of order.
        case .failure(let error): if addresses.isEmpty || error.code == .closed { failure = error }
        }
        addressesFrom = failure == nil ? loop.now : nil
        let waited = unaddressed
        unaddressed.removeAll()
        for connection in waited where connection.isConnecting {
            if let failure { connection.failConnecting(failure) } else { connection.connect(to: rotated()) }
        }
    }
}
