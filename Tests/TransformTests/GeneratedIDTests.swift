import CISAL
import TestSupport
import Testing

@testable import Transform

@Suite struct GeneratedIDTests {
    private let plain: Rewriting
    private let typed: Rewriting

    init() throws {
        plain = try Rewriting()
        typed = try Rewriting("{\"rule\":\"remove-types\"}")
    }

    private static func made(_ id: String, index: String = "i") -> String {
        "{\"_index\":\"\(index)\",\"_id\":\"\(id)\",\"result\":\"created\",\"_shards\":{\"total\":1}}"
    }

    @Test func whichRequestsNeedTheResponse() throws {
        let table: [(String, String, Bool)] = [
            ("POST /i/_doc", "{}", true), ("POST /i/t", "{}", true), ("POST /i/_doc?refresh", "{}", true),
            ("PUT /i/_doc/1", "{}", false), ("POST /i/_doc/1", "{}", false), ("POST /i/_search", "{}", false),
            ("POST /i/_update/1", "{}", false), ("GET /i/_doc", "", false), ("POST /_refresh", "", false),
            ("POST /_bulk", "{\"index\":{}}\n{}\n", true),
            ("PUT /i/_bulk", "{\"create\":{\"_index\":\"_id\"}}\n{}\n", true),
            ("POST /i/t/_bulk", "{\"index\":{\"_id\":\"1\"}}\n{\"_id\":1}\n", false),
            ("POST /_bulk", "{\"delete\":{\"_id\":\"1\"}}\n{\"index\":{\"_id\":null}}\n{}\n", true),
            ("POST /_bulk", "{\"update\":{\"_id\":\"1\"}}\n{\"index\":{}}\n", false),
            ("POST /_bulk", "\n \n{ \"index\" : { \"x\":{\"_id\":1} , \"_id\" : 7 } }\n{\"index\":{}}\n", false),
            ("POST /_bulk", "{\"index\":{\"_\\u0069d\":\"1\"}}\n{}\n", true),
            ("POST /_bulk", "{\"index\":{\"a\":\"}\\\"\",\"_id\":\"1\"}}\n{}\n{\"index\":{}}", true),
        ]
        for (line, body, expected) in table {
            #expect(plain.rewriter.needsResponse(try Rewriting.request(line, body)) == expected, "\(line) \(body)")
            #expect(
                try Rewriting(generatedIDs: false).rewriter.needsResponse(Rewriting.request(line, body)) == false)
        }
        let zipped = try Rewriting.request("POST /_bulk", "xx", fields: "Content-Encoding: gzip\r\n")
        #expect(plain.rewriter.needsResponse(zipped))
    }

    /// A scan over pieces finds what a scan over the whole finds, wherever the cuts are.
    @Test func theScanDoesNotDependOnTheCuts() throws {
        let body = Array(
            "{\"index\":{\"_id\":\"1\"}}\n{\"a\":1}\n{\"delete\":{\"_id\":\"2\"}}\n\n{\"create\":{\"_id\":\"3\"}}\r\n{}\n"
                .utf8)
        let lacking = body + Array("{\"index\":{\"_index\":\"i\"}}\n{}\n".utf8)
        for (text, expected) in [(body, false), (lacking, true)] {
            for first in 0...text.count {
                for second in stride(from: first, through: text.count, by: 7) {
                    let pieces = [Array(text[..<first]), Array(text[first..<second]), Array(text[second...])]
                    let message = try Rewriting.request("POST /_bulk", pieces)
                    #expect(plain.rewriter.needsResponse(message) == expected, "\(first) \(second)")
                }
            }
        }
    }

    @Test func aCreateBecomesAPutOfItsID() throws {
        let cases: [(Rewriting, String, String, String)] = [
            (plain, "POST /i/_doc", "abc", "PUT /i/_doc/abc"),
            (plain, "POST /i/_doc?refresh=true", "a/b c+d?é", "PUT /i/_doc/a%2Fb%20c%2Bd%3F%C3%A9?refresh=true"),
            (plain, "POST /i/t", "abc", "PUT /i/t/abc"), (typed, "POST /i/t", "abc", "PUT /i/_doc/abc"),
            (typed, "POST /i/_doc/", "-_x", "PUT /i/_doc/-_x"),
        ]
        for (rewriting, line, id, expected) in cases {
            let message = try Rewriting.request(line, "{\"a\":1}")
            let result = try rewriting.rewrite(message, response: Rewriting.response(201, Self.made(id)))
            #expect(Rewriting.firstLine(result) == expected)
            #expect(result.body == .unchanged && result.changes.idsAdded == 1)
            #expect(result.conflict == .failure && !result.hasGeneratedIDLeft)
        }
    }

    @Test func dataStreamsAndCreatesTakeAConflictAsDone() throws {
        let message = try Rewriting.request("POST /logs/_doc", "{}")
        let stream = try plain.rewrite(
            message, response: Rewriting.response(201, Self.made("x", index: ".ds-logs-2024.01.01-000001")))
        #expect(Rewriting.firstLine(stream) == "PUT /logs/_create/x")
        #expect(stream.conflict == .done)
        let create = try plain.rewrite(
            Rewriting.request("POST /i/_doc?op_type=create", "{}"), response: Rewriting.response(201, Self.made("x")))
        #expect(Rewriting.firstLine(create) == "PUT /i/_doc/x?op_type=create")
        #expect(create.conflict == .done)
    }

    @Test func refusedAndUnknown() throws {
        let message = try Rewriting.request("POST /i/_doc", "{}")
        #expect(try plain.rewrite(message, response: Rewriting.response(400, "{}")).skip == .refusedBySource)
        let filtered = try plain.rewrite(message, response: Rewriting.response(201, "{\"result\":\"created\"}"))
        #expect(Rewriting.firstLine(filtered) == "POST /i/_doc")
        #expect(filtered.hasGeneratedIDLeft && filtered.changes.idsUnknown == 1)
        let none = try plain.rewriter.rewrite(message.request, ids: .unavailable)
        #expect(none.hasGeneratedIDLeft && none.changes.idsUnknown == 1)
        let old = try Rewriting(generatedIDs: false).rewrite(message, response: Rewriting.response(201, Self.made("x")))
        #expect(Rewriting.firstLine(old) == "POST /i/_doc" && old.body == .unchanged)
    }

    private static let body = """
        {"index":{}}
        {"n":1}
        {"create":{"_index":"j"}}
        {"n":2}
        {"delete":{"_id":"3"}}
        {"index":{"_id":"own"}}
        {"n":4}
        {"index":{ }}
        {"n":5}

        """
    private static let answer = """
        {"took":1,"errors":true,"items":[{"index":{"_id":"A\\u00e9","status":201}},{"create":{"_id":"B","status":201}},
        {"delete":{"_id":"3","status":404}},{"index":{"_id":"own","status":409,"error":{"type":"x"}}},
        {"index":{"_id":"E","status":400,"error":{"type":"mapper_parsing_exception"}}}]}
        """
    private static let expected = """
        {"index":{"_id":"Aé"}}
        {"n":1}
        {"create":{"_index":"j","_id":"B"}}
        {"n":2}
        {"delete":{"_id":"3"}}
        {"index":{"_id":"own"}}
        {"n":4}

        """

    @Test func bulkItemsGetTheirIDs() throws {
        let result = try plain.rewrite(
            Rewriting.request("POST /i/_bulk", Self.body), response: Rewriting.response(200, Self.answer))
        #expect(Rewriting.text(result, "") == Self.expected)
        #expect(result.conflict == .doneForItems([1]))
        #expect(result.changes.idsAdded == 2 && result.changes.refusedItemsDropped == 1)
        #expect(!result.hasGeneratedIDLeft && result.isBulk && result.isMutating)
        // A second time nothing is left to do.
        #expect(!plain.rewriter.needsResponse(try Rewriting.request("POST /i/_bulk", Self.expected)))
        let again = try plain.rewrite(
            Rewriting.request("POST /i/_bulk", Self.expected), response: Rewriting.response(200, Self.answer))
        #expect(again.body == .unchanged)
    }

    @Test func compressedAndChunkedOnBothSides() throws {
        let zipped = Coded.compress(Array(Self.body.utf8), MILLRACE_CODING_GZIP)
        let halves = [Array(zipped[..<20]), Array(zipped[20...])]
        let chunked = halves.map { Array("\(String($0.count, radix: 16))\r\n".utf8) + $0 + [13, 10] }
        let wire = chunked + [Array("0\r\nX-Sum: 1\r\n\r\n".utf8)]
        let message = try Rewriting.request(
            "POST /i/_bulk", wire, fields: "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n")
        let answer = Coded.compress(Array(Self.answer.utf8), MILLRACE_CODING_GZIP)
        let result = try plain.rewrite(
            message, response: Rewriting.response(200, answer, fields: "content-encoding: gzip\r\n"))
        guard case .replaced(let body) = result.body else {
            Issue.record("unchanged")
            return
        }
        #expect(Coded.inflate(body, MILLRACE_CODING_GZIP) == Array(Self.expected.utf8))
        #expect(result.changes.trailersDropped == 1)
        let head = String(decoding: result.head, as: UTF8.self)
        #expect(
            !head.contains("Transfer-Encoding") && !head.contains("Trailer") && head.contains("Content-Encoding: gzip"))
    }

    @Test func bulksThatTheSourceRefusedOrThatTellNoIDs() throws {
        let message = try Rewriting.request("POST /i/_bulk", Self.body)
        #expect(try plain.rewrite(message, response: Rewriting.response(429, "{}")).skip == .refusedBySource)
        let filtered = try plain.rewrite(message, response: Rewriting.response(200, "{\"errors\":false}"))
        #expect(filtered.body == .unchanged && filtered.hasGeneratedIDLeft && filtered.changes.idsUnknown == 3)
        let broken = try plain.rewrite(message, response: Rewriting.response(200, "{\"items\":["))
        #expect(broken.body == .unchanged && broken.hasGeneratedIDLeft)
        // Every item had an id: the source's refusal of the whole is for the target to repeat.
        let own = try Rewriting.request("POST /i/_bulk", "{\"delete\":{\"_id\":\"3\"}}\n")
        #expect(try plain.rewrite(own, response: Rewriting.response(429, "{}")).skip == nil)
        let onlyRefused = try plain.rewrite(
            Rewriting.request("POST /i/_bulk", "{\"index\":{}}\n{}\n"),
            response: Rewriting.response(200, "{\"items\":[{\"index\":{\"_id\":\"x\",\"status\":400}}]}"))
        #expect(onlyRefused.skip == .refusedBySource)
    }

    @Test func rulesAndIDsTogether() throws {
        let rewriting = try Rewriting(
            "{\"rule\":\"remove-types\"},{\"rule\":\"rename-index\",\"from\":\"i\",\"to\":\"k\"},{\"rule\":\"drop-index\",\"index\":\"j\"}"
        )
        let result = try rewriting.rewrite(
            Rewriting.request("POST /i/t/_bulk", Self.body), response: Rewriting.response(200, Self.answer))
        #expect(Rewriting.firstLine(result) == "POST /k/_bulk")
        #expect(
            Rewriting.text(result, "")
                == "{\"index\":{\"_id\":\"Aé\"}}\n{\"n\":1}\n{\"delete\":{\"_id\":\"3\"}}\n{\"index\":{\"_id\":\"own\"}}\n{\"n\":4}\n"
        )
        #expect(result.changes.itemsDropped == 1)
    }
}

/// Compressed bodies for tests.
enum Coded {
    static func compress(_ bytes: [UInt8], _ coding: some BinaryInteger) -> [UInt8] {
        let limit = millrace_gzip_bound(bytes.count)
        return [UInt8](unsafeUninitializedCapacity: limit) { output, count in
            count = bytes.withUnsafeBufferPointer {
                millrace_compress(Int32(coding), $0.baseAddress, $0.count, output.baseAddress, limit)
            }
        }
    }

    static func inflate(_ bytes: [UInt8], _ coding: some BinaryInteger) -> [UInt8]? {
        var output: UnsafeMutablePointer<UInt8>?
        var count = 0
        var consumed = 0
        let outcome = bytes.withUnsafeBufferPointer {
            millrace_decompress(Int32(coding), $0.baseAddress, $0.count, 1 << 24, &output, &count, &consumed)
        }
        guard outcome == 0, let output else { return nil }
        defer { output.deallocate() }
        return Array(UnsafeBufferPointer(start: output, count: count))
    }
}
