import Dispatch
import EventIO
import Synchronization

/// Connections to one cluster, at most `connectionLimit` of them, and the requests that wait for one.
///
/// A slot stands for a connection that exists or is being made. Requests are taken in order of arrival, by whichever
/// connection is free first; a free connection that was used last is used next, so that few stay open under little
/// load. Connections are spread over the event loops.
// Sound: immutable but for `state` and `closedGroup`, which synchronise themselves.
final class ConnectionPool: @unchecked Sendable {
    private struct State {
        var idle: [ClusterConnection] = []
        /// Every connection, for shutting down.
        var all: [ObjectIdentifier: ClusterConnection] = [:]
        var slotCount = 0
        var waiting = RequestQueue()
        var isShutDown = false
        var addresses: [SocketAddress] = []
        var addressesFrom: MonotonicInstant?
        var nextAddress = 0
    }

    private enum Placement {
        case use(ClusterConnection)
        case open
        case wait
        case refuse(ClusterError)
    }

    /// Looks a name up; blocks.
    typealias Resolve = @Sendable (_ host: String, _ port: UInt16) throws(IOError) -> [SocketAddress]

    let settings: ClusterSettings
    let tls: TLSClientConfiguration?
    let headWriter: RequestHeadWriter
    let errors: ExchangeErrors
    private let loops: EventLoopGroup
    private let resolve: Resolve
    private let state = Mutex(State())
    /// Looking names up blocks, so it never runs on a loop. One at a time is enough: the answer is kept for a while.
    private let resolver = DispatchQueue(label: "millrace.cluster.resolver")
    private let closedGroup = DispatchGroup()

    private static let addressLifetime = Duration.seconds(10)
    /// What one of several addresses gets at least before the next is tried.
    private static let attemptTimeoutFloor = Duration.seconds(1)

    init(
        _ settings: ClusterSettings, tls: TLSClientConfiguration?, loops: EventLoopGroup, resolve: @escaping Resolve
    ) {
        self.settings = settings
        self.resolve = resolve
        self.tls = tls
        self.loops = loops
        headWriter = RequestHeadWriter(settings)
        errors = ExchangeErrors(settings)
    }

    /// Connections that exist or are being made.
    var slotCount: Int { state.withLock { $0.slotCount } }
    var waitingCount: Int { state.withLock { $0.waiting.count } }
    var idleCount: Int { state.withLock { $0.idle.count } }

    /// Sends a request as soon as a connection is free. From any thread.
    func submit(_ pending: PendingRequest) {
        place(pending, fresh: false)
    }

    /// Sends a request that a kept connection has failed. On a fresh connection if the limit allows one: the others may
    /// have been closed by the cluster too.
    func resend(_ pending: PendingRequest) {
        place(pending, fresh: true)
    }

    private func place(_ pending: PendingRequest, fresh: Bool) {
        let placement: Placement = state.withLock { state in
            if state.isShutDown { return .refuse(errors.shutDown()) }
            if !fresh, let connection = state.idle.popLast() { return .use(connection) }
            if state.slotCount < settings.connectionLimit + (fresh ? 1 : 0) {
                // The connection that failed still has its slot and is about to give it up.
                state.slotCount += 1
                closedGroup.enter()
                return .open
            }
            guard state.waiting.count < settings.waitingLimit else { return .refuse(errors.queueFull()) }
            state.waiting.append(pending)
            return .wait
        }
        switch placement {
        case .use(let connection):
            if !connection.loop.execute({ connection.start(pending) }) { pending.complete(.failure(errors.shutDown())) }
        case .open: open(for: pending)
        case .wait: break
        case .refuse(let error): pending.complete(.failure(error))
        }
    }

    // MARK: - Called by connections, on their loops

    /// The connection is free: it gets the request that waits longest, or becomes idle.
    func released(_ connection: ClusterConnection) {
        let next: (pending: PendingRequest?, isShutDown: Bool) = state.withLock { state in
            if state.isShutDown { return (nil, true) }
            if let pending = state.waiting.popFirst() { return (pending, false) }
            state.idle.append(connection)
            return (nil, false)
        }
        if next.isShutDown { return connection.shutDown() }
        if let pending = next.pending { connection.start(pending) }
    }

    /// The connection is gone; its slot goes to the request that waits longest.
    func closed(_ connection: ClusterConnection) {
        let next: PendingRequest? = state.withLock { state in
            if let index = state.idle.firstIndex(where: { $0 === connection }) { state.idle.remove(at: index) }
            state.all[ObjectIdentifier(connection)] = nil
            return passSlot(&state)
        }
        if let next { open(for: next) } else { closedGroup.leave() }
    }

    /// A connection could not be made: its request fails, the slot goes on.
    func connectFailed(_ connection: ClusterConnection, _ pending: PendingRequest, _ error: IOError) {
        closed(connection)
        pending.complete(.failure(errors.connecting(error)))
    }

    /// Keeps the slot for a waiting request, or gives it up.
    private func passSlot(_ state: inout State) -> PendingRequest? {
        if state.slotCount <= settings.connectionLimit, let pending = state.waiting.popFirst() { return pending }
        state.slotCount -= 1
        return nil
    }

    // MARK: - Opening

    private func open(for pending: PendingRequest) {
        let begun = MonotonicInstant.now()
        let known: [SocketAddress] = state.withLock { state in
            guard let from = state.addressesFrom, begun - from < Self.addressLifetime else { return [] }
            return rotated(&state)
        }
        if !known.isEmpty { return connect(pending, to: known, begun: begun) }
        let host = settings.url.host
        let port = UInt16(settings.url.port)
        resolver.async { [self] in
            do throws(IOError) {
                let found = try resolve(host, port)
                let addresses = state.withLock { state in
                    state.addresses = found
                    state.addressesFrom = .now()
                    return rotated(&state)
                }
                connect(pending, to: addresses, begun: begun)
            } catch {
                slotFailed(pending, errors.connecting(error))
            }
        }
    }

    /// Starts with another address each time, as names of managed domains have several.
    private func rotated(_ state: inout State) -> [SocketAddress] {
        let start = state.nextAddress % max(state.addresses.count, 1)
        state.nextAddress &+= 1
        return Array(state.addresses[start...] + state.addresses[..<start])
    }

    private func connect(_ pending: PendingRequest, to addresses: [SocketAddress], begun: MonotonicInstant) {
        let loop = loops.next()
        let isAccepted = loop.execute { [self] in
            let connection = ClusterConnection(pool: self, loop: loop, for: pending)
            let isShutDown = state.withLock { state in
                state.all[ObjectIdentifier(connection)] = connection
                return state.isShutDown
            }
            guard !isShutDown else {
                closed(connection)
                return pending.complete(.failure(errors.shutDown()))
            }
            let left = settings.connectTimeout - (MonotonicInstant.now() - begun)
            connection.connect(to: addresses, timeout: max(left, .milliseconds(1)))
        }
        if !isAccepted { slotFailed(pending, errors.shutDown()) }
    }

    private func slotFailed(_ pending: PendingRequest, _ error: ClusterError) {
        let next: PendingRequest? = state.withLock { passSlot(&$0) }
        if let next { open(for: next) } else { closedGroup.leave() }
        pending.complete(.failure(error))
    }

    /// How long one address may take when `count` are left.
    static func attemptTimeout(left: Duration, count: Int) -> Duration {
        count <= 1 ? left : min(left, max(left / count, attemptTimeoutFloor))
    }

    // MARK: - End

    /// Refuses new requests, fails waiting ones, closes idle connections, and the busy ones after their exchange.
    func shutDown() {
        let (waiting, connections) = state.withLock { state in
            state.isShutDown = true
            state.idle.removeAll()
            return (state.waiting.removeAll(), Array(state.all.values))
        }
        for connection in connections { connection.loop.execute { connection.shutDown() } }
        for pending in waiting { pending.complete(.failure(errors.shutDown())) }
    }

    /// Waits until every connection is closed. Not on a loop. Returns false when that took too long.
    func waitUntilClosed(within limit: Duration) -> Bool {
        let (seconds, attoseconds) = limit.components
        let deadline = DispatchTime.now() + .seconds(Int(seconds)) + .nanoseconds(Int(attoseconds / 1_000_000_000))
        return closedGroup.wait(timeout: deadline) == .success
    }
}

/// First in, first out, without moving what waits.
struct RequestQueue {
    private var items: [PendingRequest?] = []
    private var start = 0

    var count: Int { items.count - start }

    mutating func append(_ pending: PendingRequest) { items.append(pending) }

    mutating func popFirst() -> PendingRequest? {
        guard start < items.count else { return nil }
        let first = items[start]
        items[start] = nil
        start += 1
        if start > 64, start * 2 > items.count {
            items.removeFirst(start)
            start = 0
        }
        return first
    }

    mutating func removeAll() -> [PendingRequest] {
        defer {
            items.removeAll()
            start = 0
        }
        return items[start...].compactMap { $0 }
    }
}
