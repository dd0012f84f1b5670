/// Where each chunk of a `.fdt` file starts and which is its first document.
///
/// Twelve bytes a chunk: a segment of 5 GB with chunks of 20 KB compressed takes 3 MB.
struct StoredFieldsIndex: Sendable {
    /// First document of each chunk, strictly rising from 0.
    let documentBases: [UInt32]
    /// Offset of each chunk in the `.fdt` file, strictly rising; one more than there are chunks, the end of the last.
    let startPointers: [Int64]
    let maxDoc: Int

    /// Every writer flushes a chunk at 4 096 documents or fewer. More than this would allow a wrong number of documents
    /// to ask for much memory.
    private static let chunkDocumentLimit = 1 << 20

    var chunkCount: Int { documentBases.count }

    func documents(ofChunk chunk: Int) -> Range<Int> {
        let next = chunk + 1 < documentBases.count ? Int(documentBases[chunk + 1]) : maxDoc
        return Int(documentBases[chunk])..<next
    }

    func bytes(ofChunk chunk: Int) -> Range<Int64> { startPointers[chunk]..<startPointers[chunk + 1] }

    /// The chunk that holds a document of 0..<maxDoc.
    func chunk(ofDocument document: Int) -> Int {
        var low = 0
        var high = documentBases.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if Int(documentBases[middle]) <= document { low = middle } else { high = middle }
        }
        return low
    }

    private init(
        _ bases: [Int64], _ pointers: [Int64], maxDoc: Int, dataLimit: Int64, _ input: IndexInput
    ) throws(LuceneError) {
        guard pointers.count == bases.count + 1, bases.isEmpty == (maxDoc == 0) else {
            throw input.corrupt("\(bases.count) chunks for \(maxDoc) documents")
        }
        var documentBases: [UInt32] = []
        documentBases.reserveCapacity(bases.count)
        for (chunk, base) in bases.enumerated() {
            let isRising = chunk == 0 ? base == 0 : base > bases[chunk - 1]
            guard isRising, base >= 0, base < Int64(maxDoc), pointers[chunk] >= 0, pointers[chunk] < pointers[chunk + 1]
            else {
                throw input.corrupt("chunk \(chunk): first document \(base), bytes from \(pointers[chunk])")
            }
            let next = chunk + 1 < bases.count ? bases[chunk + 1] : Int64(maxDoc)
            guard next <= base + Int64(Self.chunkDocumentLimit) else {
                throw input.corrupt("chunk \(chunk) from document \(base) to \(next)")
            }
            documentBases.append(UInt32(base))
        }
        guard let end = pointers.last, end >= 0, end <= dataLimit else {
            throw input.corrupt("the chunks end at \(pointers.last ?? -1), the data at \(dataLimit)")
        }
        self.documentBases = documentBases
        startPointers = pointers
        self.maxDoc = maxDoc
    }

    /// From Lucene 8.5 on (`FieldsIndexReader`), behind the chunk size in the `.fdm`:
    ///
    ///     Int32 maxDoc | Int32 blockShift | Int32 chunks + 1 | Int64 start of documents | DirectMonotonic metadata
    ///     Int64 end of documents | DirectMonotonic metadata | Int64 end of pointers | Int64 end of the chunks
    ///
    /// Both sequences end with a sentinel: maxDoc, and the end of the chunks.
    init(
        metadata: inout IndexInput, _ index: IndexInput, maxDoc: Int, dataLimit: Int64
    ) throws(LuceneError) {
        let start = metadata.position
        let storedMaxDoc = Int(try metadata.readInt32())
        let blockShift = Int(try metadata.readInt32())
        let valueCount = Int(try metadata.readInt32())
        guard storedMaxDoc == maxDoc, (2...22).contains(blockShift), valueCount >= 1, valueCount <= maxDoc + 1 else {
            throw metadata.corrupt(
                "index of \(valueCount) values in blocks of 2^\(blockShift) for \(storedMaxDoc) documents of \(maxDoc)",
                at: start)
        }
        let documentsStart = try metadata.readInt64()
        let documents = try DirectMonotonic(&metadata, count: valueCount, blockShift: blockShift)
        let documentsEnd = try metadata.readInt64()
        let pointers = try DirectMonotonic(&metadata, count: valueCount, blockShift: blockShift)
        let pointersEnd = try metadata.readInt64()
        let maxPointer = try metadata.readInt64()
        var bases = try documents.values(index, from: documentsStart, to: documentsEnd)
        let startPointers = try pointers.values(index, from: documentsEnd, to: pointersEnd)
        guard bases.removeLast() == Int64(maxDoc), startPointers.last == maxPointer else {
            throw metadata.corrupt("the last entry of the index is not the end of the segment")
        }
        try self.init(bases, startPointers, maxDoc: maxDoc, dataLimit: dataLimit, index)
    }

    /// Up to Lucene 8.4 (`LegacyFieldsIndexReader`), behind the header of the `.fdx`:
    ///
    ///     VInt packed version
    ///     blocks: VInt chunks (0 ends) | VInt first document | VInt documents a chunk | VInt bits | packed zigzag
    ///             VLong first pointer | VLong bytes a chunk | VInt bits | packed zigzag
    ///     VLong end of the chunks
    init(legacy input: inout IndexInput, maxDoc: Int, dataLimit: Int64) throws(LuceneError) {
        let packedVersion = try input.readVInt()
        guard (1...2).contains(packedVersion) else {
            throw input.unsupported("packed integers of version \(packedVersion)")
        }
        var bases: [Int64] = []
        var pointers: [Int64] = []
        while true {
            let blockStart = input.position
            let chunkCount = try input.readVInt()
            if chunkCount == 0 { break }
            guard bases.count + chunkCount <= maxDoc else {
                throw input.corrupt("more chunks than documents", at: blockStart)
            }
            let firstDocument = Int64(try input.readVInt())
            let documentsPerChunk = Int64(try input.readVInt())
            try Self.readDeltas(
                &input, chunkCount, bitsLimit: 32, first: firstDocument, slope: documentsPerChunk, into: &bases)
            let firstPointer = try input.readVLong()
            let bytesPerChunk = try input.readVLong()
            try Self.readDeltas(
                &input, chunkCount, bitsLimit: 64, first: firstPointer, slope: bytesPerChunk, into: &pointers)
        }
        pointers.append(try input.readVLong())
        try self.init(bases, pointers, maxDoc: maxDoc, dataLimit: dataLimit, input)
    }

    private static func readDeltas(
        _ input: inout IndexInput, _ count: Int, bitsLimit: Int, first: Int64, slope: Int64, into values: inout [Int64]
    ) throws(LuceneError) {
        let bits = try input.readVInt()
        guard bits <= bitsLimit, let byteCount = PackedInts.byteCount(count, bits: bits) else {
            throw input.corrupt("\(count) values of \(bits) bits")
        }
        let packed = try input.readBytes(byteCount)
        packed.withUnsafeBytes { packed in
            for index in 0..<count {
                let delta = PackedInts.zigZagDecode(PackedInts.bigEndianValue(packed, index, bits: bits))
                values.append(first &+ slope &* Int64(index) &+ delta)
            }
        }
    }
}
