import HTTPMessage
import Testing

@testable import ClusterClient

@Suite struct ResponseReaderTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var method = HTTPMethod.other
        var wire: String
        var status: Int
        var body: String
        var isPersistent: Bool
        /// The end of the stream completes it.
        var endsWithStream = false

        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case(
            name: "length", wire: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhello", status: 200,
            body: "hello", isPersistent: true),
        Case(
            name: "no content", wire: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", status: 200, body: "",
            isPersistent: true),
        Case(
            name: "chunked",
            wire:
                "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
                + "A;x=y\r\n0123456789\r\n0\r\n\r\n",
            status: 201, body: "abc0123456789", isPersistent: true),
        Case(
            name: "chunked with trailers",
            wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\nX-Took: 3\r\n\r\n", status: 200,
            body: "z", isPersistent: true),
        Case(
            name: "until close", wire: "HTTP/1.1 200 OK\r\n\r\nall of it", status: 200, body: "all of it",
            isPersistent: false, endsWithStream: true),
        Case(
            name: "until close, empty", wire: "HTTP/1.1 200 OK\r\n\r\n", status: 200, body: "", isPersistent: false,
            endsWithStream: true),
        Case(
            name: "connection close", wire: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            status: 200, body: "ok", isPersistent: false),
        Case(
            name: "1.0", wire: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok",
            isPersistent: false),
        Case(
            name: "1.0 kept", wire: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            status: 200, body: "ok", isPersistent: true),
        Case(
            name: "HEAD", method: .head, wire: "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", status: 200, body: "",
            isPersistent: true),
        Case(name: "204", wire: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, body: "", isPersistent: true),
        Case(
            name: "304", wire: "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", status: 304, body: "",
            isPersistent: true),
        Case(
            name: "interim responses",
            wire: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
                + "Link: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!",
            status: 200, body: "!", isPersistent: true),
        Case(
            name: "no reason", wire: "HTTP/1.1 429\r\nContent-Length: 1\r\n\r\nx", status: 429, body: "x",
            isPersistent: true),
    ]

    @Test(arguments: cases) func everyFramingCutAtEveryByte(_ sample: Case) throws {
        let wire = Array(sample.wire.utf8)
        for first in 0...wire.count {
            // Two cuts at the same place stand for one cut; byte by byte is the last round.
            for second in [first, min(first + 1, wire.count), min(first + 7, wire.count)] {
                try check(sample, [Array(wire[..<first]), Array(wire[first..<second]), Array(wire[second...])])
            }
        }
        try check(sample, wire.map { [$0] })
        try check(sample, [wire])
    }

    private func check(_ sample: Case, _ pieces: [[UInt8]]) throws {
        var reader = ResponseReader(contentBytesLimit: 1000)
        reader.begin(sample.method)
        var isComplete = false
        for piece in pieces where !piece.isEmpty {
            #expect(!isComplete)
            isComplete = try reader.receive(copy: piece)
        }
        #expect(isComplete == !sample.endsWithStream)
        if sample.endsWithStream { isComplete = try reader.endOfInput() }
        #expect(isComplete)
        #expect(reader.isPersistent == sample.isPersistent)
        let response = reader.take()
        #expect(response.status == sample.status)
        #expect(String(decoding: response.body, as: UTF8.self) == sample.body)
        for limit in [1000, 3, 0] { try checkRaw(sample, pieces, limit: limit) }
    }

    /// The same as a response that is kept as it came, and cut at `limit`.
    private func checkRaw(_ sample: Case, _ pieces: [[UInt8]], limit: Int) throws {
        var reader = ResponseReader(contentBytesLimit: limit, excess: .discarded)
        reader.begin(sample.method)
        var isComplete = false
        for piece in pieces where !piece.isEmpty { isComplete = try reader.receive(copy: piece) }
        if sample.endsWithStream { isComplete = try reader.endOfInput() }
        #expect(isComplete)
        #expect(reader.isPersistent == sample.isPersistent)
        let response = reader.takeRaw()
        #expect(response.status == sample.status)
        #expect(response.body == Array(sample.body.utf8.prefix(limit)))
        #expect(response.bodyByteCount == Int64(sample.body.utf8.count))
        #expect(response.isCut == (sample.body.utf8.count > limit))
        let head = String(decoding: response.head, as: UTF8.self)
        #expect(sample.wire.contains(head) && head.hasPrefix("HTTP/1.") && head.hasSuffix("\r\n\r\n"))
        #expect(head.contains(" \(sample.status)"))
    }

    @Test(arguments: cases) func aStreamThatEndsEarlyIsAnError(_ sample: Case) {
        let wire = Array(sample.wire.utf8)
        let headEnd = sample.wire.utf8.count - sample.body.utf8.count
        for end in 0..<(sample.endsWithStream ? headEnd : wire.count) {
            var reader = ResponseReader(contentBytesLimit: 1000)
            reader.begin(sample.method)
            let isComplete = (try? reader.receive(copy: wire[..<end])) ?? false
            #expect(!isComplete)
            #expect(((try? reader.endOfInput()) ?? false) == false)
            #expect(reader.hasBegun == (end > 0))
        }
    }

    @Test func bytesBehindAResponseMakeTheConnectionUnusable() throws {
        var reader = ResponseReader(contentBytesLimit: 1000)
        reader.begin(.other)
        let wire = Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 X".utf8)
        #expect(try reader.receive(copy: wire))
        #expect(!reader.isPersistent)
        #expect(reader.take().body == Array("ok".utf8))
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH_9.6\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
        "\u{15}\u{3}\u{3}\u{0}\u{2}\u{2}(............",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ]) func garbageIsAnError(_ text: String) {
        let wire = Array(text.utf8)
        for cut in 0...wire.count {
            var reader = ResponseReader(contentBytesLimit: 1000)
            reader.begin(.other)
            #expect(throws: ResponseProblem.self) {
                _ = try reader.receive(copy: wire[..<cut])
                _ = try reader.receive(copy: wire[cut...])
            }
        }
    }

    @Test func limitsHold() {
        func problem(_ text: String) -> ResponseProblem? {
            var reader = ResponseReader(contentBytesLimit: 10)
            reader.begin(.other)
            let wire = Array(text.utf8)
            do throws(ResponseProblem) {
                _ = try reader.receive(copy: wire)
                return nil
            } catch {
                return error
            }
        }
        func isTooLarge(_ text: String) -> Bool {
            if case .tooLarge? = problem(text) { return true }
            return false
        }
        #expect(isTooLarge("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"))
        #expect(isTooLarge("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n123456\r\n5\r\n12345\r\n"))
        #expect(isTooLarge("HTTP/1.1 200 OK\r\n\r\n12345678901"))
        #expect(problem("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234567890") == nil)
        if case .tooManyInterim? = problem(String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 65)) {
        } else {
            Issue.record("65 interim responses were accepted")
        }
    }

    @Test func headersComeAsTheyWereSent() throws {
        var reader = ResponseReader(contentBytesLimit: 10)
        reader.begin(.other)
        let wire = Array(
            "HTTP/1.1 200 OK\r\nX-Elastic-Product:  Elasticsearch \r\nB: \r\nContent-Length: 0\r\n\r\n".utf8)
        #expect(try reader.receive(copy: wire))
        let response = reader.take()
        #expect(response.header("x-elastic-product") == "Elasticsearch")
        #expect(response.header("b")?.isEmpty == true)
        #expect(response.header("c") == nil)
        #expect(response.headers.map(\.name) == ["X-Elastic-Product", "B", "Content-Length"])
    }
}

extension ResponseReader {
    fileprivate mutating func receive(copy bytes: some Collection<UInt8>) throws(ResponseProblem) -> Bool {
        let bytes = Array(bytes)
        return try bytes.span.bytes.withUnsafeBytes { (raw) throws(ResponseProblem) in try receive(raw) }
    }
}
