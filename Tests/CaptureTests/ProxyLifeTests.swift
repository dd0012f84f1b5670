import CapturedTraffic
import EventIO
import Glibc
import Settings
import Synchronization
import TestSupport
import Testing
import TrafficLog

@testable import Capture

/// Connections from beginning to end, in order and out of it.
@Suite struct ProxyLifeTests {
    private let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    private let put = "PUT /i/_doc/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"

    @Test func aProbeLeavesNoRecordAndReachesNoSource() throws {
        let rig = try ProxyRig()
        for _ in 0..<5 { _ = try rig.client() }
        eventually("all have come") { rig.metric("capture_connections_total") == "5" }
        eventually("all are closed") { rig.metric("capture_open_connections") == "0" }
        rig.stop()
        #expect(rig.log?.records.isEmpty == true)
        #expect(rig.source.connectionCount == 0)
    }

    @Test func aFinishedResponseIsFlushedWhenIdle() throws {
        let rig = try ProxyRig()
        let client = try rig.client()
        try client.send(get)
        _ = try client.receiveResponse()
        eventually("the record is there") { rig.log?.records.count == 1 }
        #expect(try rig.exchanges().first?.responseEnding == .complete)
    }

    @Test func aSourceThatIsDownIs502() throws {
        let rig = try ProxyRig()
        rig.source.stop()
        let client = try rig.client()
        try client.send(get)
        let answer = String(decoding: client.receiveAll(), as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 502 ") && answer.contains("proxy_bad_gateway_exception"))
    }

    @Test func aSourceThatEndsWithoutAnAnswerIs502() throws {
        for resets in [false, true] {
            let rig = try ProxyRig(answer: { _ in
                var answer = SourceAnswer([], closes: true)
                answer.resets = resets
                return answer
            })
            let client = try rig.client()
            try client.send(get)
            #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 502 "))
        }
    }

    @Test func aSilentSourceIs504() throws {
        let rig = try ProxyRig(answer: { _ in
            var answer = SourceAnswer([])
            answer.isSilent = true
            return answer
        }) { $0.deadlines.response = .milliseconds(150) }
        let client = try rig.client()
        try client.send(get)
        #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 504 "))
    }

    @Test func aTruncatedResponseEndsTheClientsConnection() throws {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
        let rig = try ProxyRig(answer: { _ in SourceAnswer(text, closes: true) })
        let client = try rig.client()
        try client.send(get)
        #expect(client.receiveAll() == Array(text.utf8))
    }

    @Test func slowHeadsEndAtTheirDeadline() throws {
        let rig = try ProxyRig { $0.deadlines.head = .milliseconds(200) }
        let client = try rig.client()
        try client.send("GET / HT")
        #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 408 "))
        #expect(rig.source.connectionCount == 0)
    }

    @Test func idleConnectionsEndAtTheirDeadline() throws {
        let rig = try ProxyRig { $0.deadlines.idle = .milliseconds(200) }
        let client = try rig.client()
        try client.send(get)
        _ = try client.receiveResponse()
        #expect(client.receiveAll().isEmpty)
    }

    @Test func aSlowReaderSlowsTheSourceDown() throws {
        let size = 24 << 20
        let rig = try ProxyRig(answer: { _ in
            SourceAnswer(
                Array("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n".utf8) + [UInt8](repeating: 7, count: size))
        }) { $0.limits.inFlightBytes = 16 << 20 }
        let client = try RawClient(rig.proxy.localAddress, receiveBufferBytes: 256 << 10)
        try client.send(get)
        _ = try client.receive(count: 1000)
        // The source is blocked when its kernel takes nothing more of what it has queued.
        var before = -1
        eventually("the source is slowed down") {
            defer { before = rig.source.unsentBytes }
            return before > 0 && before == rig.source.unsentBytes
        }
        let inFlight = Double(rig.metric("capture_in_flight_bytes") ?? "") ?? .infinity
        #expect(inFlight <= Double(16 << 20))
        let head = "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n".utf8.count
        let rest = try client.receive(count: head + size - 1000)
        #expect(rest.last == 7)
    }

    @Test func aHalfClosedClientGetsItsResponse() throws {
        let rig = try ProxyRig()
        let client = try rig.client()
        try client.send(put)
        client.endWriting()
        #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasSuffix("ok"))
        eventually("the source's side is closed") { rig.source.closedCount == 1 }
    }

    @Test func aRequestThatIsCutOffIsNotWholeAtTheSource() throws {
        let rig = try ProxyRig()
        do {
            let client = try rig.client()
            try client.send("PUT /i HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            eventually("the beginning is at the source") { rig.source.received.first?.isEmpty == false }
        }
        eventually("the source's side is closed") { rig.source.closedCount == 1 }
        #expect(rig.source.requests.isEmpty)
        rig.stop()
        #expect(try rig.exchanges().first?.requestEnding == .closed)
    }

    /// Symptom: a source that ends idle connections ended the clients' ones, some while they sent.
    @Test func theSourcesCloseBetweenRequestsIsNotTheClients() throws {
        let rig = try ProxyRig(answer: { _ in SourceAnswer(SourceAnswer.ok.bytes, closes: true) })
        let client = try rig.client()
        for number in 1...6 {
            let request = number % 2 == 0 ? put : get
            try client.send(request)
            #expect(try client.receiveResponse().hasSuffix("ok"))
            eventually("the source's side is closed") { rig.source.closedCount == number }
            // Until the proxy has seen it, of which nothing tells.
            usleep(100_000)
        }
        #expect(rig.source.requests.count == 6 && rig.source.connectionCount == 6)
        rig.stop()
        #expect(try rig.exchanges().filter { $0.responseEnding == .complete }.count == 6)
    }

    /// Symptom: a held write was lost with the idle connection that its predecessor had used.
    @Test func aHeldWriteHasANewConnectionWhenTheSourceClosedTheOldOne() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log, answer: { _ in SourceAnswer(SourceAnswer.ok.bytes, closes: true) })
        let client = try rig.client()
        // The second is held when the first one's connection ends.
        try client.send(put + put)
        eventually("the first is in the log") { log.pendingCount == 1 }
        log.acknowledge()
        #expect(try client.receiveResponse().hasSuffix("ok"))
        eventually("the second is in the log, its connection gone") {
            log.pendingCount == 1 && rig.source.closedCount == 1
        }
        log.isAutomatic = true
        #expect(try client.receiveResponse().hasSuffix("ok"))
        #expect(rig.source.requests.count == 2)
    }

    /// The source closes the connection when the request is already on its way.
    @Test func onAConnectionThatTheSourceClosedMeanwhileReadsAreSentAgainAndWritesAreNot() throws {
        let count = Mutex(0)
        let rig = try ProxyRig(answer: { _ in
            // On each connection: an answer, and then its end with a request received.
            var answer = SourceAnswer.ok
            answer.resets = count.withLock { number in
                number += 1
                return number == 2 || number == 4 || number == 6
            }
            return answer
        })
        let client = try rig.client()
        func exchange(_ request: String) throws -> String {
            try client.send(request)
            return try client.receiveResponse()
        }
        #expect(try exchange(get).hasSuffix("ok"))
        usleep(150_000)
        #expect(try exchange(get).hasSuffix("ok"), "the second request, which is the third at the source")
        // Under load an answer that does not come is the source's failure.
        #expect(try exchange(get).hasPrefix("HTTP/1.1 502 "))
        let other = try rig.client()
        try other.send(get)
        #expect(try other.receiveResponse().hasSuffix("ok"))
        usleep(150_000)
        try other.send(put)
        #expect(try other.receiveResponse().hasPrefix("HTTP/1.1 502 "))
        #expect(rig.source.requests.filter { $0 == Array(put.utf8) }.count == 1, "a write is never sent twice")
    }

    @Test func continueIsPassedOnAndHeadersAreSetOnce() throws {
        let rig = try ProxyRig {
            $0.setHeaders = [.init(name: "X-Via", value: "us"), .init(name: "host", value: "source")]
        }
        let client = try rig.client()
        try client.send(
            "PUT /i HTTP/1.1\r\nHost: a\r\nx-via: them\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        #expect(try client.receiveResponse() == "HTTP/1.1 100 Continue\r\n\r\n")
        try client.send("a\nb\n")
        #expect(try client.receiveResponse().hasSuffix("ok"))
        let seen =
            "PUT /i HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\nX-Via: us\r\nhost: source\r\n\r\na\nb\n"
        #expect(rig.source.requests == [Array(seen.utf8)])
        rig.stop()
        #expect(try rig.observations().filter { $0 == "end" }.count == 1)
    }

    @Test func afterAChangeOfProtocolTheConnectionIsOpaqueAndMarked() throws {
        let switching = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
        let rig = try ProxyRig(answer: { _ in SourceAnswer(switching) })
        let client = try rig.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        #expect(try client.receive(count: switching.utf8.count) == Array(switching.utf8))
        try client.send("\u{1}raw\r\n\r\n")
        #expect(try client.receive(count: 8) == Array("\u{1}raw\r\n\r\n".utf8))
        client.endWriting()
        _ = client.receiveAll()
        rig.stop()
        let observations = try rig.observations()
        #expect(observations.contains(CaptureMark.upgraded))
        #expect(observations.filter { $0.hasPrefix("read") }.count == 1)
    }

    @Test func suppressedRequestsLeaveNoContent() throws {
        let rig = try ProxyRig {
            $0.suppression.headers = [.init(name: "x-secret", pattern: try LinearRegex("y.*"))]
        }
        let client = try rig.client()
        let secret = "PUT /s HTTP/1.1\r\nHost: a\r\nX-Secret: yes\r\nContent-Length: 3\r\n\r\nabc"
        try client.send(secret)
        #expect(try client.receiveResponse().hasSuffix("ok"))
        try client.send(put)
        #expect(try client.receiveResponse().hasSuffix("ok"))
        // Decided late: the head comes in two pieces.
        try client.send(String(secret.prefix(30)))
        try rig.passTurn()
        try client.send(String(secret.dropFirst(30)))
        #expect(try client.receiveResponse().hasSuffix("ok"))
        try client.send(put)
        #expect(try client.receiveResponse().hasSuffix("ok"))
        rig.stop()
        #expect(rig.source.requests.count == 4)
        #expect(rig.metric("capture_suppressed_requests_total") == "2")
        let observations = try rig.observations()
        #expect(observations.filter { $0 == "dropped" }.count == 1)
        #expect(try rig.exchanges().map(\.request) == [Array(put.utf8), Array(put.utf8)])
    }

    @Test func redactedHeadersAreSeenByTheSourceAlone() throws {
        let rig = try ProxyRig { $0.redactedHeaders = ["authorization"] }
        let client = try rig.client()
        let request = "PUT /i HTTP/1.1\r\nHost: a\r\nAuthorization: Basic QTpC\r\nContent-Length: 2\r\n\r\n{}"
        let shown = "PUT /i HTTP/1.1\r\nHost: a\r\nAuthorization: **********\r\nContent-Length: 2\r\n\r\n{}"
        try client.send(request)
        #expect(try client.receiveResponse().hasSuffix("ok"))
        try client.send(String(request.prefix(40)))
        try rig.passTurn()
        try client.send(String(request.dropFirst(40)))
        #expect(try client.receiveResponse().hasSuffix("ok"))
        rig.stop()
        #expect(rig.source.requests == [Array(request.utf8), Array(request.utf8)])
        #expect(try rig.exchanges().map(\.request) == [Array(shown.utf8), Array(shown.utf8)])
    }

    @Test func theProxyProtocolsHeaderIsTakenOff() throws {
        let rig = try ProxyRig { $0.acceptsProxyProtocol = true }
        for header in Self.proxyHeaders {
            for cut in [0, 5, header.count] {
                let client = try rig.client()
                try client.send([UInt8](header[..<cut]))
                try client.send(header[cut...] + Array(get.utf8))
                #expect(try client.receiveResponse().hasSuffix("ok"))
            }
        }
        #expect(rig.source.requests == Array(repeating: Array(get.utf8), count: 9))
        let client = try rig.client()
        try client.send(get)
        #expect(client.receiveAll().isEmpty)
        eventually("it is counted") { rig.metric("capture_client_failures_total") == "1" }
        // A probe is no failure.
        do { _ = try rig.client() }
        eventually("all are closed") { rig.metric("capture_open_connections") == "0" }
        #expect(rig.metric("capture_client_failures_total") == "1")
    }

    /// Both versions, and one with more than the window that the header is looked at through.
    static let proxyHeaders: [[UInt8]] = {
        let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
        return [
            Array("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".utf8),
            signature + [0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1, 0, 80, 0, 81],
            signature + [0x20, 0x00, 0x07, 0xD0] + [UInt8](repeating: 0x0A, count: 2000),
        ]
    }()

    @Test func warmConnectionsAreUsedAndReplaced() throws {
        let rig = try ProxyRig { $0.limits.warmConnectionCount = 2 }
        eventually("two are warm") { rig.source.connectionCount == 2 }
        let client = try rig.client()
        try client.send(get)
        #expect(try client.receiveResponse().hasSuffix("ok"))
        eventually("one was taken and replaced") { rig.source.connectionCount == 3 }
    }

    /// Symptom: a warm connection that the source had ended was handed out, and the client waited for ever.
    @Test func aWarmConnectionThatIsStaleIsReplacedBeforeOrWhileItIsUsed() throws {
        let isFirst = Mutex(true)
        let rig = try ProxyRig(answer: { _ in
            var answer = SourceAnswer.ok
            answer.resets = isFirst.withLock { first in
                defer { first = false }
                return first
            }
            return answer
        }) { $0.limits.warmConnectionCount = 2 }
        eventually("two are warm") { rig.source.connectionCount == 2 }
        rig.source.closeIdle()
        eventually("one is gone") { rig.source.closedCount == 1 }
        // The other one ends with the read.
        let client = try rig.client()
        try client.send(get)
        #expect(try client.receiveResponse().hasSuffix("ok"))
        #expect(rig.source.requests.count == 2)
        try client.send(put)
        #expect(try client.receiveResponse().hasSuffix("ok"))
    }

    @Test func drainingFinishesWhatIsOpen() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log)
        let idle = try rig.client()
        try idle.send(get)
        _ = try idle.receiveResponse()
        let busy = try rig.client()
        try busy.send(put)
        eventually("the write is held") { rig.metric("capture_held_requests") == "1" }
        let stopping = StopThread(rig)
        #expect(idle.receiveAll().isEmpty)
        log.isAutomatic = true
        #expect(String(decoding: busy.receiveAll(), as: UTF8.self).hasSuffix("ok"))
        #expect(try stopping.wait().isComplete)
        #expect(try RawClientOutcome.isRefused(rig.proxy.localAddress))
        #expect(try rig.exchanges().count == 2)
        #expect(try rig.observations().filter { $0 == "close" }.count == 2)
    }
}

/// Whether nobody listens.
enum RawClientOutcome {
    static func isRefused(_ address: SocketAddress) throws -> Bool {
        do {
            _ = try RawClient(address)
            return false
        } catch { return true }
    }
}
