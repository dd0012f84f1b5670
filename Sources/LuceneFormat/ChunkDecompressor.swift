import CISAL
import CLZ4
import CSystem
import CZstd

/// Decompresses the pieces of chunks; owns the contexts that isa-l and zstd need. Confined to one thread.
///
/// Every block is decompressed to where it belongs in the chunk. Lucene's dictionary is the start of the chunk itself.
/// LZ4 is fastest when its history lies directly before the destination (4.8 instead of 3.45 GB/s), so LZ4 blocks go
/// from the last to the first: the dictionary is copied before a block, over the place of the block that comes next.
final class ChunkDecompressor {
    /// Bytes behind a chunk that may be written. LZ4's parser refuses a match that starts within the last twelve bytes
    /// of its destination, but Lucene's compressor makes matches up to ten bytes before the end, so it gets a
    /// destination that is longer. More than twelve keeps its fast loop going for longer.
    static let slackBytes = 64

    private let compression: StoredFieldsCompression
    private var inflateState: UnsafeMutablePointer<inflate_state>?
    private var zstdContext: OpaquePointer?
    private var blockLengths: [Int] = []

    /// nil when memory is out.
    init?(_ compression: StoredFieldsCompression) {
        self.compression = compression
        switch compression {
        case .lz4, .lz4WithDictionary: break
        case .deflate, .deflateWithDictionary:
            guard let state = millrace_inflate_new() else { return nil }
            inflateState = state
        case .zstdFrame, .zstdWithDictionary, .zstdBlocks:
            guard let context = ZSTD_createDCtx() else { return nil }
            zstdContext = context
        }
    }

    deinit {
        if let inflateState { millrace_inflate_free(inflateState) }
        if let zstdContext { ZSTD_freeDCtx(zstdContext) }
    }

    /// Decompresses one piece of `count` bytes to `output`, behind which `slackBytes` may be overwritten. Returns nil,
    /// or what is wrong with it; `input` then stands near the fault. Otherwise it stands behind the piece.
    func decompress(
        _ input: inout ByteScanner, into output: UnsafeMutableRawPointer, count: Int, isWholeRest: Bool
    ) -> StaticString? {
        if count == 0 { return nil }
        switch compression {
        case .lz4: return decompressLZ4(&input, output, count, isWholeRest: isWholeRest)
        case .lz4WithDictionary: return decompressLZ4WithDictionary(&input, output, count)
        case .deflate: return readLength(&input) { inflate($0, $1, output, count, dictionary: nil, 0) }
        case .zstdFrame: return readLength(&input) { zstd($0, $1, output, count, dictionary: nil, 0) }
        case .deflateWithDictionary, .zstdWithDictionary, .zstdBlocks: return decompressBlocks(&input, output, count)
        }
    }

    // MARK: LZ4

    private func decompressLZ4(
        _ input: inout ByteScanner, _ output: UnsafeMutableRawPointer, _ count: Int, isWholeRest: Bool
    ) -> StaticString? {
        let source = (input.base + input.position).assumingMemoryBound(to: UInt8.self)
        let length =
            isWholeRest ? input.remaining : millrace_lz4_block_length(source, input.remaining, count)
        guard length > 0 else { return "malformed LZ4 block" }
        let written = LZ4_decompress_safe(
            source, output.assumingMemoryBound(to: CChar.self), Int32(clamping: length),
            Int32(clamping: count + Self.slackBytes))
        guard Int(written) == count, input.skip(length) else { return "malformed LZ4 block" }
        return nil
    }

    /// VInt dictionary length, VInt block length, VInt compressed length of the dictionary and of each block; then the
    /// dictionary and the blocks (`LZ4WithPresetDictCompressionMode`).
    private func decompressLZ4WithDictionary(
        _ input: inout ByteScanner, _ output: UnsafeMutableRawPointer, _ count: Int
    ) -> StaticString? {
        guard let layout = readLayout(&input, count, hasDictionary: true),
            let dictionaryLength = input.readVInt()
        else { return "malformed lengths of LZ4 blocks" }
        blockLengths.removeAll(keepingCapacity: true)
        var total = dictionaryLength
        for _ in 0..<layout.blockCount {
            guard let length = input.readVInt() else { return "malformed lengths of LZ4 blocks" }
            blockLengths.append(length)
            total += length
        }
        let start = input.position
        guard input.skip(total) else { return "LZ4 blocks leave the chunk" }
        let source = (input.base + start).assumingMemoryBound(to: CChar.self)
        let target = output.assumingMemoryBound(to: CChar.self)
        if layout.dictionaryBytes > 0 {
            let written = lz4WithSlack(source, dictionaryLength, target, layout.dictionaryBytes, dictionaryBytes: 0)
            guard written == layout.dictionaryBytes else { return "malformed LZ4 dictionary" }
        }
        var sourceEnd = total
        var index = layout.blockCount - 1
        while index >= 0 {
            let position = layout.dictionaryBytes + index * layout.blockBytes
            let blockBytes = min(layout.blockBytes, count - position)
            if index > 0 {
                (output + position - layout.dictionaryBytes).copyMemory(from: output, byteCount: layout.dictionaryBytes)
            }
            sourceEnd -= blockLengths[index]
            let written = lz4WithSlack(
                source + sourceEnd, blockLengths[index], target + position, blockBytes,
                dictionaryBytes: layout.dictionaryBytes)
            guard written == blockBytes else { return "malformed LZ4 block" }
            index -= 1
        }
        return nil
    }

    /// Decompresses a block whose dictionary lies directly before `target`, with room for `slackBytes` more than it
    /// has; what stands there, the block behind this one, is put back.
    private func lz4WithSlack(
        _ source: UnsafePointer<CChar>, _ length: Int, _ target: UnsafeMutablePointer<CChar>, _ count: Int,
        dictionaryBytes: Int
    ) -> Int {
        typealias Saved = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
        let behind = UnsafeMutableRawPointer(target + count)
        let saved = behind.loadUnaligned(as: Saved.self)
        let written = LZ4_decompress_safe_usingDict(
            source, target, Int32(clamping: length), Int32(clamping: count + Self.slackBytes),
            target - dictionaryBytes, Int32(clamping: dictionaryBytes))
        behind.storeBytes(of: saved, as: Saved.self)
        return Int(written)
    }

    // MARK: Blocks

    private struct BlockLayout {
        let dictionaryBytes: Int
        let blockBytes: Int
        let blockCount: Int
    }

    /// VInt dictionary length (where there is one), VInt block length. The numbers of blocks follow from the length of
    /// the piece; a block costs at least a byte of the input.
    private func readLayout(_ input: inout ByteScanner, _ count: Int, hasDictionary: Bool) -> BlockLayout? {
        var dictionaryBytes = 0
        if hasDictionary {
            guard let length = input.readVInt(), length <= count else { return nil }
            dictionaryBytes = length
        }
        guard let blockBytes = input.readVInt() else { return nil }
        if dictionaryBytes == count {
            return BlockLayout(dictionaryBytes: dictionaryBytes, blockBytes: blockBytes, blockCount: 0)
        }
        guard blockBytes > 0 else { return nil }
        let blockCount = (count - dictionaryBytes + blockBytes - 1) / blockBytes
        guard blockCount <= input.remaining else { return nil }
        return BlockLayout(dictionaryBytes: dictionaryBytes, blockBytes: blockBytes, blockCount: blockCount)
    }

    /// The dictionary, then each block, all as VInt compressed length and that many bytes
    /// (`DeflateWithPresetDictCompressionMode`, OpenSearch's `ZstdCompressionMode` and `ZstdNoDictCompressionMode`).
    private func decompressBlocks(
        _ input: inout ByteScanner, _ output: UnsafeMutableRawPointer, _ count: Int
    ) -> StaticString? {
        let isDeflate = compression == .deflateWithDictionary
        let hasDictionary = compression != .zstdBlocks
        guard let layout = readLayout(&input, count, hasDictionary: hasDictionary) else {
            return "malformed block layout"
        }
        if hasDictionary {
            let bytes = layout.dictionaryBytes
            let fault = readLength(&input) { source, length in
                if bytes == 0 { return nil }
                return isDeflate
                    ? inflate(source, length, output, bytes, dictionary: nil, 0)
                    : zstd(source, length, output, bytes, dictionary: nil, 0)
            }
            if let fault { return fault }
        }
        for index in 0..<layout.blockCount {
            let position = layout.dictionaryBytes + index * layout.blockBytes
            let bytes = min(layout.blockBytes, count - position)
            let fault = readLength(&input) { source, length in
                isDeflate
                    ? inflate(source, length, output + position, bytes, dictionary: output, layout.dictionaryBytes)
                    : zstd(source, length, output + position, bytes, dictionary: output, layout.dictionaryBytes)
            }
            if let fault { return fault }
        }
        return nil
    }

    /// VInt compressed length and that many bytes, given to `body`.
    @inline(__always)
    private func readLength(
        _ input: inout ByteScanner, _ body: (UnsafeRawPointer, Int) -> StaticString?
    ) -> StaticString? {
        guard let length = input.readVInt() else { return "malformed compressed length" }
        let start = input.position
        guard input.skip(length) else {
            return "compressed bytes leave the chunk"
        }
        return body(input.base + start, length)
    }

    private func inflate(
        _ source: UnsafeRawPointer, _ length: Int, _ output: UnsafeMutableRawPointer, _ count: Int,
        dictionary: UnsafeMutableRawPointer?, _ dictionaryBytes: Int
    ) -> StaticString? {
        var written = 0
        let code = millrace_inflate_raw(
            inflateState, source.assumingMemoryBound(to: UInt8.self), length,
            output.assumingMemoryBound(to: UInt8.self), count,
            dictionary?.assumingMemoryBound(to: UInt8.self), dictionary == nil ? 0 : dictionaryBytes, &written)
        return code == 0 && written == count ? nil : "malformed DEFLATE stream"
    }

    private func zstd(
        _ source: UnsafeRawPointer, _ length: Int, _ output: UnsafeMutableRawPointer, _ count: Int,
        dictionary: UnsafeMutableRawPointer?, _ dictionaryBytes: Int
    ) -> StaticString? {
        let written = ZSTD_decompress_usingDict(
            zstdContext, output, count, source, length, dictionary, dictionary == nil ? 0 : dictionaryBytes)
        return ZSTD_isError(written) == 0 && written == count ? nil : "malformed zstd frame"
    }
}
