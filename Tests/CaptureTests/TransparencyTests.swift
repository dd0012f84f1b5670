import Glibc
import HTTPMessage
import Testing

@testable import Capture

/// A request and what the source answers.
struct Shape: Sendable {
    let name: String
    let request: [UInt8]
    let response: [UInt8]
    let closes: Bool
}

enum Shapes {
    static let methods = [
        "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PROPFIND",
    ]

    /// Bodies with their framing fields.
    static let bodies: [(name: String, fields: String, bytes: String)] = [
        ("none", "", ""),
        ("zero", "Content-Length: 0\r\n", ""),
        ("one", "Content-Length: 1\r\n", "x"),
        ("lines", "content-length: 26\r\n", "{\"index\":{}}\n{\"a\":\"b\\r\\n\"}"),
        ("5000", "CONTENT-LENGTH: 5000\r\n", String(repeating: "0123456789", count: 500)),
        ("chunk", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        ("chunks", "transfer-encoding: Chunked\r\n", "1\r\na\r\nA\r\n0123456789\r\n00\r\n\r\n"),
        ("extension", "Transfer-Encoding: chunked\r\n", "3;a=b;c=\"d\"\r\nabc\r\n0;last\r\n\r\n"),
        ("trailers", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"),
    ]

    static let oddities: [(name: String, fields: String)] = [
        ("plain", ""),
        ("empty", "X-Empty:\r\nX-Spaces:   \t \r\n"),
        ("tabs", "X-Tab:\ta\tb\t\r\n"),
        ("bytes", "X-Latin: caf\u{e9} \u{4e2d}\r\n"),
        ("repeated", "Accept: a\r\naccept: b\r\nACCEPT:c\r\n"),
        ("long", "X-Long: " + String(repeating: "v", count: 9000) + "\r\n"),
        ("names", "x!#$%&'*+-.^_`|~1: v\r\nAuthorization: Basic QTpC\r\n"),
    ]

    static let responses: [(name: String, text: String, closes: Bool)] = [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Odd:  \tv \r\n\r\nhello", false),
        ("empty", "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n", false),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n", false),
        ("304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", false),
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n", false),
        ("close", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", true),
        ("interim", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false),
        ("reasonless", "HTTP/1.1 404\r\nContent-Length: 3\r\n\r\nno!", false),
        ("1.0", "HTTP/1.0 200 OK\r\n\r\nold", true),
        (
            "warnings",
            "HTTP/1.1 200 OK\r\n" + String(repeating: "Warning: 299 - \"w\"\r\n", count: 200)
                + "Content-Length: 1\r\n\r\nw", false
        ),
    ]

    /// Every combination of method, body, oddity and response that two of the four lists differ in from the first.
    static let all: [Shape] = {
        var shapes: [Shape] = []
        func add(_ method: String, _ body: Int, _ oddity: Int, _ response: Int) {
            let name = "\(method) \(bodies[body].name) \(oddities[oddity].name) \(responses[response].name)"
            guard !shapes.contains(where: { $0.name == name }) else { return }
            let request =
                "\(method) /i/_doc/1?a=%20b&c HTTP/1.1\r\nhOsT: cluster:9200\r\n\(oddities[oddity].fields)"
                + "\(bodies[body].fields)\r\n\(bodies[body].bytes)"
            var answer = responses[response].text
            if method == "HEAD" {
                // Without the body, which the source does not send.
                answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
                guard response == 0 else { return }
            }
            shapes.append(
                Shape(
                    name: name, request: Array(request.utf8), response: Array(answer.utf8),
                    closes: method != "HEAD" && responses[response].closes))
        }
        for method in methods {
            for body in bodies.indices { for oddity in oddities.indices { add(method, body, oddity, 0) } }
            for response in responses.indices { add(method, 0, 0, response) }
        }
        for body in bodies.indices { for response in responses.indices { add("POST", body, 0, response) } }
        return shapes
    }()
}

/// Source and client see the bytes that they would see without the proxy.
@Suite struct DifferentialTransparencyTests {
    /// How a request is cut into sends.
    private func send(_ client: RawClient, _ bytes: [UInt8], cut: Int) throws {
        if cut == 0 { return try client.send(bytes) }
        var start = 0
        while start < bytes.count {
            try client.send([UInt8](bytes[start..<min(start + cut, bytes.count)]))
            start += cut
        }
    }

    private func check(_ shape: Shape, cut: Int, _ rig: ProxyRig) throws {
        let before = rig.source.requests.count
        let client = try rig.client()
        try send(client, shape.request, cut: cut)
        let received = shape.closes ? client.receiveAll() : try client.receive(count: shape.response.count)
        #expect(received == shape.response, "\(shape.name), cut \(cut): the client's bytes differ")
        let requests = rig.source.requests
        #expect(requests.count == before + 1, "\(shape.name), cut \(cut)")
        #expect(requests.last == shape.request, "\(shape.name), cut \(cut): the source's bytes differ")
    }

    @Test func everyShapePassesUnchangedAndIsRecordedExactly() throws {
        #expect(Shapes.all.count >= 300, "\(Shapes.all.count) shapes")
        let answers = Dictionary(Shapes.all.map { ($0.request, $0) }, uniquingKeysWith: { first, _ in first })
        // Requests do not tell responses apart, so each response has a rig of its own.
        for response in Shapes.responses {
            let shapes = Shapes.all.filter { $0.name.hasSuffix(" \(response.name)") }
            let rig = try ProxyRig(answer: { request in
                guard let shape = answers[request] else { return SourceAnswer("HTTP/1.1 599 Unknown\r\n\r\n") }
                let isHead = request.starts(with: Array("HEAD".utf8))
                return SourceAnswer(
                    isHead ? shape.response : Array(response.text.utf8), closes: !isHead && response.closes)
            })
            for shape in shapes { try check(shape, cut: 0, rig) }
            for shape in shapes.prefix(12) { try check(shape, cut: 7, rig) }
            #expect(rig.stop().isComplete)
            let exchanges = try rig.exchanges()
            #expect(exchanges.map(\.request) == rig.source.requests, "\(response.name): the record differs")
            let unfinished = exchanges.filter { $0.requestEnding != .complete || $0.responseEnding != .complete }
            let detail = unfinished.first.map {
                "\(String(describing: $0.responseEnding)): \(String(decoding: $0.request.prefix(90), as: UTF8.self))"
            }
            #expect(unfinished.isEmpty, "\(response.name): \(detail ?? "")")
        }
    }

    @Test func smallRequestsPassWhereverTheyAreCut() throws {
        let rig = try ProxyRig()
        let request = Array(
            "PUT /i HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n".utf8)
        let client = try rig.client()
        for cut in 1..<request.count {
            try client.send([UInt8](request[..<cut]))
            // The second piece comes when the first one was read.
            usleep(300)
            try client.send([UInt8](request[cut...]))
            #expect(try client.receiveResponse().hasSuffix("ok"), "cut at \(cut)")
        }
        #expect(rig.source.requests == Array(repeating: request, count: request.count - 1))
        #expect(rig.source.connectionCount == 1)
        rig.stop()
        #expect(try rig.exchanges().map(\.request) == rig.source.requests)
    }

    @Test func bigBodiesPassBothWays() throws {
        let body = [UInt8]((0..<50_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
        let rig = try ProxyRig(answer: { request in
            SourceAnswer(
                Array("HTTP/1.1 200 OK\r\nContent-Length: \(request.count)\r\n\r\n".utf8) + request)
        }) { $0.limits.inFlightBytes = 64 << 20 }
        let head = Array("POST /_search HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n".utf8)
        let client = try rig.client()
        try client.send(head + body)
        let answerHead = Array("HTTP/1.1 200 OK\r\nContent-Length: \(head.count + body.count)\r\n\r\n".utf8)
        let answer = try client.receive(count: answerHead.count + head.count + body.count)
        #expect(answer == answerHead + head + body)
        #expect(rig.source.requests == [head + body])
    }

    /// What RFC 9112 does not allow is answered, never forwarded.
    @Test func ambiguousRequestsAreRefused() throws {
        let rig = try ProxyRig()
        let table: [(String, Int)] = [
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", 400),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nab\r\n0\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\n\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: b\0\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417),
            ("GET /\(String(repeating: "a", count: 40_000)) HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 70_000))\r\n\r\n", 431),
            ("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na", 400),
        ]
        for (request, status) in table {
            let client = try rig.client()
            try client.send(request)
            let answer = String(decoding: client.receiveAll(), as: UTF8.self)
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(request.prefix(80)): \(answer.prefix(300))")
            #expect(answer.contains("\"status\":\(status)}") && answer.contains("\"root_cause\""))
        }
        #expect(rig.source.requests.isEmpty)
        #expect(rig.source.received.allSatisfy { bytes in SourceConnection.wholeRequest(bytes) == nil })
    }

    @Test func anErrorBehindAGoodRequestComesAfterItsAnswer() throws {
        let rig = try ProxyRig()
        let client = try rig.client()
        try client.send(
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nbad\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        let answers = String(decoding: client.receiveAll(), as: UTF8.self)
        #expect(answers.hasPrefix("HTTP/1.1 200 OK"))
        #expect(answers.contains("okHTTP/1.1 400 Bad Request\r\n"))
        #expect(rig.source.requests.count == 1)
    }
}
