import Testing

@testable import BulkFormat

@Suite struct DocumentSourceTests {
    private func encoding(_ bytes: [UInt8]) -> SourceEncoding {
        bytes.withUnsafeBytes { SourceEncoding(detecting: $0) }
    }

    @Test func tellsTheEncodingByTheFirstBytes() {
        #expect(encoding(Array("{}".utf8)) == .json)
        #expect(encoding(Array("\n\n  {\"a\":1}".utf8)) == .json)
        #expect(encoding([0xEF, 0xBB, 0xBF] + Array(" {}".utf8)) == .json)
        #expect(encoding([0x3A, 0x29, 0x0A, 0x05]) == .smile)
        #expect(encoding([0xBF, 0xFF]) == .cbor)
        #expect(encoding([0xA1, 0x61, 0x61, 0x01]) == .cbor)
        #expect(encoding([0xD9, 0xD9, 0xF7, 0xA0]) == .cbor)
        #expect(encoding(Array("---\na: 1\n".utf8)) == .yaml)
        #expect(encoding([]) == .empty)
        #expect(encoding(Array("[1]".utf8)) == .unknown)
        #expect(encoding(Array("{".utf8)) == .json)
    }

    private func joinedInPlace(_ text: String) -> (Bool, String) {
        var bytes = Array(text.utf8)
        let done = bytes.withUnsafeMutableBytes { SourceLine.joinInPlace($0) }
        return (done, String(decoding: bytes, as: UTF8.self))
    }

    @Test func prettyPrintedSourceTravelsOnOneLine() {
        #expect(joinedInPlace("\n{\n  \"a\" : \"x\\\"\\n\",\r\n \"b\" : 1 }\n") == (true, " {   \"a\" : \"x\\\"\\n\",\r  \"b\" : 1 } "))
        #expect(joinedInPlace("{\"a\":1}") == (true, "{\"a\":1}"))
    }

    @Test func aRawLineFeedInsideAStringIsEscapedNotReplaced() {
        let text = "{\n\"a\":\"x\ny\\\\\"\n}"
        #expect(joinedInPlace(text).0 == false)
        let line = Array(text.utf8).withUnsafeBytes { SourceLine.joined($0) }
        #expect(String(decoding: line, as: UTF8.self) == "{ \"a\":\"x\\ny\\\\\" }")
    }
}
