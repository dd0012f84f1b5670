import Dispatch
import EventIO
import Glibc
import Settings
import Synchronization
import TestSupport
import Testing
import TrafficLog

@testable import Capture

/// TLS on both sides of the proxy.
@Suite struct ProxyTLSTests {
    /// One exchange over TLS, on a loop of its own.
    // Sound: the loop writes before it signals, the test reads afterwards.
    private final class TLSClient: ConnectionHandler, @unchecked Sendable {
        private let done = DispatchSemaphore(value: 0)
        private let request: [UInt8]
        private(set) var answer: [UInt8] = []
        private(set) var subject = ""
        private(set) var error: IOError?

        init(_ request: String) { self.request = Array(request.utf8) }

        func connectionReady(_ connection: Connection) {
            subject = connection.peerCertificateSubject ?? ""
            connection.writeCopy(request)
        }

        func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
            answer.append(contentsOf: bytes)
            if answer.suffix(2) == Array("ok".utf8) { connection.close() }
        }

        func connectionClosed(_ connection: Connection, error: IOError?) {
            self.error = error
            done.signal()
        }

        func run(_ address: SocketAddress, _ tls: TLSClientConfiguration) throws {
            let loop = try EventLoop(label: "client")
            loop.start()
            loop.execute {
                Connection.connect(
                    on: loop, to: address, tls: tls, serverName: "localhost", timeout: .seconds(10), handler: self)
            }
            let outcome = done.wait(timeout: .now() + 20)
            loop.stop()
            try #require(outcome == .success)
        }
    }

    private let put = "PUT /i/_doc/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"

    private func copy(
        _ from: TestCertificates.Identity, to folder: String
    ) throws -> (certificateFile: String, keyFile: String) {
        let copied = (certificateFile: "\(folder)/live.pem", keyFile: "\(folder)/live.key")
        for (source, target) in [
            (from.keyFile, copied.keyFile), (from.certificateFile, copied.certificateFile),
        ] {
            let bytes = try SmallFile.read(source).get()
            let file = try #require(fopen(target, "w"))
            _ = bytes.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
            fclose(file)
        }
        return copied
    }

    @Test func bothSidesSpeakTLSAndAReplacedCertificateIsUsed() throws {
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        let live = try copy(certificates.server, to: certificates.folder)
        defer {
            unlink(live.certificateFile)
            unlink(live.keyFile)
        }
        let sourceTLS = try TLSServerConfiguration(
            certificateChainFile: certificates.server.certificateFile, privateKeyFile: certificates.server.keyFile)
        let rig = try ProxyRig(sourceTLS: sourceTLS, answer: { _ in .ok }) {
            $0.tls = .init(certificateFile: live.certificateFile, keyFile: live.keyFile)
            $0.sourceTLS.caFile = certificates.authorityFile
        }
        let tls = try TLSClientConfiguration(isInsecure: true)
        let first = TLSClient(put)
        try first.run(rig.proxy.localAddress, tls)
        #expect(first.answer.suffix(2) == Array("ok".utf8))
        #expect(first.subject.contains("localhost"))
        // A bad file keeps the old certificate and is counted.
        let file = try #require(fopen(live.certificateFile, "w"))
        fputs("nonsense", file)
        fclose(file)
        eventually("the failure is counted") {
            (rig.metric("capture_tls_reload_failures_total") ?? "0") != "0"
        }
        let second = TLSClient(put)
        try second.run(rig.proxy.localAddress, tls)
        #expect(second.subject.contains("localhost"))
        _ = try copy(certificates.wrongHost, to: certificates.folder)
        eventually("the certificate is reloaded") { rig.metric("capture_tls_reloads_total") != "0" }
        let third = TLSClient(put)
        try third.run(rig.proxy.localAddress, tls)
        #expect(third.subject.contains("elsewhere.test"))
        rig.stop()
        #expect(rig.source.requests.count == 3)
        #expect(try rig.exchanges().map(\.request) == Array(repeating: Array(put.utf8), count: 3))
    }

    @Test func aClientWithoutTheRequiredCertificateIsTurnedAway() throws {
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        let rig = try ProxyRig {
            var tls = CaptureSettings.ListenTLS(
                certificateFile: certificates.server.certificateFile, keyFile: certificates.server.keyFile)
            tls.clientCAFile = certificates.authorityFile
            tls.clientCertificates = .required
            $0.tls = tls
        }
        let without = TLSClient(put)
        try without.run(rig.proxy.localAddress, try TLSClientConfiguration(caFile: certificates.authorityFile))
        #expect(without.answer.isEmpty)
        eventually("the failure is counted") { rig.metric("capture_tls_handshake_failures_total") == "1" }
        let with = TLSClient(put)
        try with.run(
            rig.proxy.localAddress,
            try TLSClientConfiguration(
                caFile: certificates.authorityFile, certificateChainFile: certificates.client.certificateFile,
                privateKeyFile: certificates.client.keyFile))
        #expect(with.answer.suffix(2) == Array("ok".utf8))
        #expect(rig.source.requests.count == 1)
    }

    /// The header is sent before the ClientHello, by a relay that opens the connection as a load balancer would.
    @Test func theProxyProtocolsHeaderComesBeforeTLS() throws {
        let certificates = try TestCertificates()
        defer { certificates.remove() }
        let rig = try ProxyRig {
            $0.tls = .init(
                certificateFile: certificates.server.certificateFile, keyFile: certificates.server.keyFile)
            $0.acceptsProxyProtocol = true
        }
        let tls = try TLSClientConfiguration(caFile: certificates.authorityFile)
        for header in ProxyLifeTests.proxyHeaders {
            let balancer = try Balancer(to: rig.proxy.localAddress, header: header)
            defer { balancer.stop() }
            let client = TLSClient(put)
            try client.run(balancer.address, tls)
            #expect(client.answer.suffix(2) == Array("ok".utf8))
        }
        #expect(rig.source.requests == Array(repeating: Array(put.utf8), count: 3))
        // Without the header it is no handshake that fails.
        let bare = TLSClient(put)
        try bare.run(rig.proxy.localAddress, tls)
        #expect(bare.answer.isEmpty)
        eventually("it is counted") { rig.metric("capture_client_failures_total") == "1" }
        #expect(rig.metric("capture_tls_handshake_failures_total") == "0")
    }
}

/// Passes connections on with a header in front.
// Sound: constants only; what belongs to a connection is used on the loop.
private final class Balancer: @unchecked Sendable {
    /// One side of a connection; what it gets goes to the other.
    private final class Side: ConnectionHandler {
        var other: Connection?
        var early: [UInt8] = []

        func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
            if let other { other.writeCopy(Array(bytes)) } else { early += Array(bytes) }
        }

        func connectionClosed(_ connection: Connection, error: IOError?) {
            other?.close()
            other = nil
        }
    }

    private let loop: EventLoop
    private let listener: Listener
    var address: SocketAddress { listener.localAddress }

    init(to target: SocketAddress, header: [UInt8]) throws {
        let loop = try EventLoop(label: "balancer")
        self.loop = loop
        loop.start()
        listener = try Listener(on: loop, address: try SocketAddress.resolve(host: "127.0.0.1", port: 0)[0]) {
            accepted in
            let (near, far) = (Side(), Side())
            far.other = accepted
            let connection = Connection.connect(on: loop, to: target, timeout: .seconds(10), handler: far)
            connection.writeCopy(header)
            near.other = connection
            return near
        }
    }

    func stop() {
        listener.close()
        loop.stop()
    }
}
