import HTTPMessage

/// A request on its way: made by the sending thread, then owned by the waiting queue or one connection.
// Sound: handed from owner to owner under the pool's lock or through a loop's inbox, never used by two at once. The
// connection keeps it alive while the body's slices are written, but does not change it.
final class PendingRequest: @unchecked Sendable {
    struct Signing {
        var credentials: AWSCredentials
        /// 64 hexadecimal digits.
        var payloadHash: [UInt8]
    }

    let request: ClusterRequest
    /// As it is sent, so perhaps compressed.
    let body: ClusterRequestBody?
    let isCompressed: Bool
    let signing: Signing?
    let method: HTTPMethod
    let timeout: Duration
    /// Set once it was sent again after a kept connection had turned out to be closed.
    var wasResent = false
    private var completion: (@Sendable (Result<ClusterResponse, ClusterError>) -> Void)?

    init(
        _ request: ClusterRequest, body: ClusterRequestBody?, isCompressed: Bool, signing: Signing?, timeout: Duration,
        completion: @escaping @Sendable (Result<ClusterResponse, ClusterError>) -> Void
    ) {
        self.request = request
        self.body = body
        self.isCompressed = isCompressed
        self.signing = signing
        self.timeout = timeout
        self.completion = completion
        method = request.method == "HEAD" ? .head : .other
    }

    deinit { precondition(completion == nil, "a request was dropped without an answer") }

    /// Method and path, for messages; a query may be long and a body is never named.
    var name: String { "\(request.method) \(StatusPolicy.oneLine(request.path, limit: 200))" }

    /// Whether a second copy may be sent when the first one's fate is unknown.
    var isRepeatable: Bool { request.isRepeatable || request.isIdempotent }

    /// Calls the completion, once.
    func complete(_ result: Result<ClusterResponse, ClusterError>) {
        guard let completion else { preconditionFailure("a request was answered twice") }
        self.completion = nil
        completion(result)
    }
}
