@testable import LuceneFormat

/// Writes a shard of one segment in the stored-fields formats of Lucene 5 to 8.6, of which the engines of the fixtures
/// wrote only some: `Lucene50StoredFieldsFast` versions 0 to 4, with LZ4 blocks that are all literals.
struct SyntheticSegment {
    static let id = [UInt8](1...16)

    struct Document {
        let fieldCount: Int
        let content: [UInt8]
    }

    let version: Int
    let chunkSizeBytes: Int
    let chunks: [[Document]]
    var deleted: Set<Int> = []

    var maxDoc: Int { chunks.reduce(0) { $0 + $1.count } }

    func directory() -> MemoryDirectory {
        var directory = MemoryDirectory()
        directory.files["segments_1"] = segments()
        directory.files["_0.si"] = segmentInfo()
        directory.files["_0.fnm"] = fieldInfos()
        if !deleted.isEmpty { directory.files["_0_a.liv"] = liveDocuments() }
        appendStoredFields(&directory)
        return directory
    }

    private func segments() -> [UInt8] {
        var output = LuceneOutput()
        output.header("segments", version: 10, suffix: "1")
        for number in [8, 5, 0, 8] { output.vInt(number) }
        output.int64(3)
        output.vLong(1)
        output.int32(1)
        for number in [8, 5, 0] { output.vInt(number) }
        output.string("_0")
        output.bytes += Self.id
        output.string("Lucene84")
        output.int64(deleted.isEmpty ? -1 : 10)
        output.int32(deleted.count)
        output.int64(-1)
        output.int64(-1)
        output.int32(0)
        output.byte(1)
        output.bytes += Self.id
        output.strings([])
        output.int32(0)
        output.vInt(1)
        output.string("history_uuid")
        output.string("x")
        return output.withFooter
    }

    private func segmentInfo() -> [UInt8] {
        var output = LuceneOutput()
        output.header("Lucene86SegmentInfo", version: 0)
        for number in [8, 5, 0] { output.int32(number) }
        output.byte(1)
        for number in [8, 5, 0] { output.int32(number) }
        output.int32(maxDoc)
        output.byte(-1)
        output.vInt(0)
        output.strings(["_0.si", "_0.fdt"])
        output.vInt(0)
        output.vInt(0)
        return output.withFooter
    }

    private func fieldInfos() -> [UInt8] {
        var output = LuceneOutput()
        output.header("Lucene60FieldInfos", version: 2)
        let names = ["_recovery_source", "_source", "_id", "number", "_routing"]
        output.vInt(names.count)
        for (number, name) in names.enumerated() {
            output.string(name)
            output.vInt(number)
            for _ in 0..<3 { output.byte(0) }
            output.int64(-1)
            output.vInt(0)
            output.vInt(name == "number" ? 1 : 0)
            if name == "number" {
                output.vInt(1)
                output.vInt(4)
            }
        }
        return output.withFooter
    }

    private func liveDocuments() -> [UInt8] {
        var output = LuceneOutput()
        output.header("Lucene50LiveDocs", version: 0, suffix: "a")
        for word in 0..<((maxDoc + 63) / 64) {
            var bits: UInt64 = 0
            for bit in 0..<64 where word * 64 + bit < maxDoc && !deleted.contains(word * 64 + bit) {
                bits |= 1 << UInt64(bit)
            }
            output.int64(Int64(bitPattern: bits))
        }
        return output.withFooter
    }

    private func appendStoredFields(_ directory: inout MemoryDirectory) {
        var data = LuceneOutput()
        data.header("Lucene50StoredFieldsFastData", version: version)
        if version < 3 {
            data.vInt(chunkSizeBytes)
            data.vInt(2)
        }
        var bases: [Int64] = [0]
        var pointers: [Int64] = []
        for chunk in chunks {
            pointers.append(Int64(data.bytes.count))
            appendChunk(chunk, base: Int(bases[bases.count - 1]), to: &data)
            bases.append(bases[bases.count - 1] + Int64(chunk.count))
        }
        pointers.append(Int64(data.bytes.count))
        if version == 1 || version == 2 {
            data.vLong(Int64(chunks.count))
            data.vLong(0)
        }
        directory.files["_0.fdt"] = data.withFooter
        if version < 2 {
            directory.files["_0.fdx"] = legacyIndex(bases: bases, pointers: pointers)
        } else {
            appendMonotonicIndex(&directory, bases: bases, pointers: pointers)
        }
    }

    private func appendChunk(_ documents: [Document], base: Int, to data: inout LuceneOutput) {
        let content = documents.flatMap(\.content)
        let isSliced = content.count >= 2 * chunkSizeBytes
        data.vInt(base)
        let flags = isSliced ? 1 : 0
        data.vInt(version >= 4 ? documents.count << 2 | 2 | flags : documents.count << 1 | flags)
        if documents.count == 1 {
            data.vInt(documents[0].fieldCount)
            data.vInt(content.count)
        } else {
            appendPacked(documents.map(\.fieldCount), to: &data)
            appendPacked(documents.map(\.content.count), to: &data)
        }
        for start in stride(from: 0, to: content.count, by: isSliced ? chunkSizeBytes : max(content.count, 1)) {
            let end = isSliced ? min(start + chunkSizeBytes, content.count) : content.count
            data.lz4Literals(content[start..<end])
        }
    }

    private func appendPacked(_ values: [Int], to data: inout LuceneOutput) {
        if Set(values).count == 1 {
            data.vInt(0)
            data.vInt(values[0])
        } else {
            let bits = Int.bitWidth - (values.max() ?? 0).leadingZeroBitCount
            data.vInt(bits)
            data.packed(values.map(UInt64.init), bits: bits, .bigEndian)
        }
    }

    private func legacyIndex(bases: [Int64], pointers: [Int64]) -> [UInt8] {
        var output = LuceneOutput()
        output.header("Lucene50StoredFieldsFastIndex", version: version)
        output.vInt(2)
        let blockChunks = 4
        for first in stride(from: 0, to: chunks.count, by: blockChunks) {
            let block = first..<min(first + blockChunks, chunks.count)
            output.vInt(block.count)
            appendLegacyBlock(Array(bases[block]), to: &output)
            appendLegacyBlock(Array(pointers[block]), to: &output)
        }
        output.vInt(0)
        output.vLong(pointers[chunks.count])
        return output.withFooter
    }

    private func appendLegacyBlock(_ values: [Int64], to output: inout LuceneOutput) {
        let slope = values.count == 1 ? 0 : (values[values.count - 1] - values[0]) / Int64(values.count - 1)
        output.vLong(values[0])
        output.vLong(slope)
        let deltas = values.enumerated().map { index, value in
            let delta = value - values[0] - slope * Int64(index)
            return UInt64(bitPattern: delta << 1 ^ delta >> 63)
        }
        let bits = max(1, 64 - (deltas.max() ?? 0).leadingZeroBitCount)
        output.vInt(bits)
        output.packed(deltas, bits: bits, .bigEndian)
    }

    private func appendMonotonicIndex(_ directory: inout MemoryDirectory, bases: [Int64], pointers: [Int64]) {
        var index = LuceneOutput()
        index.header("Lucene85FieldsIndexIdx", version: 0)
        var metadata = LuceneOutput()
        metadata.header("Lucene85FieldsIndexMeta", version: version < 3 ? 0 : version)
        if version >= 3 {
            metadata.vInt(chunkSizeBytes)
            metadata.vInt(2)
        }
        metadata.int32(maxDoc)
        metadata.int32(2)
        metadata.int32(chunks.count + 1)
        metadata.int64(Int64(index.bytes.count))
        metadata.monotonic(bases, blockShift: 2, into: &index)
        metadata.int64(Int64(index.bytes.count))
        metadata.monotonic(pointers, blockShift: 2, into: &index)
        metadata.int64(Int64(index.bytes.count))
        metadata.int64(pointers[chunks.count])
        if version >= 4 { for _ in 0..<3 { metadata.vLong(1) } }
        directory.files["_0.fdx"] = index.withFooter
        directory.files["_0.fdm"] = metadata.withFooter
    }
}
