import LuceneFormat

/// Puts `bytes` into one file of an otherwise sound one-segment shard in memory and reads the shard whole. Nothing may
/// trap, whatever the bytes; errors and wrong documents are fine.
///
///     byte 0: which file    byte 1: stored-fields format and number of documents    rest: content of the file
///
/// The content is put between a valid header and a valid footer, so that it reaches the parsers behind them; with the
/// high bit of byte 0 set it is the whole file.
func fuzzLucene(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= 2 else { return }
    let kinds = LuceneFuzzShard.Kind.allCases
    let kind = kinds[Int(bytes[0] & 0x7F) % kinds.count]
    var shard = LuceneFuzzShard(choice: Int(bytes[1]))
    shard.put(Array(bytes.dropFirst(2)), into: kind, isWholeFile: bytes[0] & 0x80 != 0)
    readShard(shard)
}

/// Opens, verifies and reads every segment that can be. Returns how many documents came, deleted ones included.
@discardableResult func readShard(_ shard: some LuceneDirectory) -> Int {
    guard let infos = try? SegmentInfos.read(shard) else { return 0 }
    var documentCount = 0
    let pool = ChunkPool(retainedBytesLimit: 1 << 20)
    for info in infos.segments {
        guard let segment = try? SegmentReader.open(shard, info) else { continue }
        try? segment.verifyChecksums(isCancelled: { false })
        for point in segment.splitPoints(targetBytes: 1).prefix(8) {
            try? readAll(segment, from: point, pool, &documentCount)
        }
    }
    return documentCount
}

private func readAll(
    _ segment: SegmentReader, from firstDoc: Int, _ pool: ChunkPool, _ documentCount: inout Int
) throws {
    let cursor = try segment.documents(from: firstDoc, to: segment.maxDoc, pool: pool)
    var checksum = 0
    while let chunk = try cursor.nextChunk() {
        while let document = try cursor.nextDocument() {
            documentCount += 1
            for byte in document.id.suffix(1) { checksum &+= Int(byte) }
            for byte in document.routing?.suffix(1) ?? document.id.suffix(0) { checksum &+= Int(byte) }
            if let source = document.source, let last = source.last { checksum &+= Int(last) }
            var output = [UInt8](repeating: 0, count: DocumentID.decodedByteLimit(document.id.count))
            _ = try? output.withUnsafeMutableBytes { try DocumentID.decode(document.id, into: $0) }
        }
        checksum &+= chunk.bytes.count
    }
    documentCount += cursor.skippedDeletedCount
    _ = checksum
}

/// A shard of one segment: Lucene 9 throughout, except that the stored fields may be of any format.
private struct LuceneFuzzShard: LuceneDirectory {
    struct NoSuchBytes: Error {}

    enum Kind: CaseIterable {
        case chunk, segments, segmentInfo, fieldInfos, liveDocuments, fieldsIndex, fieldsMetadata, docValuesMetadata
        case docValuesData, compoundEntries
    }

    private static let formats = [
        "Lucene90StoredFieldsFastData", "Lucene90StoredFieldsHighData", "ZstdStoredFields814", "CustomStoredFieldsZstd",
        "CustomStoredFieldsZstdNoDict", "Lucene87StoredFieldsFastData", "Lucene87StoredFieldsHighData",
        "Lucene50StoredFieldsFastData", "Lucene50StoredFieldsHighData",
    ]

    private var files: [String: [UInt8]] = [:]
    private let formatName: String
    private let documentCount: Int

    private var isLucene90: Bool { !formatName.hasPrefix("Lucene5") && !formatName.hasPrefix("Lucene8") }

    private var indexName: String { isLucene90 ? "Lucene90FieldsIndex" : "Lucene85FieldsIndex" }

    let location = "fuzz"
    var fileNames: [String] { Array(files.keys) }

    func length(of file: String) -> Int64? { files[file].map { Int64($0.count) } }

    func read(_ file: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard let bytes = files[file], offset >= 0, offset <= bytes.count, buffer.count <= bytes.count - Int(offset)
        else {
            throw NoSuchBytes()
        }
        buffer.copyBytes(from: bytes[Int(offset)..<(Int(offset) + buffer.count)])
    }

    init(choice: Int) {
        formatName = Self.formats[choice % Self.formats.count]
        documentCount = [1, 3, 130][choice / Self.formats.count % 3]
        files["segments_1"] = Self.segments(isDeleted: choice & 0x40 != 0)
        files["_0.si"] = segmentInfo(isCompound: false)
        files["_0.fnm"] = Self.fieldInfos()
        files["_0_1.liv"] = liveDocuments()
        files["_0_Lucene90_0.dvm"] = Self.docValuesMetadata()
        // One sparse block with the first document, and the end marker.
        var data = FuzzOutput("Lucene90DocValuesData", 0)
        for number in [0, 0, 0, 32767, 0, 0xFFFF] { data.fixed(number, 2) }
        files["_0_Lucene90_0.dvd"] = data.withFooter
        setChunk([])
    }

    mutating func put(_ content: [UInt8], into kind: Kind, isWholeFile: Bool) {
        func file(_ codecName: String, _ version: Int, suffix: String = "") -> [UInt8] {
            if isWholeFile { return content }
            var output = FuzzOutput(codecName, version, suffix: suffix)
            output.bytes += content
            return output.withFooter
        }
        switch kind {
        case .chunk: setChunk(content)
        case .segments: files["segments_1"] = file("segments", 10, suffix: "1")
        case .segmentInfo: files["_0.si"] = file("Lucene90SegmentInfo", 0)
        case .fieldInfos: files["_0.fnm"] = file("Lucene94FieldInfos", 2)
        case .liveDocuments: files["_0_1.liv"] = file("Lucene90LiveDocs", 0, suffix: "1")
        case .fieldsIndex: files["_0.fdx"] = file(indexName + "Idx", 0)
        case .fieldsMetadata: files["_0.fdm"] = file(indexName + "Meta", 0)
        case .docValuesMetadata: files["_0_Lucene90_0.dvm"] = file("Lucene90DocValuesMetadata", 0)
        case .docValuesData: files["_0_Lucene90_0.dvd"] = file("Lucene90DocValuesData", 0)
        case .compoundEntries:
            files["_0.si"] = segmentInfo(isCompound: true)
            files["_0.cfe"] = file("Lucene90CompoundEntries", 0)
            files["_0.cfs"] = files["_0.fdt"]
        }
    }

    /// The stored fields with one chunk whose bytes, behind its first document and count, are `content`.
    private mutating func setChunk(_ content: [UInt8]) {
        var data = FuzzOutput(formatName, isLucene90 ? 1 : 4)
        let start = data.bytes.count
        let isSliced = content.first.map { $0 & 1 } ?? 0
        data.vInt(0)
        data.vInt(documentCount << 2 | Int(isSliced))
        data.bytes += content
        files["_0.fdt"] = data.withFooter
        let index = FuzzOutput(indexName + "Idx", 0)
        files["_0.fdx"] = index.withFooter
        var metadata = FuzzOutput(indexName + "Meta", 0)
        metadata.isBigEndian = !isLucene90
        metadata.vInt(512)
        if !isLucene90 { metadata.vInt(2) }
        for number in [documentCount, 10, 2] { metadata.fixed(number, 4) }
        metadata.fixed(index.bytes.count, 8)
        metadata.line(from: 0, to: documentCount)
        metadata.fixed(index.bytes.count, 8)
        metadata.line(from: start, to: data.bytes.count)
        metadata.fixed(index.bytes.count, 8)
        metadata.fixed(data.bytes.count, 8)
        for _ in 0..<3 { metadata.vInt(1) }
        files["_0.fdm"] = metadata.withFooter
    }

    private static func segments(isDeleted: Bool) -> [UInt8] {
        var output = FuzzOutput("segments", 10, suffix: "1")
        output.isBigEndian = true
        for number in [9, 12, 1, 9] { output.vInt(number) }
        output.fixed(1, 8)
        output.vInt(1)
        output.fixed(1, 4)
        for number in [9, 12, 1] { output.vInt(number) }
        output.string("_0")
        output.bytes += FuzzOutput.id
        output.string("Lucene912")
        output.fixed(isDeleted ? 1 : -1, 8)
        output.fixed(isDeleted ? 1 : 0, 4)
        output.fixed(-1, 8)
        output.fixed(-1, 8)
        output.fixed(isDeleted ? 1 : 0, 4)
        for _ in 0..<2 { output.vInt(0) }
        output.fixed(0, 4)
        output.vInt(0)
        return output.withFooter
    }

    private func segmentInfo(isCompound: Bool) -> [UInt8] {
        var output = FuzzOutput("Lucene90SegmentInfo", 0)
        for number in [9, 12, 1] { output.fixed(number, 4) }
        output.fixed(0, 1)
        output.fixed(documentCount, 4)
        output.fixed(isCompound ? 1 : -1, 1)
        for number in [0, 0, 1] { output.vInt(number) }
        output.string("_0.si")
        for _ in 0..<2 { output.vInt(0) }
        return output.withFooter
    }

    private static func fieldInfos() -> [UInt8] {
        var output = FuzzOutput("Lucene94FieldInfos", 2)
        let names = ["_id", "_source", "_routing", "__soft_deletes"]
        output.vInt(names.count)
        for (number, name) in names.enumerated() {
            let isSoftDeletes = number == 3
            output.string(name)
            output.vInt(number)
            for byte in [isSoftDeletes ? 8 : 0, 0, isSoftDeletes ? 1 : 0, 0] { output.fixed(byte, 1) }
            output.fixed(-1, 8)
            output.vInt(isSoftDeletes ? 2 : 0)
            if isSoftDeletes {
                output.string("PerFieldDocValuesFormat.format")
                output.string("Lucene90")
                output.string("PerFieldDocValuesFormat.suffix")
                output.string("0")
            }
            for _ in 0..<4 { output.vInt(0) }
        }
        return output.withFooter
    }

    /// The last document is deleted.
    private func liveDocuments() -> [UInt8] {
        var output = FuzzOutput("Lucene90LiveDocs", 0, suffix: "1")
        for word in 0..<((documentCount + 63) / 64) {
            let count = min(64, documentCount - 1 - word * 64)
            output.fixed(count == 64 ? -1 : (1 << max(count, 0)) - 1, 8)
        }
        return output.withFooter
    }

    private static func docValuesMetadata() -> [UInt8] {
        let start = FuzzOutput("Lucene90DocValuesData", 0).bytes.count
        var output = FuzzOutput("Lucene90DocValuesMetadata", 0)
        output.fixed(3, 4)
        output.fixed(0, 1)
        output.fixed(start, 8)
        output.fixed(12, 8)
        output.fixed(1, 2)
        output.fixed(-1, 1)
        output.fixed(1, 8)
        output.fixed(-1, 4)
        for _ in 0..<41 { output.fixed(0, 1) }
        output.fixed(-1, 4)
        return output.withFooter
    }
}

/// Writes Lucene's primitives.
private struct FuzzOutput {
    static let id = [UInt8](repeating: 7, count: 16)

    var bytes: [UInt8] = [0x3F, 0xD7, 0x6C, 0x17]
    var isBigEndian = true

    /// Starts with a header; what follows is little-endian.
    init(_ codecName: String, _ version: Int, suffix: String = "") {
        string(codecName)
        fixed(version, 4)
        bytes += Self.id
        string(suffix)
        isBigEndian = false
    }

    var withFooter: [UInt8] { CodecFooter.appended(to: bytes) }

    mutating func string(_ text: String) {
        vInt(text.utf8.count)
        bytes += Array(text.utf8)
    }

    mutating func vInt(_ value: Int) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F | 0x80))
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func fixed(_ value: Int, _ count: Int) {
        for index in 0..<count {
            let shift = 8 * (isBigEndian ? count - 1 - index : index)
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    /// Monotonic metadata of two values on a line.
    mutating func line(from first: Int, to second: Int) {
        fixed(first, 8)
        fixed(Int(Float(second - first).bitPattern), 4)
        fixed(0, 8)
        fixed(0, 1)
    }
}
