import Testing

@testable import Settings

@Suite struct ValueTextTests {
    @Test func byteSizes() throws {
        let table: [(String, Int64)] = [
            ("0", 0), ("65536", 65536), ("10MB", 10_000_000), ("256MiB", 256 << 20), ("1Gi", 1 << 30), ("3kB", 3000),
            ("7B", 7), ("2TiB", 2 << 40),
        ]
        for (text, bytes) in table { #expect(try ByteSize.parse(text) == bytes) }
        for text in ["", "MiB", "1.5MiB", "-1", "+1", "1 MiB", "1mib", "1M", "9223372036854775808", "9999999TiB", "٣"] {
            #expect(throws: ValueProblem.self) { try ByteSize.parse(text) }
        }
        for bytes: Int64 in [0, 1, 1023, 1024, 1025, 5 << 20, 64 << 20, 3 << 30] {
            #expect(try ByteSize.parse(ByteSize.text(bytes)) == bytes)
        }
    }

    @Test func durations() throws {
        let table: [(String, Duration)] = [
            ("250ms", .milliseconds(250)), ("30s", .seconds(30)), ("5m", .seconds(300)), ("2h", .seconds(7200)),
            ("1d", .seconds(86_400)), ("1h30m", .seconds(5400)), ("0s", .zero), ("1m1ms", .milliseconds(60_001)),
        ]
        for (text, duration) in table { #expect(try DurationText.parse(text) == duration) }
        for text in ["", "5", "m", "1.5s", "-1s", "5 s", "30m1h", "1s1s", "99999999999999999999s", "40000d", "5x"] {
            #expect(throws: ValueProblem.self) { try DurationText.parse(text) }
        }
        for milliseconds in [0, 1, 999, 1000, 61_001, 90_000_000] {
            #expect(
                try DurationText.parse(DurationText.text(.milliseconds(milliseconds))) == .milliseconds(milliseconds))
        }
    }

    @Test func hostsAndPorts() throws {
        #expect(try HostAndPort.parse("[::1]:9600") == HostAndPort(host: "::1", port: 9600))
        #expect(try HostAndPort.parse("127.0.0.1:0") == HostAndPort(host: "127.0.0.1", port: 0))
        #expect(try HostAndPort.parse(":9600") == HostAndPort(host: "", port: 9600))
        #expect(try HostAndPort.parse("[::1]:9600").description == "[::1]:9600")
        for text in [
            "", "host", "host:", "host:x", "host:65536", "::1:9600", "[::1]", "[h]:1", "a b:1", "h:+1", "[]:1",
        ] {
            #expect(throws: ValueProblem.self) { try HostAndPort.parse(text) }
        }
    }

    @Test func serviceURLs() throws {
        let plain = try ServiceURL.parse("http://127.0.0.1:9200")
        #expect(!plain.isTLS && plain.host == "127.0.0.1" && plain.port == 9200 && plain.pathPrefix.isEmpty)
        let prefixed = try ServiceURL.parse("HTTPS://search.example/es/v1//")
        #expect(prefixed.isTLS && prefixed.port == 443 && prefixed.pathPrefix == "/es/v1")
        #expect(prefixed.description == "https://search.example:443/es/v1")
        #expect(try ServiceURL.parse("http://h/").pathPrefix == "")
        #expect(try ServiceURL.parse("http://h").port == 80)
        #expect(try ServiceURL.parse("http://[::1]:1").host == "::1")
        #expect(try ServiceURL.parse("http://[::1]").port == 80)
        for text in [
            "", "h:9200", "ftp://h", "http://", "http:///x", "http://h:0", "http://h:", "http://h?x", "http://h/#x",
            "http://::1", "http://h/ä", "http://h h", "http://[::1]x:1",
        ] {
            #expect(throws: ValueProblem.self) { try ServiceURL.parse(text) }
        }
    }

    @Test func aPasswordInAURLIsNotRepeated() {
        let problem = #expect(throws: ValueProblem.self) { try ServiceURL.parse("https://user:hunter2@h") }
        #expect(problem?.message.contains("hunter2") == false)
    }

    @Test func fileURLs() throws {
        #expect(try FileLocation.path(ofURL: "file:///a/b") == "/a/b")
        #expect(try FileLocation.path(ofURL: "file://localhost/a") == "/a")
        #expect(try FileLocation.path(ofURL: "file:///a%20b%C3%A4") == "/a bä")
        for text in ["file://a/b", "file:/a", "/a", "file:///a%2", "file:///a%zz", "file:///a%00", "file://"] {
            #expect(throws: ValueProblem.self) { try FileLocation.path(ofURL: text) }
        }
    }

    @Test func processorQuota() {
        #expect(ProcessorCount.quota("max 100000\n") == nil)
        #expect(ProcessorCount.quota("150000 100000\n") == 2)
        #expect(ProcessorCount.quota("50000 100000\n") == 1)
        #expect(ProcessorCount.quota("200000 100000") == 2)
        #expect(ProcessorCount.quota("0 0") == nil)
        #expect(ProcessorCount.available >= 1)
    }
}
