import Dispatch
import EventIO
import HTTPMessage
import TestSupport
import Testing

@testable import ClusterClient

@Suite struct TargetConnectionsTests {
    private typealias Message = TargetHarness.Message

    // MARK: - Exchanges

    @Test(arguments: ResponseReaderTests.cases) func everyFramingByteByByte(_ sample: ResponseReaderTests.Case) throws {
        try TargetHarness.run { peer in
            while peer.readRequest() != nil {
                for byte in sample.wire.utf8 { peer.send([byte]) }
                if !sample.isPersistent { return }
            }
        } _: { harness in
            for round in 1...3 {
                let method = sample.method == .head ? "HEAD" : "GET"
                let response = try harness.send(Message(method: method)).get()
                #expect(response.status == sample.status)
                #expect(response.body == Array(sample.body.utf8))
                #expect(response.bodyByteCount == Int64(sample.body.utf8.count))
                #expect(response.sendStart <= response.firstByte)
                #expect(response.firstByte <= response.lastByte)
                #expect(harness.server.acceptedCount == (sample.isPersistent ? 1 : round))
            }
        }
    }

    @Test func aRequestArrivesAsItIs() throws {
        let body = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let odd = "/Index%2f?b=2&a=%zz&&;x"
        try TargetHarness.run { peer in
            peer.serve { _ in peer.respond(201, "{\"took\":1}", fields: "X-Some: Thing\r\n") }
        } _: { harness in
            for _ in 0..<3 {
                let fields = "x-odd:no space\r\nACCEPT:  two  spaces \r\n"
                let result = try harness.send(Message(method: "POST", target: odd, fields: fields, body: body)).get()
                #expect(result.status == 201)
                #expect(String(decoding: result.head, as: UTF8.self).hasPrefix("HTTP/1.1 201 Some Reason\r\nX-Some: T"))
                #expect(result.body == Array("{\"took\":1}".utf8))
            }
            let requests = harness.server.requests
            #expect(requests.count == 3)
            for request in requests {
                #expect(request.body == body)
                #expect(
                    request.head
                        == "POST \(odd) HTTP/1.1\r\nHost: cluster.test\r\nx-odd:no space\r\nACCEPT:  two  spaces \r\n"
                        + "Content-Length: 300000\r\n\r\n")
            }
            #expect(harness.server.acceptedCount == 1)
        }
    }

    @Test func gzipIsKeptAndReadOnDemand() throws {
        let plain = Array(String(repeating: "{\"took\":1}", count: 100).utf8)
        let coded = try #require(GzipBody.compressed(ClusterRequestBody(bytes: plain)))
        let wire = coded.slices.flatMap { Array($0) }
        try TargetHarness.run {
            $0.responseBytesLimit = wire.count
        } script: { peer in
            peer.serve { request in
                let more: [UInt8] = request.target == "/cut" ? [0] : []
                peer.send(
                    "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: \(wire.count + more.count)\r\n\r\n")
                peer.send(wire + more)
            }
        } _: { harness in
            let whole = try harness.get().get()
            #expect(whole.body == wire)
            #expect(whole.content(bytesLimit: 2000) == plain)
            #expect(whole.content(bytesLimit: 999) == nil)
            let cut = try harness.get("/cut").get()
            #expect(cut.isCut)
            #expect(cut.content(bytesLimit: 2000) == nil)
        }
    }

    @Test func aResponseBeyondTheLimitIsCutAndNotHeld() throws {
        let wholeCount = 1 << 30
        let limit = 1 << 20
        try TargetHarness.run {
            $0.responseBytesLimit = limit
        } script: { peer in
            let slab = [UInt8](repeating: 0x61, count: 1 << 20)
            while let request = peer.readRequest() {
                let isChunked = request.target == "/chunked"
                peer.send("HTTP/1.1 200 OK\r\n")
                peer.send(isChunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: \(wholeCount)\r\n\r\n")
                for _ in 0..<(wholeCount / slab.count) {
                    if isChunked { peer.send("100000\r\n") }
                    guard peer.send(slab) else { return }
                    if isChunked { peer.send("\r\n") }
                }
                if isChunked { peer.send("0\r\n\r\n") }
            }
        } _: { harness in
            let before = try residentBytes()
            for target in ["/length", "/chunked"] {
                let response = try harness.get(target).get()
                #expect(response.body.count == limit)
                #expect(response.body.capacity < limit * 2)
                #expect(response.bodyByteCount == Int64(wholeCount))
                #expect(response.isCut)
                #expect(try residentBytes() - before < 256 << 20)
            }
            #expect(harness.server.acceptedCount == 1)
        }
    }

    @Test func aChangeOfProtocolIsTheRequestsFault() throws {
        try TargetHarness.run { peer in
            peer.serve { _ in peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            }
        } _: { harness in
            let error = harness.get().error
            #expect(error?.code == .protocolViolation)
            #expect(error?.disposition == .rejectItem)
            #expect(harness.send(Message(method: "CONNECT", target: "a:1")).error?.code == .badRequest)
            harness.waitUntilAllAreClosed()
        }
    }

    @Test func whatIsNotHTTPIsAnError() throws {
        try TargetHarness.run { peer in
            peer.serve { _ in peer.send("\u{15}\u{03}\u{03} this is no answer\r\n\r\n") }
        } _: { harness in
            let error = harness.send(Message(target: "/_bulk?secret=1")).error
            #expect(error?.code == .protocolViolation)
            #expect(error?.message.contains("GET /_bulk is not HTTP") == true)
            #expect(error?.progress?.isSentWhole == true)
            #expect(error?.progress?.hasResponseBegun == true)
        }
    }

    // MARK: - Expect: 100-continue

    private static let expecting = Message(
        method: "PUT", target: "/i/_doc/1", fields: "Expect: 100-continue\r\n", body: Array("{\"a\":1}".utf8))

    @Test func theBodyFollowsTheContinueResponse() throws {
        try TargetHarness.run { peer in
            while peer.readHead() != nil {
                #expect(!peer.hasUnreadBytes)
                peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
                peer.send("HTTP/1.1 100 Continue\r\n\r\n")
                guard let body = peer.readBody(7) else { return }
                peer.respond(201, String(decoding: body, as: UTF8.self))
            }
        } _: { harness in
            for _ in 0..<2 {
                #expect(harness.send(Self.expecting).text == "{\"a\":1}")
            }
            #expect(harness.server.acceptedCount == 1)
        }
    }

    @Test func theBodyFollowsWithoutContinueAfterAWhile() throws {
        var timeouts = ExchangeTimeouts()
        timeouts.continuation = .milliseconds(20)
        try TargetHarness.run(timeouts: timeouts) { peer in
            while peer.readHead() != nil {
                guard let body = peer.readBody(7) else { return }
                // The late 100 is an interim response like any other.
                peer.send("HTTP/1.1 100 Continue\r\n\r\n")
                peer.respond(201, String(decoding: body, as: UTF8.self))
            }
        } _: { harness in
            for _ in 0..<2 {
                let response = try harness.send(Self.expecting).get()
                #expect(response.body == Array("{\"a\":1}".utf8))
                #expect(response.lastByte - response.sendStart >= .milliseconds(20))
            }
            #expect(harness.server.acceptedCount == 1)
        }
    }

    @Test(arguments: [417, 401, 200]) func aFinalAnswerInsteadOfContinue(_ status: Int) throws {
        try TargetHarness.run { peer in
            guard peer.readHead() != nil else { return }
            peer.respond(status, "no")
            // Not a byte of the body comes, only the end of the connection.
            #expect(peer.readBody(1) == nil)
        } _: { harness in
            for round in 1...2 {
                let result = harness.send(Self.expecting)
                #expect(result.status == status)
                #expect(result.text == "no")
                harness.waitUntilAllAreClosed()
                #expect(harness.server.acceptedCount == round)
            }
        }
    }

    @Test func anExpectationWithoutABodyDoesNotWait() throws {
        try TargetHarness.run { peer in
            peer.serve { _ in peer.respond() }
        } _: { harness in
            let message = Message(fields: "Expect: 100-continue\r\n")
            #expect(harness.send(message).status == 200)
            #expect(harness.send(message).status == 200)
            #expect(harness.server.acceptedCount == 1)
        }
    }

    // MARK: - Answers that come too early, and connections that end

    @Test func anAnswerBeforeTheBodyIsOutEndsTheConnection() throws {
        let body = [UInt8](repeating: 0x61, count: 32 << 20)
        try TargetHarness.run { peer in
            guard peer.readHead() != nil else { return }
            peer.respond(413, "too large")
            // The rest of the body stays unread until the client has gone.
            while peer.fill() {}
        } _: { harness in
            let result = harness.send(Message(method: "POST", target: "/_bulk", body: body))
            #expect(result.status == 413)
            #expect(result.text == "too large")
            harness.waitUntilAllAreClosed()
            #expect(harness.get().status == 413)
            #expect(harness.server.acceptedCount == 2)
        }
    }

    @Test func aKeptConnectionThatBreaksIsReportedAsSuch() throws {
        try TargetHarness.run { peer in
            guard peer.readRequest() != nil else { return }
            peer.respond(200, "first")
            // Takes one more request and ends without a word.
            _ = peer.readRequest()
        } _: { harness in
            let message = Message(method: "POST", target: "/_bulk", body: Array("{}\n".utf8))
            #expect(harness.send(message).text == "first")
            let error = harness.send(message).error
            #expect(error?.code == .connectionLost)
            #expect(error?.disposition == .retry)
            #expect(error?.isNotSent == false)
            let count = message.request().head.count + 3
            #expect(
                error?.progress
                    == ExchangeProgress(
                        sentByteCount: count, isSentWhole: true, hasResponseBegun: false, isConnectionFresh: false))
            #expect(harness.send(message).text == "first")
        }
    }

    @Test func aFreshConnectionThatBreaksIsReportedAsSuch() throws {
        for (wire, hasBegun) in [
            ("", false), ("HTTP/1.1 20", true), ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123", true),
            ("HTTP/1.1 100 Continue\r\n\r\n", true),
        ] {
            for isReset in [false, true] {
                try TargetHarness.run { peer in
                    _ = peer.readRequest()
                    peer.send(wire)
                    if isReset, wire.isEmpty { peer.resetOnReturn() }
                } _: { harness in
                    let error = harness.get().error
                    #expect(error?.code == .connectionLost)
                    #expect(error?.progress?.isConnectionFresh == true)
                    #expect(error?.progress?.isSentWhole == true)
                    #expect(error?.progress?.hasResponseBegun == hasBegun)
                    #expect(error?.isNotSent == false)
                }
            }
        }
    }

    @Test func aConnectionThatTheServerClosedWhileIdleIsNotUsed() throws {
        let mayClose = DispatchSemaphore(value: 0)
        try TargetHarness.run { peer in
            guard peer.readRequest() != nil else { return }
            peer.respond(200, "\(peer.number)")
            if peer.number == 1 { mayClose.wait() } else { _ = peer.readRequest() }
        } _: { harness in
            #expect(harness.get().text == "1")
            #expect(harness.onLoop { $0.idleCount } == 1)
            mayClose.signal()
            harness.waitUntilAllAreClosed()
            #expect(harness.onLoop { $0.idleCount } == 0)
            #expect(harness.get().text == "2")
        }
    }

    /// The end of the stream lies behind the response in the same read, so the next exchange is given to the
    /// connection and finds out before a byte of it is written: it goes to another one unseen.
    @Test func anAnswerFollowedByTheEndCostsTheNextRequestNothing() throws {
        let isAsked = DispatchSemaphore(value: 0)
        let mayAnswer = DispatchSemaphore(value: 0)
        let isAnswered = DispatchSemaphore(value: 0)
        try TargetHarness.run {
            $0.connectionLimit = 1
        } script: { peer in
            guard peer.readRequest() != nil else { return }
            if peer.number == 1 {
                isAsked.signal()
                mayAnswer.wait()
            }
            peer.respond(200, "\(peer.number)")
            if peer.number == 1 {
                peer.shutdownWrite()
                isAnswered.signal()
            }
            _ = peer.readRequest()
        } _: { harness in
            let first = harness.begin(Message(target: "/1"))
            let second = harness.begin(Message(target: "/2"))
            isAsked.wait()
            // Keeps the loop from reading until the response and the end have come.
            harness.loop.execute {
                mayAnswer.signal()
                isAnswered.wait()
            }
            #expect(first.wait().text == "1")
            #expect(second.wait().text == "2")
            #expect(harness.server.requests.map(\.target) == ["/1", "/2"])
        }
    }

    @Test func bytesOnAnIdleConnectionEndIt() throws {
        let maySpeak = DispatchSemaphore(value: 0)
        try TargetHarness.run { peer in
            guard peer.readRequest() != nil else { return }
            peer.respond(200, "\(peer.number)")
            if peer.number == 1 {
                maySpeak.wait()
                peer.respond(200, "unasked")
            }
            _ = peer.readRequest()
        } _: { harness in
            #expect(harness.get().text == "1")
            maySpeak.signal()
            harness.waitUntilAllAreClosed()
            #expect(harness.get().text == "2")
        }
    }

    @Test func anIdleConnectionIsClosedAfterItsTime() throws {
        try TargetHarness.run {
            $0.idleTimeout = .milliseconds(30)
        } script: { peer in
            peer.serve { _ in peer.respond() }
        } _: { harness in
            #expect(harness.get().status == 200)
            harness.waitUntilAllAreClosed()
            #expect(harness.get().status == 200)
            #expect(harness.server.acceptedCount == 2)
        }
    }
}

/// What the process holds in memory now.
private func residentBytes() throws -> Int {
    let text = String(decoding: try FileTree.read("/proc/self/statm"), as: UTF8.self)
    let words = text.split(separator: " ")
    return (Int(words[1]) ?? 0) * 4096
}
