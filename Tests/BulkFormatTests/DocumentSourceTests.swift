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
        #expect(
            joinedInPlace("\n{\n  \"a\" : \"x\\\"\\n\",\r\n \"b\" : 1 }\n") == (
                true, " {   \"a\" : \"x\\\"\\n\",\r  \"b\" : 1 } "
            ))
        #expect(joinedInPlace("{\"a\":1}") == (true, "{\"a\":1}"))
    }

    @Test func aRawLineFeedInsideAStringIsEscapedNotReplaced() {
        let text = "{\n\"a\":\"x\ny\\\\\"\n}"
        #expect(joinedInPlace(text).0 == false)
        let line = Array(text.utf8).withUnsafeBytes { SourceLine.joined($0) }
        #expect(String(decoding: line, as: UTF8.self) == "{ \"a\":\"x\\ny\\\\\" }")
    }

    @Test func aByteOrderMarkStaysWhereTheEnginesSkipIt() {
        // Elasticsearch and OpenSearch detect JSON behind a mark, and their parser skips it at the start of a document.
        let text = "\u{FEFF}{\n\"a\":1}"
        #expect(joinedInPlace(text) == (true, "\u{FEFF}{ \"a\":1}"))
    }

    @Test func carriageReturnsAreNotLineBreaksInNDJSON() {
        #expect(joinedInPlace("{\r\"a\":\r1}\r\n") == (true, "{\r\"a\":\r1}\r "))
        #expect(joinedInPlace("{\r\"a\":1}") == (true, "{\r\"a\":1}"))
    }

    @Test func emptySourceHasNothingToJoin() {
        #expect(SourceLine.joinInPlace(UnsafeMutableRawBufferPointer(start: nil, count: 0)))
        #expect(SourceLine.joined(UnsafeRawBufferPointer(start: nil, count: 0)).isEmpty)
    }

    /// Text, and what it is on one line; both ways give it.
    @Test func aLineCommentDoesNotSwallowWhatFollowsIt() {
        let rows = [
            ("{\"a\":1 // one\n,\"b\":2}", "{\"a\":1        ,\"b\":2}"),
            ("{ // don't \"quote\n\"a\":1}", "{                 \"a\":1}"),
            ("{ /* \" \n // * / \n */ \"a\":1\n}", "{ /* \"   // * /   */ \"a\":1 }"),
            ("{\"u\":\"http://x\"\n}", "{\"u\":\"http://x\" }"),
            ("{ // c\r\"a\":1\n}", "{ // c\r\"a\":1 }"),
            ("{/\n}", "{/ }"), ("{/**\n/\n*/}", "{/** / */}"), ("//\n{}", "   {}"), ("{}//\n", "{}   "),
            ("{ //// /* \n\"a\":\"//\\\"\"\n}", "{          \"a\":\"//\\\"\" }"),
        ]
        for (text, expected) in rows {
            #expect(joinedInPlace(text) == (true, expected), "\(text)")
            let copy = Array(text.utf8).withUnsafeBytes { SourceLine.joined($0) }
            #expect(String(decoding: copy, as: UTF8.self) == expected, "\(text)")
        }
    }

    @Test func joiningGoesOnBehindALineFeedInAString() {
        let text = "{\n\"a\" // x\n:\"b\nc\"\n}"
        var bytes = Array(text.utf8)
        let whole = bytes.withUnsafeBytes { SourceLine.joined($0) }
        let isJoined = bytes.withUnsafeMutableBytes { SourceLine.joinInPlace($0) }
        #expect(!isJoined)
        #expect(bytes.withUnsafeBytes { SourceLine.joined($0) } == whole)
        #expect(String(decoding: whole, as: UTF8.self) == "{ \"a\"      :\"b\\nc\" }")
    }

    @Test func detectionAtTheEdges() {
        #expect(encoding([0xEF, 0xBB, 0xBF]) == .unknown)
        #expect(encoding([0xEF, 0xBB]) == .unknown)
        #expect(encoding(Array(" \t\r\n".utf8)) == .unknown)
        #expect(encoding(Array(":)".utf8)) == .unknown)
        #expect(encoding([0xD9, 0xD9]) == .unknown)
        #expect(encoding([0xA0]) == .cbor)
        #expect(encoding(Array("--".utf8)) == .unknown)
        #expect(encoding(Array("a: 1".utf8)) == .unknown)
        #expect(encoding(Array("DFL\0".utf8)) == .unknown)
    }
}
