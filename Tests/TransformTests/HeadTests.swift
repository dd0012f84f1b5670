import HTTPMessage
import TestSupport
import Testing

@testable import Transform

@Suite struct HeadTests {
    private func head(
        _ text: String, _ authentication: Authentication = .keep, suffix: String = "", rules: String? = nil
    ) throws -> String {
        let rewriting = try Rewriting(rules, authentication: authentication, userAgentSuffix: suffix)
        let message = try Rewriting.Message(
            head: text.replacing("\n", with: "\r\n") + "\r\n\r\n", body: [])
        let result = try rewriting.rewrite(message)
        return String(decoding: result.head.dropLast(4), as: UTF8.self).replacing("\r\n", with: "\n")
    }

    @Test func hostIsReplacedInItsPlace() throws {
        #expect(
            try head("GET /a HTTP/1.1\nAccept: */*\nhOST:old:9200  \nX-b:  c ")
                == "GET /a HTTP/1.1\nAccept: */*\nhOST: new:9200\nX-b:  c ")
        #expect(try head("GET /a HTTP/1.0\nAccept: */*") == "GET /a HTTP/1.1\nHost: new:9200\nAccept: */*")
        #expect(try head("GET /a HTTP/1.0") == "GET /a HTTP/1.1\nHost: new:9200")
        #expect(try head("GET http://old/a HTTP/1.1\nHost: old") == "GET /a HTTP/1.1\nHost: new:9200")
    }

    @Test func whatSpeaksOfTheCapturedConnectionGoes() throws {
        #expect(
            try head(
                """
                POST /a HTTP/1.1
                Host: old
                Connection: close, X-Hop, upgrade
                Keep-Alive: timeout=5
                X-Hop: 1
                Expect: 100-continue
                Proxy-Connection: keep-alive
                Upgrade: h2c
                TE: trailers
                X-Opaque-Id: 7
                """) == "POST /a HTTP/1.1\nHost: new:9200\nX-Opaque-Id: 7")
        #expect(try head("GET /a HTTP/1.1\nHost: old\nConnection: keep-alive") == "GET /a HTTP/1.1\nHost: new:9200")
    }

    @Test func credentials() throws {
        let text = "GET /a HTTP/1.1\nHost: old\nAuthorization: Basic x\nProxy-Authorization: y\nX-Amz-Date: 1\nA: b"
        let amz = "X-Amz-Date: 1\nA: b"
        #expect(try head(text) == text.replacing("Host: old", with: "Host: new:9200"))
        #expect(try head(text, .remove) == "GET /a HTTP/1.1\nHost: new:9200\n\(amz)")
        #expect(try head(text, .signed) == "GET /a HTTP/1.1\nHost: new:9200\nA: b")
        #expect(
            try head(text, .basic(Array("Basic z".utf8)))
                == "GET /a HTTP/1.1\nHost: new:9200\nAuthorization: Basic z\n\(amz)")
        #expect(
            try head("GET /a HTTP/1.1\nHost: old", .basic(Array("Basic z".utf8)))
                == "GET /a HTTP/1.1\nHost: new:9200\nAuthorization: Basic z")
        #expect(
            try head("GET /a?x=1&X-Amz-Signature=2&X-Amz-Date=3&y HTTP/1.1\nHost: old", .signed)
                == "GET /a?x=1&y HTTP/1.1\nHost: new:9200")
        #expect(
            try head("GET /a?X-Amz-Signature=2 HTTP/1.1\nHost: old", .signed) == "GET /a HTTP/1.1\nHost: new:9200")
    }

    @Test func userAgent() throws {
        #expect(
            try head("GET /a HTTP/1.1\nUser-Agent: curl/8 \nHost: old", suffix: "millrace")
                == "GET /a HTTP/1.1\nUser-Agent: curl/8 millrace\nHost: new:9200")
        #expect(
            try head("GET /a HTTP/1.1\nHost: old", suffix: "millrace")
                == "GET /a HTTP/1.1\nHost: new:9200\nUser-Agent: millrace")
    }

    @Test func headerRules() throws {
        let rules = """
            {"rule":"set-header","name":"X-Tenant","value":"b"},{"rule":"drop-header","name":"x-found"},
            {"rule":"set-header","name":"Accept","value":"*/*"}
            """
        #expect(
            try head("GET /a HTTP/1.1\nX-TENANT: a\nHost: old\nX-Found: 1\nx-tenant: c\nX-Found: 2\nB: c", rules: rules)
                == "GET /a HTTP/1.1\nX-Tenant: b\nHost: new:9200\nB: c\nAccept: */*")
    }

    /// Heads of all shapes: without rules every line but those the replayer owns is there, byte for byte and in order,
    /// and the body is not touched.
    @Test func seededHeadsKeepTheirLines() throws {
        var random = SeededGenerator(seed: 11)
        let rewriting = try Rewriting()
        let names = [
            "Accept", "x-b", "Cookie", "X-Opaque-Id", "authorization", "Content-Type", "content-MD5", "User-Agent",
        ]
        let own = ["Connection: keep-alive", "Keep-Alive: 5", "Expect: 100-continue", "Proxy-Connection: close"]
        for _ in 0..<500 {
            var lines: [String] = []
            var kept: [String] = []
            let host = random.below(4)
            for place in 0..<(4 + random.below(12)) {
                if place == host {
                    lines.append("Host: old")
                    kept.append("Host: new:9200")
                } else if random.below(6) == 0, let line = own.randomElement(using: &random) {
                    if !lines.contains(line) { lines.append(line) }
                } else {
                    let space = String(repeating: " ", count: random.below(3))
                    let line = "\(names[random.below(names.count)]):\(space)v\(random.below(99))\(space)"
                    lines.append(line)
                    kept.append(line)
                }
            }
            let body = random.bytes(random.below(50))
            if !body.isEmpty {
                lines.append("Content-Length: \(body.count)")
                kept.append("Content-Length: \(body.count)")
            }
            let message = try Rewriting.Message(
                head: "PUT /i/_doc/1 HTTP/1.1\r\n" + lines.joined(separator: "\r\n") + "\r\n\r\n", body: [body])
            let result = try rewriting.rewrite(message)
            let expected = "PUT /i/_doc/1 HTTP/1.1\r\n" + kept.joined(separator: "\r\n") + "\r\n\r\n"
            #expect(String(decoding: result.head, as: UTF8.self) == expected)
            #expect(result.body == .unchanged)
        }
    }
}
