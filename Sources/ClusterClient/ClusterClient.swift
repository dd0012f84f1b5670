import Dispatch
import EventIO
import HTTPMessage
import Synchronization

/// An HTTP/1.1 client for one Elasticsearch or OpenSearch cluster.
///
/// Bodies are written from where they lie. Compressing and hashing a body happens in `send`, on the calling thread, so
/// that the loops only move bytes; a compressed response is inflated on its loop. Bounds: connections, waiting
/// requests, response bytes and times, all in `ClusterSettings`.
package final class ClusterClient: Sendable {
    /// How a job asks a cluster, one request after the other: `sendAndWait`, with patience around it, or a stand-in.
    package typealias Send = (ClusterRequest) throws(ClusterError) -> ClusterResponse
    package typealias Completion = @Sendable (Result<ClusterResponse, ClusterError>) -> Void

    package let settings: ClusterSettings
    private let loops: EventLoopGroup
    private let pool: ConnectionPool

    /// Reads the certificate files; nothing is connected yet.
    package convenience init(_ settings: ClusterSettings, loops: EventLoopGroup) throws(ClusterError) {
        try self.init(settings, loops: loops) { (host, port) throws(IOError) in
            try SocketAddress.resolve(host: host, port: port)
        }
    }

    init(
        _ settings: ClusterSettings, loops: EventLoopGroup, resolve: @escaping ConnectionPool.Resolve
    ) throws(ClusterError) {
        precondition(settings.connectionLimit > 0, "a connection limit of \(settings.connectionLimit)")
        self.settings = settings
        self.loops = loops
        if case .basic(let user, _) = settings.authentication {
            try BasicAuthorization.check(user: user, side: settings.side)
        }
        if case .apiKey(let key) = settings.authentication, !Self.isFieldText(key) {
            throw ClusterError(
                .invalidSettings, side: settings.side, disposition: .stop,
                message: "the API key holds control characters")
        }
        pool = ConnectionPool(settings, tls: try settings.makeTLS(), loops: loops, resolve: resolve)
    }

    /// Connections that exist or are being made.
    package var connectionCount: Int { pool.slotCount }
    /// Connections that wait for a request.
    package var idleConnectionCount: Int { pool.idleCount }
    /// Requests that wait for a connection.
    package var waitingCount: Int { pool.waitingCount }

    /// Sends a request. `completion` is called exactly once, on a loop or, when the request cannot even be queued, on
    /// this thread; it must not block. A complete response is a success whatever its status: see `problem(with:of:)`.
    package func send(_ request: ClusterRequest, completion: @escaping Completion) {
        if let fault = Self.fault(of: request) { return completion(.failure(pool.errors.invalidRequest(fault))) }
        var body = request.body
        var isCompressed = false
        if settings.isCompressed, let plain = body, plain.byteCount >= settings.compressionThresholdBytes,
            let smaller = GzipBody.compressed(plain)
        {
            body = smaller
            isCompressed = true
        }
        var signing: PendingRequest.Signing?
        if case .sigV4(_, _, let provider) = settings.authentication {
            do throws(ClusterError) {
                signing = PendingRequest.Signing(
                    credentials: try provider.credentials(),
                    payloadHash: SHA256Digest(slices: body?.slices ?? []).hexadecimal)
            } catch {
                return completion(.failure(error))
            }
        }
        pool.submit(
            PendingRequest(
                request, body: body, isCompressed: isCompressed, signing: signing,
                timeout: request.timeout ?? settings.requestTimeout, completion: completion))
    }

    /// Sends a request and waits for its response, whatever its status. For plain threads, never on a loop.
    package func sendAndWait(_ request: ClusterRequest) throws(ClusterError) -> ClusterResponse {
        precondition(!loops.loops.contains { $0.isCurrent }, "sendAndWait on an event loop would wait for itself")
        let answer = Answer()
        send(request) { answer.set($0) }
        return try answer.wait().get()
    }

    /// The error that a response's status stands for; nil for 2xx.
    package func problem(with response: ClusterResponse, of request: ClusterRequest) -> ClusterError? {
        StatusPolicy.problem(with: response, of: request, settings: settings)
    }

    /// Refuses new requests, fails those that wait, and closes connections: idle ones now, busy ones after their
    /// exchange. Returns at once.
    package func shutdown() { pool.shutDown() }

    /// Waits, after `shutdown`, until every connection is closed. Not on a loop. False when that took too long.
    @discardableResult
    package func waitUntilClosed(within limit: Duration) -> Bool { pool.waitUntilClosed(within: limit) }

    /// What answers at the address: asks `/`, and where that leaves doubt one more question. Errors say what to do.
    package func identify() throws(ClusterError) -> ClusterIdentity {
        let request = ClusterRequest("GET", "/", timeout: .seconds(30))
        let root = try sendAndWait(request)
        switch IdentityPolicy.read(root: root) {
        case .known(let identity): return identity
        case .notACluster(let why): throw pool.errors.notACluster(why)
        case .refused: throw refusal(root, request)
        case .versionInDoubt(let identity):
            let question = ClusterRequest(
                "GET", "/_nodes/_all/http", query: [("filter_path", "nodes.*.version")], timeout: .seconds(30))
            return IdentityPolicy.resolve(identity, nodes: try sendAndWait(question))
        case .noRootDocument:
            // A signature for that service is proof enough, and its access policy may forbid the other question.
            if case .sigV4(_, "aoss", _) = settings.authentication { return IdentityPolicy.serverlessCollection }
            let question = ClusterRequest(
                "GET", "/_cat/indices", query: [("format", "json")], timeout: .seconds(30))
            let answer = try sendAndWait(question)
            switch IdentityPolicy.confirmServerless(answer) {
            case .known(let identity): return identity
            case .notACluster(let why): throw pool.errors.notACluster(why)
            case .refused: throw refusal(answer, question)
            case .versionInDoubt, .noRootDocument: preconditionFailure("not an answer of confirmServerless")
            }
        }
    }

    private func refusal(_ response: ClusterResponse, _ request: ClusterRequest) -> ClusterError {
        problem(with: response, of: request) ?? pool.errors.notACluster("it answered with status \(response.status)")
    }

    // MARK: - Requests that must not reach the wire

    /// A line break or a space in the wrong place would let a value become another field or another request.
    private static func fault(of request: ClusterRequest) -> String? {
        let isToken = !request.method.isEmpty && request.method.utf8.allSatisfy { (0x41...0x5A).contains($0) }
        if !isToken { return "the request's method is not a word in capitals" }
        if request.method == "CONNECT" { return "CONNECT is not a request to a cluster" }
        let isPath =
            request.path.utf8.first == UInt8(ascii: "/") && request.path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
            && !request.path.utf8.contains(UInt8(ascii: "?")) && !request.path.utf8.contains(UInt8(ascii: "#"))
        if !isPath { return "the request's path is not percent-encoded" }
        if let type = request.contentType, !isFieldText(type) { return "the content type holds control characters" }
        for field in request.fields {
            let isName =
                !field.name.isEmpty
                && field.name.utf8.allSatisfy { PercentEncoding.isUnreserved($0) }
            if !isName || !isFieldText(field.value) { return "a field of the request has an unusable name or value" }
        }
        return nil
    }

    private static func isFieldText(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }

    /// Carries one result to a waiting thread.
    private final class Answer: Sendable {
        private let result = Mutex<Result<ClusterResponse, ClusterError>?>(nil)
        private let semaphore = DispatchSemaphore(value: 0)

        func set(_ value: Result<ClusterResponse, ClusterError>) {
            result.withLock { $0 = value }
            semaphore.signal()
        }

        func wait() -> Result<ClusterResponse, ClusterError> {
            semaphore.wait()
            return result.withLock { result in
                guard let result else { preconditionFailure("signalled without a result") }
                return result
            }
        }
    }
}
