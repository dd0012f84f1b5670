import Glibc
import Synchronization

/// Recycled buffers for decompressed chunks. Thread-safe; a chunk's buffer comes back when its last reference goes.
///
/// Buffers have power-of-two capacities, so that one size class serves the slightly different chunks of a segment.
/// What would exceed `retainedBytesLimit` is freed at once; a buffer in use is not counted.
package final class ChunkPool: Sendable {
    private struct FreeBuffers: ~Copyable {
        var byClass: [[UInt]] = Array(repeating: [], count: 64)
        var retainedBytes = 0
    }

    /// Smallest capacity; below it the class is not worth telling apart.
    private static let leastCapacityBytes = 1 << 16
    private let retainedBytesLimit: Int
    private let free = Mutex(FreeBuffers())

    package init(retainedBytesLimit: Int) { self.retainedBytesLimit = retainedBytesLimit }

    deinit {
        free.withLock { free in
            for buffers in free.byClass {
                for address in buffers { Glibc.free(UnsafeMutableRawPointer(bitPattern: address)) }
            }
        }
    }

    /// Bytes of the buffers that wait for use.
    package var retainedBytes: Int { free.withLock { $0.retainedBytes } }

    /// A chunk of `byteCount` bytes with at least `slackBytes` writable bytes behind them; nil when memory is out.
    func take(byteCount: Int, slackBytes: Int) -> DecodedChunk? {
        let wanted = max(byteCount + slackBytes, Self.leastCapacityBytes)
        let sizeClass = Int.bitWidth - (wanted - 1).leadingZeroBitCount
        let capacity = 1 << sizeClass
        let recycled: UInt? = free.withLock { free in
            guard let address = free.byClass[sizeClass].popLast() else { return nil }
            free.retainedBytes -= capacity
            return address
        }
        let start = recycled.flatMap { UnsafeMutableRawPointer(bitPattern: $0) } ?? malloc(capacity)
        guard let start else { return nil }
        return DecodedChunk(start: start, byteCount: byteCount, sizeClass: sizeClass, pool: self)
    }

    fileprivate func giveBack(_ start: UnsafeMutableRawPointer, sizeClass: Int) {
        let capacity = 1 << sizeClass
        let isKept = free.withLock { free in
            guard free.retainedBytes + capacity <= retainedBytesLimit else { return false }
            free.byClass[sizeClass].append(UInt(bitPattern: start))
            free.retainedBytes += capacity
            return true
        }
        if !isKept { Glibc.free(start) }
    }
}

/// A decompressed chunk; slices of documents point into it and live as long as somebody holds it.
// Sound: the properties are constants; the bytes are written by the decoding cursor before anybody else sees the chunk
// and then, in place, only by the one owner that its consumer appoints.
package final class DecodedChunk: @unchecked Sendable {
    package let bytes: UnsafeMutableRawBufferPointer
    /// Bytes of memory that this chunk keeps busy, at least `bytes.count`.
    package var capacityBytes: Int { 1 << sizeClass }
    private let sizeClass: Int
    private let pool: ChunkPool

    fileprivate init(start: UnsafeMutableRawPointer, byteCount: Int, sizeClass: Int, pool: ChunkPool) {
        bytes = UnsafeMutableRawBufferPointer(start: start, count: byteCount)
        self.sizeClass = sizeClass
        self.pool = pool
    }

    deinit {
        if let start = bytes.baseAddress { pool.giveBack(start, sizeClass: sizeClass) }
    }
}
