import TestSupport
import Testing

@testable import BulkFormat

@Suite struct BulkResponseTests {
    private func scan(_ text: String) throws -> (BulkResponseScanner.Summary, [BulkResponseScanner.Item]) {
        var items: [BulkResponseScanner.Item] = []
        let summary = try Array(text.utf8).withUnsafeBytes { bytes in
            try BulkResponseScanner.scan(bytes) { _, item in items.append(item) }
        }
        return (summary, items)
    }

    @Test func readsStatusAndErrorOfEveryItem() throws {
        let text = """
            {"took":30,"errors":true,"items":[{"index":{"_index":"a","_id":"}\\"]","status":201,"_shards":{"x":[1,{}]}}},
             {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[a]: conflict"}}}, {"index":{"status":429}}]}
            """
        let (summary, items) = try scan(text)
        #expect(summary == .init(hasErrors: true, itemCount: 3))
        #expect(items.map(\.status) == [201, 409, 429])
        let error = try #require(items[1].error)
        let bytes = Array(text.utf8)
        #expect(String(decoding: bytes[error], as: UTF8.self).hasPrefix("{\"type\":\"version_conflict"))
        #expect(bytes[error].withUnsafeBytes { EngineError($0) }.reason == "[a]: conflict")
        #expect(String(decoding: bytes[items[2].range], as: UTF8.self) == "{\"index\":{\"status\":429}}")
    }

    @Test func filteredAndEmptyAnswers() throws {
        #expect(try scan("{\"errors\":false,\"items\":[]}").0 == .init(hasErrors: false, itemCount: 0))
        #expect(try scan(" { \"items\" : [ {\"index\":{\"status\":200}} ] } ").0 == .init(hasErrors: nil, itemCount: 1))
        #expect(try scan("{}").0 == .init(hasErrors: nil, itemCount: 0))
    }

    @Test func everyTruncationIsAnErrorAndNeverATrap() {
        let text =
            "{\"took\":1,\"errors\":true,\"items\":[{\"index\":{\"_id\":\"a\\u0041\",\"status\":400,\"error\":{\"type\":\"t\",\"reason\":[null,1.5e3]}}}]}"
        for end in 0..<text.utf8.count {
            #expect(throws: BulkResponseError.self) {
                try scan(String(decoding: Array(text.utf8)[..<end], as: UTF8.self))
            }
        }
    }

    @Test func seededCorruptionNeverTraps() {
        let text = Array(
            "{\"took\":1,\"errors\":false,\"items\":[{\"index\":{\"_id\":\"a\",\"status\":201,\"x\":{\"y\":[1,2]}}}]}"
                .utf8)
        var generator = SeededGenerator(seed: 42)
        for _ in 0..<20_000 {
            var mutated = text
            for _ in 0..<Int(generator.next() % 4) + 1 {
                mutated[Int(generator.next() % UInt64(text.count))] = UInt8(truncatingIfNeeded: generator.next())
            }
            _ = try? mutated.withUnsafeBytes { try BulkResponseScanner.scan($0) { _, _ in } }
            _ = mutated.withUnsafeBytes { EngineError($0) }
        }
    }

    @Test func missingCommasAndBytesBehindTheEndAreErrors() {
        let texts = [
            "{\"errors\":false \"items\":[]}", "{\"errors\":false,}", "{,\"errors\":false}", "{} x", "{}{}",
            "{\"items\":[{\"index\":{\"status\":200}}{\"index\":{\"status\":200}}]}", "{\"items\":[,]}",
            "{\"items\":[{\"index\":{\"status\":200}},]}", "{\"items\":[{\"index\":{\"status\":200},}]}",
            "{\"items\":[{\"index\":{\"status\":-1}}]}", "{\"items\":[{\"index\":{\"status\":1234567890}}]}", "[]", "",
            "{\"items\":{}}", "{\"items\":[null]}", "{\"items\":[{\"index\":null}]}", "{\"errors\":null}",
        ]
        for text in texts { #expect(throws: BulkResponseError.self, "\(text)") { try scan(text) } }
    }

    @Test func deepNestingIsRefusedWithoutRecursion() {
        let deep = "{\"x\":" + String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000) + "}"
        #expect(throws: BulkResponseError.self) { try scan(deep) }
    }

    @Test func aMillionNestedErrorMembersDoNotUseUpTheStack() {
        let deep = Array(String(repeating: "{\"error\":", count: 1_000_000).utf8)
        #expect(deep.withUnsafeBytes { EngineError($0) }.reason.isEmpty)
    }

    @Test func whitespaceAndEscapesAnywhere() throws {
        let text =
            "\r\n{\t\"items\" :\n[ { \"index\" : { \"_id\" : \"\\\"}]\\\\\" , \"status\" : 201 } } ] , \"took\" : 1 }\n"
        let (summary, items) = try scan(text)
        #expect(summary.itemCount == 1)
        #expect(items.map(\.status) == [201])
    }

    @Test func errorAsPlainTextOrWholeResponse() {
        let plain = Array("\"no handler\"".utf8).withUnsafeBytes { EngineError($0) }
        #expect(plain.reason == "no handler")
        let whole = Array(
            "{\"error\":{\"root_cause\":[{\"type\":\"x\"}],\"type\":\"illegal_argument_exception\",\"reason\":\"bad\"},\"status\":400}"
                .utf8
        )
        .withUnsafeBytes { EngineError($0) }
        #expect(
            whole
                == {
                    var e = EngineError(UnsafeRawBufferPointer(start: nil, count: 0));
                    e.type = "illegal_argument_exception"; e.reason = "bad"; return e
                }())
    }
}
