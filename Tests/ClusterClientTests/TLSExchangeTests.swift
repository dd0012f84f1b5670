import EventIO
import TestSupport
import Testing

@testable import ClusterClient

/// Exchanges over TLS, with certificates made at test time.
@Suite(.serialized) final class TLSExchangeTests {
    private let certificates: TestCertificates

    init() throws { certificates = try TestCertificates() }

    deinit { certificates.remove() }

    /// Answers each head with the number of the request on its connection; bodies are not expected.
    private final class Responder: ConnectionHandler {
        private var received: [UInt8] = []
        private var count = 0

        func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
            received += bytes
            while let end = received.indices.first(where: { $0 >= 3 && received[$0] == 10 && received[$0 - 2] == 10 }) {
                received.removeFirst(end + 1)
                count += 1
                connection.writeCopy(Array("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\(count)".utf8))
            }
        }

        func connectionClosed(_ connection: Connection, error: IOError?) {}
    }

    private func withServer(
        _ identity: TestCertificates.Identity, clients: TLSServerConfiguration.ClientCertificate = .none,
        change: (inout ClusterSettings) -> Void, _ body: (ClusterClient, Int) throws -> Void
    ) throws {
        let loops = try EventLoopGroup(count: 2)
        defer { loops.stop() }
        let tls = try TLSServerConfiguration(
            certificateChainFile: identity.certificateFile, privateKeyFile: identity.keyFile,
            clientCAFile: clients == .none ? nil : certificates.authorityFile, clientCertificate: clients)
        let listener = try Listener(on: loops.loops[0], address: .loopback(port: 0), tls: tls) { _ in Responder() }
        defer { listener.close() }
        let port = Int(listener.localAddress.port)
        var settings = ClusterSettings(url: try ClusterURL("https://localhost:\(port)"))
        settings.requestTimeout = .seconds(10)
        change(&settings)
        let client = try ClusterClient(settings, loops: loops)
        defer {
            client.shutdown()
            client.waitUntilClosed(within: .seconds(5))
        }
        try body(client, port)
    }

    private func code(_ client: ClusterClient) -> ClusterError.Code? {
        Result { () throws(ClusterError) in try client.sendAndWait(ClusterRequest("GET", "/")) }.error?.code
    }

    @Test func aTrustedServerIsKept() throws {
        try withServer(certificates.server) { settings in
            settings.tls.caFile = certificates.authorityFile
        } _: { client, _ in
            for number in 1...3 {
                let response = try client.sendAndWait(ClusterRequest("GET", "/"))
                #expect(response.body == Array("\(number)".utf8))
            }
        }
    }

    @Test func wrongCertificatesStop() throws {
        for identity in [certificates.wrongHost, certificates.expired, certificates.selfSigned] {
            try withServer(identity) { settings in
                settings.tls.caFile = certificates.authorityFile
            } _: { client, port in
                let error = Result { () throws(ClusterError) in
                    try client.sendAndWait(ClusterRequest("GET", "/"))
                }.error
                #expect(error?.code == .tlsVerifyFailed)
                #expect(error?.disposition == .stop)
                #expect(error?.message.contains("localhost:\(port)") == true)
                #expect(error?.message.contains("--ca-file") == true)
            }
        }
    }

    @Test func insecureTakesAnyCertificate() throws {
        try withServer(certificates.selfSigned) { settings in
            settings.tls.isInsecure = true
        } _: { client, _ in
            #expect(code(client) == nil)
        }
    }

    @Test func mutualTLS() throws {
        try withServer(certificates.server, clients: .required) { settings in
            settings.tls.caFile = certificates.authorityFile
            settings.tls.clientCertificateFile = certificates.client.certificateFile
            settings.tls.clientKeyFile = certificates.client.keyFile
        } _: { client, _ in
            #expect(code(client) == nil)
        }
        try withServer(certificates.server, clients: .required) { settings in
            settings.tls.caFile = certificates.authorityFile
        } _: { client, _ in
            // TLS 1.3 refuses after the client believes the handshake done: it may show as a broken connection.
            let found = code(client)
            #expect(found == .tlsHandshakeFailed || found == .connectionLost)
        }
    }

    @Test func speakingPlainHTTPToATLSPortSaysSo() throws {
        try withServer(certificates.server) { settings in
            settings.tls.caFile = certificates.authorityFile
        } _: { _, port in
            let loops = try EventLoopGroup(count: 1)
            defer { loops.stop() }
            let plain = try ClusterClient(
                ClusterSettings(url: try ClusterURL("http://localhost:\(port)")), loops: loops)
            let error = Result { () throws(ClusterError) in try plain.identify() }
            guard case .failure(let failure) = error else { preconditionFailure("TLS was taken for HTTP") }
            #expect([.connectionLost, .protocolViolation].contains(failure.code))
            #expect(failure.message.contains("TLS"))
        }
    }

    @Test func speakingTLSToAPlainPortSaysSo() throws {
        try Harness.run { peer in
            _ = peer.fill()
            peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        } _: { harness in
            var settings = ClusterSettings(url: try ClusterURL("https://localhost:\(harness.server.port)"))
            settings.tls.isInsecure = true
            let client = try ClusterClient(settings, loops: harness.loops)
            let error = Result { () throws(ClusterError) in
                try client.sendAndWait(ClusterRequest("GET", "/"))
            }.error
            #expect(error?.code == .tlsHandshakeFailed)
            #expect(error?.message.contains("does that port speak TLS") == true)
        }
    }

    @Test func filesThatCannotBeUsedAreNamed() throws {
        let loops = try EventLoopGroup(count: 1)
        defer { loops.stop() }
        var settings = ClusterSettings(url: try ClusterURL("https://localhost"))
        settings.tls.caFile = "/nonexistent/ca.pem"
        let error = #expect(throws: ClusterError.self) { try ClusterClient(settings, loops: loops) }
        #expect(error?.code == .invalidSettings)
        #expect(error?.message.contains("/nonexistent/ca.pem") == true)
    }
}
