import BlobStore
import COpenSSL
import LuceneFormat
import SnapshotRepository
import Testing

/// Every document of every snapshot that an engine in scope wrote, read by the library and compared with what the
/// engine had been given: ids, routing and the bytes of `_source`.
@Suite struct DocumentConformanceTests {
    @Test func theCatalogHoldsEveryEngineInScope() {
        let engines = Set(FixtureCatalog.inScope.map(\.engine))
        #expect(engines.count >= 10, "found only \(engines.sorted())")
    }

    @Test(arguments: FixtureCatalog.inScope)
    func everyDocumentIsReadExactly(fixture: FixtureCatalog.Fixture) throws {
        let repository = RepositoryReader(store: try FileBlobStore(path: fixture.repository), cancellation: .never)
        for name in try fixture.snapshotNames() {
            let snapshot = try repository.open(snapshot: name)
            // An older engine may have written a snapshot of the same repository.
            guard snapshot.indices.allSatisfy({ $0.createdVersionID >= 6_000_000 }) else { continue }
            var found = FoundDocuments()
            for index in snapshot.indices {
                for shard in 0..<index.shardCount {
                    let isMissing = snapshot.failures.contains { $0.index == index.name && $0.shard == shard }
                    if !isMissing { try found.read(repository.directory(index, shard: shard), index: index.name) }
                }
            }
            let differences = found.differences(from: try fixture.expected(snapshot: name))
            #expect(differences.isEmpty, "\(fixture.name) \(name): \(differences.prefix(10))")
        }
    }

    /// Older engines end in an error that says so, or are read right; never in silence.
    @Test(arguments: FixtureCatalog.all.filter { !$0.isInScope })
    func olderEnginesAreRefusedByName(fixture: FixtureCatalog.Fixture) throws {
        let repository = RepositoryReader(store: try FileBlobStore(path: fixture.repository), cancellation: .never)
        for name in try fixture.snapshotNames() {
            do {
                let snapshot = try repository.open(snapshot: name)
                for index in snapshot.indices where index.createdVersionID >= 6_000_000 {
                    var found = FoundDocuments()
                    for shard in 0..<index.shardCount
                    where !snapshot.failures.contains(where: { $0.index == index.name && $0.shard == shard }) {
                        try found.read(repository.directory(index, shard: shard), index: index.name)
                    }
                    let expected = try fixture.expected(snapshot: name).filter { $0.index == index.name }
                    let differences = found.differences(from: expected)
                    #expect(differences.isEmpty, "\(fixture.name) \(name): \(differences.prefix(10))")
                }
            } catch let error as RepositoryError {
                #expect(error.code == .unsupported, "\(fixture.name): \(error.message)")
            } catch let error as LuceneError {
                #expect(error.code == .unsupported, "\(fixture.name): \(error.description)")
            }
        }
    }
}

/// What was read of a snapshot.
private struct FoundDocuments {
    /// Bytes, not strings: Swift holds strings equal that differ in their normal form only, and ids may do so.
    struct Key: Hashable, CustomStringConvertible {
        let index: String
        let id: [UInt8]
        let routing: [UInt8]?

        var description: String {
            let texts = [id, routing ?? []].map { String(decoding: $0, as: UTF8.self) }
            return "\(index)/\(texts[0]) \(texts[1])"
        }
    }

    /// Nil: no source is stored.
    private var digests: [Key: String?] = [:]
    private var problems: [String] = []

    mutating func read(_ directory: any LuceneDirectory, index: String) throws {
        let pool = ChunkPool(retainedBytesLimit: 4 << 20)
        for info in try SegmentInfos.read(directory).segments {
            let reader = try SegmentReader.open(directory, info)
            try reader.verifyChecksums(isCancelled: { false })
            let cursor = try reader.documents(from: 0, to: reader.maxDoc, pool: pool)
            var roots = 0
            var nested = 0
            var deleted = 0
            while try cursor.nextChunk() != nil {
                while let document = try cursor.nextDocument() {
                    switch document.kind {
                    case .deleted: deleted += 1
                    case .nested: nested += 1
                    case .root:
                        roots += 1
                        try add(document, index: index)
                    }
                }
            }
            deleted += cursor.skippedDeletedCount
            if roots + nested + deleted != reader.maxDoc || deleted != reader.deletedCount {
                problems.append(
                    "\(directory.location) \(reader.name): \(roots) roots, \(nested) nested, \(deleted) deleted of "
                        + "\(reader.maxDoc), \(reader.deletedCount) deleted by its bits")
            }
        }
    }

    private mutating func add(_ document: StoredDocument, index: String) throws {
        var id = [UInt8](document.id)
        if document.isEncodedID {
            let limit = DocumentID.decodedByteLimit(id.count)
            var decoded = [UInt8](repeating: 0, count: limit)
            let count = try decoded.withUnsafeMutableBytes { try DocumentID.decode(document.id, into: $0) }
            id = Array(decoded.prefix(count))
        }
        let key = Key(
            index: index, id: id, routing: document.routing.map { [UInt8]($0) })
        if digests[key] != nil { problems.append("twice: \(key)") }
        digests[key] = .some(document.source.map { Self.sha256(UnsafeRawBufferPointer($0)) })
    }

    func differences(from expected: [FixtureCatalog.ExpectedDocument]) -> [String] {
        var differences = problems
        var seen: Set<Key> = []
        for row in expected {
            let key = Key(index: row.index, id: Array(row.id.utf8), routing: row.routing.map { Array($0.utf8) })
            seen.insert(key)
            guard let digest = digests[key] else {
                differences.append("missing: \(key)")
                continue
            }
            if digest != row.sha256 { differences.append("bytes differ: \(key)") }
        }
        for key in digests.keys where !seen.contains(key) { differences.append("extra: \(key)") }
        return differences
    }

    private static func sha256(_ bytes: UnsafeRawBufferPointer) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        SHA256(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, &digest)
        let digits = Array("0123456789abcdef")
        return String(digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
