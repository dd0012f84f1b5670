/// Which documents of a segment are live: neither hard- nor soft-deleted.
struct LiveDocuments: Sendable {
    let maxDoc: Int
    /// One bit a document, 1 = live, bits from `maxDoc` on 0; nil when all are live.
    private(set) var words: [UInt64]?

    init(maxDoc: Int) { self.maxDoc = maxDoc }

    /// Reads the `.liv` file (Lucene50 and Lucene90 `LiveDocsFormat`): IndexHeader, suffix = generation in base 36 |
    /// ⌈maxDoc / 64⌉ × Int64, 1 = live | footer.
    init(_ files: SegmentFiles, _ commit: SegmentCommitInfo, maxDoc: Int) throws(LuceneError) {
        self.maxDoc = maxDoc
        guard commit.delGen != -1 else {
            guard commit.deletedCount == 0 else {
                throw LuceneError(
                    .corrupt, location: files.directory.location, file: commit.name,
                    message: "\(commit.deletedCount) documents are deleted but there is no .liv file")
            }
            return
        }
        let generation = String(commit.delGen, radix: 36)
        let file = try files.outerFile("\(commit.name)_\(generation).liv")
        let wordCount = (maxDoc + 63) / 64
        let limit = Int64(wordCount * 8 + IndexHeader.byteLimit + CodecFooter.byteCount)
        var input = try IndexInput.openChecked(files.directory, file, limitBytes: limit)
        let header = try IndexHeader.read(&input)
        switch header.codecName {
        case "Lucene50LiveDocs": input.byteOrder = .bigEndian
        case "Lucene90LiveDocs": input.byteOrder = .littleEndian
        default: throw input.unsupported("live documents format \(header.codecName)")
        }
        try header.check(input, versions: 0...1, id: commit.id)
        guard header.suffix == generation else { throw input.corrupt("holds generation \(header.suffix)", at: 0) }
        guard input.remaining == wordCount * 8 else {
            throw input.corrupt("\(input.remaining) bytes of bits for \(maxDoc) documents")
        }
        var words = [UInt64](repeating: 0, count: wordCount)
        for index in 0..<wordCount { words[index] = UInt64(bitPattern: try input.readInt64()) }
        if maxDoc % 64 != 0, words[wordCount - 1] >> UInt64(maxDoc % 64) != 0 {
            throw input.corrupt("a bit is set behind the last document")
        }
        self.words = words
        guard maxDoc - liveCount == commit.deletedCount else {
            throw input.corrupt("\(maxDoc - liveCount) documents are deleted, the commit says \(commit.deletedCount)")
        }
    }

    /// Makes the documents of the set bits deleted. Returns how many of them were live.
    mutating func delete(_ deleted: [UInt64]) -> Int {
        var live = words ?? Self.allLive(maxDoc)
        var count = 0
        for index in 0..<min(live.count, deleted.count) {
            count += (live[index] & deleted[index]).nonzeroBitCount
            live[index] &= ~deleted[index]
        }
        words = live
        return count
    }

    private static func allLive(_ maxDoc: Int) -> [UInt64] {
        var words = [UInt64](repeating: .max, count: (maxDoc + 63) / 64)
        if maxDoc % 64 != 0 { words[words.count - 1] = .max >> UInt64(64 - maxDoc % 64) }
        return words
    }

    var liveCount: Int { liveCount(in: 0..<maxDoc) }

    /// `document` is at least 0 and less than `maxDoc`.
    func isLive(_ document: Int) -> Bool {
        guard let words else { return true }
        return words[document >> 6] >> UInt64(document & 63) & 1 != 0
    }

    /// The range lies within 0..<maxDoc.
    func liveCount(in range: Range<Int>) -> Int {
        guard let words else { return range.count }
        if range.isEmpty { return 0 }
        let first = range.lowerBound >> 6
        let last = (range.upperBound - 1) >> 6
        let firstMask = UInt64.max << UInt64(range.lowerBound & 63)
        let lastMask = UInt64.max >> UInt64(63 - (range.upperBound - 1) & 63)
        if first == last { return (words[first] & firstMask & lastMask).nonzeroBitCount }
        var count = (words[first] & firstMask).nonzeroBitCount + (words[last] & lastMask).nonzeroBitCount
        for index in (first + 1)..<last { count += words[index].nonzeroBitCount }
        return count
    }
}
