import Testing

@testable import LuceneFormat

@Suite("Stored fields of Lucene 5 to 8.6, written by the model")
struct SyntheticSegmentTests {
    private static let idField = 2
    private static let sourceField = 1
    private static let recoveryField = 0
    private static let numberField = 3
    private static let routingField = 4

    /// A document with fields of every type and in an order that depends on its number.
    private static func document(_ number: Int, sourceBytes: Int) -> SyntheticSegment.Document {
        var fields: [[UInt8]] = []
        func field(_ number: Int, _ type: Int, _ write: (inout LuceneOutput) -> Void) {
            var output = LuceneOutput()
            output.vLong(Int64(number << 3 | type))
            write(&output)
            fields.append(output.bytes)
        }
        func bytes(_ content: [UInt8]) -> (inout LuceneOutput) -> Void {
            { output in
                output.vInt(content.count)
                output.bytes += content
            }
        }
        field(recoveryField, 1, bytes(Array("not the source".utf8)))
        field(numberField, 2) { $0.vInt(-1) }
        field(numberField, 2) { $0.vInt(number) }
        field(numberField, 3) { $0.bytes += [0xFF, 1, 2, 3, 4] }
        field(numberField, 3) { $0.bytes += [0x3F, 1, 2, 3] }
        field(numberField, 3) { $0.byte(0x85) }
        field(numberField, 4) { $0.byte(0x1F) }
        field(numberField, 4) { $0.bytes += [0xE0 | 0x1F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x07] }
        field(numberField, 5) { $0.bytes += [0xFF, 1, 2, 3, 4, 5, 6, 7, 8] }
        field(numberField, 5) { $0.bytes += [0xFE, 1, 2, 3, 4] }
        field(numberField, 5) { $0.bytes += [0x40, 1, 2, 3, 4, 5, 6, 7] }
        field(numberField, 5) { $0.byte(0x80) }
        if number % 7 != 3 { field(idField, 0, bytes(Array("d\(number)".utf8))) }
        if number % 3 == 0 { field(routingField, 0, bytes([0x72])) }
        field(sourceField, 1, bytes((0..<sourceBytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number) }))
        let shift = number % fields.count
        let ordered = fields[shift...] + fields[..<shift]
        return SyntheticSegment.Document(fieldCount: fields.count, content: Array(ordered.joined()))
    }

    private static func chunks() -> [[SyntheticSegment.Document]] {
        var chunks: [[SyntheticSegment.Document]] = []
        var number = 0
        for (documents, sourceBytes) in [
            (3, 20), (1, 10), (1, 5000), (5, 900), (70, 9), (2, 0), (4, 300), (9, 40), (6, 1),
        ] {
            chunks.append((0..<documents).map { document(number + $0, sourceBytes: sourceBytes + $0 % 2) })
            number += documents
        }
        return chunks
    }

    private static func expectedLines(_ segment: SyntheticSegment) -> [String] {
        var lines: [String] = []
        for number in 0..<segment.maxDoc where !segment.deleted.contains(number) {
            lines.append(number % 7 == 3 ? "nested \(number)" : "d\(number) \(number % 3 == 0)")
        }
        return lines
    }

    private static func lines(_ reader: SegmentReader, sourceBytes: inout Int, skipped: inout Int) throws -> [String] {
        let cursor = try reader.documents(from: 0, to: reader.maxDoc, pool: ChunkPool(retainedBytesLimit: 0))
        var lines: [String] = []
        while let chunk = try cursor.nextChunk() {
            while let document = try cursor.nextDocument() {
                switch document.kind {
                case .deleted: break
                case .nested: lines.append("nested \(document.docID)")
                case .root:
                    let id = String(decoding: document.id, as: UTF8.self)
                    #expect(!document.isEncodedID)
                    lines.append("\(id) \(document.routing != nil)")
                    let source = try #require(document.source)
                    sourceBytes += source.count
                    for (index, byte) in source.enumerated()
                    where byte != UInt8(truncatingIfNeeded: index &* 31 &+ document.docID) {
                        Issue.record("byte \(index) of \(id)")
                    }
                }
            }
            _ = chunk
        }
        skipped = cursor.skippedDeletedCount
        return lines
    }

    @Test("every version and its index", arguments: 0...4, [64, 1 << 14])
    func versions(_ version: Int, _ chunkSizeBytes: Int) throws {
        let segment = SyntheticSegment(version: version, chunkSizeBytes: chunkSizeBytes, chunks: Self.chunks())
        let directory = segment.directory()
        let infos = try SegmentInfos.read(directory)
        #expect(infos.userData == ["history_uuid": "x"])
        let reader = try SegmentReader.open(directory, try #require(infos.segments.first))
        try reader.verifyChecksums(isCancelled: { false })
        #expect(reader.splitPoints(targetBytes: 1).count == segment.chunks.count)
        #expect(reader.splitPoints(targetBytes: .max) == [0])
        var sourceBytes = 0
        var skipped = 0
        #expect(try Self.lines(reader, sourceBytes: &sourceBytes, skipped: &skipped) == Self.expectedLines(segment))
        #expect(skipped == 0)
        #expect(sourceBytes > 5000)
    }

    @Test("chunks without a live document are skipped", arguments: [1, 4])
    func skippedChunks(_ version: Int) throws {
        var segment = SyntheticSegment(version: version, chunkSizeBytes: 1 << 14, chunks: Self.chunks())
        segment.deleted = Set(0..<4).union([20, 95, 96]).union((segment.maxDoc - 6)..<segment.maxDoc)
        let directory = segment.directory()
        let reader = try SegmentReader.open(directory, try #require(SegmentInfos.read(directory).segments.first))
        #expect(reader.deletedCount == segment.deleted.count)
        var sourceBytes = 0
        var skipped = 0
        #expect(try Self.lines(reader, sourceBytes: &sourceBytes, skipped: &skipped) == Self.expectedLines(segment))
        #expect(skipped == 10)
    }

    @Test("a chunk that contradicts the index is corrupt")
    func contradiction() throws {
        let segment = SyntheticSegment(version: 4, chunkSizeBytes: 1 << 14, chunks: Self.chunks())
        var directory = segment.directory()
        var output = LuceneOutput()
        output.header("Lucene50StoredFieldsFastData", version: 4)
        var content = Array(try #require(directory.files["_0.fdt"]).dropLast(16))
        content[output.bytes.count] = 1
        directory.files["_0.fdt"] = CodecFooter.appended(to: content)
        let reader = try SegmentReader.open(directory, try #require(SegmentInfos.read(directory).segments.first))
        let cursor = try reader.documents(from: 0, to: reader.maxDoc, pool: ChunkPool(retainedBytesLimit: 0))
        let error = #expect(throws: LuceneError.self) { try cursor.nextChunk() }
        #expect(error?.code == .corrupt)
        #expect(error?.file == "_0.fdt")
        #expect(error?.offset == Int64(output.bytes.count))
    }

    @Test("an unknown stored-fields format is named")
    func unknownFormat() throws {
        var directory = SyntheticSegment(version: 4, chunkSizeBytes: 1 << 14, chunks: Self.chunks()).directory()
        var output = LuceneOutput()
        output.header("QatStoredFieldsData", version: 0)
        directory.files["_0.fdt"] = output.withFooter
        let info = try #require(SegmentInfos.read(directory).segments.first)
        let error = #expect(throws: LuceneError.self) { try SegmentReader.open(directory, info) }
        #expect(error?.code == .unsupported)
        #expect(error?.description.contains("QatStoredFieldsData") == true)
    }
}
