/// Lucene's set of documents that have a value (`IndexedDISI`): blocks of 65 536 documents, shorts in the file's byte
/// order.
///
///     block: Int16 block number | Int16 cardinality - 1 | content
///     content: cardinality 65 536  nothing, all documents
///              more than 4 095     [with a rank table: 65 536 >> rankPower shorts] 1024 × Int64, 1 = has a value
///              else                cardinality shorts, the low halves of the document numbers
///
/// The last block has number 32 767 and holds the end marker; a jump table follows, which a front-to-back read does
/// not need. Lucene 7 has neither rank nor jump table.
enum IndexedDISI {
    private static let endBlock = 0x7FFF
    private static let greatestSparseCardinality = 4095

    /// The documents as bits. `input` is positioned at the first block and ends where the set's bytes end.
    static func read(
        _ input: inout IndexInput, rankPower: Int?, maxDoc: Int
    ) throws(LuceneError) -> [UInt64] {
        var bits = [UInt64](repeating: 0, count: (maxDoc + 63) / 64)
        var previousBlock = -1
        while true {
            let start = input.position
            let block = Int(UInt16(bitPattern: try input.readInt16()))
            let cardinality = Int(UInt16(bitPattern: try input.readInt16())) + 1
            if block == endBlock { return bits }
            guard block > previousBlock, block << 16 < maxDoc else {
                throw input.corrupt("block \(block) behind block \(previousBlock) of \(maxDoc) documents", at: start)
            }
            previousBlock = block
            let base = block << 16
            if cardinality == 65536 {
                guard base + 65536 <= maxDoc else {
                    throw input.corrupt("full block behind the last document", at: start)
                }
                for index in 0..<1024 { bits[base >> 6 + index] = .max }
            } else if cardinality > greatestSparseCardinality {
                try readDense(&input, rankPower: rankPower, base: base, maxDoc: maxDoc, cardinality, into: &bits)
            } else {
                try readSparse(&input, base: base, maxDoc: maxDoc, cardinality, into: &bits)
            }
        }
    }

    private static func readDense(
        _ input: inout IndexInput, rankPower: Int?, base: Int, maxDoc: Int, _ cardinality: Int,
        into bits: inout [UInt64]
    ) throws(LuceneError) {
        if let rankPower { try input.skip((65536 >> rankPower) * 2) }
        var count = 0
        for index in 0..<1024 {
            let word = UInt64(bitPattern: try input.readInt64())
            if word == 0 { continue }
            let last = base + index * 64 + 63 - word.leadingZeroBitCount
            guard last < maxDoc else { throw input.corrupt("document \(last) of \(maxDoc)", at: input.position - 8) }
            count += word.nonzeroBitCount
            bits[base >> 6 + index] = word
        }
        guard count == cardinality else {
            throw input.corrupt("a dense block has \(count) documents, its head says \(cardinality)")
        }
    }

    private static func readSparse(
        _ input: inout IndexInput, base: Int, maxDoc: Int, _ cardinality: Int, into bits: inout [UInt64]
    ) throws(LuceneError) {
        var previous = -1
        for _ in 0..<cardinality {
            let low = Int(UInt16(bitPattern: try input.readInt16()))
            let document = base | low
            guard low > previous, document < maxDoc else {
                throw input.corrupt(
                    "document \(document) behind \(base | max(previous, 0)) of \(maxDoc)", at: input.position - 2)
            }
            previous = low
            bits[document >> 6] |= 1 << UInt64(document & 63)
        }
    }
}
