import TestSupport
import Testing

@testable import ClusterClient

@Suite struct SigV4Tests {
    private static let keys = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")

    private static func hash(_ body: String) -> [UInt8] { SHA256Digest(of: Array(body.utf8)).hexadecimal }

    private static func signature(_ authorization: [UInt8]) -> String {
        String(decoding: authorization.suffix(64), as: UTF8.self)
    }

    @Test(arguments: SigV4Vectors.all) func publishedVectors(_ vector: SigV4Vectors.Vector) {
        let signer = SigV4Signer(region: "us-east-1", service: "service")
        let time = SigV4Timestamp(unixSeconds: 1_440_938_160)
        let hash = Self.hash(vector.body ?? "")
        var fields = vector.fields.map { SigV4Signer.Field($0.0, $0.1) }
        fields.append(.init("host", "example.amazonaws.com"))
        fields.append(.init("x-amz-date", String(decoding: time.text, as: UTF8.self)))
        if vector.body != nil { fields.append(.init("x-amz-content-sha256", String(decoding: hash, as: UTF8.self))) }
        if case .signed(let token) = vector.token { fields.append(.init("x-amz-security-token", token)) }
        let authorization = signer.authorization(
            method: vector.method, path: Array(vector.path.utf8), query: vector.query, fields: fields,
            payloadHash: hash,
            credentials: AWSCredentials(accessKeyID: Self.keys.0, secretAccessKey: Self.keys.1), timestamp: time)
        #expect(Self.signature(authorization) == vector.signature)
    }

    struct Golden: Sendable {
        var service: String
        var method: String
        var host: String
        var path: String
        var query: [(String, String)] = []
        var contentType: String?
        var body = ""
        var hasToken = false
        var signature: String
    }

    /// Made with botocore 1.44.8, `SigV4Auth(credentials, service, "eu-central-1").add_auth(AWSRequest(method, url,
    /// headers, data))` and `S3SigV4Auth` for s3, `botocore.auth.get_current_datetime` patched to 2024-02-29T23:59:58,
    /// the keys of AWS's suite, and `X-Amz-Content-SHA256` given for aoss.
    static let goldens: [Golden] = [
        Golden(
            service: "es", method: "POST", host: "search.example.com", path: "/logs%2F2024%20%E2%82%AC/_bulk",
            query: [("filter_path", "took,items.*.status"), ("refresh", "")], contentType: "application/x-ndjson",
            body: "{\"index\":{\"_id\":\"1\"}}\n{\"a\":1}\n",
            signature: "a803c38d582008289c91a50fff9ad91f0f408d9f23060a52b2423e5d05963fa3"),
        Golden(
            service: "es", method: "GET", host: "search.example.com", path: "/_cat/indices",
            query: [("v", "true"), ("format", "json")], hasToken: true,
            signature: "3cb8f0a89232bd350ea2c4d8c3f652c63a72115732226353cf5b48ad46f0a093"),
        Golden(
            service: "es", method: "GET", host: "search.example.com:9200", path: "/",
            signature: "986242f05eb42dc221df4c2f40374b545a224eb37f2213b6291f2e9ed76e8ab6"),
        Golden(
            service: "aoss", method: "POST", host: "abc.eu-central-1.aoss.amazonaws.com", path: "/movies/_bulk",
            contentType: "application/x-ndjson", body: "{\"index\":{\"_id\":\"1\"}}\n{\"a\":1}\n", hasToken: true,
            signature: "ca4433615bcead0aaa60482fc5e47b5813aa961845337e7312e2c83b00b11cc8"),
        Golden(
            service: "aoss", method: "GET", host: "abc.eu-central-1.aoss.amazonaws.com", path: "/_cat/indices",
            query: [("format", "json")], signature: "bcff5026ca23f11e8307ef2733469e787ebc5d93c67bf7ec5a4dd670b5b66638"),
        Golden(
            service: "s3", method: "GET", host: "bucket.s3.eu-central-1.amazonaws.com",
            path: "/a//b/../c%20d/%E2%82%AC%2B", query: [("list-type", "2"), ("prefix", "x/y")],
            signature: "64c22f813c764a5ab17437cae91633f62d8b1b396bab5bba76081def89ce8b56"),
        Golden(
            service: "s3", method: "PUT", host: "bucket.s3.eu-central-1.amazonaws.com", path: "/key~with.all-_chars",
            contentType: "text/plain", body: "hello", hasToken: true,
            signature: "9bc179300346ab51dc3b77b13690002e2352ed8f7e4f559683f6dc8a9a1037ae"),
        Golden(
            service: "s3", method: "GET", host: "bucket.s3.eu-central-1.amazonaws.com", path: "/",
            query: [("delimiter", "/"), ("max-keys", "1000"), ("prefix", ""), ("continuation-token", "a=b&c")],
            signature: "38a65d7e4482abd979ae58c1f4d8662f2ff77e95e86f93ba8bc638f854eafb70"),
    ]

    @Test(arguments: goldens) func anotherImplementationAgrees(_ golden: Golden) {
        let signer = SigV4Signer(region: "eu-central-1", service: golden.service)
        let time = SigV4Timestamp(unixSeconds: 1_709_251_198)
        #expect(time.text == Array("20240229T235958Z".utf8))
        let hash = Self.hash(golden.body)
        let token = golden.hasToken ? "TOKEN/with+signs==" : nil
        var fields: [SigV4Signer.Field] = [.init("host", golden.host), .init("x-amz-date", "20240229T235958Z")]
        if let type = golden.contentType { fields.append(.init("content-type", type)) }
        if let token { fields.append(.init("x-amz-security-token", token)) }
        if signer.sendsContentHash {
            fields.append(.init("x-amz-content-sha256", String(decoding: hash, as: UTF8.self)))
        }
        // Twice: the second time with the signing key kept from the first.
        for _ in 0..<2 {
            let authorization = signer.authorization(
                method: golden.method, path: Array(golden.path.utf8), query: golden.query, fields: fields,
                payloadHash: hash,
                credentials: AWSCredentials(
                    accessKeyID: Self.keys.0, secretAccessKey: Self.keys.1, sessionToken: token),
                timestamp: time)
            #expect(Self.signature(authorization) == golden.signature)
        }
    }

    @Test func aDigestOverSlicesIsTheDigestOfTheWhole() {
        var random = SeededGenerator(seed: 7)
        let bytes = (0..<10_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        let whole = SHA256Digest(of: bytes)
        for _ in 0..<20 {
            let cuts = ([0, bytes.count] + (0..<5).map { _ in Int.random(in: 0...bytes.count, using: &random) })
                .sorted()
            bytes.withUnsafeBytes { raw in
                let slices = zip(cuts, cuts.dropFirst()).map { UnsafeRawBufferPointer(rebasing: raw[$0..<$1]) }
                #expect(SHA256Digest(slices: slices) == whole)
            }
        }
    }

    @Test func theSigningKeyFollowsDayAndSecret() {
        let signer = SigV4Signer(region: "r", service: "es")
        func sign(_ secret: String, _ seconds: Int64) -> [UInt8] {
            signer.authorization(
                method: "GET", path: Array("/".utf8), query: [], fields: [.init("host", "h")],
                payloadHash: Self.hash(""), credentials: AWSCredentials(accessKeyID: "A", secretAccessKey: secret),
                timestamp: SigV4Timestamp(unixSeconds: seconds))
        }
        let first = sign("one", 0)
        #expect(sign("two", 0) != first)
        #expect(sign("one", 86_400) != first)
        #expect(sign("one", 0) == first)
    }

    @Test(
        arguments: [
            (0, "19700101T000000Z"), (951_782_400, "20000229T000000Z"), (951_868_799, "20000229T235959Z"),
            (951_868_800, "20000301T000000Z"), (1_735_689_599, "20241231T235959Z"), (4_107_542_400, "21000301T000000Z"),
            (253_402_300_799, "99991231T235959Z"),
        ] as [(Int64, String)]) func timestamps(seconds: Int64, text: String)
    {
        #expect(String(decoding: SigV4Timestamp(unixSeconds: seconds).text, as: UTF8.self) == text)
    }
}
