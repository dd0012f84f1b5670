import CISAL
import CZstd

/// How tuple files are packed. A group is what becomes durable at once; each is whole in itself (a gzip member, a zstd
/// frame, or lines), so that a file is readable up to its last whole group, whatever happens to its writer.
package enum TupleCompression: Sendable, Equatable {
    case none
    /// isa-l's level 1.
    case gzip
    /// Negative levels are faster and pack less.
    case zstd(level: Int)

    package var fileExtension: String {
        switch self {
        case .none: ".ndjson"
        case .gzip: ".ndjson.gz"
        case .zstd: ".ndjson.zst"
        }
    }
}

/// Packs groups for one file writer. Holds the packer's memory; used by one thread.
final class TupleGroupPacker {
    private let compression: TupleCompression
    private let zstd: OpaquePointer?
    private(set) var packed: [UInt8] = []

    init(_ compression: TupleCompression) {
        self.compression = compression
        guard case .zstd(let level) = compression else {
            zstd = nil
            return
        }
        zstd = ZSTD_createCCtx()
        precondition(zstd != nil, "no memory for zstd")
        ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, Int32(clamping: level))
        // Recovery tells a whole frame from a torn one by it.
        ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1)
    }

    deinit { ZSTD_freeCCtx(zstd) }

    /// Leaves the packed group in `packed`, which keeps its memory.
    func pack(_ lines: [UInt8]) {
        switch compression {
        case .none: packed = lines
        case .gzip:
            let count = fill(millrace_gzip_bound(lines.count)) { room, capacity in
                millrace_gzip(lines, lines.count, room, capacity)
            }
            precondition(count > 0, "isa-l packed nothing of \(lines.count) bytes")
        case .zstd:
            _ = fill(ZSTD_compressBound(lines.count)) { room, capacity in
                let count = ZSTD_compress2(zstd, room, capacity, lines, lines.count)
                precondition(ZSTD_isError(count) == 0, "zstd did not pack \(lines.count) bytes")
                return count
            }
        }
    }

    private func fill(_ bound: Int, _ body: (UnsafeMutablePointer<UInt8>, Int) -> Int) -> Int {
        packed = [UInt8](unsafeUninitializedCapacity: bound) { room, count in
            guard let base = room.baseAddress else { return }
            count = body(base, room.count)
        }
        return packed.count
    }
}

/// Finds how much of a file that its writer left are whole groups.
enum TupleFileRecovery {
    private static let blockBytes = 1 << 20

    /// The end of the last whole group. `read` fills a buffer from an offset and returns the number of bytes, 0 at the
    /// end, nil when it fails.
    static func wholeBytes(
        _ compression: TupleCompression, _ read: (UnsafeMutableRawBufferPointer, Int64) -> Int?
    ) -> Int64? {
        switch compression {
        case .none: plain(read)
        case .gzip: gzip(read)
        case .zstd: zstd(read)
        }
    }

    /// Lines end with a line feed, and hold no zero byte: those are what a file system shows of pages that were never
    /// written.
    private static func plain(_ read: (UnsafeMutableRawBufferPointer, Int64) -> Int?) -> Int64? {
        var whole: Int64 = 0
        var offset: Int64 = 0
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
        defer { block.deallocate() }
        while true {
            guard let count = read(block, offset) else { return nil }
            let bytes = block[..<count]
            let end = bytes.firstIndex(of: 0) ?? bytes.endIndex
            if let last = bytes[..<end].lastIndex(of: 0x0A) { whole = offset + Int64(last + 1) }
            if count == 0 || end < bytes.endIndex { return whole }
            offset += Int64(count)
        }
    }

    private static func gzip(_ read: (UnsafeMutableRawBufferPointer, Int64) -> Int?) -> Int64? {
        guard let stream = millrace_gunzip_stream_new() else { return nil }
        defer { millrace_gunzip_stream_free(stream) }
        let input = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
        defer {
            input.deallocate()
            output.deallocate()
        }
        guard let from = input.baseAddress?.assumingMemoryBound(to: UInt8.self),
            let to = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        else { return nil }
        var whole: Int64 = 0
        var offset: Int64 = 0
        while true {
            guard let count = read(input, offset) else { return nil }
            guard count > 0 else { return whole }
            var start = 0
            var isOutputFull = false
            while start < count || isOutputFull {
                var consumed = 0
                var written = 0
                let code = millrace_gunzip_stream_member(
                    stream, from + start, count - start, &consumed, to, output.count, &written)
                guard code == 0 else { return whole }
                start += consumed
                if millrace_gunzip_stream_may_end(stream) != 0 { whole = offset + Int64(start) }
                isOutputFull = written == output.count
            }
            offset += Int64(count)
        }
    }

    private static func zstd(_ read: (UnsafeMutableRawBufferPointer, Int64) -> Int?) -> Int64? {
        guard let stream = ZSTD_createDStream() else { return nil }
        defer { ZSTD_freeDStream(stream) }
        let input = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 16)
        defer {
            input.deallocate()
            output.deallocate()
        }
        var whole: Int64 = 0
        var offset: Int64 = 0
        while true {
            guard let count = read(input, offset) else { return nil }
            guard count > 0 else { return whole }
            var from = ZSTD_inBuffer(src: UnsafeRawPointer(input.baseAddress), size: count, pos: 0)
            var isOutputFull = false
            while from.pos < from.size || isOutputFull {
                var to = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
                let code = ZSTD_decompressStream(stream, &to, &from)
                guard ZSTD_isError(code) == 0 else { return whole }
                if code == 0 { whole = offset + Int64(from.pos) }
                isOutputFull = code != 0 && to.pos == to.size
            }
            offset += Int64(count)
        }
    }
}
