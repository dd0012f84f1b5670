/// What can go wrong between this program and a cluster, and what to do about it.
///
/// `message` is one line: it names the cluster's host and port, says what happened and what to do, and holds no secret:
/// neither a password, nor a key, nor a header of ours.
package struct ClusterError: Error, Sendable, CustomStringConvertible {
    /// What happened.
    package enum Code: Sendable, Equatable {
        /// Settings that cannot be used: an address, a certificate file, a missing credential.
        case invalidSettings
        /// The host name is unknown, or the name service does not answer.
        case resolveFailed
        case connectionRefused
        case connectTimedOut
        case tlsHandshakeFailed
        /// The certificate is not one that the given authorities signed for this name.
        case tlsVerifyFailed
        /// The connection broke, or the cluster closed it, before the response was complete.
        case connectionLost
        case responseTimedOut
        /// The answer is not HTTP/1.1 as RFC 9112 has it.
        case protocolViolation
        /// The body of the answer is longer than the limit.
        case responseTooLarge
        /// A redirect (3xx).
        case redirected
        /// 400 and every 4xx without a case of its own.
        case badRequest
        case unauthorized
        case forbidden
        case notFound
        case payloadTooLarge
        case tooManyRequests
        case serverError
        /// Something else than Elasticsearch or OpenSearch answers.
        case notACluster
        /// Too many requests wait for a connection.
        case queueFull
        /// `shutdown()` came first.
        case shutDown
        /// The caller gave the exchange up.
        case cancelled
    }

    /// Which cluster a message is about.
    package enum Side: String, Sendable {
        case target, coordinator, source
    }

    /// What the caller does about it.
    package enum Disposition: Sendable, Equatable {
        /// The same request may succeed later.
        case retry
        /// The request itself is at fault; others may succeed.
        case rejectItem
        /// Nothing will succeed until somebody changes something.
        case stop
    }

    package let code: Code
    package let side: Side
    package let disposition: Disposition
    package let message: String
    /// What lies beneath: an `IOError` or an `HTTPError`.
    package let cause: (any Error)?
    /// True when the cluster cannot have seen a whole request: sending it again repeats nothing.
    package internal(set) var isNotSent: Bool
    /// How far the exchange had come; of exchanges that `TargetConnections` began on a connection.
    package internal(set) var progress: ExchangeProgress?

    package init(
        _ code: Code, side: Side, disposition: Disposition, message: String, cause: (any Error)? = nil,
        isNotSent: Bool = false
    ) {
        self.code = code
        self.side = side
        self.disposition = disposition
        self.message = message
        self.cause = cause
        self.isNotSent = isNotSent
    }

    package var description: String { message }
}
