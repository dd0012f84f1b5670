import CISAL
import HTTPMessage
import Testing

@testable import Transform

@Suite struct BulkResendTests {
    private static let body =
        "{\"index\":{\"_id\":\"1\"}}\n{\"delete\":{}}\n\n{\"delete\":{\"_id\":\"2\"}}\n{\"create\":{\"_id\":\"3\"}}\r\n{ }\r\n{\"update\":{\"_id\":\"4\"}}\n{\"doc\":{}}"

    private func smaller(_ kept: Set<Int>, count: Int = 4) throws -> String {
        let bytes = Array(Self.body.utf8)
        return String(
            decoding: try bytes.withUnsafeBytes { try BulkResend.body($0, itemCount: count) { kept.contains($0) } },
            as: UTF8.self)
    }

    @Test func keepsTheBytesOfItems() throws {
        #expect(try smaller([0]) == "{\"index\":{\"_id\":\"1\"}}\n{\"delete\":{}}\n")
        #expect(try smaller([1]) == "{\"delete\":{\"_id\":\"2\"}}\n")
        #expect(try smaller([1, 2]) == "{\"delete\":{\"_id\":\"2\"}}\n{\"create\":{\"_id\":\"3\"}}\r\n{ }\r\n")
        #expect(try smaller([3]) == "{\"update\":{\"_id\":\"4\"}}\n{\"doc\":{}}\n")
        #expect(try smaller([]) == "")
        #expect(try smaller([0, 1, 2, 3]) == Self.body.replacing("\n\n", with: "\n") + "\n")
        #expect(throws: TransformError.self) { try smaller([0], count: 3) }
        #expect(throws: TransformError.self) { try smaller([0], count: 5) }
    }

    @Test func wholeRequestInItsCoding() throws {
        let wire = Coded.compress(Array(Self.body.utf8), MILLRACE_CODING_GZIP)
        let message = try Rewriting.request(
            "POST /i/_bulk?refresh", [wire], fields: "Authorization: Basic x\r\nContent-Encoding: gzip\r\n")
        let result = try BulkResend.request(message.request, itemCount: 4) { $0 == 1 }
        try Rewriting.check(result, message)
        guard case .replaced(let body) = result.body else {
            Issue.record("unchanged")
            return
        }
        #expect(Coded.inflate(body, MILLRACE_CODING_GZIP) == Array("{\"delete\":{\"_id\":\"2\"}}\n".utf8))
        #expect(
            String(decoding: result.head, as: UTF8.self)
                == "POST /i/_bulk?refresh HTTP/1.1\r\nHost: old:9200\r\nAuthorization: Basic x\r\nContent-Encoding: gzip\r\nContent-Length: \(body.count)\r\n\r\n"
        )
    }

    @Test func verdicts() throws {
        let table: [(Int, String?, Bool, BulkItemVerdict)] = [
            (200, nil, false, .done), (201, nil, false, .done), (404, nil, false, .done),
            (404, "index_not_found_exception", false, .refused), (404, "document_missing_exception", false, .refused),
            (409, "version_conflict_engine_exception", false, .refused),
            (409, "version_conflict_engine_exception", true, .done),
            (429, "es_rejected_execution_exception", false, .retry), (429, "x", false, .retry),
            (503, "unavailable_shards_exception", false, .retry), (500, nil, false, .retry), (502, "", false, .retry),
            (403, "cluster_block_exception", false, .retry), (403, "security_exception", false, .refused),
            (400, "mapper_parsing_exception", false, .refused), (500, "illegal_argument_exception", false, .refused),
            (0, nil, false, .done), (0, "mapper_parsing_exception", false, .refused), (0, "other", false, .retry),
        ]
        for (status, type, isDone, expected) in table {
            #expect(
                BulkItemPolicy.verdict(status: status, errorType: type, conflictIsDone: isDone) == expected,
                "\(status) \(type ?? "-")")
        }
        for type in BulkItemPolicy.permanentTypes {
            #expect(BulkItemPolicy.verdict(status: 503, errorType: type, conflictIsDone: false) == .refused)
        }
    }

    @Test func verdictsOfAResponse() throws {
        let text = """
            {"took":1,"errors":true,"items":[{"index":{"_id":"1","status":201}},
            {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"r"}}},
            {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"r"}}},
            {"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"r"}}}]}
            """
        let bytes = Array(text.utf8)
        let verdicts = try bytes.withUnsafeBytes { try BulkItemPolicy.verdicts($0, conflict: .doneForItems([2])) }
        #expect(verdicts == [.done, .refused, .done, .retry])
        let broken = Array("{\"items\":[".utf8)
        #expect(throws: TransformError.self) {
            try broken.withUnsafeBytes { try BulkItemPolicy.verdicts($0, conflict: .failure) }
        }
        #expect(ConflictMeaning.done.isDone() && !ConflictMeaning.failure.isDone())
        #expect(ConflictMeaning.doneForItems([1, 5, 9]).isDone(item: 9))
        #expect(!ConflictMeaning.doneForItems([1, 5, 9]).isDone(item: 8))
    }
}
