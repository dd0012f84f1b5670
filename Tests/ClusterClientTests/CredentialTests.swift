import Glibc
import Testing

@testable import ClusterClient

@Suite struct CredentialTests {
    private static func withFile(_ text: String, _ body: (String) throws -> Void) throws {
        var template = Array("/tmp/millrace-credentials-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        let path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
        let bytes = Array(text.utf8)
        #expect(write(descriptor, bytes, bytes.count) == bytes.count)
        close(descriptor)
        defer { unlink(path) }
        try body(path)
    }

    private static let file = """
        # comment
        [default]
        aws_access_key_id = AKDEFAULT
        aws_secret_access_key=secret/default+=

        [ other ]
        AWS_ACCESS_KEY_ID = AKOTHER
        aws_secret_access_key = secret-other
        aws_session_token = token==
        [broken]
        aws_access_key_id = AKBROKEN
        """

    @Test func environmentComesFirst() throws {
        try Self.withFile(Self.file) { path in
            let provider = DefaultAWSCredentials(environment: [
                "AWS_ACCESS_KEY_ID": "AKENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t",
                "AWS_SHARED_CREDENTIALS_FILE": path,
            ])
            let found = try provider.credentials()
            #expect(
                found
                    == AWSCredentials(accessKeyID: "AKENV", secretAccessKey: "s", sessionToken: "t"))
        }
    }

    @Test func profilesOfTheSharedFile() throws {
        try Self.withFile(Self.file) { path in
            func provider(_ profile: String?) -> DefaultAWSCredentials {
                var environment = ["AWS_SHARED_CREDENTIALS_FILE": path]
                environment["AWS_PROFILE"] = profile
                return DefaultAWSCredentials(environment: environment)
            }
            let first = try provider(nil).credentials()
            let other = try provider("other").credentials()
            #expect(
                first
                    == AWSCredentials(accessKeyID: "AKDEFAULT", secretAccessKey: "secret/default+="))
            #expect(
                other
                    == AWSCredentials(accessKeyID: "AKOTHER", secretAccessKey: "secret-other", sessionToken: "token=="))
            for profile in ["broken", "absent"] {
                let error = #expect(throws: ClusterError.self) { try provider(profile).credentials() }
                #expect(error?.message.contains("[\(profile)]") == true)
                #expect(error?.disposition == .stop)
            }
        }
    }

    @Test func whatIsMissingIsNamed() {
        for (environment, word) in [
            (["AWS_ACCESS_KEY_ID": "A"], "AWS_SECRET_ACCESS_KEY"),
            (["AWS_SECRET_ACCESS_KEY": "B"], "AWS_ACCESS_KEY_ID"),
            (["HOME": "/nonexistent"], "/nonexistent/.aws/credentials"), ([:], "AWS_ACCESS_KEY_ID"),
        ] {
            let error = #expect(throws: ClusterError.self) {
                try DefaultAWSCredentials(environment: environment).credentials()
            }
            #expect(error?.message.contains(word) == true)
        }
    }

    @Test func printingShowsNoSecret() {
        let credentials = AWSCredentials(accessKeyID: "AKID", secretAccessKey: "hidden", sessionToken: "covert")
        var text = "\(credentials) \(String(reflecting: credentials)) "
        dump(credentials, to: &text)
        for authentication in [
            ClusterSettings.Authentication.basic(user: "u", password: "hidden"), .apiKey("covert"),
            .sigV4(region: "r", service: "es", credentials: FixedAWSCredentials(credentials)),
        ] {
            text += "\(authentication) \(String(reflecting: authentication)) "
            dump(authentication, to: &text)
        }
        #expect(!text.contains("hidden"))
        #expect(!text.contains("covert"))
    }

    /// The server takes a request apart and signs it again.
    @Test(arguments: ["es", "aoss", "s3"]) func requestsCarryAValidSignature(_ service: String) throws {
        let credentials = AWSCredentials(accessKeyID: "AKID", secretAccessKey: "secret", sessionToken: "tok/en==")
        try Harness.run { settings in
            settings.url = try ClusterURL("\(settings.url)/prefix")
            settings.isCompressed = true
            settings.compressionThresholdBytes = 100
            settings.unixSeconds = { 1_700_000_000 }
            settings.authentication = .sigV4(
                region: "eu-west-1", service: service, credentials: FixedAWSCredentials(credentials))
        } script: { peer in
            peer.serve { peer.respond(Self.isSigned($0, service, credentials) ? 200 : 403) }
        } _: { harness in
            let large = ClusterRequestBody(text: String(repeating: "{\"a\":1}\n", count: 100))
            let requests = [
                ClusterRequest("GET", "/"), ClusterRequest("GET", "/a%20b/_search", query: [("q", "x y"), ("b", "")]),
                ClusterRequest("POST", "/_bulk", contentType: "application/x-ndjson", body: large),
                ClusterRequest("PUT", "/i/_doc/1", body: ClusterRequestBody(text: "{}")),
            ]
            for request in requests { #expect(harness.send(request).status == 200) }
            #expect(harness.server.requests.count == 4)
            #expect(harness.server.requests[2].field("content-encoding") == "gzip")
        }
    }

    private static func isSigned(
        _ request: ScriptedServer.Request, _ service: String, _ credentials: AWSCredentials
    ) -> Bool {
        guard let authorization = request.field("authorization"),
            let names = authorization.components(after: "SignedHeaders=", before: ",")
        else { return false }
        let hash = SHA256Digest(of: request.body).hexadecimal
        let isHashExpected = service != "es"
        guard (request.field("x-amz-content-sha256") == String(decoding: hash, as: UTF8.self)) == isHashExpected,
            request.field("x-amz-date") == "20231114T221320Z",
            request.field("x-amz-security-token") == credentials.sessionToken
        else { return false }
        let parts = request.target.split(separator: "?", maxSplits: 1)
        let query =
            parts.count < 2
            ? []
            : parts[1].split(separator: "&").map { member -> (String, String) in
                let halves = member.split(separator: "=", maxSplits: 1).map { decode(String($0)) }
                return (halves[0], halves.count > 1 ? halves[1] : "")
            }
        let fields = names.split(separator: ";").map { SigV4Signer.Field(String($0), request.field(String($0)) ?? "?") }
        let expected = SigV4Signer(region: "eu-west-1", service: service).authorization(
            method: request.method, path: Array(parts[0].utf8), query: query, fields: fields, payloadHash: hash,
            credentials: credentials, timestamp: SigV4Timestamp(unixSeconds: 1_700_000_000))
        return authorization == String(decoding: expected, as: UTF8.self)
    }

    private static func decode(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension String {
    fileprivate func components(after start: String, before end: Character) -> String? {
        guard let range = self.ranges(of: start).first else { return nil }
        return String(self[range.upperBound...].prefix { $0 != end })
    }
}
