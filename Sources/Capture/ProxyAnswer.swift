import CapturedTraffic
import HTTPMessage
import JSONBytes

/// An answer that the proxy gives in place of the source, with a body in the shape of Elasticsearch's errors, which
/// every client of the engines can read.
struct ProxyAnswer: Equatable {
    let status: Int
    /// Elasticsearch's names are in lower case with underscores.
    let type: String
    let reason: String
    /// For 503.
    let retryAfterSeconds: Int?

    init(status: Int, type: String, reason: String, retryAfterSeconds: Int? = nil) {
        self.status = status
        self.type = type
        self.reason = reason
        self.retryAfterSeconds = retryAfterSeconds
    }

    /// The answer to a request that is not HTTP, or not only HTTP.
    init(refusing error: HTTPError) {
        self.init(
            status: error.suggestedStatus, type: "proxy_bad_request_exception", reason: error.description)
    }

    static func bodyTooLarge(limitBytes: Int64) -> ProxyAnswer {
        ProxyAnswer(
            status: 413, type: "proxy_content_too_large_exception",
            reason: "the request body is longer than the capture proxy's limit of \(limitBytes) bytes")
    }

    static let headTimeout = ProxyAnswer(
        status: 408, type: "proxy_timeout_exception", reason: "the request head was not complete in time")

    static let overloaded = ProxyAnswer(
        status: 503, type: "proxy_overloaded_exception",
        reason: "the capture proxy has no room for a request head that does not come at once", retryAfterSeconds: 1)

    static func badGateway(_ why: String) -> ProxyAnswer {
        ProxyAnswer(status: 502, type: "proxy_bad_gateway_exception", reason: why)
    }

    static func gatewayTimeout(_ why: String) -> ProxyAnswer {
        ProxyAnswer(status: 504, type: "proxy_gateway_timeout_exception", reason: why)
    }

    static let logUnavailable = ProxyAnswer(
        status: 503, type: CaptureMark.notExecuted.description,
        reason: "the request was not executed: it cannot be recorded durably at the moment", retryAfterSeconds: 5)

    /// The whole response. `isHead`: without the body.
    func bytes(isHead: Bool, closesConnection: Bool) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.key("error")
        json.beginObject()
        json.key("root_cause")
        json.beginArray()
        json.beginObject()
        writeCause(&json)
        json.endObject()
        json.endArray()
        writeCause(&json)
        json.endObject()
        json.key("status")
        json.int(Int64(status))
        json.endObject()
        let body = json.bytes
        var text = "HTTP/1.1 \(status) \(Self.phrase(status))\r\ncontent-type: application/json; charset=UTF-8\r\n"
        if let retryAfterSeconds { text += "retry-after: \(retryAfterSeconds)\r\n" }
        if closesConnection { text += "connection: close\r\n" }
        text += "content-length: \(body.count)\r\n\r\n"
        return Array(text.utf8) + (isHead ? [] : body)
    }

    private func writeCause(_ json: inout JSONWriter) {
        json.key("type")
        json.string(type)
        json.key("reason")
        json.string(reason)
    }

    private static func phrase(_ status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Error"
        }
    }
}
