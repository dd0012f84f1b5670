import Dispatch
import JSONBytes
import Synchronization
import TestSupport
import Testing

@testable import ClusterClient

@Suite struct RawRequestSignerTests {
    private static let key = "AKIDEXAMPLE"
    private static let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

    private static func signer(
        service: String = "es", token: String? = nil,
        unixSeconds: @escaping @Sendable () -> Int64 = { 1_709_251_198 }
    ) -> RawRequestSigner {
        RawRequestSigner(
            region: "eu-central-1", service: service,
            credentials: FixedAWSCredentials(
                AWSCredentials(accessKeyID: key, secretAccessKey: secret, sessionToken: token)),
            unixSeconds: unixSeconds)
    }

    private static func lines(
        _ signer: RawRequestSigner, _ head: String, body: [UInt8] = [], cut: Int = 0, payloadHash: [UInt8]? = nil
    ) throws -> [String] {
        let bytes = try body.withUnsafeBytes { raw in
            let cut = min(cut, raw.count)
            let slices = [
                UnsafeRawBufferPointer(rebasing: raw[..<cut]), UnsafeRawBufferPointer(rebasing: raw[cut...]),
            ]
            return try signer.lines(head: Array(head.utf8), body: slices, payloadHash: payloadHash)
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\r\n").map(String.init)
    }

    private static func code(_ head: String, body: String = "") -> ClusterError.Code? {
        do {
            _ = try lines(signer(), head, body: Array(body.utf8))
            return nil
        } catch {
            return (error as? ClusterError)?.code
        }
    }

    /// Made by botocore; see Tests/Fixtures/signatures/renew.py.
    @Test func anotherImplementationAgrees() throws {
        let path = #filePath.split(separator: "/").dropLast(2).reduce("") { "\($0)/\($1)" }
        let text = try FileTree.read(path + "/Fixtures/signatures/raw-requests.ndjson")
        var count = 0
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let golden = try JSONValue.parse(Array(line))
            let head = try #require(golden["head"]?.stringValue)
            let body = Array(try #require(golden["body"]?.stringValue).utf8)
            let token = golden["token"]?.boolValue == true ? "TOKEN/with+signs==" : nil
            let service = try #require(golden["service"]?.stringValue)
            let signer = Self.signer(service: service, token: token)
            for cut in Set([0, 1, body.count / 2, body.count]) {
                let lines = try Self.lines(signer, head, body: body, cut: cut)
                #expect(lines.last == "Authorization: \(golden["authorization"]?.stringValue ?? "")", "\(head)")
                #expect(lines.first == "x-amz-date: 20240229T235958Z")
                #expect(lines.contains("x-amz-security-token: TOKEN/with+signs==") == (token != nil))
                #expect(lines.contains { $0.hasPrefix("x-amz-content-sha256: ") } == (service == "aoss"))
            }
            count += 1
        }
        #expect(count >= 40)
    }

    @Test func aHashFromAnEarlierAttemptIsTakenAsItIs() throws {
        let head = "POST /_bulk HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        let chunks = Array("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".utf8)
        let signer = Self.signer(service: "aoss")
        let hash = try chunks.withUnsafeBytes { try signer.payloadHash(of: [$0], isChunked: true) }
        #expect(hash == SHA256Digest(of: Array("abcde".utf8)).hexadecimal)
        let first = try Self.lines(signer, head, body: chunks)
        #expect(try Self.lines(signer, head, body: [], payloadHash: hash) == first)
        #expect(first.contains("x-amz-content-sha256: \(String(decoding: hash, as: UTF8.self))"))
    }

    @Test func whatCannotBeSignedIsRefused() {
        #expect(Self.code("GET / HTTP/1.1\r\nHost: h\r\n\r\n") == nil)
        for head in [
            "GET / HTTP/1.1\r\nA: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\nmore",
            "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic eA==\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX-AMZ-Date: 20240101T000000Z\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nx-amz-Content-sha256: 0\r\n\r\n", "nonsense\r\n\r\n",
        ] {
            #expect(Self.code(head) == .badRequest, "\(head)")
        }
        let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(Self.code(chunked, body: "1\r\na\r\n0\r\n\r\n") == nil)
        for body in ["", "1\r\na\r\n", "z\r\n", "1\r\na\r\n0\r\n\r\nmore"] {
            #expect(Self.code(chunked, body: body) == .badRequest, "\(body)")
        }
    }

    @Test func eachAttemptIsSignedWhenItIsSent() throws {
        let time = Atomic<Int64>(1_709_251_198)
        let signer = Self.signer { time.wrappingAdd(60, ordering: .relaxed).oldValue }
        try TargetHarness.run(signer: signer) { peer in
            peer.serve { _ in peer.respond() }
        } _: { harness in
            for _ in 0..<2 {
                #expect(harness.send(.init(method: "POST", target: "/_bulk", body: Array("{}\n".utf8))).status == 200)
            }
            let requests = harness.server.requests
            #expect(requests.map { $0.field("x-amz-date") } == ["20240229T235958Z", "20240301T000058Z"])
            for request in requests {
                #expect(request.field("authorization")?.hasPrefix("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") == true)
                #expect(request.field("content-length") == "3")
                #expect(request.body == Array("{}\n".utf8))
            }
            // A request that cannot be signed is not sent, and its connection serves the next.
            let refused = harness.send(.init(fields: "Authorization: x\r\n"))
            #expect(refused.error?.code == .badRequest)
            #expect(refused.error?.isNotSent == true)
            #expect(harness.get().status == 200)
            #expect(harness.server.acceptedCount == 1)
        }
    }

    @Test func basicAuthorization() throws {
        let text = BasicAuthorization.text(user: "Aladdin", password: "open sesame")
        #expect(text == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        try BasicAuthorization.check(user: "Aladdin", side: .target)
        #expect(throws: ClusterError.self) { try BasicAuthorization.check(user: "a:b", side: .target) }
    }
}
