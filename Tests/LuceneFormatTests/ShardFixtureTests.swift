import Testing

@testable import LuceneFormat

@Suite("Shards that engines wrote")
struct ShardFixtureTests {
    @Test("gives every document that the engine has", arguments: ShardFixture.all)
    func wholeShard(_ fixture: ShardFixture) throws {
        #expect(try ShardListing.lines(fixture.load()) == fixture.expectedLines)
    }

    @Test("gives the same when cut at every chunk", arguments: ShardFixture.all)
    func cutShard(_ fixture: ShardFixture) throws {
        #expect(try ShardListing.lines(fixture.load(), targetBytes: 1) == fixture.expectedLines)
    }

    @Test("resumes at any document", arguments: ["lucene-8.7-deflate", "lucene-8.1-lz4-soft", "lucene-10.5-deflate"])
    func resume(_ name: String) throws {
        let directory = ShardFixture(name: name).load()
        for info in try SegmentInfos.read(directory).segments {
            let segment = try SegmentReader.open(directory, info)
            var whole: [String] = []
            _ = try ShardListing.appendDocuments(&whole, segment, 0, segment.maxDoc)
            for cut in stride(from: 0, through: segment.maxDoc, by: max(1, segment.maxDoc / 23)) {
                var parts: [String] = []
                var deletedCount = try ShardListing.appendDocuments(&parts, segment, 0, cut)
                deletedCount += try ShardListing.appendDocuments(&parts, segment, cut, segment.maxDoc)
                #expect(parts == whole)
                #expect(deletedCount == segment.deletedCount)
            }
        }
    }

    @Test("covers every stored-fields format")
    func formats() throws {
        var names: Set<String> = []
        for fixture in ShardFixture.all {
            for line in fixture.expectedLines where line.hasPrefix("segment") {
                names.insert(String(line.split(separator: "\t").last ?? ""))
            }
        }
        #expect(
            names == [
                "Lucene50StoredFieldsFastData", "Lucene50StoredFieldsHighData", "Lucene87StoredFieldsFastData",
                "Lucene87StoredFieldsHighData", "Lucene90StoredFieldsFastData", "Lucene90StoredFieldsHighData",
                "ZstdStoredFields814", "CustomStoredFieldsZstd", "CustomStoredFieldsZstdNoDict",
            ])
    }

    @Test("a chunk's buffer comes back to the pool")
    func poolReuse() throws {
        let directory = ShardFixture(name: "lucene-8.7-deflate").load()
        let segment = try SegmentReader.open(directory, try #require(SegmentInfos.read(directory).segments.first))
        let pool = ChunkPool(retainedBytesLimit: 1 << 20)
        var cursor: DocumentCursor? = try segment.documents(from: 0, to: segment.maxDoc, pool: pool)
        var kept: DecodedChunk? = try cursor?.nextChunk()
        cursor = nil
        #expect(kept.map { $0.bytes.count } ?? 0 > 0)
        #expect(pool.retainedBytes == 0)
        let capacity = kept?.capacityBytes
        kept = nil
        #expect(pool.retainedBytes == capacity)
    }

    @Test("a cancelled verification stops")
    func cancelledVerification() throws {
        let directory = ShardFixture(name: "lucene-8.7-deflate").load()
        let segment = try SegmentReader.open(directory, try #require(SegmentInfos.read(directory).segments.first))
        #expect(throws: LuceneError.self) { try segment.verifyChecksums(isCancelled: { true }) }
    }

    @Test("a flipped bit in the stored fields is found by the checksum")
    func checksumOfStoredFields() throws {
        var directory = ShardFixture(name: "lucene-10.5-shrunk").load()
        let infos = try SegmentInfos.read(directory)
        let info = try #require(infos.segments.first)
        let segment = try SegmentReader.open(directory, info)
        let data = segment.storedFields.data
        let place = Int(data.offset + data.length / 2)
        directory.files[data.physicalName]?[place] ^= 4
        let damaged = try SegmentReader.open(directory, info)
        let error = #expect(throws: LuceneError.self) { try damaged.verifyChecksums(isCancelled: { false }) }
        #expect(error?.code == .corrupt)
        #expect(error?.file == data.name)
    }
}
