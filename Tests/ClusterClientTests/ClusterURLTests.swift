import Testing

@testable import ClusterClient

@Suite struct ClusterURLTests {
    @Test(arguments: [
        ("http://localhost:9200", "localhost", 9200, "", "localhost:9200"),
        ("https://Search.Example.COM", "search.example.com", 443, "", "search.example.com"),
        ("http://example.com/", "example.com", 80, "", "example.com"),
        ("HTTPS://example.com:9243/es/v1/", "example.com", 9243, "/es/v1", "example.com:9243"),
        ("https://example.com:443/a%20b", "example.com", 443, "/a%20b", "example.com"),
        ("http://[::1]:9200", "::1", 9200, "", "[::1]:9200"),
        ("http://[2001:DB8::1]", "2001:db8::1", 80, "", "[2001:db8::1]"),
        ("http://10.0.0.1:", "10.0.0.1", 80, "", "10.0.0.1"),
    ]) func addresses(_ text: String, _ host: String, _ port: Int, _ prefix: String, _ hostField: String) throws {
        let url = try ClusterURL(text)
        #expect(url.host.lowercased() == host)
        #expect(url.port == port)
        #expect(url.pathPrefix == prefix)
        #expect(url.hostField.lowercased() == hostField)
        #expect(url.isTLS == text.lowercased().hasPrefix("https"))
    }

    @Test(arguments: [
        "", "localhost:9200", "ftp://host", "http://", "http:///path", "http://host:0", "http://host:65536",
        "http://host:12x", "http://ho st", "http://host/?q=1", "http://host?q", "http://host#f", "http://[::1",
        "http://[::1]x", "http://[]", "http://hôst", "http://host/a b", "http://host/%4", "http://a:b:c",
    ]) func refusals(_ text: String) {
        let error = #expect(throws: ClusterError.self) { try ClusterURL(text) }
        #expect(error?.code == .invalidSettings)
        #expect(error?.disposition == .stop)
        #expect(error?.message.hasPrefix("--target-host: ") == true)
    }

    @Test(arguments: ["http://user:pa55word@host", "https://user:pa/55word@host:9200", "http://user:pa?55#word@host"])
    func aPasswordInTheAddressIsRefusedAndNotRepeated(_ text: String) {
        let error = #expect(throws: ClusterError.self) { try ClusterURL(text) }
        #expect(error?.message.contains("--username and --password-file") == true)
        #expect(error?.message.contains("55") == false)
        #expect(error?.message.contains("user:") == false)
    }

    @Test func segmentsAreEncoded() {
        #expect(PercentEncoding.segment("logs-2024.01_a~b") == "logs-2024.01_a~b")
        #expect(PercentEncoding.segment("a/b c+d,e*<f>%€") == "a%2Fb%20c%2Bd%2Ce%2A%3Cf%3E%25%E2%82%AC")
        #expect(PercentEncoding.path("my index", "_bulk") == "/my%20index/_bulk")
    }
}
