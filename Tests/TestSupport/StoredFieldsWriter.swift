import CISAL
import CLZ4

/// How chunks of stored fields are compressed (Lucene90StoredFieldsFormat.Mode).
package enum StoredFieldsCodec: String, Sendable, CaseIterable {
    /// BEST_SPEED: LZ4 with a preset dictionary, chunks of 80 KiB.
    case lz4
    /// BEST_COMPRESSION: DEFLATE with a preset dictionary, chunks of 480 KiB.
    case deflate

    var dataCodecName: String { self == .lz4 ? "Lucene90StoredFieldsFastData" : "Lucene90StoredFieldsHighData" }
    var modeAttribute: String { self == .lz4 ? "BEST_SPEED" : "BEST_COMPRESSION" }
    package var chunkBytes: Int { self == .lz4 ? 10 * 8 * 1024 : 10 * 48 * 1024 }
    package var chunkDocuments: Int { self == .lz4 ? 1024 : 4096 }
}

/// `.fdt`, `.fdx` and `.fdm` of one segment, written front to back as Lucene 9.12 does
/// (Lucene90CompressingStoredFieldsWriter, FieldsIndexWriter).
package final class StoredFieldsWriter {
    package private(set) var documentCount = 0
    private let codec: StoredFieldsCodec
    private let id: [UInt8]
    private let data: LuceneFileOutput
    private let openIndex: () throws -> (index: LuceneFileOutput, meta: LuceneFileOutput)
    private let compressor: ChunkCompressor

    private var buffered: [UInt8] = []
    private var fieldCounts: [Int] = []
    private var endOffsets: [Int] = []
    private var fieldCount = 0
    private var chunkFirstDocuments: [Int64] = []
    private var chunkPointers: [Int64] = []

    /// `openIndex` is called once, at the end: the index is small.
    init(
        codec: StoredFieldsCodec, id: [UInt8], data: LuceneFileOutput,
        openIndex: @escaping () throws -> (index: LuceneFileOutput, meta: LuceneFileOutput)
    ) throws {
        self.codec = codec
        self.id = id
        self.data = data
        self.openIndex = openIndex
        compressor = ChunkCompressor(codec)
        buffered.reserveCapacity(codec.chunkBytes * 2)
        try data.write { $0.indexHeader(codec.dataCodecName, version: 1, id: id) }
    }

    package func add(_ field: Int, bytes: UnsafeRawBufferPointer) { add(field, type: 1, payload: bytes) }
    package func add(_ field: Int, string: UnsafeRawBufferPointer) { add(field, type: 0, payload: string) }

    private func add(_ field: Int, type: Int, payload: UnsafeRawBufferPointer) {
        startField(field, type: type)
        appendVarInt(UInt64(payload.count))
        buffered.append(contentsOf: payload)
    }

    package func add(_ field: Int, int value: Int32) {
        startField(field, type: 2)
        appendVarInt(UInt64(UInt32(bitPattern: (value << 1) ^ (value >> 31))))
    }

    /// A float or double always in the form that starts with 0xFF, which readers accept for every value.
    package func add(_ field: Int, float value: Float) {
        startField(field, type: 3)
        buffered.append(0xFF)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { buffered.append(contentsOf: $0) }
    }

    package func add(_ field: Int, double value: Double) {
        startField(field, type: 5)
        buffered.append(0xFF)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { buffered.append(contentsOf: $0) }
    }

    /// TLong: two bits say that the value was divided by a second, an hour or a day of milliseconds.
    package func add(_ field: Int, long value: Int64) {
        startField(field, type: 4)
        var header: UInt8 = 0
        var value = value
        for (divisor, bits) in [(86_400_000, 0xC0), (3_600_000, 0x80), (1000, 0x40)] as [(Int64, UInt8)]
        where value % divisor == 0 {
            value /= divisor
            header = bits
            break
        }
        let zigZag = UInt64(bitPattern: (value << 1) ^ (value >> 63))
        header |= UInt8(zigZag & 0x1F)
        buffered.append(zigZag >> 5 != 0 ? header | 0x20 : header)
        if zigZag >> 5 != 0 { appendVarInt(zigZag >> 5) }
    }

    package func endDocument() throws {
        fieldCounts.append(fieldCount)
        endOffsets.append(buffered.count)
        fieldCount = 0
        documentCount += 1
        if buffered.count >= codec.chunkBytes || fieldCounts.count >= codec.chunkDocuments { try flushChunk() }
    }

    package func finish() throws {
        // A last chunk that was not full is "dirty" in Lucene's counts (they only steer merges).
        let dirtyDocuments = fieldCounts.count
        if dirtyDocuments > 0 { try flushChunk(isDirty: true) }
        let maxPointer = data.length
        let (index, meta) = try openIndex()
        try meta.write {
            $0.indexHeader("Lucene90FieldsIndexMeta", version: 1, id: id)
            $0.varInt(codec.chunkBytes)
        }
        try writeIndex(index, meta, maxPointer)
        try meta.write {
            $0.varInt(chunkPointers.count)
            $0.varInt(dirtyDocuments > 0 ? 1 : 0)
            $0.varInt(dirtyDocuments)
        }
        for file in [meta, data, index] {
            try file.writeFooter()
            try file.finish()
        }
    }

    private func startField(_ field: Int, type: Int) {
        appendVarInt(UInt64(field << 3 | type))
        fieldCount += 1
    }

    private func appendVarInt(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            buffered.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        buffered.append(UInt8(rest))
    }

    private func flushChunk(isDirty: Bool = false) throws {
        let count = fieldCounts.count
        let isSliced = buffered.count >= 2 * codec.chunkBytes
        chunkFirstDocuments.append(Int64(documentCount - count))
        chunkPointers.append(data.length)
        var lengths = endOffsets
        for position in stride(from: count - 1, to: 0, by: -1) { lengths[position] -= endOffsets[position - 1] }
        try data.write {
            $0.varInt(documentCount - count)
            $0.varInt(count << 2 | (isDirty ? 2 : 0) | (isSliced ? 1 : 0))
            StoredFieldsInts.write(fieldCounts, to: &$0)
            StoredFieldsInts.write(lengths, to: &$0)
        }
        try buffered.withUnsafeBytes { all in
            let step = isSliced ? codec.chunkBytes : max(1, all.count)
            for start in stride(from: 0, to: max(1, all.count), by: step) {
                let end = min(start + step, all.count)
                try compressor.compress(UnsafeRawBufferPointer(rebasing: all[start..<end]), to: data)
            }
        }
        buffered.removeAll(keepingCapacity: true)
        fieldCounts.removeAll(keepingCapacity: true)
        endOffsets.removeAll(keepingCapacity: true)
    }

    private func writeIndex(_ index: LuceneFileOutput, _ meta: LuceneFileOutput, _ maxPointer: Int64) throws {
        let blockShift = 10
        try index.write { $0.indexHeader("Lucene90FieldsIndexIdx", version: 0, id: id) }
        try meta.write {
            $0.int32(documentCount)
            $0.int32(blockShift)
            $0.int32(chunkPointers.count + 1)
            $0.int64(index.length)
        }
        try DirectMonotonic.write(chunkFirstDocuments + [Int64(documentCount)], shift: blockShift, meta, index)
        try meta.write { $0.int64(index.length) }
        try DirectMonotonic.write(chunkPointers + [maxPointer], shift: blockShift, meta, index)
        try meta.write {
            $0.int64(index.length)
            $0.int64(maxPointer)
        }
    }
}

/// org.apache.lucene.codecs.lucene90.compressing.StoredFieldsInts; one value alone is a VInt.
enum StoredFieldsInts {
    static func write(_ values: [Int], to bytes: inout LuceneBytes) {
        if values.count == 1 { return bytes.varInt(values[0]) }
        guard let first = values.first, let largest = values.max() else { return }
        if values.allSatisfy({ $0 == first }) {
            bytes.byte(0)
            bytes.varInt(first)
            return
        }
        let width = largest <= 0xFF ? 8 : largest <= 0xFFFF ? 16 : 32
        bytes.byte(UInt8(width))
        let lanes = 64 / width
        let wordCount = 128 / lanes
        var start = 0
        while values.count - start >= 128 {
            for word in 0..<wordCount {
                var packed: UInt64 = 0
                for lane in 0..<lanes {
                    packed = packed << UInt64(width) | UInt64(values[start + word + lane * wordCount])
                }
                bytes.int64(Int64(bitPattern: packed))
            }
            start += 128
        }
        for value in values[start...] {
            switch width {
            case 8: bytes.byte(UInt8(value))
            case 16: bytes.int16(value)
            default: bytes.int32(value)
            }
        }
    }
}

/// org.apache.lucene.util.packed.DirectMonotonicWriter over DirectWriter: per block a line and packed deviations.
enum DirectMonotonic {
    private static let widths = [1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64]

    static func write(_ values: [Int64], shift: Int, _ meta: LuceneFileOutput, _ data: LuceneFileOutput) throws {
        let base = data.length
        for start in stride(from: 0, to: values.count, by: 1 << shift) {
            let block = Array(values[start..<min(start + 1 << shift, values.count)])
            let span = Double(block[block.count - 1] - block[0])
            let slope = Float(span / Double(max(1, block.count - 1)))
            var deltas = block.enumerated().map { $0.element - Int64(slope * Float($0.offset)) }
            let least = deltas.min() ?? 0
            deltas = deltas.map { $0 - least }
            let largest = deltas.max() ?? 0
            let needed = 64 - largest.leadingZeroBitCount
            let width = largest == 0 ? 0 : widths.first { $0 >= needed } ?? 64
            try meta.write {
                $0.int64(least)
                $0.int32(Int(slope.bitPattern))
                $0.int64(data.length - base)
                $0.byte(UInt8(width))
            }
            if width > 0 { try data.write(packed(deltas, width: width)) }
        }
    }

    /// A little-endian stream of bits with the padding that DirectWriter adds for readers that load whole words.
    private static func packed(_ values: [Int64], width: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var word: UInt64 = 0
        var wordBits = 0
        for value in values {
            var rest = UInt64(value)
            var restBits = width
            while restBits > 0 {
                let taken = min(8 - wordBits, restBits)
                word |= (rest & ((1 << UInt64(taken)) - 1)) << UInt64(wordBits)
                rest >>= UInt64(taken)
                restBits -= taken
                wordBits += taken
                if wordBits == 8 {
                    bytes.append(UInt8(word))
                    word = 0
                    wordBits = 0
                }
            }
        }
        if wordBits > 0 { bytes.append(UInt8(word)) }
        let load = width > 32 ? 64 : width > 16 ? 32 : width > 8 ? 16 : width
        return bytes + [UInt8](repeating: 0, count: (load - width + 7) / 8)
    }
}

/// LZ4WithPresetDictCompressionMode and DeflateWithPresetDictCompressionMode: a dictionary block, then ten blocks that
/// have it as history.
final class ChunkCompressor {
    private let codec: StoredFieldsCodec
    private var output: [UInt8] = []
    private let stream = LZ4_createStream()
    private let deflate = millrace_deflate_new()

    init(_ codec: StoredFieldsCodec) { self.codec = codec }

    deinit {
        LZ4_freeStream(stream)
        millrace_deflate_free(deflate)
    }

    func compress(_ bytes: UnsafeRawBufferPointer, to file: LuceneFileOutput) throws {
        switch codec {
        case .lz4: try compressLZ4(bytes, to: file)
        case .deflate: try compressDeflate(bytes, to: file)
        }
    }

    private func compressLZ4(_ bytes: UnsafeRawBufferPointer, to file: LuceneFileOutput) throws {
        let dictionaryBytes = min(1 << 16, bytes.count / 20)
        let blockBytes = (bytes.count - dictionaryBytes + 9) / 10
        let chars = bytes.bindMemory(to: CChar.self)
        var lengths = LuceneBytes()
        lengths.varInt(dictionaryBytes)
        lengths.varInt(blockBytes)
        var filled = 0
        reserve(Int(LZ4_compressBound(Int32(bytes.count))) + 11 * 32)
        func append(_ start: Int, _ count: Int, withDictionary: Bool) {
            LZ4_resetStream_fast(stream)
            if withDictionary { LZ4_loadDict(stream, chars.baseAddress, Int32(dictionaryBytes)) }
            let written = output.withUnsafeMutableBytes { out -> Int in
                let target = out.bindMemory(to: CChar.self)
                return Int(
                    LZ4_compress_fast_continue(
                        stream, chars.baseAddress.map { $0 + start }, target.baseAddress.map { $0 + filled },
                        Int32(count), Int32(target.count - filled), 1))
            }
            precondition(written > 0, "LZ4 had too little room")
            lengths.varInt(written)
            filled += written
        }
        append(0, dictionaryBytes, withDictionary: false)
        for start in stride(from: dictionaryBytes, to: bytes.count, by: max(1, blockBytes)) {
            append(start, min(blockBytes, bytes.count - start), withDictionary: true)
        }
        try file.write(lengths.bytes)
        try output.withUnsafeBytes { try file.write(UnsafeRawBufferPointer(rebasing: $0[0..<filled])) }
    }

    private func compressDeflate(_ bytes: UnsafeRawBufferPointer, to file: LuceneFileOutput) throws {
        let dictionaryBytes = bytes.count / 60
        let blockBytes = (bytes.count - dictionaryBytes + 9) / 10
        let input = bytes.bindMemory(to: UInt8.self)
        try file.write {
            $0.varInt(dictionaryBytes)
            $0.varInt(blockBytes)
        }
        reserve(millrace_gzip_bound(max(dictionaryBytes, blockBytes)))
        func append(_ start: Int, _ count: Int, dictionary: Int) throws {
            if count == 0 { return try file.write { $0.varInt(0) } }
            let written = millrace_deflate_raw(
                deflate, input.baseAddress.map { $0 + start }, count, input.baseAddress, dictionary, &output,
                output.count)
            precondition(written > 0, "DEFLATE had too little room")
            try file.write { $0.varInt(written) }
            try output.withUnsafeBytes { try file.write(UnsafeRawBufferPointer(rebasing: $0[0..<written])) }
        }
        try append(0, dictionaryBytes, dictionary: 0)
        for start in stride(from: dictionaryBytes, to: bytes.count, by: max(1, blockBytes)) {
            try append(start, min(blockBytes, bytes.count - start), dictionary: dictionaryBytes)
        }
    }

    private func reserve(_ count: Int) {
        if output.count < count { output = [UInt8](repeating: 0, count: count) }
    }
}
