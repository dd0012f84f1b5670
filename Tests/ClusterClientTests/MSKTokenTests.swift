import JSONBytes
import TestSupport
import Testing

@testable import ClusterClient

@Suite struct MSKTokenTests {
    /// 2024-02-29T23:59:58Z.
    private static let now: Int64 = 1_709_251_198

    private static func signer(
        token: String? = nil, expires: Int64? = nil, at seconds: Int64 = now
    ) -> MSKTokenSigner {
        let credentials = AWSCredentials(
            accessKeyID: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            sessionToken: token, expiresUnixSeconds: expires)
        return MSKTokenSigner(
            region: "eu-central-1", credentials: FixedAWSCredentials(credentials), userAgent: "millraced/0 x",
            unixSeconds: { seconds })
    }

    /// Without the query, and the query's members.
    private static func parts(_ url: String) -> (place: String, members: Set<String>) {
        let parts = url.split(separator: "?", maxSplits: 1).map(String.init)
        return (parts.first ?? "", Set((parts.last ?? "").split(separator: "&").map(String.init)))
    }

    /// See `Tests/Fixtures/aws/msk-token.py`, which makes the URLs anew.
    @Test func theURLIsTheOneThatBotocoreSigns() throws {
        let path =
            #filePath.split(separator: "/").dropLast(2).reduce("") { "\($0)/\($1)" } + "/Fixtures/aws/msk-token.txt"
        let golden = String(decoding: try FileTree.read(path), as: UTF8.self).split(separator: "\n").map(String.init)
        try #require(golden.count == 2)
        for (url, token) in zip(golden, [nil, "TOKEN/with+signs=="]) {
            let made = try Self.signer(token: token).token()
            #expect(made.expiresMilliseconds == (Self.now + 900) * 1000)
            // The URL-safe alphabet, without padding.
            let isURLSafe = made.value.utf8.allSatisfy { byte in
                (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A) || (0x30...0x39).contains(byte) || byte == 0x2D
                    || byte == 0x5F
            }
            #expect(isURLSafe)
            let standard = made.value.utf8.map { $0 == 0x2D ? 0x2B : $0 == 0x5F ? 0x2F : $0 }
            let decoded = try #require(standard.withUnsafeBytes { Base64.decode($0) })
            let (place, members) = Self.parts(String(decoding: decoded, as: UTF8.self))
            let (goldenPlace, goldenMembers) = Self.parts(url)
            #expect(place == goldenPlace)
            #expect(members == goldenMembers.union(["User-Agent=millraced%2F0%20x"]))
        }
    }

    @Test func aTokenEndsWithItsCredentials() throws {
        #expect(try Self.signer(expires: Self.now + 60).token().expiresMilliseconds == (Self.now + 60) * 1000)
        #expect(try Self.signer(expires: Self.now + 9000).token().expiresMilliseconds == (Self.now + 900) * 1000)
    }

    @Test func endedCredentialsAreNamedWithTheirTime() throws {
        let error = #expect(throws: ClusterError.self) { try Self.signer(expires: Self.now).token() }
        #expect(error?.message.contains("ended at 20240229T235958Z") == true)
        #expect(error?.message.contains("AKIDEXAMPLE") == false)
    }

    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59Z", 951_868_799),
            ("2000-03-01T00:00:00.25Z", 951_868_800),
            ("2024-02-29T23:59:58Z", 1_709_251_198), ("2024-03-01T01:29:58+01:30", 1_709_251_198),
            ("2024-02-29t18:59:58-05:00", 1_709_251_198), ("9999-12-31T23:59:59Z", 253_402_300_799),
            ("1969-12-31T23:59:59Z", nil), ("2024-02-29T23:59:58", nil), ("2024-13-01T00:00:00Z", nil),
            ("2024-02-29 23:59:58Z", nil), ("2024-02-29T23:59:58.Z", nil), ("2024-02-29T23:59:58+1:00", nil),
            ("", nil), ("2024-0a-29T23:59:58Z", nil),
        ] as [(String, Int64?)]) func timesOfExpiry(text: String, seconds: Int64?)
    {
        #expect(SigV4Timestamp.unixSeconds(rfc3339: text) == seconds)
    }

    @Test func theEnvironmentAndTheFileTellWhenKeysEnd() throws {
        var environment = [
            "AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_CREDENTIAL_EXPIRATION": "2024-02-29T23:59:58Z",
        ]
        #expect(try DefaultAWSCredentials(environment: environment).credentials().expiresUnixSeconds == Self.now)
        environment["AWS_CREDENTIAL_EXPIRATION"] = "soon"
        #expect(try DefaultAWSCredentials(environment: environment).credentials().expiresUnixSeconds == nil)
    }
}
