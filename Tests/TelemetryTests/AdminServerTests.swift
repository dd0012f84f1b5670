import Glibc
import Synchronization
import Testing

@testable import Telemetry

@Suite struct AdminRequestTests {
    @Test func aHeadCutAtEveryPlaceIsIncompleteUntilItsEnd() {
        let head = Array("GET /readyz?verbose=1 HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n".utf8)
        for count in 0..<head.count { #expect(AdminRequest.parse(Array(head[..<count])) == .incomplete) }
        #expect(AdminRequest.parse(head) == .request(method: "GET", path: "/readyz"))
        #expect(AdminRequest.parse(head + Array("more".utf8)) == .request(method: "GET", path: "/readyz"))
    }

    @Test(arguments: [
        "GET /x HTTP/2.0\r\nHost: h\r\n\r\n", "GET  /x HTTP/1.1\r\nHost: h\r\n\r\n", "GET /x\r\nHost: h\r\n\r\n",
        "G(T /x HTTP/1.1\r\nHost: h\r\n\r\n", "GET x HTTP/1.1\r\nHost: h\r\n\r\n", "GET /x HTTP/1.1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET /x HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", "GET /x HTTP/1.1\r\nHost: h\r\nnocolon\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: h\u{1}\r\n\r\n", "GET /ä HTTP/1.1\r\nHost: h\r\n\r\n",
    ])
    func malformedHeadsAreRefused(text: String) {
        #expect(AdminRequest.parse(Array(text.utf8)) == .refused(status: 400))
    }

    @Test func headsAreBounded() {
        let line = Array("GET / HTTP/1.1\r\nHost: h\r\n".utf8)
        let filling = Array("x: ".utf8) + [UInt8](repeating: 0x61, count: 9000)
        #expect(AdminRequest.parse(line + filling[..<4000]) == .incomplete)
        #expect(AdminRequest.parse(line + filling) == .refused(status: 431))
        #expect(AdminRequest.parse(line + filling + Array("\r\n\r\n".utf8)) == .refused(status: 431))
    }

    /// Seeded noise must neither trap nor be taken for a request.
    @Test func noiseNeverTraps() {
        var state: UInt64 = 0x1234_5678
        var acceptedCount = 0
        for _ in 0..<5000 {
            var bytes: [UInt8] = []
            for _ in 0..<40 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let choices: [UInt8] = [0x0A, 0x0D, 0x20, 0x3A, 0x2F, UInt8(truncatingIfNeeded: state >> 40)]
                bytes.append(choices[Int(state >> 33) % 6])
            }
            if case .request = AdminRequest.parse(bytes) { acceptedCount += 1 }
        }
        #expect(acceptedCount == 0)
    }
}

@Suite struct AdminServerTests {
    private static func server(
        connectionLimit: Int = 16, timeout: Duration = .seconds(30),
        readiness: @escaping @Sendable () -> AdminReadiness = { .ready }
    ) throws -> (AdminServer, MetricsRegistry) {
        let registry = MetricsRegistry()
        let server = try AdminServer(
            host: "127.0.0.1", port: 0, metrics: registry, connectionLimit: connectionLimit, timeout: timeout,
            readiness: readiness)
        return (server, registry)
    }

    @Test func answersItsPaths() throws {
        let isReady = Mutex(false)
        let (server, registry) = try Self.server {
            isReady.withLock { $0 } ? .ready : .notReady("target \"t\" is away")
        }
        defer { server.stop() }
        registry.counter("test_events_total", help: "Events.").add(7)
        #expect(server.boundPort > 0)
        #expect(server.boundAddress == "127.0.0.1:\(server.boundPort)")

        let health = try Client.exchange(server.boundPort, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(health.status == 200)
        #expect(health.body == "ok\n")
        let metrics = try Client.exchange(server.boundPort, "GET /metrics?x HTTP/1.0\r\n\r\n")
        #expect(metrics.status == 200)
        #expect(metrics.head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
        #expect(metrics.body.hasSuffix("\ntest_events_total 7\n"))
        let notReady = try Client.exchange(server.boundPort, "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(notReady.status == 503)
        #expect(notReady.body == #"{"ready":false,"reason":"target \"t\" is away"}"# + "\n")
        isReady.withLock { $0 = true }
        let ready = try Client.exchange(server.boundPort, "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(ready.status == 200)
        #expect(ready.body == #"{"ready":true,"reason":"ready"}"# + "\n")
    }

    @Test func refusesWhatItDoesNotServe() throws {
        let (server, _) = try Self.server()
        defer { server.stop() }
        let lost = try Client.exchange(server.boundPort, "GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(lost.status == 404)
        let body = String(repeating: "b", count: 20_000)
        let post = try Client.exchange(
            server.boundPort, "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + body)
        #expect(post.status == 405)
        #expect(post.head.contains("Allow: GET, HEAD\r\n"))
        #expect(try Client.exchange(server.boundPort, "nonsense\r\n\r\n").status == 400)
        let large = "GET / HTTP/1.1\r\nHost: h\r\nx: " + String(repeating: "a", count: 10_000)
        #expect(try Client.exchange(server.boundPort, large).status == 431)
    }

    @Test func headHasTheLengthButNoBody() throws {
        let (server, _) = try Self.server()
        defer { server.stop() }
        let head = try Client.exchange(server.boundPort, "HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(head.status == 200)
        #expect(head.head.contains("Content-Length: 3\r\n"))
        #expect(head.body.isEmpty)
    }

    @Test func aRequestThatComesByteByByteAndHalfClosesIsAnswered() throws {
        let (server, _) = try Self.server()
        defer { server.stop() }
        let client = try Client(port: server.boundPort)
        for byte in "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".utf8 { client.send([byte]) }
        client.shutdownWrite()
        #expect(client.response().status == 200)
    }

    /// Larger than the socket's buffers, to a client that has half-closed before it reads.
    @Test func aLargeAnswerArrivesWhole() throws {
        let (server, registry) = try Self.server()
        defer { server.stop() }
        let filling = String(repeating: "v", count: 10_000)
        for number in 0..<1500 {
            registry.gauge("test_large_items", help: "Large.", labels: ["name": "\(number)\(filling)"]).set(number)
        }
        let client = try Client(port: server.boundPort)
        client.send(Array("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n".utf8))
        client.shutdownWrite()
        let answer = client.response()
        #expect(answer.status == 200)
        #expect(Array(answer.body.utf8) == registry.exposition())
    }

    @Test func aSilentClientIsClosedAtTheDeadline() throws {
        let (server, _) = try Self.server(timeout: .milliseconds(50))
        defer { server.stop() }
        #expect(try Client(port: server.boundPort).response().head.isEmpty)
        let slow = try Client(port: server.boundPort)
        slow.send(Array("GET /heal".utf8))
        #expect(slow.response().status == 408)
    }

    @Test func theOldestConnectionMakesRoom() throws {
        let (server, _) = try Self.server(connectionLimit: 2)
        defer { server.stop() }
        let first = try Client(port: server.boundPort)
        let second = try Client(port: server.boundPort)
        let third = try Client.exchange(server.boundPort, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(third.status == 200)
        #expect(first.response().head.isEmpty)
        second.send(Array("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".utf8))
        #expect(second.response().status == 200)
    }

    @Test func stopClosesEverything() throws {
        let (server, _) = try Self.server()
        let open = try Client(port: server.boundPort)
        // The exchange on a later connection shows that the first has been accepted.
        _ = try Client.exchange(server.boundPort, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        server.stop()
        server.stop()
        #expect(open.response().head.isEmpty)
    }

    @Test func aTakenPortIsAnErrorThatNamesTheAddress() throws {
        let (server, _) = try Self.server()
        defer { server.stop() }
        let error = #expect(throws: AdminServerError.self) {
            try AdminServer(host: "127.0.0.1", port: server.boundPort, metrics: MetricsRegistry()) { .ready }
        }
        #expect(error?.message == "admin address 127.0.0.1:\(server.boundPort): Address already in use")
    }
}

/// A blocking client on the loopback address.
private final class Client {
    struct Failure: Error {}

    struct Answer {
        var status = 0
        var head = ""
        var body = ""
    }

    private let descriptor: Int32

    init(port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        // A broken server must fail the test, not hang it.
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else { throw Failure() }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    func shutdownWrite() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Everything until the server closes.
    func response() -> Answer {
        var bytes: [UInt8] = []
        var page = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(descriptor, &page, page.count)
            guard count > 0 else { break }
            bytes += page[..<count]
        }
        var answer = Answer()
        let end = bytes.indices.first { bytes[$0...].prefix(4).elementsEqual([0x0D, 0x0A, 0x0D, 0x0A]) }
        let bodyStart = end.map { $0 + 4 } ?? 0
        answer.head = String(decoding: bytes[..<bodyStart], as: UTF8.self)
        answer.body = String(decoding: bytes[bodyStart...], as: UTF8.self)
        answer.status = Int(answer.head.dropFirst(9).prefix(3)) ?? 0
        return answer
    }

    static func exchange(_ port: UInt16, _ request: String) throws -> Answer {
        let client = try Client(port: port)
        client.send(Array(request.utf8))
        return client.response()
    }
}
