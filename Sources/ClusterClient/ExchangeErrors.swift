import EventIO
import HTTPMessage

/// Turns what befalls a connection into errors for the caller: each names the cluster, what happened and what to do.
struct ExchangeErrors: Sendable {
    private let side: ClusterError.Side
    /// "target example.com:9200".
    private let cluster: String
    private let isTLS: Bool
    private let url: ClusterURL
    private let connectionLimit: Int
    private let responseBytesLimit: Int
    private let sendsForeignRequests: Bool

    /// - Parameter sendsForeignRequests: Requests are somebody else's, as captured ones are. They may ask for what
    ///   cannot be done, which is their own fault and not the cluster's; and a certificate that is not accepted today
    ///   may be tomorrow, as nobody waits beside the program.
    init(_ settings: ClusterSettings, sendsForeignRequests: Bool = false) {
        side = settings.side
        url = settings.url
        cluster = "\(settings.side.rawValue) \(settings.url.authority)"
        isTLS = settings.url.isTLS
        connectionLimit = settings.connectionLimit
        responseBytesLimit = settings.responseBytesLimit
        self.sendsForeignRequests = sendsForeignRequests
    }

    private func error(
        _ code: ClusterError.Code, _ disposition: ClusterError.Disposition, _ text: String, cause: (any Error)? = nil,
        isNotSent: Bool = false
    ) -> ClusterError {
        // What names the address by itself is not told it twice.
        let place = text.contains(url.authority) ? side.rawValue : cluster
        return ClusterError(
            code, side: side, disposition: disposition, message: "\(place): \(text)", cause: cause,
            isNotSent: isNotSent)
    }

    /// No connection came about.
    func connecting(_ cause: IOError) -> ClusterError {
        func failure(
            _ code: ClusterError.Code, _ disposition: ClusterError.Disposition, _ advice: String
        ) -> ClusterError {
            error(code, disposition, "\(cause.message); \(advice)", cause: cause, isNotSent: true)
        }
        switch cause.code {
        case .refused:
            return failure(.connectionRefused, .retry, "is the cluster running, and is the port right?")
        case .timedOut where cause.message.hasPrefix("TLS handshake"):
            return failure(.connectTimedOut, .retry, "does that port speak TLS? If not, use http:// in its address")
        case .timedOut, .unreachable:
            return failure(.connectTimedOut, .retry, "check the address, routes, firewalls and security groups")
        case .resolveFailed:
            return failure(.resolveFailed, .retry, "check the host name and this machine's name service")
        case .tlsVerify:
            return failure(
                .tlsVerifyFailed, sendsForeignRequests ? .retry : .stop,
                "give its authority with --ca-file, or the name in its certificate")
        case .tlsHandshake:
            return failure(
                .tlsHandshakeFailed, .retry,
                "does that port speak TLS (if not, use http:// in its address), or does it want a client certificate?")
        case .tlsConfiguration: return failure(.invalidSettings, .stop, "check the certificate and key files")
        case .invalidAddress, .addressInUse, .proxyHeader: return failure(.invalidSettings, .stop, "check the address")
        case .reset where cause.message.hasPrefix("TLS handshake"):
            return failure(.connectionLost, .retry, "does that port speak TLS? If not, use http:// in its address")
        case .reset: return failure(.connectionLost, .retry, "the connection was closed while it was being made")
        case .closed: return failure(.shutDown, .stop, "the client was shut down")
        case .system:
            return failure(.connectionLost, cause.isRetryable ? .retry : .stop, "look at this machine's limits")
        }
    }

    /// The connection broke during an exchange.
    func lost(_ request: String, _ cause: IOError?, hasBegun: Bool) -> ClusterError {
        if let cause, cause.code == .closed { return shutDown() }
        if let cause, cause.code == .tlsHandshake || cause.code == .tlsVerify {
            // TLS 1.3 tells of a refused client certificate after the handshake.
            return error(
                .tlsHandshakeFailed, .retry, "\(cause.message); does it want a client certificate?", cause: cause)
        }
        let why = cause.map { "(\($0.message))" } ?? ""
        if hasBegun {
            return error(.connectionLost, .retry, "the answer to \(request) broke off \(why)".trimmedEnd, cause: cause)
        }
        let advice = isTLS ? "" : "; if it speaks TLS, use https:// in its address"
        return error(
            .connectionLost, .retry, "the connection closed before an answer to \(request) \(why)".trimmedEnd + advice,
            cause: cause)
    }

    /// What a deadline waited for in vain.
    enum Wait {
        case answer
        /// The rest of an answer.
        case completeAnswer
        /// More bytes of an answer.
        case moreOfAnswer
        /// The cluster to take more bytes of a request.
        case writing
    }

    func timedOut(_ request: String, waitingFor wait: Wait, limit: Duration) -> ClusterError {
        let milliseconds = limit.wholeNanoseconds / 1_000_000
        let limit = milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds) ms"
        let what =
            switch wait {
            case .answer: "no answer to \(request) within \(limit)"
            case .completeAnswer: "no complete answer to \(request) within \(limit)"
            case .moreOfAnswer: "the answer to \(request) stopped for \(limit)"
            case .writing: "it took nothing more of \(request) for \(limit)"
            }
        return error(.responseTimedOut, .retry, "\(what); is the cluster overloaded?")
    }

    func problem(_ problem: ResponseProblem, of request: String) -> ClusterError {
        let foreignFault = sendsForeignRequests ? ClusterError.Disposition.rejectItem : .stop
        switch problem {
        case .malformed(let cause):
            let question = isTLS ? "is the port right?" : "is the port right, or does it speak TLS?"
            return error(
                .protocolViolation, .retry,
                "the answer to \(request) is not HTTP (byte \(cause.offset): \(cause.message)); \(question)",
                cause: cause)
        case .tooLarge:
            return error(
                .responseTooLarge, .rejectItem, "the answer to \(request) is longer than \(responseBytesLimit) bytes")
        case .switchedProtocol:
            return error(.protocolViolation, foreignFault, "it answered \(request) by changing to another protocol")
        case .transferCoding:
            return error(
                .protocolViolation, foreignFault,
                "the answer to \(request) has a transfer coding beside chunked")
        case .tooManyInterim:
            return error(.protocolViolation, .retry, "it answered \(request) with nothing but interim responses")
        }
    }

    func notInflated(_ request: String) -> ClusterError {
        error(
            .protocolViolation, .retry,
            "the answer to \(request) is broken gzip, or holds more than \(responseBytesLimit) bytes")
    }

    func queueFull() -> ClusterError {
        error(
            .queueFull, .retry, "too many requests wait for one of \(connectionLimit) connections", isNotSent: true)
    }

    func cancelled(_ request: String) -> ClusterError {
        error(.cancelled, .retry, "\(request) was given up")
    }

    func shutDown() -> ClusterError { error(.shutDown, .stop, "the client was shut down", isNotSent: true) }

    func invalidRequest(_ what: String) -> ClusterError {
        error(.badRequest, .rejectItem, what, isNotSent: true)
    }

    func notACluster(_ why: String) -> ClusterError {
        error(
            .notACluster, .stop, "\(url) is not an Elasticsearch or OpenSearch cluster: \(why)")
    }
}

extension String {
    fileprivate var trimmedEnd: String {
        var text = self
        while text.utf8.last == UInt8(ascii: " ") { text.removeLast() }
        return text
    }
}
