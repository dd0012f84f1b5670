import Testing

@testable import ClusterClient

@Suite struct IdentityTests {
    // Shortened answers of real clusters, as documented by their projects and seen on test nodes.
    static let elasticsearch1 = """
        {"status":200,"name":"Grim Hunter","cluster_name":"es1","version":{"number":"1.7.6","build_hash":"c730b59",
        "build_timestamp":"2016-11-18T15:21:16Z","build_snapshot":false,"lucene_version":"4.10.4"},
        "tagline":"You Know, for Search"}
        """
    static let elasticsearch7 = """
        {"name":"n1","cluster_name":"es7","cluster_uuid":"uuid-7","version":{"number":"7.10.2","build_flavor":"oss",
        "build_type":"tar","lucene_version":"8.7.0","minimum_wire_compatibility_version":"6.8.0"},
        "tagline":"You Know, for Search"}
        """
    static let elasticsearch8 = """
        {"name":"n1","cluster_name":"es8","cluster_uuid":"uuid-8","version":{"number":"8.19.1","build_flavor":"default",
        "build_type":"docker","lucene_version":"9.12.2"},"tagline":"You Know, for Search"}
        """
    static let elasticsearchServerless = """
        {"name":"serverless","cluster_name":"abc","cluster_uuid":"uuid-s","version":{"number":"8.11.0",
        "build_flavor":"serverless","build_type":"docker"},"tagline":"You Know, for Search"}
        """
    static let opensearch1 = """
        {"name":"n","cluster_name":"os1","cluster_uuid":"uuid-o","version":{"distribution":"opensearch",
        "number":"1.3.20","build_type":"tar"},"tagline":"The OpenSearch Project: https://opensearch.org/"}
        """
    static let opensearch3 = """
        {"name":"n","cluster_name":"os3","cluster_uuid":"uuid-o","version":{"distribution":"opensearch",
        "number":"3.1.0-beta1","build_type":"tar"},"tagline":"The OpenSearch Project: https://opensearch.org/"}
        """
    static let opensearchAs7 = """
        {"name":"n","cluster_name":"os","cluster_uuid":"uuid-o","version":{"number":"7.10.2","build_type":"tar"},
        "tagline":"The OpenSearch Project: https://opensearch.org/"}
        """
    static let managedAs7 = """
        {"name":"n","cluster_name":"123:domain","cluster_uuid":"uuid-o","version":{"number":"7.10.2","build_type":"tar",
        "lucene_version":"9.7.0"},"tagline":"You Know, for Search"}
        """
    static let nodes2 = """
        {"nodes":{"a":{"version":"2.11.0"},"b":{"version":"2.9.0"}}}
        """
    static let nodes7 = """
        {"nodes":{"a":{"version":"7.10.2"}}}
        """

    /// Answers `/` and everything else, each with a status.
    private static func identify(
        root: (Int, String), other: (Int, String) = (500, "{}"),
        change: (inout ClusterSettings) throws -> Void = { _ in }
    ) throws -> (Result<ClusterIdentity, ClusterError>, [String]) {
        var result: Result<ClusterIdentity, ClusterError> = .failure(
            ClusterError(.badRequest, side: .target, disposition: .stop, message: ""))
        var targets: [String] = []
        try Harness.run(change: change) { peer in
            peer.serve { request in
                let answer = request.target == "/" ? root : other
                peer.respond(answer.0, answer.1)
            }
        } _: { harness in
            result = Result { () throws(ClusterError) in try harness.client.identify() }
            targets = harness.server.requests.map(\.target)
        }
        return (result, targets)
    }

    @Test(
        arguments: [
            (elasticsearch1, .elasticsearch, "1.7.6", nil, "es1"),
            (elasticsearch7, .elasticsearch, "7.10.2", "uuid-7", "es7"),
            (elasticsearch8, .elasticsearch, "8.19.1", "uuid-8", "es8"),
            (elasticsearchServerless, .elasticsearchServerless, "8.11.0", "uuid-s", "abc"),
            (opensearch1, .opensearch, "1.3.20", "uuid-o", "os1"), (opensearch3, .opensearch, "3.1.0", "uuid-o", "os3"),
        ] as [(String, ClusterIdentity.Flavour, String, String?, String)])
    func oneQuestionIsEnough(
        _ root: String, _ flavour: ClusterIdentity.Flavour, _ version: String, _ uuid: String?, _ name: String
    ) throws {
        let (result, targets) = try Self.identify(root: (200, root))
        let identity = try result.get()
        #expect(identity.flavour == flavour)
        #expect(identity.version.description == version)
        #expect(identity.clusterUUID == uuid)
        #expect(identity.name == name)
        #expect(identity.isServerless == (flavour == .elasticsearchServerless))
        #expect(identity.notes.isEmpty)
        #expect(targets == ["/"])
    }

    @Test(
        arguments: [
            (opensearchAs7, 200, nodes2, .opensearch, "2.9.0", 2), (managedAs7, 200, nodes2, .opensearch, "2.9.0", 2),
            (managedAs7, 200, nodes7, .elasticsearch, "7.10.2", 0),
            (opensearchAs7, 403, "{}", .opensearch, "1.0.0", 1), (managedAs7, 403, "{}", .elasticsearch, "7.10.2", 0),
            (opensearchAs7, 200, "not json", .opensearch, "1.0.0", 1),
        ] as [(String, Int, String, ClusterIdentity.Flavour, String, Int)])
    func aClusterThatCallsItself7102(
        _ root: String, _ status: Int, _ nodes: String, _ flavour: ClusterIdentity.Flavour, _ version: String,
        _ noteCount: Int
    ) throws {
        let (result, targets) = try Self.identify(root: (200, root), other: (status, nodes))
        let identity = try result.get()
        #expect(identity.flavour == flavour)
        #expect(identity.version.description == version)
        #expect(identity.notes.count == noteCount)
        #expect(targets == ["/", "/_nodes/_all/http?filter_path=nodes.%2A.version"])
    }

    @Test func serverlessCollections() throws {
        let (asked, targets) = try Self.identify(root: (404, ""), other: (200, "[]"))
        #expect(try asked.get().flavour == .opensearchServerless)
        #expect(try asked.get().isServerless)
        #expect(targets == ["/", "/_cat/indices?format=json"])

        let (signed, signedTargets) = try Self.identify(root: (404, "{}")) { settings in
            settings.authentication = .sigV4(
                region: "eu-west-1", service: "aoss",
                credentials: FixedAWSCredentials(AWSCredentials(accessKeyID: "A", secretAccessKey: "B")))
        }
        #expect(try signed.get().flavour == .opensearchServerless)
        #expect(signedTargets == ["/"])
    }

    @Test(arguments: [
        (200, "<!doctype html><html></html>"), (200, "hello"), (200, ""), (200, "{\"version\":{}}"), (200, "[]"),
        (200, "{\"version\":{\"number\":\"nine\"}}"), (400, "<html>"), (405, "{}"), (404, "<html>not found</html>"),
        (404, "{\"error\":\"no\"}"),
    ]) func somethingElseAnswers(_ status: Int, _ body: String) throws {
        let (result, _) = try Self.identify(root: (status, body), other: (404, "{}"))
        guard case .failure(let error) = result else {
            Issue.record("\(status) \(body) was taken for a cluster")
            return
        }
        #expect(error.code == .notACluster)
        #expect(error.disposition == .stop)
        #expect(error.message.contains("is not an Elasticsearch or OpenSearch cluster"))
        #expect(error.message.contains("127.0.0.1:"))
    }

    @Test func refusedCredentialsSayWhichToCheck() throws {
        let secret = "s3cr3t-pass"
        func basic(_ settings: inout ClusterSettings) {
            settings.authentication = .basic(user: "admin", password: secret)
        }
        func signed(_ settings: inout ClusterSettings) {
            settings.authentication = .sigV4(
                region: "eu-west-1", service: "es",
                credentials: FixedAWSCredentials(
                    AWSCredentials(accessKeyID: "AKID", secretAccessKey: secret, sessionToken: "t0ken-value")))
        }
        let cases: [(Int, ClusterError.Code, (inout ClusterSettings) -> Void, String)] = [
            (401, .unauthorized, { _ in }, "--username and --password-file"),
            (401, .unauthorized, basic, "check --username and its password"),
            (403, .forbidden, basic, "lacks a permission"),
            (403, .forbidden, signed, "the region eu-west-1, the service es"),
        ]
        for (status, code, change, words) in cases {
            // AWS answers a wrong signature with the canonical request, token included.
            let body = "{\"message\":\"The signature does not match \(secret)\\n\\nx-amz-security-token:t0ken-value\"}"
            let (result, _) = try Self.identify(root: (status, body), change: change)
            guard case .failure(let error) = result else { preconditionFailure("\(status) was accepted") }
            #expect(error.code == code)
            #expect(error.disposition == .stop)
            #expect(error.message.contains(words))
            #expect(!error.message.contains("t0ken"))
            #expect(!error.message.contains("\n"))
            if !words.contains("AWS") && status == 403 { #expect(!error.message.contains(secret)) }
        }
    }

    @Test(
        arguments: [
            (429, .tooManyRequests, .retry), (503, .serverError, .retry), (500, .serverError, .retry),
            (301, .redirected, .stop), (408, .serverError, .retry),
        ] as [(Int, ClusterError.Code, ClusterError.Disposition)])
    func statusesThatSpeakForThemselves(
        _ status: Int, _ code: ClusterError.Code, _ disposition: ClusterError.Disposition
    ) throws {
        let body = "{\"error\":{\"type\":\"x_exception\",\"reason\":\"why\\nnot\"},\"status\":\(status)}"
        let (result, _) = try Self.identify(root: (status, body))
        guard case .failure(let error) = result else { preconditionFailure("\(status) was accepted") }
        #expect(error.code == code)
        #expect(error.disposition == disposition)
        #expect(error.message.contains("answered \(status) to GET /"))
        if status != 301 { #expect(error.message.contains("x_exception: why")) }
        #expect(!error.message.contains("not"))
    }

    @Test func versionsOutsideOfWhatIsKnownAreNoted() throws {
        for number in ["0.90.13", "10.0.0"] {
            let root = "{\"version\":{\"number\":\"\(number)\",\"build_flavor\":\"default\"}}"
            #expect(try Self.identify(root: (200, root)).0.get().notes.count == 1)
        }
        let other = "{\"version\":{\"number\":\"1.0\",\"distribution\":\"else\"}}"
        let identity = try Self.identify(root: (200, other)).0.get()
        #expect(identity.flavour == .unknown)
        #expect(identity.notes.count == 1)
    }

    @Test func versionsAreReadAndCompared() {
        #expect(ClusterIdentity.Version("2.19.4-SNAPSHOT") == .init(2, 19, 4))
        #expect(ClusterIdentity.Version("8") == .init(8, 0, 0))
        #expect(ClusterIdentity.Version("8.x") == .init(8, 0, 0))
        #expect(ClusterIdentity.Version("") == nil)
        #expect(ClusterIdentity.Version("v1") == nil)
        #expect(ClusterIdentity.Version("99999999999999999999.1") == nil)
        #expect(ClusterIdentity.Version(7, 10, 2) < .init(7, 11, 0))
    }
}
