import Foundation
import TestSupport
import Testing

/// The tools of the tests themselves, as far as everything else rests on them.
@Suite("Test support")
struct TestSupportTests {
    @Test("equal seeds write equal repositories, others do not")
    func seededRepositories() throws {
        let folder = try TemporaryFolder()
        var snapshot = SyntheticSnapshot()
        snapshot.deleteEvery = 5
        for (name, seed) in [("a", 1), ("b", 1), ("c", 2)] as [(String, UInt64)] {
            snapshot.options.seed = seed
            let result = try snapshot.write(to: folder.path(name), documentLimit: 300)
            #expect(result.documentCount + result.deletedCount == 300)
            #expect(result.deletedCount == 60)
        }
        let first = try InMemoryFiles(folder: folder.path("a"))
        #expect(try InMemoryFiles(folder: folder.path("b")).files == first.files)
        #expect(try InMemoryFiles(folder: folder.path("c")).files != first.files)
    }

    @Test("a file beyond the part size becomes parts that hold its bytes in order")
    func parts() throws {
        let folder = try TemporaryFolder()
        var random = SeededGenerator(seed: 1)
        let content = random.bytes(3500)
        let output = try LuceneFileOutput(path: folder.path("blob"), partBytes: 1000)
        try output.write(content)
        try output.finish()
        #expect(FileTree.names(folder.path) == ["blob.part0", "blob.part1", "blob.part2", "blob.part3"])
        let joined = try (0..<4).flatMap { try FileTree.read(folder.path("blob.part\($0)")) }
        #expect(joined == content)
    }

    @Test("ids are stored in the engine's three forms")
    func storedIDs() {
        #expect(StoredDocumentID.encode("1234") == [0xFE, 0x12, 0x34])
        #expect(StoredDocumentID.encode("123") == [0xFE, 0x12, 0x3F])
        #expect(StoredDocumentID.encode("a b") == [0xFF] + Array("a b".utf8))
        #expect(StoredDocumentID.encode("AAAA") == [0, 0, 0])
        #expect(StoredDocumentID.encode("_f__") == [0xFD, 0xFD, 0xFF, 0xFF])
    }

    @Test("log documents are JSON on one line, of about 2.2 KB")
    func logDocuments() throws {
        var documents = ServerLogDocuments(seed: 1)
        var total = 0
        for _ in 0..<200 {
            documents.next()
            #expect(!documents.source.contains(0x0A))
            #expect(try JSONSerialization.jsonObject(with: Data(documents.source)) is [String: Any])
            #expect(StoredDocumentID.encode(documents.id) == documents.storedID)
            total += documents.source.count
        }
        #expect((1900...2500).contains(total / 200))
    }

    @Test("the sink answers every action, with errors where it was told so")
    func sinkAnswers() throws {
        var options = SinkOptions()
        options.isRecording = true
        options.itemFault = SinkFault(every: 3, status: 429)
        let sink = try BulkSink(options)
        defer { sink.stop() }
        let body = (1...7).map { "{\"index\":{\"_id\":\"id-\($0)\"}}\n{\"n\":\($0)}\n" }.joined()
        let answer = try RestCall.send("POST", sink.url, "/logs/_bulk", body).json()
        #expect(answer["errors"] as? Bool == true)
        let items = try #require(answer["items"] as? [[String: [String: Any]]])
        #expect(items.map { $0["index"]?["status"] as? Int } == [201, 201, 429, 201, 201, 429, 201])
        #expect(items.map { $0["index"]?["_id"] as? String } == (1...7).map { "id-\($0)" })
        #expect(sink.recordedLines == [1, 2, 4, 5, 7].map { "logs\tid-\($0)" })
        #expect(sink.snapshot.documents == 5)
        #expect(sink.waitForDocuments(5, seconds: 0))
        #expect(try RestCall.send("POST", sink.url, "/logs/_bulk", String(body.dropLast())).status == 400)
    }
}
