import BulkFormat
import LuceneFormat

/// Reads one doc-id range of a segment into batches and hands them to the sink.
///
/// The sources are not copied: a batch keeps the decompressed chunks alive and points into them. Every document of the
/// range is counted in exactly one field of a batch's tally. Confined to the worker that runs it.
struct RangeReader {
    let range: RangeWork
    let reader: SegmentReader
    let pool: ChunkPool
    let sink: any BatchSink
    let deadLetters: DeadLetterFile
    let counters: BackfillCounters
    /// Documents at which a batch is full, whatever their size.
    let batchDocumentLimit: Int
    /// A batch is also full when it holds this many times `batchBytes` of memory: where most documents are deleted, a
    /// batch of small documents would keep a chunk alive for each.
    static let retainedFactor = 4
    /// Polled once a chunk.
    let isStopping: () -> Bool

    enum Outcome {
        case finished
        /// The run ends; what was not handed over stays beyond the checkpoint.
        case stopped
    }

    private var idBytes: UnsafeMutableRawBufferPointer = .init(start: nil, count: 0)

    init(
        range: RangeWork, reader: SegmentReader, pool: ChunkPool, sink: any BatchSink, deadLetters: DeadLetterFile,
        counters: BackfillCounters, batchDocumentLimit: Int, isStopping: @escaping () -> Bool
    ) {
        self.range = range
        self.reader = reader
        self.pool = pool
        self.sink = sink
        self.deadLetters = deadLetters
        self.counters = counters
        self.batchDocumentLimit = batchDocumentLimit
        self.isStopping = isStopping
    }

    /// Reads to the end of the range. Throws what the segment reader found, or a dead letter that cannot be written.
    mutating func run() throws -> Outcome {
        defer { idBytes.deallocate() }
        let cursor = try reader.documents(from: range.startDoc, to: range.endDoc, pool: pool)
        var batch = BulkBatch(range: range, startDoc: range.startDoc)
        var skipped = 0
        while !isStopping(), let chunk = try cursor.nextChunk() {
            // Documents without a live neighbour are passed over undecoded; they belong to the batch before the chunk.
            batch.tally.deleted += cursor.skippedDeletedCount - skipped
            skipped = cursor.skippedDeletedCount
            batch.extend(to: cursor.position)
            var retained: BulkBatch?
            var readCount = 0
            while let document = try cursor.nextDocument() {
                readCount += 1
                if !batch.items.isEmpty, let source = document.source,
                    batch.bodyBytes + source.count > sink.batchBytes
                {
                    // Would be larger than a request may be: a large document goes alone.
                    guard sink.submit(batch) else { return .stopped }
                    batch = BulkBatch(range: range, startDoc: document.docID)
                }
                try add(document, of: chunk, to: batch, &retained)
                batch.extend(to: document.docID + 1)
                if isFull(batch) {
                    counters.documentsRead(readCount)
                    readCount = 0
                    guard sink.submit(batch) else { return .stopped }
                    batch = BulkBatch(range: range, startDoc: document.docID + 1)
                }
            }
            counters.documentsRead(readCount)
        }
        guard !isStopping() else { return .stopped }
        batch.tally.deleted += cursor.skippedDeletedCount - skipped
        // The last batch reaches to the range's end whatever it holds: documents that nobody counted are then found by
        // the segment's check, instead of a range that never ends.
        let isCovered = batch.isEmpty && batch.endDoc == range.endDoc
        batch.extend(to: range.endDoc)
        return isCovered || sink.submit(batch) ? .finished : .stopped
    }

    private func isFull(_ batch: BulkBatch) -> Bool {
        let limit = sink.batchBytes
        return batch.bodyBytes >= limit || batch.items.count >= batchDocumentLimit
            || batch.retainedBytes / Self.retainedFactor >= limit
    }

    /// Counts the document, and adds it to the batch when it is to be sent.
    private mutating func add(
        _ document: StoredDocument, of chunk: DecodedChunk, to batch: BulkBatch, _ retained: inout BulkBatch?
    ) throws {
        switch document.kind {
        case .deleted:
            batch.tally.deleted += 1
            return
        case .nested:
            batch.tally.nested += 1
            return
        case .root: break
        }
        let id = try decodedID(document)
        guard let source = document.source else {
            return try omit(document, id, .noSource, "no _source is stored", from: batch)
        }
        let encoding = SourceEncoding(detecting: UnsafeRawBufferPointer(source))
        guard encoding == .json else {
            let detail = "the stored _source is \(encoding.rawValue), not JSON"
            return try omit(document, id, .unsupportedEncoding, detail, from: batch)
        }
        if retained !== batch {
            batch.retain(chunk, byteCount: chunk.capacityBytes)
            retained = batch
        }
        if SourceLine.joinInPlace(source) {
            batch.append(
                docID: document.docID, id: id, routing: document.routing, source: UnsafeRawBufferPointer(source))
        } else {
            let joined = batch.keep(SourceLine.joined(UnsafeRawBufferPointer(source)))
            batch.append(docID: document.docID, id: id, routing: document.routing, source: joined)
        }
    }

    private func omit(
        _ document: StoredDocument, _ id: UnsafeRawBufferPointer, _ reason: DeadLetter.Reason, _ detail: String,
        from batch: BulkBatch
    ) throws {
        let routing = document.routing
        let limit = BulkActionLine.byteLimit(idByteCount: id.count, routingByteCount: routing?.count ?? 0)
        let action = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            count = BulkActionLine.write(id: id, routing: routing, to: UnsafeMutableRawPointer(base))
        }
        try deadLetters.append(
            DeadLetter(
                index: range.shard.indexName, shard: range.shard.key.number, segment: range.segment,
                docID: document.docID, action: action, reason: reason, detail: detail,
                source: document.source.map { [UInt8](UnsafeRawBufferPointer($0)) }, status: nil, answer: nil))
        batch.tally.omitted += 1
        counters.leftOut(reason)
    }

    /// The document's id as text; valid until the next call.
    private mutating func decodedID(_ document: StoredDocument) throws -> UnsafeRawBufferPointer {
        guard document.isEncodedID else { return document.id }
        let limit = DocumentID.decodedByteLimit(document.id.count)
        if idBytes.count < limit {
            idBytes.deallocate()
            idBytes = .allocate(byteCount: max(limit, 2048), alignment: 1)
        }
        let count: Int
        do {
            count = try DocumentID.decode(document.id, into: idBytes)
        } catch {
            throw RunStop(
                code: .unreadable,
                message: "shard \(range.shard.name), segment \(range.segment), document \(document.docID): its id "
                    + "cannot be decoded: \(error)")
        }
        return UnsafeRawBufferPointer(rebasing: idBytes[..<count])
    }
}
