import BlobStore
import Foundation
import LuceneFormat
import SnapshotRepository
import TestSupport
import Testing

@testable import Backfill

@Suite struct RangeReaderTests {
    private let folder: TemporaryFolder
    private let deadLetters: DeadLetterFile

    init() throws {
        folder = try TemporaryFolder("range")
        deadLetters = try DeadLetterFile(path: folder.path("dead-letters.jsonl"))
    }

    /// Writes one segment with `fill`, reads documents from `start` on and returns what was submitted.
    private func read(
        batchBytes: Int = 1 << 20, documentLimit: Int = 1000, from start: Int = 0,
        isDeleted: @escaping (Int) -> Bool = { _ in false }, _ fill: (SegmentWriter) throws -> Void
    ) throws -> (sink: CollectingSink, range: RangeWork, counters: BackfillCounters) {
        let writer = try SnapshotRepositoryWriter(path: folder.path("repo"))
        try writer.beginIndex("logs", shardCount: 1)
        let shard = try writer.beginShard(0)
        try fill(try shard.beginSegment(SegmentLayout()))
        try shard.finishSegment(isDeleted: isDeleted)
        try shard.finish()
        try writer.finish()
        let repository = try FlowRepository.reader(folder)
        let snapshot = try repository.open(snapshot: "snapshot-1")
        let directory = try repository.directory(snapshot.indices[0], shard: 0)
        let info = try SegmentInfos.read(directory).segments[0]
        let reader = try SegmentReader.open(directory, info)
        let range = rangeWork(maxDoc: reader.maxDoc, from: start)
        let sink = CollectingSink(batchBytes: batchBytes)
        let counters = BackfillCounters()
        var rangeReader = RangeReader(
            range: range, reader: reader, pool: ChunkPool(retainedBytesLimit: 1 << 20), sink: sink,
            deadLetters: deadLetters, counters: counters, batchDocumentLimit: documentLimit, isStopping: { false })
        #expect(try rangeReader.run() == .finished)
        #expect(sink.batches.last?.endDoc == reader.maxDoc)
        return (sink, range, counters)
    }

    private func letters() throws -> [String] {
        try deadLetters.sync()
        return String(decoding: try FileTree.read(deadLetters.path), as: UTF8.self).split(separator: "\n").map(
            String.init)
    }

    @Test func aLineFeedInsideTheFirstStringDoesNotLetTheActionLineOverwriteTheSource() throws {
        let long = String(repeating: "x", count: 4000)
        let result = try read { try $0.add(id: "a1!", source: Array("{\"t\":\"one\ntwo \(long)\"}".utf8)) }
        #expect(
            result.sink.text(0) == "{\"index\":{\"_id\":\"a1!\"}}\n{\"t\":\"one\\ntwo \(long)\"}\n")
    }

    @Test func lineFeedsBetweenMembersBecomeSpaces() throws {
        let result = try read {
            try $0.add(id: "1", source: Array("{\n \"a\": 1,\r\n \"b\": \"\\n\"\n}".utf8))
            try $0.add(id: "2", routing: "r\"1", source: Array("{}".utf8))
        }
        #expect(
            result.sink.text(0)
                == "{\"index\":{\"_id\":\"1\"}}\n{  \"a\": 1,\r  \"b\": \"\\n\" }\n"
                + "{\"index\":{\"_id\":\"2\",\"routing\":\"r\\\"1\"}}\n{}\n")
    }

    @Test func idsOfEveryFormArriveAsText() throws {
        let ids = [
            "7", "1234567890", "plain-id", "über", "q\"\\\u{1}", "AVgQmX3kTNSWEmpeAAAA", "a b",
            String(repeating: "9", count: 511),
        ]
        let result = try read { segment in for id in ids { try segment.add(id: id, source: Array("{}".utf8)) } }
        let text = result.sink.text(0)
        for id in ids where !id.contains("\\") { #expect(text.contains("\"_id\":\"\(id)\""), "\(id)") }
        #expect(text.contains("\"_id\":\"q\\\"\\\\\\u0001\""))
    }

    @Test func whatCannotBeSentIsNamedWithItsReason() throws {
        let result = try read {
            try $0.add(id: "none", source: nil)
            try $0.add(id: "smile", source: [0x3A, 0x29, 0x0A, 0x00, 0xFA])
            try $0.add(id: "cbor", source: [0xBF, 0xFF])
            try $0.add(id: "yaml", source: Array("---\na: 1\n".utf8))
            try $0.documents.endDocument()
            try $0.add(id: "good", source: Array("{}".utf8))
        }
        #expect(result.sink.batches.count == 1)
        let batch = try #require(result.sink.batches.first)
        #expect(batch.items.map(\.docID) == [5])
        #expect(batch.tally.omitted == 4)
        #expect(batch.tally.nested == 1)
        let letters = try letters()
        let found: [(String, String)] = [
            ("none", "no_stored_source"), ("smile", "is smile, not JSON"), ("cbor", "is cbor, not JSON"),
            ("yaml", "is yaml, not JSON"),
        ]
        #expect(letters.count == found.count)
        for (letter, (id, reason)) in zip(letters, found) {
            #expect(letter.contains("\"_id\":\"\(id)\"") && letter.contains(reason), "\(letter)")
        }
    }

    @Test func aDocumentLargerThanARequestGoesAlone() throws {
        let large = Array("{\"t\":\"\(String(repeating: "x", count: 50_000))\"}".utf8)
        let result = try read(batchBytes: 1000) {
            try $0.add(id: "1", source: Array("{}".utf8))
            try $0.add(id: "2", source: large)
            try $0.add(id: "3", source: Array("{}".utf8))
        }
        #expect(result.sink.batches.map { $0.items.map(\.docID) } == [[0], [1], [2]])
        #expect(result.sink.batches.map(\.endDoc) == [1, 2, 3])
    }

    @Test func fewLiveDocumentsInManyChunksDoNotFillTheMemory() throws {
        let filler = Array("{\"t\":\"\(String(repeating: "x", count: 30_000))\"}".utf8)
        // Every 10th document lives, tiny, among large deleted ones: a chunk of 90 kB for each.
        let result = try read(batchBytes: 64 << 10, isDeleted: { $0 % 10 != 0 }) { segment in
            for doc in 0..<400 {
                try segment.add(id: "\(doc)", source: doc % 10 == 0 ? Array("{}".utf8) : filler)
            }
        }
        for batch in result.sink.batches { #expect(batch.retainedBytes <= 4 * (64 << 10) + (256 << 10) + (64 << 10)) }
        #expect(result.sink.batches.reduce(0) { $0 + $1.items.count } == 40)
        #expect(result.sink.batches.reduce(0) { $0 + $1.tally.deleted } == 360)
        #expect(result.sink.batches.count > 1)
    }

    @Test func aRangeOfDeletedDocumentsIsCountedWithoutARequest() throws {
        let result = try read(isDeleted: { _ in true }) { segment in
            for doc in 0..<10 { try segment.add(id: "\(doc)", source: Array("{}".utf8)) }
        }
        #expect(result.sink.batches.count == 1)
        #expect(result.sink.batches[0].items.isEmpty)
        #expect(result.sink.batches[0].tally.deleted == 10)
    }

    @Test func aResumedRangeBeginsWithinItsChunk() throws {
        let result = try read(documentLimit: 2, from: 7, isDeleted: { $0 == 8 }) { segment in
            for doc in 0..<12 { try segment.add(id: "\(doc)", source: Array("{}".utf8)) }
        }
        #expect(result.sink.batches.flatMap { $0.items.map(\.docID) } == [7, 9, 10, 11])
        #expect(result.sink.batches.reduce(0) { $0 + $1.tally.deleted } == 1)
    }
}
