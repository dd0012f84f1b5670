import EventIO
import Glibc
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) final class TLSTests {
    private let certificates: TestCertificates

    init() throws { certificates = try TestCertificates() }

    deinit { certificates.remove() }

    private struct Seen: Sendable {
        var isReady = false
        var error: IOError?
        var version: String?
        var isResumed = false
        var subject: String?
    }

    private func server(
        _ identity: TestCertificates.Identity, clients: TLSServerConfiguration.ClientCertificate = .none,
        newest: TLSVersion = .v13
    ) throws -> TLSServerConfiguration {
        try TLSServerConfiguration(
            certificateChainFile: identity.certificateFile, privateKeyFile: identity.keyFile,
            clientCAFile: clients == .none ? nil : certificates.authorityFile, clientCertificate: clients,
            newestVersion: newest)
    }

    private func trusting(
        identity: TestCertificates.Identity? = nil, newest: TLSVersion = .v13
    ) throws -> TLSClientConfiguration {
        try TLSClientConfiguration(
            caFile: certificates.authorityFile, certificateChainFile: identity?.certificateFile,
            privateKeyFile: identity?.keyFile, newestVersion: newest)
    }

    /// Connects, sends one byte, waits for its echo, closes, and tells what was seen.
    private func attempt(
        _ client: TLSClientConfiguration, _ server: TLSServerConfiguration, name: String? = "localhost",
        serverError: Promise<IOError?>? = nil
    ) throws -> Seen {
        try withLoop { loop throws in
            let listener = try Listener(on: loop, address: .loopback(port: 0), tls: server) { _ in
                let handler = ScriptedHandler()
                handler.onReceived = { connection, bytes in connection.writeThrough(UnsafeRawBufferPointer(bytes)) }
                handler.onClosed = { _, error in serverError?.fulfil(error) }
                return handler
            }
            return try attempt(client, loop, listener.localAddress, name: name)
        }
    }

    private func attempt(
        _ client: TLSClientConfiguration, _ loop: EventLoop, _ address: SocketAddress, name: String? = "localhost"
    ) throws -> Seen {
        let promise = Promise<Seen>()
        let handler = ScriptedHandler()
        var seen = Seen()
        handler.onReady = { connection in
            seen.isReady = true
            seen.version = connection.tlsVersion
            seen.isResumed = connection.isTLSResumed
            seen.subject = connection.peerCertificateSubject
            connection.writeCopy([7])
        }
        handler.onReceived = { connection, _ in connection.close() }
        handler.onClosed = { _, error in
            seen.error = error
            promise.fulfil(seen)
        }
        loop.connect(to: address, tls: client, serverName: name, handler: handler)
        return try promise.wait()
    }

    @Test(arguments: [TLSVersion.v12, .v13])
    func trustedServerByNameAndByAddress(version: TLSVersion) throws {
        for name in ["localhost", nil] {
            let seen = try attempt(trusting(newest: version), server(certificates.server), name: name)
            #expect(seen.isReady && seen.error == nil)
            #expect(seen.version == (version == .v12 ? "TLSv1.2" : "TLSv1.3"))
            #expect(seen.subject == "/CN=localhost")
        }
    }

    @Test func serverThatSpeaksOnlyTLS12() throws {
        let seen = try attempt(trusting(), server(certificates.server, newest: .v12))
        #expect(seen.version == "TLSv1.2" && seen.error == nil)
    }

    @Test func refusedCertificatesSayWhy() throws {
        let cases: [(TestCertificates.Identity, String?, String)] = [
            (certificates.wrongHost, "localhost", "hostname mismatch"),
            (certificates.wrongHost, nil, "IP address mismatch"),
            (certificates.expired, "localhost", "certificate has expired"),
            (certificates.selfSigned, "localhost", "self-signed certificate"),
        ]
        for (identity, name, reason) in cases {
            let seen = try attempt(trusting(), server(identity), name: name)
            #expect(!seen.isReady)
            #expect(seen.error?.code == .tlsVerify)
            #expect(seen.error?.isRetryable == false)
            #expect(seen.error?.message.contains("certificate verify failed: \(reason)") == true, "\(seen)")
            #expect(seen.error?.message.contains("127.0.0.1:") == true)
        }
        // The system's authorities do not know the test's.
        let seen = try attempt(TLSClientConfiguration(), server(certificates.server))
        #expect(seen.error?.code == .tlsVerify)
    }

    @Test func insecureAcceptsEveryCertificate() throws {
        for identity in [certificates.selfSigned, certificates.expired, certificates.wrongHost] {
            let seen = try attempt(TLSClientConfiguration(isInsecure: true), server(identity))
            #expect(seen.isReady && seen.error == nil)
        }
    }

    @Test(arguments: [TLSVersion.v12, .v13])
    func requiredClientCertificate(version: TLSVersion) throws {
        let shown = try attempt(
            trusting(identity: certificates.client, newest: version), server(certificates.server, clients: .required))
        #expect(shown.isReady && shown.error == nil)

        let serverError = Promise<IOError?>()
        let missing = try attempt(
            trusting(newest: version), server(certificates.server, clients: .required), serverError: serverError)
        // With TLS 1.3 the client is done before the server has looked at its certificate.
        #expect(missing.isReady == (version == .v13))
        #expect(missing.error?.code == .tlsHandshake)
        #expect(missing.error?.message.contains("alert") == true, "\(missing)")
        let why = try serverError.wait()
        #expect(why?.message.contains("peer did not return a certificate") == true, "\(String(describing: why))")

        let wrong = try attempt(
            trusting(identity: certificates.selfSigned, newest: version),
            server(certificates.server, clients: .required))
        #expect(wrong.error?.code == .tlsHandshake)
    }

    @Test func optionalClientCertificate() throws {
        let server = try server(certificates.server, clients: .optional)
        #expect(try attempt(trusting(), server).error == nil)
        #expect(try attempt(trusting(identity: certificates.client), server).error == nil)
        #expect(try attempt(trusting(identity: certificates.selfSigned), server).error != nil)
    }

    @Test(arguments: [TLSVersion.v12, .v13])
    func sessionsAreResumedPerConfiguration(version: TLSVersion) throws {
        try withLoop { loop throws in
            let listener = try loop.echoListener(tls: server(certificates.server))
            let client = try trusting(newest: version)
            var resumed: [Bool] = []
            for _ in 0..<5 { resumed.append(try attempt(client, loop, listener.localAddress).isResumed) }
            #expect(resumed == [false, true, true, true, true])
            #expect(try !attempt(trusting(newest: version), loop, listener.localAddress).isResumed)
        }
    }

    @Test func reloadServesTheNewCertificateAndKeepsTheOldOneWhenTheFileIsBad() throws {
        let chain = "\(certificates.folder)/live.pem"
        let key = "\(certificates.folder)/live.key"
        defer {
            unlink(chain)
            unlink(key)
        }
        func install(_ identity: TestCertificates.Identity) {
            unlink(chain)
            unlink(key)
            #expect(link(identity.certificateFile, chain) == 0 && link(identity.keyFile, key) == 0)
        }
        install(certificates.server)
        let configuration = try TLSServerConfiguration(certificateChainFile: chain, privateKeyFile: key)
        try withLoop { loop throws in
            let listener = try loop.echoListener(tls: configuration)
            let held = ScriptedHandler()
            let isUp = Promise<Bool>()
            let echoed = Promise<UInt8>()
            let heldConnection = Mutex<Connection?>(nil)
            held.onReady = { connection in
                heldConnection.withLock { $0 = connection }
                isUp.fulfil(true)
            }
            held.onReceived = { _, bytes in echoed.fulfil(bytes[0]) }
            loop.connect(to: listener.localAddress, tls: try trusting(), serverName: "localhost", handler: held)
            #expect(try isUp.wait())

            install(certificates.wrongHost)
            try configuration.reload()
            #expect(try attempt(trusting(), loop, listener.localAddress).error?.code == .tlsVerify)
            #expect(
                try attempt(trusting(), loop, listener.localAddress, name: "elsewhere.test").subject
                    == "/CN=elsewhere.test")

            // A key that does not belong to the certificate.
            unlink(key)
            #expect(link(certificates.client.keyFile, key) == 0)
            let error = #expect(throws: IOError.self) { try configuration.reload() }
            #expect(error?.code == .tlsConfiguration)
            #expect(error?.message.contains("key values mismatch") == true, "\(String(describing: error))")
            #expect(error?.message.contains("stays in use") == true)
            #expect(try attempt(trusting(), loop, listener.localAddress, name: "elsewhere.test").error == nil)

            loop.execute { heldConnection.withLock { $0 }?.writeCopy([42]) }
            #expect(try echoed.wait() == 42)
        }
    }

    @Test func unusableFilesAreNamed() throws {
        let folder = certificates.folder
        let server = certificates.server
        let noFile = #expect(throws: IOError.self) { try TLSClientConfiguration(caFile: "\(folder)/none.pem") }
        #expect(noFile?.message.contains("\(folder)/none.pem") == true, "\(String(describing: noFile))")
        let noKey = #expect(throws: IOError.self) {
            try TLSClientConfiguration(certificateChainFile: server.certificateFile)
        }
        #expect(noKey?.message.contains("no private key file") == true)
        let mismatch = #expect(throws: IOError.self) {
            try TLSClientConfiguration(
                certificateChainFile: server.certificateFile, privateKeyFile: certificates.client.keyFile)
        }
        #expect(mismatch?.message.contains("key values mismatch") == true, "\(String(describing: mismatch))")
        let notPEM = #expect(throws: IOError.self) {
            try TLSServerConfiguration(certificateChainFile: "/etc/passwd", privateKeyFile: server.keyFile)
        }
        #expect(notPEM?.message.contains("/etc/passwd") == true)
        let noAuthority = #expect(throws: IOError.self) {
            try TLSServerConfiguration(
                certificateChainFile: server.certificateFile, privateKeyFile: server.keyFile,
                clientCertificate: .required)
        }
        #expect(noAuthority?.code == .tlsConfiguration)
    }

    @Test(arguments: [TLSVersion.v12, .v13])
    func largeTransferWithPauses(version: TLSVersion) throws {
        var generator = SeededGenerator(seed: 77)
        let data = generator.bytes(3_000_000)
        try withLoop("server") { loop throws in
            let listener = try loop.echoListener(tls: server(certificates.server))
            try withLoop("client") { client throws in
                for largest in [700, 40_000, 400_000] {
                    let outcome = try ConnectionEchoTests.exchange(
                        client, with: listener.localAddress, data: data, seed: UInt64(largest),
                        largestWriteBytes: largest, tls: trusting(newest: version), pauses: true)
                    #expect(outcome.error == nil)
                    #expect(outcome.received == data)
                }
            }
        }
    }

    @Test func plainPeerIsAHandshakeError() throws {
        try withLoop { loop throws in
            let plain = try loop.echoListener()
            let seen = try attempt(trusting(), loop, plain.localAddress)
            #expect(!seen.isReady)
            #expect(seen.error?.code == .tlsHandshake, "\(seen)")
        }
    }

    @Test func silentPeerTimesTheHandshakeOut() throws {
        try withLoop { loop throws in
            let listener = try Listener(on: loop, address: .loopback(port: 0)) { _ in ScriptedHandler() }
            let closed = Promise<IOError?>()
            let handler = ScriptedHandler()
            handler.onClosed = { _, error in closed.fulfil(error) }
            loop.connect(
                to: listener.localAddress, tls: try trusting(), serverName: "localhost",
                timeout: .milliseconds(60), handler: handler)
            let error = try closed.wait()
            #expect(error?.code == .timedOut)
            #expect(error?.message.contains("TLS handshake to 127.0.0.1:") == true)
        }
    }

    @Test func streamCutOffWithoutCloseNotifyIsAnError() throws {
        try withLoop { loop throws in
            let listener = try Listener(
                on: loop, address: .loopback(port: 0), tls: try server(certificates.server)
            ) { _ in
                let handler = ScriptedHandler()
                handler.onReceived = { connection, _ in connection.abort(with: nil) }
                return handler
            }
            let seen = try attempt(trusting(), loop, listener.localAddress)
            #expect(seen.isReady)
            #expect(seen.error?.code == .reset, "\(seen)")
        }
    }
}
