import Foundation
import SnapshotRepository
import TestSupport

@testable import Backfill
@testable import BlobStore

/// A place of a document in a snapshot.
struct DocumentPlace: Hashable, CustomStringConvertible {
    let index: String
    let shard: Int
    let segment: String
    let doc: Int

    var description: String { "\(index)/\(shard) \(segment) \(doc)" }
}

/// A document of a flow test and what must become of it.
struct FlowDocument {
    enum Kind: CaseIterable {
        case sendable
        case deleted
        case nested
        case withoutSource
        case smile
    }

    let kind: Kind
    let id: String
    let source: [UInt8]
    /// As it must arrive: on one line.
    let line: [UInt8]
}

/// A small snapshot on disk with documents of every kind, and the model of it.
final class FlowRepository: Sendable {
    let folder: TemporaryFolder
    let documents: [DocumentPlace: FlowDocument]
    let places: [String: DocumentPlace]
    let snapshot: SnapshotDescription
    let selection: SnapshotSelection
    let indexNames: [String: String]

    static let all: [FlowRepository] = (0..<6).compactMap { try? FlowRepository(seed: UInt64($0)) }

    init(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var documents: [DocumentPlace: FlowDocument] = [:]
        folder = try TemporaryFolder("flow")
        var options = RepositoryOptions()
        options.seed = seed
        let writer = try SnapshotRepositoryWriter(path: folder.path("repo"), options: options)
        var number = 0
        for index in 0..<2 {
            let name = index == 0 ? "logs-\(seed)" : ".ds-größe+\(seed)"
            let shardCount = 1 + random.below(3)
            try writer.beginIndex(name, shardCount: shardCount)
            for shard in 0..<shardCount {
                let shardWriter = try writer.beginShard(shard)
                // Shards without a segment are as common as empty indices.
                for segment in 0..<random.below(4) {
                    let segmentWriter = try shardWriter.beginSegment(
                        SegmentLayout(codec: random.below(2) == 0 ? .lz4 : .deflate))
                    let isAllDeleted = random.below(8) == 0
                    var kinds: [FlowDocument.Kind] = []
                    for doc in 0..<(1 + random.below(40)) {
                        let document = Self.document(&random, number: number, isDeleted: isAllDeleted)
                        number += 1
                        kinds.append(document.kind)
                        let place = DocumentPlace(index: name, shard: shard, segment: "_\(segment)", doc: doc)
                        documents[place] = document
                        switch document.kind {
                        case .nested: try segmentWriter.documents.endDocument()
                        case .withoutSource: try segmentWriter.add(id: document.id, source: nil)
                        default: try segmentWriter.add(id: document.id, source: document.source)
                        }
                    }
                    try shardWriter.finishSegment { kinds[$0] == .deleted }
                }
                try shardWriter.finish()
            }
        }
        try writer.finish()
        let reader = try Self.reader(folder)
        snapshot = try reader.open(snapshot: "snapshot-1")
        selection = SnapshotSelection(snapshot, isSelected: { _ in true })
        indexNames = Dictionary(uniqueKeysWithValues: snapshot.indices.map { ($0.id, $0.name) })
        self.documents = documents
        places = Dictionary(uniqueKeysWithValues: documents.map { ($1.id, $0) })
    }

    static func reader(_ folder: TemporaryFolder) throws -> RepositoryReader {
        RepositoryReader(store: try FileBlobStore(path: folder.path("repo")), cancellation: .never)
    }

    private static func document(_ random: inout SeededGenerator, number: Int, isDeleted: Bool) -> FlowDocument {
        let roll = random.below(100)
        var kind: FlowDocument.Kind =
            roll < 70 ? .sendable : roll < 84 ? .deleted : roll < 92 ? .nested : roll < 96 ? .withoutSource : .smile
        if isDeleted { kind = .deleted }
        let id = ["\(number)", "id-\(number)", "über \"\(number)\"\\", "AAAA\(1000 + number)"][random.below(4)]
        let size = random.below(12) == 0 ? 30_000 + random.below(30_000) : 20 + random.below(2000)
        let filler = String((0..<size).map { _ in Character(UnicodeScalar(UInt8(97 + random.below(26)))) })
        let breaks = random.below(6)
        // Every sixth has a raw line feed inside a string, which old engines stored; every sixth between members.
        let text = breaks == 0 ? "a\n\(filler)" : filler
        let between = breaks == 1 ? "\n" : ""
        let source =
            kind == .smile ? [0x3A, 0x29, 0x0A, 0x00] : Array("{\"n\":\(number),\(between)\"t\":\"\(text)\"}".utf8)
        let line = Array(
            "{\"n\":\(number),\(between.isEmpty ? "" : " ")\"t\":\"\(breaks == 0 ? "a\\n\(filler)" : filler)\"}".utf8)
        return FlowDocument(kind: kind, id: id, source: source, line: line)
    }

    /// What the segments of a shard hold, by name.
    func maxDoc(_ index: String, _ shard: Int, _ segment: String) -> Int {
        documents.keys.count { $0.index == index && $0.shard == shard && $0.segment == segment }
    }
}
