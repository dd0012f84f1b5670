import Foundation
import JSONBytes
import TestSupport
import Testing

@testable import Backfill

@Suite struct DeadLetterFileTests {
    private func letter(source: [UInt8]?, answer: [UInt8]? = nil, action: String = "\n{\"index\":{\"_id\":\"1\"}}\n")
        -> DeadLetter
    {
        DeadLetter(
            index: "lo\"gs", shard: 2, segment: "_a", docID: 17, action: Array(action.utf8), reason: .rejected,
            detail: "line\nbreak", source: source, status: 400, answer: answer)
    }

    private func parsed(_ letter: DeadLetter) throws -> JSONValue {
        let line = DeadLetterLine.encode(letter)
        #expect(line.last == 0x0A)
        #expect(line.dropLast().contains(0x0A) == false)
        return try JSONValue.parse(line)
    }

    @Test func everythingKnownOfADocumentIsInItsLine() throws {
        let value = try parsed(
            letter(source: Array("{\"a\":\n1}".utf8), answer: Array(#"{"index":{"status":400}}"#.utf8)))
        #expect(value["index"]?.stringValue == "lo\"gs")
        #expect(value["shard"]?.intValue == 2)
        #expect(value["segment"]?.stringValue == "_a")
        #expect(value["doc"]?.intValue == 17)
        #expect(value["request"]?["index"]?["_id"]?.stringValue == "1")
        #expect(value["reason"]?.stringValue == "rejected")
        #expect(value["detail"]?.stringValue == "line\nbreak")
        #expect(value["status"]?.intValue == 400)
        #expect(value["source"]?["a"]?.intValue == 1)
        #expect(value["answer"]?["index"]?["status"]?.intValue == 400)
    }

    @Test(arguments: ["{broken", "{\"a\":1} // x", "{\"a\":\u{1}}", "{'a':1}", "", "\u{FEFF}{}"])
    func aSourceThatIsNotJSONDoesNotBreakTheLine(source: String) throws {
        let value = try parsed(letter(source: Array(source.utf8)))
        #expect(value["source"] == nil)
        let base64 = try #require(value["sourceBase64"]?.stringValue)
        #expect(Data(base64Encoded: base64) == Data(source.utf8))
    }

    @Test func bytesThatAreNoTextDoNotBreakTheLine() throws {
        var letter = letter(
            source: Array("{\"a\":\"".utf8) + [0xFF, 0xC0] + Array("\"}".utf8), answer: Array("<html>".utf8))
        letter.action = [0x0A] + Array("{\"index\":{\"_id\":\"".utf8) + [0xFF] + Array("\"}}\n".utf8)
        let value = try parsed(letter)
        #expect(value["requestBase64"] != nil)
        #expect(value["sourceBase64"] != nil)
        #expect(value["answerBase64"]?.stringValue == Data("<html>".utf8).base64EncodedString())
    }

    @Test func aLineTornByAKillDoesNotSwallowTheNextRecord() throws {
        let folder = try TemporaryFolder("letters")
        let path = try folder.write("dead-letters.jsonl", Array("{\"index\":\"a\"}\n{\"ind".utf8))
        let file = try DeadLetterFile(path: path)
        try file.append(letter(source: nil))
        try file.sync()
        let lines = try FileTree.read(path).split(separator: 0x0A).map(Array.init)
        #expect(lines.count == 3)
        #expect(try JSONValue.parse(lines[2])["doc"]?.intValue == 17)
    }

    @Test func aFullDiskIsAFailureThatNamesTheFile() throws {
        let file = try DeadLetterFile(path: "/dev/full")
        try file.append(letter(source: nil))
        let failure = #expect(throws: DeadLetterFile.Failure.self) { try file.sync() }
        #expect(failure?.message == "dead-letter file /dev/full: No space left on device")
    }
}
