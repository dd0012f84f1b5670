import HTTPMessage
import Testing

@testable import Transform

/// Requests and responses as text, for tests.
struct Rewriting {
    var rewriter: RequestRewriter

    init(
        _ rules: String? = nil, authentication: Authentication = .keep, userAgentSuffix: String = "",
        generatedIDs: Bool = true
    ) throws {
        rewriter = RequestRewriter(
            rules: try rules.map { try RuleSet(json: Array("{\"rules\":[\($0)]}".utf8), file: "rules.json") },
            host: Array("new:9200".utf8), authentication: authentication, userAgentSuffix: Array(userAgentSuffix.utf8),
            generatedIDs: generatedIDs)
    }

    /// The bytes of a message and its head, alive while this is.
    final class Message {
        let memory: UnsafeMutableRawBufferPointer
        let head: HTTPHead
        let slices: [UnsafeRawBufferPointer]

        init(head text: String, body: [[UInt8]], responseTo method: HTTPMethod? = nil) throws {
            let bytes = Array(text.utf8) + body.flatMap { $0 }
            // 16 bytes more: the scanner is given exactly the head.
            memory = .allocate(byteCount: max(1, bytes.count), alignment: 1)
            memory.copyBytes(from: bytes)
            var scanner = method.map { HTTPHeadScanner(responseTo: $0) } ?? HTTPHeadScanner()
            let whole = UnsafeRawBufferPointer(rebasing: memory[..<text.utf8.count])
            try #require(try scanner.scan(whole))
            head = scanner.head
            var at = text.utf8.count
            var slices: [UnsafeRawBufferPointer] = []
            for piece in body {
                slices.append(UnsafeRawBufferPointer(rebasing: memory[at..<(at + piece.count)]))
                at += piece.count
            }
            self.slices = slices
        }

        var headBytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<head.byteCount]) }
        var request: CapturedRequest { CapturedRequest(headBytes: headBytes, head: head, body: slices) }
        var response: SourceResponse { SourceResponse(headBytes: headBytes, head: head, body: slices) }

        deinit { memory.deallocate() }
    }

    static func request(_ line: String, _ body: String = "", fields: String = "") throws -> Message {
        try request(line, [Array(body.utf8)], fields: fields)
    }

    /// `line` is `METHOD target`; lengths are added.
    static func request(_ line: String, _ body: [[UInt8]], fields: String = "") throws -> Message {
        let count = body.reduce(0) { $0 + $1.count }
        let length =
            count > 0 && !fields.lowercased().contains("transfer-encoding") ? "Content-Length: \(count)\r\n" : ""
        return try Message(head: "\(line) HTTP/1.1\r\nHost: old:9200\r\n\(fields)\(length)\r\n", body: body)
    }

    static func response(_ status: Int, _ body: String, fields: String = "") throws -> Message {
        try response(status, Array(body.utf8), fields: fields)
    }

    static func response(_ status: Int, _ body: [UInt8], fields: String = "") throws -> Message {
        try Message(
            head: "HTTP/1.1 \(status) X\r\n\(fields)content-length: \(body.count)\r\n\r\n", body: [body],
            responseTo: .post)
    }

    func rewrite(_ message: Message, response: Message? = nil) throws -> RewrittenRequest {
        let result = try rewriter.rewrite(
            message.request, ids: response.map { .response($0.response) } ?? .notNeeded)
        if result.skip == nil { try Self.check(result, message) }
        return result
    }

    /// What holds for every request to send: its head can be scanned, and its framing is that of its body.
    static func check(_ result: RewrittenRequest, _ message: Message) throws {
        var scanner = HTTPHeadScanner()
        let isWhole = try result.head.withUnsafeBytes { try scanner.scan($0) }
        #expect(isWhole)
        #expect(scanner.head.byteCount == result.head.count)
        #expect(scanner.head.method == result.method)
        switch result.body {
        case .unchanged: #expect(scanner.head.framing == message.head.framing)
        case .replaced(let body):
            #expect(scanner.head.framing == (body.isEmpty ? HTTPBodyFraming.none : .length(Int64(body.count))))
        }
        #expect(scanner.head.isPersistent)
    }

    /// `METHOD target`, `skip REASON` or `error CODE`.
    func line(_ message: Message, response: Message? = nil) -> String {
        do {
            let result = try rewrite(message, response: response)
            if let skip = result.skip { return "skip \(skip)" }
            return Self.firstLine(result)
        } catch let error as TransformError {
            return "error \(error.code)"
        } catch {
            return "\(error)"
        }
    }

    static func firstLine(_ result: RewrittenRequest) -> String {
        let line = result.head.prefix { $0 != 0x0D }
        return String(decoding: line.dropLast(" HTTP/1.1".utf8.count), as: UTF8.self)
    }

    static func text(_ result: RewrittenRequest, _ captured: String) -> String {
        switch result.body {
        case .unchanged: captured
        case .replaced(let body): String(decoding: body, as: UTF8.self)
        }
    }
}

extension RequestRewriter {
    func needsResponse(_ message: Rewriting.Message) -> Bool { needsResponse(message.request) }
}
