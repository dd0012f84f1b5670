import EventIO
import HTTPMessage

/// A request whose head is written already, to be sent as it is: the connection frames, adds and changes nothing but
/// the lines of a signature.
package struct RawRequest {
    /// Decides whether content follows the response's head.
    package var method: HTTPMethod
    /// The whole head with its empty line.
    package var head: [UInt8]
    /// What follows the head on the wire, chunk framing included. Valid and unchanged while `owner` lives, and until
    /// the exchange's completion is called.
    package var body: [UnsafeRawBufferPointer]
    /// Kept until the body is written.
    package var owner: AnyObject?
    /// The head carries `Expect: 100-continue`: the body waits for the cluster's 100, within bounds.
    package var expectsContinue: Bool
    /// `RawRequestSigner.payloadHash` of the body, where it is known from an earlier attempt.
    package var payloadHash: [UInt8]?

    package init(
        method: HTTPMethod, head: [UInt8], body: [UnsafeRawBufferPointer] = [], owner: AnyObject? = nil,
        expectsContinue: Bool = false
    ) {
        self.method = method
        self.head = head
        self.body = body
        self.owner = owner
        self.expectsContinue = expectsContinue
    }

    /// Method and path, for messages.
    var name: String {
        let line = head.prefix { $0 != UInt8(ascii: "\r") }
        let words = line.split(separator: UInt8(ascii: " "))
        let path = words.dropFirst().first?.prefix { $0 != UInt8(ascii: "?") } ?? []
        let text = String(decoding: words.first ?? [], as: UTF8.self) + " " + String(decoding: path, as: UTF8.self)
        return StatusPolicy.oneLine(text, limit: 200)
    }
}

/// A complete response as it came, but for its transfer coding, which is removed.
package struct RawResponse: Sendable {
    package let status: Int
    /// The final head with its empty line; interim ones are not kept.
    package let head: [UInt8]
    /// Content as it is coded, at most as much as the settings' `responseBytesLimit`.
    package let body: [UInt8]
    /// Bytes of the whole content, those that were not kept included.
    package let bodyByteCount: Int64
    /// `Content-Encoding` is gzip.
    package let isGzip: Bool
    /// When the request was handed to its connection.
    package internal(set) var sendStart = MonotonicInstant(nanoseconds: 0)
    /// When the first byte of the final response was read.
    package internal(set) var firstByte = MonotonicInstant(nanoseconds: 0)
    package internal(set) var lastByte = MonotonicInstant(nanoseconds: 0)

    init(status: Int, head: [UInt8], body: [UInt8], bodyByteCount: Int64, isGzip: Bool) {
        self.status = status
        self.head = head
        self.body = body
        self.bodyByteCount = bodyByteCount
        self.isGzip = isGzip
    }

    /// The end of the content was not kept.
    package var isCut: Bool { bodyByteCount > Int64(body.count) }

    /// The content without gzip; nil when it is broken or cut gzip, or inflates to more than `bytesLimit`.
    package func content(bytesLimit: Int) -> [UInt8]? {
        guard isGzip, !body.isEmpty else { return body }
        return isCut ? nil : GzipBody.inflated(body, limitBytes: bytesLimit)
    }
}

/// How far an exchange had come when it failed; tells whether it may be sent again.
package struct ExchangeProgress: Sendable, Equatable {
    /// Bytes of head and body that the kernel took.
    package var sentByteCount: Int
    /// That was all of them.
    package var isSentWhole: Bool
    /// A byte of the response came, of an interim one too.
    package var hasResponseBegun: Bool
    /// No exchange went before on the connection. One that was kept, and breaks before a byte of the response, was most
    /// likely closed by the cluster while it was idle (RFC 9112 §9.3.1).
    package var isConnectionFresh: Bool
}

/// Bounds in time of the parts of an exchange. Connecting and being idle are bounded by `ClusterSettings`; waiting for
/// a connection is bounded in number only.
package struct ExchangeTimeouts: Sendable {
    /// While a request is written: since the kernel last took some of it.
    package var write = Duration.seconds(60)
    /// From the end of writing to the first byte of the final response. Interim responses start it again.
    package var firstByte = Duration.seconds(150)
    /// Between bytes of a response.
    package var responseIdle = Duration.seconds(60)
    /// From the start of writing to the end of the response.
    package var whole = Duration.seconds(600)
    /// How long a body waits for a 100 response; then it is sent without.
    package var continuation = Duration.seconds(1)

    package init() {}

    /// No deadline of an exchange comes sooner than this after its start, but for that of a body held back.
    var shortest: Duration { min(write, firstByte, responseIdle, whole) }
}

/// One request on its way, from `send` to its completion. Confined to the loop of its `TargetConnections`.
package final class TargetExchange {
    let request: RawRequest
    private var completion: TargetConnections.Completion?
    private var pool: TargetConnections?
    /// The connection that carries it.
    var connection: TargetConnection?
    // Links of the queue it waits in.
    fileprivate var next: TargetExchange?
    // Sound: the queue clears it before the exchange in front leaves.
    fileprivate unowned(unsafe) var previous: TargetExchange?
    fileprivate var isQueued = false

    init(_ request: RawRequest, pool: TargetConnections, completion: @escaping TargetConnections.Completion) {
        self.request = request
        self.pool = pool
        self.completion = completion
    }

    deinit { precondition(completion == nil, "an exchange was dropped without an answer") }

    /// Gives the exchange up: its completion gets `cancelled` before this returns, and its connection is closed. After
    /// the completion it does nothing.
    package func cancel() {
        guard let pool else { return }
        let error = pool.errors.cancelled(request.name)
        if let connection { return connection.cancel(error) }
        pool.withdraw(self, error)
    }

    /// Calls the completion, once.
    func complete(_ result: Result<RawResponse, ClusterError>) {
        guard let completion else { preconditionFailure("an exchange was answered twice") }
        self.completion = nil
        pool = nil
        connection = nil
        completion(result)
    }
}

/// First in, first out, but for those that leave before their turn: a list through the exchanges themselves.
struct TargetExchangeQueue {
    private var first: TargetExchange?
    private unowned(unsafe) var last: TargetExchange?
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ exchange: TargetExchange) {
        precondition(!exchange.isQueued, "an exchange waits twice")
        exchange.isQueued = true
        exchange.previous = last
        if let last { last.next = exchange } else { first = exchange }
        last = exchange
        count += 1
    }

    mutating func prepend(_ exchange: TargetExchange) {
        precondition(!exchange.isQueued, "an exchange waits twice")
        exchange.isQueued = true
        exchange.next = first
        if let first { first.previous = exchange } else { last = exchange }
        first = exchange
        count += 1
    }

    mutating func popFirst() -> TargetExchange? {
        guard let exchange = first else { return nil }
        remove(exchange)
        return exchange
    }

    mutating func remove(_ exchange: TargetExchange) {
        precondition(exchange.isQueued, "an exchange that does not wait leaves the queue")
        let next = exchange.next
        let previous = exchange.previous
        exchange.isQueued = false
        exchange.next = nil
        exchange.previous = nil
        if let next { next.previous = previous } else { last = previous }
        if let previous { previous.next = next } else { first = next }
        count -= 1
    }

    mutating func removeAll() -> [TargetExchange] {
        var all: [TargetExchange] = []
        all.reserveCapacity(count)
        while let exchange = popFirst() { all.append(exchange) }
        return all
    }
}
