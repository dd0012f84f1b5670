import CISAL
import TestSupport
import Testing

@testable import Transform

@Suite struct BodyContentTests {
    private static let rules = "{\"rule\":\"drop-field\",\"field\":\"x\"}"
    private static let body = "{\"x\":1,\"y\":[1e999,\"\\ud83d\"]}"
    private static let expected = "{\"y\":[1e999,\"\\ud83d\"]}"

    @Test func everyCodingComesBackInItsOwn() throws {
        let rewriting = try Rewriting(Self.rules)
        for (name, coding) in [
            ("gzip", MILLRACE_CODING_GZIP), ("X-GZip", MILLRACE_CODING_GZIP), ("deflate", MILLRACE_CODING_ZLIB),
            ("deflate", MILLRACE_CODING_RAW),
        ] {
            let wire = Coded.compress(Array(Self.body.utf8), coding)
            let message = try Rewriting.request("PUT /i/_doc/1", [wire], fields: "Content-Encoding: \(name)\r\n")
            guard case .replaced(let body) = try rewriting.rewrite(message).body else {
                Issue.record("\(name) is unchanged")
                continue
            }
            #expect(Coded.inflate(body, coding) == Array(Self.expected.utf8), "\(name)")
        }
        let message = try Rewriting.request("PUT /i/_doc/1", Self.body, fields: "Content-Encoding: identity\r\n")
        #expect(Rewriting.text(try rewriting.rewrite(message), "") == Self.expected)
    }

    private func error(_ wire: [UInt8], _ fields: String) throws -> TransformError? {
        let message = try Rewriting.request("PUT /i/_doc/1", [wire], fields: fields)
        do {
            _ = try Rewriting(Self.rules).rewrite(message)
            return nil
        } catch let error as TransformError {
            return error
        }
    }

    @Test func whatCannotBeReadIsAnError() throws {
        let wire = Coded.compress(Array(Self.body.utf8), MILLRACE_CODING_GZIP)
        let gzip = "Content-Encoding: gzip\r\n"
        #expect(try error(Array(wire.dropLast(9)), gzip)?.code == .corruptBody)
        #expect(try error(Array("no gzip at all".utf8), gzip)?.code == .corruptBody)
        #expect(try error(wire, "Content-Encoding: br\r\n")?.code == .unsupportedCoding)
        #expect(try error(wire, "Content-Encoding: gzip, gzip\r\n")?.code == .unsupportedCoding)
        #expect(try error(Array("5\r\nab".utf8), "Transfer-Encoding: chunked\r\n")?.code == .corruptBody)
        #expect(try error(Array("zz\r\n".utf8), "Transfer-Encoding: chunked\r\n")?.code == .corruptBody)
        var flipped = wire
        flipped[flipped.count - 6] ^= 1
        #expect(try error(flipped, gzip)?.code == .corruptBody)
    }

    /// 256 MiB of zeros take a quarter of a megabyte: a bomb ends at the limit.
    @Test func inflationIsBounded() throws {
        let zeros = [UInt8](repeating: 0x20, count: BodyContent.limitBytes + 1)
        let wire = Coded.compress(zeros, MILLRACE_CODING_GZIP)
        #expect(try error(wire, "Content-Encoding: gzip\r\n")?.code == .bodyTooLarge)
    }

    /// What no rule needs is not looked at: broken compressed bytes go out as they came.
    @Test func untouchedBodiesAreNotInflated() throws {
        let message = try Rewriting.request(
            "POST /old/_search", [Array("junk".utf8)], fields: "Content-Encoding: gzip\r\n")
        let result = try Rewriting("{\"rule\":\"rename-index\",\"from\":\"old\",\"to\":\"new\"}").rewrite(message)
        #expect(result.body == .unchanged)
        #expect(Rewriting.firstLine(result) == "POST /new/_search")
    }

    /// Bytes in pieces give the same as bytes in one.
    @Test func piecesAreGathered() throws {
        let bytes = Array(Self.body.utf8)
        for cut in 0...bytes.count {
            let message = try Rewriting.request("PUT /i/_doc/1", [Array(bytes[..<cut]), Array(bytes[cut...])])
            #expect(Rewriting.text(try Rewriting(Self.rules).rewrite(message), "") == Self.expected)
        }
    }

    /// Documents of random shape: dropping a field that is not there changes nothing, and one that is there leaves
    /// every other byte.
    @Test func seededDocumentsKeepTheirOtherBytes() throws {
        var random = SeededGenerator(seed: 5)
        let rewriting = try Rewriting(Self.rules)
        for _ in 0..<500 {
            let count = random.below(6)
            var members: [(key: String, text: String)] = []
            for place in 0..<count {
                let key = random.below(3) == 0 ? "x" : "k\(place)"
                let value = ["1.50", "\"\\u00e9\\\"}\"", "[ {\"x\":1}, null]", "{ \"x\" : {} }", "true"].randomElement(
                    using: &random)!
                let space = String(repeating: " ", count: random.below(2))
                members.append((key, "\(space)\"\(key)\"\(space):\(space)\(value)"))
            }
            let body = "{" + members.map(\.text).joined(separator: ",") + "}"
            let result = Rewriting.text(
                try rewriting.rewrite(try Rewriting.request("PUT /i/_doc/1", body)), body)
            let kept = members.filter { $0.key != "x" }.map { $0.text.filter { $0 != " " } }
            let expected = "{" + kept.joined(separator: ",") + "}"
            #expect(result.filter { $0 != " " } == expected, "\(body)")
            if kept.count == members.count { #expect(result == body) }
        }
    }
}
