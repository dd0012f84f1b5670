import Dispatch
import Glibc
import Synchronization

/// Whether the process does its work, and if not, why.
package struct AdminReadiness: Sendable, Equatable {
    package let isReady: Bool
    /// For a person; no secret.
    package let reason: String

    package static let ready = AdminReadiness(isReady: true, reason: "ready")

    package static func notReady(_ reason: String) -> AdminReadiness {
        AdminReadiness(isReady: false, reason: reason)
    }

    private init(isReady: Bool, reason: String) {
        self.isReady = isReady
        self.reason = reason
    }
}

/// The address cannot be listened on.
package struct AdminServerError: Error, CustomStringConvertible, Sendable {
    package let message: String
    package var description: String { message }
}

/// A small HTTP/1.1 responder for probes and Prometheus: `/metrics`, `/healthz` (alive), `/readyz` (200 or 503 with the
/// reason as JSON). GET and HEAD only, one request a connection.
///
/// It stands beside `EventIO`, not on it: it answers while the event loops are busy or stuck, which is when it is
/// needed. Bounds: `connectionLimit` connections (the oldest is closed for a new one), heads of 8 KiB, `timeout` for a
/// whole exchange. Plain HTTP, without authentication: it tells no data and is meant for the pod's network.
// Sound: `connections`, `listenSource` and `nextNumber` are confined to `queue`; the rest never changes.
package final class AdminServer: @unchecked Sendable {
    /// As it is bound, `127.0.0.1:9600` or `[::1]:9600`.
    package let boundAddress: String
    package let boundPort: UInt16

    private let metrics: MetricsRegistry
    private let readiness: @Sendable () -> AdminReadiness
    private let connectionLimit: Int
    private let timeout: Duration
    private let queue = DispatchQueue(label: "admin")
    private var listenSource: (any DispatchSourceRead)?
    private var connections: [Int: AdminConnection] = [:]
    private var nextNumber = 0

    /// Listens at once. `host` is a name or a numeric address, without brackets; empty means every address. Port 0 lets
    /// the kernel choose. `readiness` runs at each `/readyz`, quickly, on the server's queue.
    package init(
        host: String, port: UInt16, metrics: MetricsRegistry, connectionLimit: Int = 16,
        timeout: Duration = .seconds(5), readiness: @escaping @Sendable () -> AdminReadiness
    ) throws(AdminServerError) {
        precondition(connectionLimit > 0, "an admin server without connections")
        let listening = try AdminSocket.listen(host: host, port: port)
        self.metrics = metrics
        self.readiness = readiness
        self.connectionLimit = connectionLimit
        self.timeout = timeout
        boundPort = listening.port
        boundAddress = listening.address
        let descriptor = listening.descriptor
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { [weak self] in self?.acceptWaiting(descriptor) }
        source.setCancelHandler { close(descriptor) }
        listenSource = source
        source.activate()
    }

    deinit {
        listenSource?.cancel()
        // A connection's handler may be running on the queue.
        let left = Array(connections.values)
        queue.async { for connection in left { connection.end() } }
    }

    /// Stops listening and closes every connection. Not called from `readiness`. May be called twice.
    package func stop() {
        dispatchPrecondition(condition: .notOnQueue(queue))
        queue.sync {
            listenSource?.cancel()
            listenSource = nil
            for connection in connections.values { connection.end() }
            connections.removeAll()
        }
    }

    private func acceptWaiting(_ listening: Int32) {
        while listenSource != nil {
            let descriptor = accept(listening, nil, nil)
            if descriptor < 0 {
                // Aborted by the peer or interrupted: go on. Nothing waits, or no descriptors are left: the source
                // fires again.
                if errno == ECONNABORTED || errno == EINTR { continue }
                return
            }
            // The flags go on one by one: `accept4` is not in Swift's Glibc, and the rate is low.
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            if connections.count >= connectionLimit, let oldest = connections.keys.min() {
                connections.removeValue(forKey: oldest)?.end()
            }
            let number = nextNumber
            nextNumber += 1
            connections[number] = AdminConnection(
                descriptor: descriptor, queue: queue, timeout: timeout,
                answer: { [weak self] request in self?.answer(request) ?? AdminRequest.refused(status: 503).refusal },
                ended: { [weak self] in self?.connections[number] = nil })
        }
    }

    private func answer(_ request: AdminRequest) -> [UInt8] {
        guard case .request(let method, let path) = request else { return request.refusal }
        guard path == "/metrics" || path == "/healthz" || path == "/readyz" else {
            return AdminResponse(status: 404, text: "not found: /metrics, /healthz and /readyz exist\n")
                .serialized(withBody: method != "HEAD")
        }
        guard method == "GET" || method == "HEAD" else {
            var response = AdminResponse(status: 405, text: "only GET and HEAD\n")
            response.allowedMethods = "GET, HEAD"
            return response.serialized(withBody: true)
        }
        return response(to: path).serialized(withBody: method == "GET")
    }

    private func response(to path: String) -> AdminResponse {
        switch path {
        case "/metrics":
            return AdminResponse(
                status: 200, contentType: MetricsRegistry.contentType, body: metrics.exposition())
        case "/readyz":
            let state = readiness()
            var body = Array("{\"ready\":\(state.isReady),\"reason\":".utf8)
            body += JSONText.quoted(state.reason)
            body += "}\n".utf8
            return AdminResponse(status: state.isReady ? 200 : 503, contentType: "application/json", body: body)
        default:
            return AdminResponse(status: 200, text: "ok\n")
        }
    }
}

extension AdminRequest {
    /// The answer to what is not a request.
    var refusal: [UInt8] {
        guard case .refused(let status) = self else { return [] }
        return AdminResponse(status: status, text: "refused\n").serialized(withBody: true)
    }
}
