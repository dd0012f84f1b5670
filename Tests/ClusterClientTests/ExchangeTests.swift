import Dispatch
import EventIO
import Synchronization
import TestSupport
import Testing

@testable import ClusterClient

/// Whole exchanges over loopback against a scripted server.
@Suite struct ExchangeTests {
    @Test(arguments: ResponseReaderTests.cases) func everyFramingOverASocket(_ sample: ResponseReaderTests.Case) throws
    {
        // Whole first, then byte by byte.
        for isWhole in [true, false] {
            try Harness.run { peer in
                peer.serve { _ in
                    if isWhole { peer.send(sample.wire) } else { for byte in sample.wire.utf8 { peer.send([byte]) } }
                    if sample.endsWithStream { peer.end() }
                }
            } _: { harness in
                let request = ClusterRequest(sample.method == .head ? "HEAD" : "GET", "/")
                for round in 1...2 {
                    let result = harness.send(request)
                    #expect(result.status == sample.status)
                    #expect(result.text == sample.body)
                    #expect(harness.server.acceptedCount == (sample.isPersistent ? 1 : round))
                }
            }
        }
    }

    @Test func aRequestIsWrittenAsItShouldBe() throws {
        try Harness.run { settings in
            settings.url = try ClusterURL("\(settings.url)/es/v1/")
            settings.authentication = .basic(user: "Aladdin", password: "open sesame")
            settings.userAgent = "millrace/1"
        } script: { peer in
            peer.serve { _ in peer.respond() }
        } _: { harness in
            var request = ClusterRequest(
                "POST", PercentEncoding.path("my index", "_bulk"),
                query: [("filter_path", "took,items.*.status"), ("pretty", "")], contentType: "application/x-ndjson",
                body: ClusterRequestBody(text: "{}\n{}\n"))
            request.fields = [("X-Opaque-Id", "7")]
            #expect(harness.send(request).status == 200)
            #expect(harness.send(ClusterRequest("POST", "/_refresh")).status == 200)
            #expect(harness.get("/_cluster/health").status == 200)
            let heads = harness.server.requests.map(\.head)
            let common =
                "Host: 127.0.0.1:\(harness.server.port)\r\nUser-Agent: millrace/1\r\nAccept: */*\r\n"
                + "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"
            #expect(
                heads == [
                    "POST /es/v1/my%20index/_bulk?filter_path=took%2Citems.%2A.status&pretty HTTP/1.1\r\n\(common)"
                        + "Content-Type: application/x-ndjson\r\nContent-Length: 6\r\nX-Opaque-Id: 7\r\n\r\n",
                    "POST /es/v1/_refresh HTTP/1.1\r\n\(common)Content-Length: 0\r\n\r\n",
                    "GET /es/v1/_cluster/health HTTP/1.1\r\n\(common)\r\n",
                ])
            #expect(harness.server.requests[0].body == Array("{}\n{}\n".utf8))
            #expect(harness.server.acceptedCount == 1)
        }
    }

    /// Says when it goes away.
    private final class Owner: Sendable {
        let released: @Sendable () -> Void
        init(_ released: @escaping @Sendable () -> Void) { self.released = released }
        deinit { released() }
    }

    @Test func aLargeBodyOfManySlicesArrivesAndIsReleased() throws {
        var random = SeededGenerator(seed: 11)
        let memory = OwnedBytes(count: 6 << 20)
        for index in 0..<(memory.bytes.count / 8) {
            memory.bytes.storeBytes(of: random.next(), toByteOffset: index * 8, as: UInt64.self)
        }
        var slices: [UnsafeRawBufferPointer] = []
        var start = 0
        while start < memory.bytes.count {
            let end = min(start + Int.random(in: 0...8000, using: &random), memory.bytes.count)
            slices.append(UnsafeRawBufferPointer(rebasing: memory.bytes[start..<end]))
            start = end
        }
        let released = DispatchSemaphore(value: 0)
        try Harness.run { peer in
            peer.serve { peer.respond(200, "\($0.body.count)") }
        } _: { harness in
            do {
                let body = ClusterRequestBody(slices: slices, owner: Owner { released.signal() })
                #expect(harness.send(ClusterRequest("POST", "/_bulk", body: body)).text == "\(memory.bytes.count)")
            }
            #expect(released.wait(timeout: .now() + 5) == .success)
            #expect(harness.server.requests.first?.body == Array(memory.bytes))
        }
    }

    @Test func compressionBothWays() throws {
        let text = String(repeating: "{\"index\":{}}\n{\"field\":\"value\"}\n", count: 500)
        try Harness.run {
            $0.isCompressed = true
        } script: { peer in
            peer.serve { request in
                guard request.field("content-encoding") == "gzip" else { return peer.respond(200, "plain") }
                // The server's answer is what it got, still compressed.
                peer.send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(request.body.count)\r\n\r\n")
                peer.send(request.body)
            }
        } _: { harness in
            let bytes = Array(text.utf8)
            let halves = ClusterRequestBody(bytes: bytes)
            let whole = halves.slices[0]
            let split = ClusterRequestBody(
                slices: [
                    UnsafeRawBufferPointer(rebasing: whole[..<5000]), UnsafeRawBufferPointer(rebasing: whole[5000...]),
                ], owner: halves)
            for body in [halves, split] {
                #expect(harness.send(ClusterRequest("POST", "/_bulk", body: body)).text == text)
            }
            #expect(harness.server.requests[0].body.count < text.utf8.count / 10)
            #expect(harness.server.requests[0].field("accept-encoding") == "gzip")
            // Below the threshold it is sent as it is.
            #expect(
                harness.send(ClusterRequest("POST", "/_bulk", body: ClusterRequestBody(text: "{}"))).text == "plain")
        }
    }

    @Test func brokenGzipIsAnError() throws {
        try Harness.run { peer in
            peer.serve { _ in peer.respond(200, "not gzip", fields: "Content-Encoding: gzip\r\n") }
        } _: { harness in
            let error = harness.get().error
            #expect(error?.code == .protocolViolation)
            #expect(error?.message.contains("broken gzip") == true)
        }
    }

    @Test func anAnswerBeforeTheBodyIsSentIsRead() throws {
        let body = ClusterRequestBody(bytes: [UInt8](repeating: 0x20, count: 16 << 20))
        for isKept in [true, false] {
            try Harness.run { peer in
                guard peer.readHead() != nil else { return }
                peer.respond(413, "too large", fields: isKept ? "" : "Connection: close\r\n")
                // What is left of the body is thrown away, so that no reset overtakes the answer.
                peer.end()
                _ = peer.waitForEnd()
            } _: { harness in
                for _ in 1...3 {
                    let result = harness.send(ClusterRequest("POST", "/_bulk", body: body))
                    #expect(result.status == 413)
                    #expect(result.text == "too large")
                }
                #expect(harness.server.acceptedCount == 3)
            }
        }
    }

    @Test func anAnswerBeforeTheBodyIsSentWithAnAbruptClose() throws {
        let body = ClusterRequestBody(bytes: [UInt8](repeating: 0x20, count: 16 << 20))
        try Harness.run { peer in
            guard peer.readHead() != nil else { return }
            peer.respond(429, "busy")
        } _: { harness in
            // The reset that follows may overtake the answer in the kernel: then it is a lost connection, never a hang
            // or a wrong answer.
            for _ in 1...5 {
                let result = harness.send(ClusterRequest("POST", "/_bulk", body: body))
                #expect(result.status == 429 || result.error?.code == .connectionLost)
            }
        }
    }

    @Test func noAnswerWithinTheDeadline() throws {
        try Harness.run { peer in
            peer.serve { request in
                if request.target == "/half" { peer.send("HTTP/1.1 200 OK\r\nContent-Le") }
                if request.target == "/quick" { peer.respond() }
            }
        } _: { harness in
            #expect(harness.get("/quick").status == 200)
            for path in ["/never", "/half"] {
                let error = harness.get(path, timeout: .milliseconds(60)).error
                #expect(error?.code == .responseTimedOut)
                #expect(error?.disposition == .retry)
                #expect(error?.message.contains("GET \(path) within 60 ms") == true)
            }
            // The late answer must not meet the next request: its connection is gone.
            #expect(harness.get("/quick").status == 200)
            #expect(harness.server.acceptedCount == 3)
        }
    }

    @Test func aResponseBeyondTheLimitIsAnError() throws {
        try Harness.run {
            $0.responseBytesLimit = 100
        } script: { peer in
            peer.serve { request in
                peer.respond(200, String(repeating: "x", count: request.target == "/long" ? 101 : 100))
            }
        } _: { harness in
            #expect(harness.get("/short").text?.utf8.count == 100)
            #expect(harness.get("/long").error?.code == .responseTooLarge)
            #expect(harness.get("/short").status == 200)
            #expect(harness.server.acceptedCount == 2)
        }
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH_9.6\r\n", "\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}F0123456789", "220 mail.example.com ESMTP\r\n",
    ])
    func garbageIsAProtocolViolation(_ text: String) throws {
        try Harness.run { peer in
            _ = peer.readRequest()
            peer.send(text)
            _ = peer.waitForEnd()
        } _: { harness in
            let error = harness.get().error
            #expect(error?.code == .protocolViolation)
            #expect(error?.message.contains("127.0.0.1:\(harness.server.port)") == true)
        }
    }

    @Test func nothingListens() throws {
        let harness = try Harness { _ in }
        harness.server.stop()
        let error = harness.get().error
        #expect(error?.code == .connectionRefused)
        #expect(error?.disposition == .retry)
        #expect(error?.isNotSent == true)
        #expect(error?.message.contains("127.0.0.1:\(harness.server.port)") == true)
        #expect(harness.client.connectionCount == 0)
        harness.client.shutdown()
        harness.loops.stop()
    }

    @Test func unusableRequestsAreNotSent() throws {
        try Harness.run { peer in
            peer.serve { _ in peer.respond() }
        } _: { harness in
            var requests = [
                ClusterRequest("GET", "no-slash"), ClusterRequest("GET", "/a b"), ClusterRequest("GET", "/a\r\nX: y"),
                ClusterRequest("GET", "/?q"), ClusterRequest("get", "/"), ClusterRequest("GET /", "/"),
                ClusterRequest("GET", "/", contentType: "a\r\nb: c"),
            ]
            var request = ClusterRequest("GET", "/")
            request.fields = [("A", "b\r\nC: d")]
            requests.append(request)
            request.fields = [("A b", "c")]
            requests.append(request)
            for request in requests {
                let error = harness.send(request).error
                #expect(error?.code == .badRequest)
                #expect(error?.isNotSent == true)
            }
            #expect(harness.server.acceptedCount == 0)
        }
    }
}

extension ScriptedServer.Peer {
    /// Ends this side of the stream.
    func end() { shutdownWrite() }

    /// Reads until the client ends its side, without looking.
    func waitForEnd() -> Bool {
        while fill() {}
        return true
    }
}
