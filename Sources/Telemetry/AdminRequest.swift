/// The head of a request to the admin server, as far as it is needed: strict, small, without a body.
enum AdminRequest: Equatable {
    /// The head goes on.
    case incomplete
    /// `path` is the target without its query.
    case request(method: String, path: String)
    /// Not HTTP/1 as RFC 9112 has it, or too large.
    case refused(status: Int)

    static let headLimitBytes = 8192

    static func parse(_ bytes: [UInt8]) -> AdminRequest {
        guard let end = headEnd(bytes) else {
            return bytes.count >= headLimitBytes ? .refused(status: 431) : .incomplete
        }
        guard end <= headLimitBytes else { return .refused(status: 431) }
        var lines = bytes[..<end].split(separator: 0x0A, omittingEmptySubsequences: false).map { line in
            line.last == 0x0D ? line.dropLast() : line
        }
        let requestLine = lines.removeFirst()
        guard let (method, target, version) = parseRequestLine(requestLine) else { return .refused(status: 400) }
        var hostCount = 0
        for line in lines where !line.isEmpty {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
                line[..<colon].allSatisfy(isTokenByte),
                line[colon...].allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 })
            else { return .refused(status: 400) }
            if String(decoding: line[..<colon], as: UTF8.self).lowercased() == "host" { hostCount += 1 }
        }
        // RFC 9112 §3.2: exactly one in HTTP/1.1.
        guard hostCount == 1 || (hostCount == 0 && version == "HTTP/1.0") else { return .refused(status: 400) }
        return .request(method: method, path: String(target.prefix { $0 != "?" }))
    }

    /// Offset after the empty line; a line may end with a bare LF (RFC 9112 §2.2).
    private static func headEnd(_ bytes: [UInt8]) -> Int? {
        var lineStart = 0
        for (offset, byte) in bytes.enumerated() where byte == 0x0A {
            let length = offset - lineStart
            if lineStart > 0, length == 0 || (length == 1 && bytes[lineStart] == 0x0D) { return offset + 1 }
            lineStart = offset + 1
        }
        return nil
    }

    private static func parseRequestLine(
        _ line: ArraySlice<UInt8>
    ) -> (method: String, target: String, version: String)? {
        let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[0].allSatisfy(isTokenByte),
            parts[1].first == UInt8(ascii: "/"), parts[1].allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        let version = String(decoding: parts[2], as: UTF8.self)
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else { return nil }
        return (String(decoding: parts[0], as: UTF8.self), String(decoding: parts[1], as: UTF8.self), version)
    }

    /// RFC 9110 §5.6.2.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E, 0x5F, 0x60, 0x7C, 0x7E: true
        default: false
        }
    }
}

/// An answer of the admin server. Every connection carries one.
struct AdminResponse {
    var status: Int
    var contentType = "text/plain; charset=utf-8"
    var body: [UInt8]
    var allowedMethods: String?

    init(status: Int, contentType: String = "text/plain; charset=utf-8", body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    init(status: Int, text: String) {
        self.init(status: status, body: Array(text.utf8))
    }

    /// `withBody` false answers HEAD: same head, nothing after it.
    func serialized(withBody: Bool) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(Self.reason(status))\r\nContent-Type: \(contentType)\r\n"
        head += "Content-Length: \(body.count)\r\nCache-Control: no-store\r\nConnection: close\r\n"
        if let allowedMethods { head += "Allow: \(allowedMethods)\r\n" }
        return Array("\(head)\r\n".utf8) + (withBody ? body : [])
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 431: "Request Header Fields Too Large"
        case 503: "Service Unavailable"
        default: "Unknown"
        }
    }
}
