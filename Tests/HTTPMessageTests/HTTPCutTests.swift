import Testing

import TestSupport

@testable import HTTPMessage

/// The same bytes whole, one by one, and cut at every place give the same head, body, end and error.
@Suite struct HTTPCutTests {
    static let requests = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\n",
        "\r\n\r\nPOST /i/_bulk HTTP/1.1\r\nhost:a:9200\r\nContent-Length: 5\r\nX:\r\nY: \t v w \t \r\n\r\nhelloGET",
        "PUT /x HTTP/1.1\r\nHost: [::1]:9200\r\nTransfer-Encoding: Chunked\r\n\r\n"
            + "5;a=b; c=\"d\\\"e\"\r\nhello\r\n00a\r\n0123456789\r\n0\r\nX-Sum: 12 \r\nY:z\r\n\r\nrest",
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nHost: c\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\nopaque",
        "OPTIONS * HTTP/1.0\r\nConnection: Keep-Alive, x\r\n\r\n",
        "GET http://h:1/a?b HTTP/1.1\r\nHost: h:1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
        "GET /\u{7f} HTTP/1.1\r\n", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: \u{0}\r\n\r\n",
        "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", "\nGET / HTTP/1.1\r\n", "GET  / HTTP/1.1\r\n",
        " GET / HTTP/1.1\r\n",
    ]
    static let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 \r\nA: \u{e9}\r\n\r\nuntil the end",
        "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 20 X\r\n\r\nmore",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "HTTP/1.1 600 Odd\r\n\r\n ",
        "HTTP/1.1 101 Switching\r\nUpgrade: w\r\nConnection: upgrade\r\n\r\nopaque", "HTTP/1.1 200 \u{1}\r\n\r\n",
    ]

    private func expectEqualResults(_ text: String, _ kind: ScannedMessage.Kind, limits: HTTPLimits = HTTPLimits()) {
        let bytes = Array(text.utf8)
        for endsInput in [false, true] {
            let whole = ScannedMessage(bytes, kind, endsInput: endsInput, limits: limits)
            let bytewise = ScannedMessage(
                bytes, kind, cuts: Array(0..<bytes.count), endsInput: endsInput, limits: limits)
            #expect(bytewise == whole, "bytewise: \(text)")
            for cut in 0...bytes.count {
                let pieces = ScannedMessage(bytes, kind, cuts: [cut], endsInput: endsInput, limits: limits)
                #expect(pieces == whole, "cut at \(cut): \(text)")
            }
        }
    }

    @Test(arguments: requests) func requestsDoNotDependOnCuts(_ text: String) { expectEqualResults(text, .request) }

    @Test(arguments: responses) func responsesDoNotDependOnCuts(_ text: String) {
        for method in [HTTPMethod.get, .head, .connect] { expectEqualResults(text, .response(to: method)) }
    }

    @Test func limitsDoNotDependOnCuts() {
        for bound in 1..<150 {
            var limits = HTTPLimits()
            limits.headBytes = bound
            limits.targetBytes = 8
            limits.fieldCount = 3
            limits.trailerBytes = bound / 2 + 1
            limits.chunkExtensionBytes = bound / 8
            for text in Self.requests[1..<4] where bound % 7 == 0 || bound > 120 {
                expectEqualResults(text, .request, limits: limits)
            }
        }
    }

    @Test func everyTruncationIsIncompleteOrAnError() {
        for text in Self.requests[0..<4] {
            let bytes = Array(text.utf8)
            let whole = ScannedMessage(bytes, .request)
            #expect(whole.isComplete)
            for end in 0..<whole.byteCount {
                let cut = ScannedMessage(Array(bytes[..<end]), .request, endsInput: true)
                #expect(!cut.isComplete)
                #expect(cut.error == nil || cut.error?.code == .truncated)
            }
        }
    }

    @Test func bodiesKeepTheirBytesAndEnd() {
        let message = ScannedMessage(Array(Self.requests[2].utf8), .request)
        #expect(message.error == nil)
        #expect(String(decoding: message.body, as: UTF8.self) == "hello0123456789")
        #expect(message.trailers.map(\.name) == [Array("X-Sum".utf8), Array("Y".utf8)])
        #expect(message.trailers.map(\.value) == [Array("12".utf8), Array("z".utf8)])
        #expect(message.byteCount == Self.requests[2].utf8.count - 4)
    }
}
