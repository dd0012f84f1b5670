import Glibc

/// Reads a range of a segment's documents from front to back, chunk by chunk. Confined to one thread.
///
///     chunk (Lucene 5 to 10): VInt docBase | VInt documents << 1 or 2 | dirty bit | sliced bit
///         one document:  VInt fields, VInt bytes       else: two arrays of integers, see StoredFieldsInts
///         payload: one compressed piece, or, sliced, one for every `chunkSize` bytes
///
/// Holds a read-ahead buffer of 512 KiB (or one chunk, where one is longer) and the decoded chunk.
package final class DocumentCursor {
    /// One request to a blob store brings several chunks; more would only make the first chunk wait.
    private static let readAheadBytes = 1 << 19
    private let reader: SegmentReader
    private let pool: ChunkPool
    private let endDoc: Int
    private let decompressor: ChunkDecompressor

    /// First document that was neither returned nor skipped.
    package private(set) var position: Int
    /// Deleted documents within chunks that were not decoded.
    package private(set) var skippedDeletedCount = 0

    private var nextChunkIndex: Int
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var bufferStart: Int64 = 0
    private var bufferedBytes = 0

    private var chunk: DecodedChunk?
    private var chunkIndex = 0
    private var documentBase = 0
    private var documentCount = 0
    private var documentIndex = 0
    private var documentOffset = 0
    private var fieldCounts = UnsafeMutableBufferPointer<UInt32>(start: nil, count: 0)
    private var byteCounts = UnsafeMutableBufferPointer<UInt32>(start: nil, count: 0)

    init(_ reader: SegmentReader, from firstDoc: Int, to endDoc: Int, pool: ChunkPool) throws(LuceneError) {
        guard let decompressor = ChunkDecompressor(reader.storedFields.format.compression) else {
            throw LuceneError(
                .readFailed, location: reader.directory.location, file: reader.storedFields.data.name,
                message: "out of memory")
        }
        self.reader = reader
        self.pool = pool
        self.endDoc = endDoc
        self.decompressor = decompressor
        position = firstDoc
        nextChunkIndex =
            firstDoc < endDoc
            ? reader.storedFields.index.chunk(ofDocument: firstDoc) : reader.storedFields.index.chunkCount
    }

    deinit {
        free(buffer.baseAddress)
        fieldCounts.deallocate()
        byteCounts.deallocate()
    }

    // MARK: Chunks

    /// Decodes the next chunk that holds a live document of the range; nil at the end. Documents of the chunk before
    /// that were not asked for count as returned.
    package func nextChunk() throws(LuceneError) -> DecodedChunk? {
        chunk = nil
        if documentIndex < documentCount { position = min(documentBase + documentCount, endDoc) }
        documentIndex = 0
        documentCount = 0
        let index = reader.storedFields.index
        while position < endDoc {
            let documents = index.documents(ofChunk: nextChunkIndex)
            let wanted = max(documents.lowerBound, position)..<min(documents.upperBound, endDoc)
            chunkIndex = nextChunkIndex
            if reader.live.liveCount(in: wanted) == 0 {
                skippedDeletedCount += wanted.count
                position = wanted.upperBound
                nextChunkIndex += 1
                continue
            }
            // Only a decoded chunk is passed: after a failed read the next call tries this one again.
            let decoded = try decodeChunk(chunkIndex, documents)
            nextChunkIndex += 1
            documentBase = documents.lowerBound
            documentCount = wanted.upperBound - documents.lowerBound
            documentOffset = 0
            documentIndex = 0
            while documentIndex < wanted.lowerBound - documents.lowerBound {
                documentOffset += Int(byteCounts[documentIndex])
                documentIndex += 1
            }
            chunk = decoded
            return decoded
        }
        return nil
    }

    private func corrupt(_ message: String, at offset: Int64) -> LuceneError {
        LuceneError(
            .corrupt, location: reader.directory.location, file: reader.storedFields.data.name, offset: offset,
            message: message)
    }

    private func decodeChunk(_ chunk: Int, _ documents: Range<Int>) throws(LuceneError) -> DecodedChunk {
        let range = reader.storedFields.index.bytes(ofChunk: chunk)
        let bytes = try load(range)
        var scanner = ByteScanner(bytes, from: 0, to: range.count)
        let isSliced = try readHead(&scanner, documents, range.lowerBound)
        let totalBytes = try sumBytes(range)
        guard let decoded = pool.take(byteCount: totalBytes, slackBytes: ChunkDecompressor.slackBytes),
            let output = decoded.bytes.baseAddress
        else {
            throw LuceneError(
                .readFailed, location: reader.directory.location, file: reader.storedFields.data.name,
                offset: range.lowerBound, message: "no memory for a chunk of \(totalBytes) bytes")
        }
        let sliceBytes = isSliced ? reader.storedFields.chunkSizeBytes : max(totalBytes, 1)
        var done = 0
        while done < totalBytes {
            let count = min(sliceBytes, totalBytes - done)
            let fault = decompressor.decompress(&scanner, into: output + done, count: count, isWholeRest: !isSliced)
            if let fault {
                throw corrupt("chunk \(chunk): \(fault)", at: range.lowerBound + Int64(scanner.position))
            }
            done += count
        }
        guard scanner.remaining == 0 || totalBytes == 0 else {
            throw corrupt(
                "chunk \(chunk): \(scanner.remaining) bytes behind its content",
                at: range.lowerBound + Int64(scanner.position))
        }
        return decoded
    }

    /// Reads what precedes the payload and checks it against the index. Returns whether the payload is sliced.
    private func readHead(
        _ scanner: inout ByteScanner, _ documents: Range<Int>, _ start: Int64
    ) throws(LuceneError) -> Bool {
        let format = reader.storedFields.format
        guard let base = scanner.readVInt(), let token = scanner.readVInt() else {
            throw corrupt("malformed chunk head", at: start)
        }
        let count = token >> (format.hasDirtyBit ? 2 : 1)
        guard base == documents.lowerBound, count == documents.count else {
            throw corrupt("chunk of \(count) documents from \(base), the index says \(documents)", at: start)
        }
        if fieldCounts.count < count {
            fieldCounts.deallocate()
            byteCounts.deallocate()
            let capacity = max(count, 1024)
            fieldCounts = .allocate(capacity: capacity)
            byteCounts = .allocate(capacity: capacity)
            fieldCounts.initialize(repeating: 0)
            byteCounts.initialize(repeating: 0)
        }
        if count == 1 {
            guard let fields = scanner.readVInt(), let bytes = scanner.readVInt() else {
                throw corrupt("malformed chunk head", at: start + Int64(scanner.position))
            }
            fieldCounts[0] = UInt32(fields)
            byteCounts[0] = UInt32(bytes)
        } else {
            let fields = UnsafeMutableBufferPointer(rebasing: fieldCounts[..<count])
            let bytes = UnsafeMutableBufferPointer(rebasing: byteCounts[..<count])
            let isRead =
                format.isLucene90
                ? StoredFieldsInts.read(&scanner, into: fields) && StoredFieldsInts.read(&scanner, into: bytes)
                : StoredFieldsInts.readPacked(&scanner, into: fields)
                    && StoredFieldsInts.readPacked(&scanner, into: bytes)
            guard isRead else { throw corrupt("malformed lengths", at: start + Int64(scanner.position)) }
        }
        return token & 1 != 0
    }

    /// The decompressed length. Bounded before memory is taken: a wrong length may not ask for more than the
    /// compressed bytes can become, and Lucene itself cannot hold 2 GiB in a chunk.
    private func sumBytes(_ range: Range<Int64>) throws(LuceneError) -> Int {
        let count = reader.storedFields.index.documents(ofChunk: chunkIndex).count
        var total = 0
        for index in 0..<count { total += Int(byteCounts[index]) }
        let expansionLimit = reader.storedFields.format.compression.expansionLimit
        let limit = min(
            Int(Int32.max) - ChunkDecompressor.slackBytes, range.count.multipliedSaturating(by: expansionLimit))
        guard total <= limit else {
            throw corrupt("\(range.count) bytes cannot become \(total)", at: range.lowerBound)
        }
        return total
    }

    /// The bytes of a chunk, in the read-ahead buffer.
    private func load(_ range: Range<Int64>) throws(LuceneError) -> UnsafeRawPointer {
        let isBuffered =
            range.lowerBound >= bufferStart && range.upperBound <= bufferStart + Int64(bufferedBytes)
        if !isBuffered {
            let index = reader.storedFields.index
            let lastChunk = index.chunk(ofDocument: endDoc - 1)
            let rangeEnd = index.startPointers[lastChunk + 1]
            let count = max(Int64(range.count), min(Int64(Self.readAheadBytes), rangeEnd - range.lowerBound))
            if Int64(buffer.count) < count {
                free(buffer.baseAddress)
                let capacity = max(Int(count), min(Self.readAheadBytes, Int(rangeEnd - index.startPointers[0])))
                bufferedBytes = 0
                guard let memory = malloc(capacity) else {
                    buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
                    throw LuceneError(
                        .readFailed, location: reader.directory.location, file: reader.storedFields.data.name,
                        offset: range.lowerBound, message: "no memory for a chunk of \(count) bytes")
                }
                buffer = UnsafeMutableRawBufferPointer(start: memory, count: capacity)
            }
            bufferedBytes = 0
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(count)])
            try reader.storedFields.data.read(reader.directory, at: range.lowerBound, into: part)
            bufferStart = range.lowerBound
            bufferedBytes = Int(count)
        }
        let base = UnsafeRawPointer(buffer.baseAddress.unsafelyUnwrapped)
        return base + Int(range.lowerBound - bufferStart)
    }

    // MARK: Documents

    /// The next document of the current chunk, deleted ones included; nil behind its last one in the range.
    package func nextDocument() throws(LuceneError) -> StoredDocument? {
        guard let chunk, documentIndex < documentCount else { return nil }
        let docID = documentBase + documentIndex
        let byteCount = Int(byteCounts[documentIndex])
        let fieldCount = Int(fieldCounts[documentIndex])
        let start = documentOffset
        documentIndex += 1
        documentOffset += byteCount
        position = docID + 1
        guard reader.live.isLive(docID) else { return StoredDocument(docID: docID, kind: .deleted) }
        let base = chunk.bytes.baseAddress.unsafelyUnwrapped
        var scanner = ByteScanner(base, from: start, to: start + byteCount)
        guard let document = Self.parse(&scanner, base, reader.fieldRoles, docID: docID, fieldCount: fieldCount) else {
            throw corrupt(
                "document \(docID): malformed stored fields near byte \(scanner.position) of its chunk",
                at: reader.storedFields.index.startPointers[chunkIndex])
        }
        return document
    }

    /// Fields: VLong number << 3 | type, then by type: 0 string and 1 bytes VInt length + bytes, 2 ZInt, 3 ZFloat,
    /// 4 TLong, 5 ZDouble. nil when they are malformed or do not end where the document ends.
    @inline(__always)
    private static func parse(
        _ scanner: inout ByteScanner, _ base: UnsafeMutableRawPointer, _ roles: FieldRoles, docID: Int, fieldCount: Int
    ) -> StoredDocument? {
        var id: UnsafeRawBufferPointer?
        var isEncodedID = false
        var routing: UnsafeRawBufferPointer?
        var source: UnsafeMutableRawBufferPointer?
        for _ in 0..<fieldCount {
            guard let head = scanner.readVLong() else { return nil }
            switch head & 7 {
            case 0, 1:
                guard let count = scanner.readVInt() else { return nil }
                let start = scanner.position
                guard scanner.skip(count) else { return nil }
                let number = head >> 3
                let value = UnsafeMutableRawBufferPointer(start: base + start, count: count)
                if number == roles.source {
                    source = value
                } else if number == roles.id {
                    id = UnsafeRawBufferPointer(value)
                    isEncodedID = head & 7 == 1
                } else if number == roles.routing {
                    routing = UnsafeRawBufferPointer(value)
                } else if number == roles.uid, id == nil {
                    id = idWithoutType(UnsafeRawBufferPointer(value))
                    isEncodedID = false
                }
            case 2: guard scanner.skipVariable(byteLimit: 5) else { return nil }
            case 3: guard scanner.skipZFloat() else { return nil }
            case 4: guard scanner.skipTLong() else { return nil }
            case 5: guard scanner.skipZDouble() else { return nil }
            default: return nil
            }
        }
        guard scanner.remaining == 0 else { return nil }
        guard let id else { return StoredDocument(docID: docID, kind: .nested) }
        return StoredDocument(
            docID: docID, kind: .root, id: id, isEncodedID: isEncodedID, routing: routing, source: source)
    }

    /// The part of a `_uid` behind the first "#"; types cannot hold one, ids can.
    private static func idWithoutType(_ uid: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard let separator = uid.firstIndex(of: UInt8(ascii: "#")) else { return uid }
        return UnsafeRawBufferPointer(rebasing: uid[(separator + 1)...])
    }
}

extension Int {
    fileprivate func multipliedSaturating(by factor: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: factor)
        return overflow ? .max : product
    }
}
