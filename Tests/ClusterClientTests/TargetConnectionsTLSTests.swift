import EventIO
import TestSupport
import Testing

@testable import ClusterClient

/// Exchanges of `TargetConnections` over TLS, with certificates made at test time.
@Suite(.serialized) final class TargetConnectionsTLSTests {
    private typealias Message = TargetHarness.Message
    private let certificates: TestCertificates

    init() throws { certificates = try TestCertificates() }

    deinit { certificates.remove() }

    /// A server that answers every request with the size of its body, on a loop of its own.
    private func withServer(
        _ identity: TestCertificates.Identity, clients: TLSServerConfiguration.ClientCertificate = .none,
        change: @escaping (inout ClusterSettings) -> Void, _ body: (TargetHarness, Int) throws -> Void
    ) throws {
        let loops = try EventLoopGroup(count: 1)
        defer { loops.stop() }
        let tls = try TLSServerConfiguration(
            certificateChainFile: identity.certificateFile, privateKeyFile: identity.keyFile,
            clientCAFile: clients == .none ? nil : certificates.authorityFile, clientCertificate: clients)
        let listener = try Listener(on: loops.loops[0], address: .loopback(port: 0), tls: tls) { _ in Counter() }
        defer { listener.close() }
        let port = listener.localAddress.port
        try TargetHarness.run(
            change: {
                $0.url = try ClusterURL("https://localhost:\(port)")
                change(&$0)
            }, resolve: { (_, _) throws(IOError) in [.loopback(port: port)] }, script: { _ in },
            { try body($0, Int(port)) })
    }

    private final class Counter: ConnectionHandler {
        private var received: [UInt8] = []
        private var bodyCount = 0
        private var leftCount: Int?

        func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
            received += bytes
            while step(connection) {}
        }

        private func step(_ connection: Connection) -> Bool {
            if let left = leftCount {
                let taken = min(left, received.count)
                received.removeFirst(taken)
                leftCount = left - taken
                guard leftCount == 0 else { return false }
                leftCount = nil
                let text = "\(bodyCount)"
                connection.writeCopy(Array("HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)".utf8))
                return true
            }
            guard let end = received.indices.first(where: { $0 >= 3 && received[$0] == 10 && received[$0 - 2] == 10 })
            else { return false }
            let head = String(decoding: received[...end], as: UTF8.self)
            received.removeFirst(end + 1)
            bodyCount =
                head.split(separator: "Content-Length: ").dropFirst().first.flatMap {
                    Int($0.prefix { $0.isNumber })
                } ?? 0
            leftCount = bodyCount
            return true
        }

        func connectionClosed(_ connection: Connection, error: IOError?) {}
    }

    @Test func aTrustedServerIsKept() throws {
        let authority = certificates.authorityFile
        try withServer(certificates.server) {
            $0.tls.caFile = authority
        } _: { harness, _ in
            for count in [1, 100, 3_000_000] {
                let body = [UInt8](repeating: 0x61, count: count)
                #expect(harness.send(Message(method: "POST", body: body)).text == "\(count)")
            }
            #expect(harness.get().text == "0")
            #expect(harness.onLoop { $0.openCount } == 1)
        }
    }

    @Test func wrongCertificatesAreTriedAgainLater() throws {
        let authority = certificates.authorityFile
        for identity in [certificates.wrongHost, certificates.expired, certificates.selfSigned] {
            try withServer(identity) {
                $0.tls.caFile = authority
            } _: { harness, port in
                let error = harness.get().error
                #expect(error?.code == .tlsVerifyFailed)
                #expect(error?.disposition == .retry)
                #expect(error?.isNotSent == true)
                #expect(error?.message.contains("localhost:\(port)") == true)
                #expect(error?.message.contains("--ca-file") == true)
            }
        }
    }

    @Test func mutualTLS() throws {
        let authority = certificates.authorityFile
        let client = certificates.client
        try withServer(certificates.server, clients: .required) {
            $0.tls.caFile = authority
            $0.tls.clientCertificateFile = client.certificateFile
            $0.tls.clientKeyFile = client.keyFile
        } _: { harness, _ in
            #expect(harness.get().text == "0")
        }
        try withServer(certificates.server, clients: .required) {
            $0.tls.caFile = authority
        } _: { harness, _ in
            // TLS 1.3 refuses after the client believes the handshake done: it may show as a broken connection.
            let error = harness.get().error
            #expect(error?.code == .tlsHandshakeFailed || error?.code == .connectionLost)
            #expect(error?.disposition == .retry)
        }
    }

    @Test func speakingTLSToAPlainPortSaysSo() throws {
        try TargetHarness.run {
            $0.url = try ClusterURL("https://localhost:\($0.url.port)")
            $0.tls.isInsecure = true
        } script: { peer in
            _ = peer.fill()
            peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        } _: { harness in
            let error = harness.get().error
            #expect(error?.code == .tlsHandshakeFailed)
            #expect(error?.disposition == .retry)
            #expect(error?.message.contains("does that port speak TLS") == true)
        }
    }
}
