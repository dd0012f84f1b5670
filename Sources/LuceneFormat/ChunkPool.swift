import Glibc
import Synchronization

/// Recycled buffers for decompressed chunks. Thread-safe; a chunk's buffer comes back when its last reference goes.
///
/// One size class serves the slightly different chunks of a segment (`ChunkSizeClass`). Buffers that would exceed
/// `retainedBytesLimit` push out those of other classes, which nobody wants any more when a segment of another format
/// has begun, or are freed at once; a buffer in use is not counted.
package final class ChunkPool: Sendable {
    private struct FreeBuffers: ~Copyable {
        var byClass: [[UInt]] = Array(repeating: [], count: ChunkSizeClass.count)
        var retainedBytes = 0

        mutating func take(_ sizeClass: ChunkSizeClass) -> UInt? {
            guard let address = byClass[sizeClass.index].popLast() else { return nil }
            retainedBytes -= sizeClass.capacityBytes
            return address
        }

        mutating func keep(_ address: UInt, _ sizeClass: ChunkSizeClass) {
            byClass[sizeClass.index].append(address)
            retainedBytes += sizeClass.capacityBytes
        }

        /// A buffer of another class than `sizeClass`, of the largest there is.
        mutating func takeOther(than sizeClass: ChunkSizeClass) -> UInt? {
            guard let index = byClass.indices.last(where: { $0 != sizeClass.index && !byClass[$0].isEmpty }) else {
                return nil
            }
            return take(ChunkSizeClass(index: index))
        }
    }

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
        let sizeClass = ChunkSizeClass(byteCount: byteCount + slackBytes)
        let recycled = free.withLock { $0.take(sizeClass) }
        let start = recycled.flatMap { UnsafeMutableRawPointer(bitPattern: $0) } ?? malloc(sizeClass.capacityBytes)
        guard let start else { return nil }
        return DecodedChunk(start: start, byteCount: byteCount, sizeClass: sizeClass, pool: self)
    }

    fileprivate func giveBack(_ start: UnsafeMutableRawPointer, sizeClass: ChunkSizeClass) {
        let address = UInt(bitPattern: start)
        let capacityBytes = sizeClass.capacityBytes
        while true {
            // They leave one by one, so that memory does not go back to the system while the lock is held.
            let leaving: UInt? = free.withLock { free in
                if free.retainedBytes + capacityBytes <= retainedBytesLimit {
                    free.keep(address, sizeClass)
                    return nil
                }
                return capacityBytes > retainedBytesLimit ? address : free.takeOther(than: sizeClass) ?? address
            }
            guard let leaving else { return }
            Glibc.free(UnsafeMutableRawPointer(bitPattern: leaving))
            if leaving == address { return }
        }
    }
}

/// Capacities of buffers: eight steps a doubling, so that a buffer is less than an eighth larger than it has to be. A
/// chunk of Lucene's LZ4 is a little larger than 80 KiB and takes 88, where a power of two would be 128.
struct ChunkSizeClass: Equatable {
    /// Eight times the exponent of two plus the eighth within it.
    let index: Int

    static let count = Int.bitWidth << 3
    /// Below it sizes are not worth telling apart.
    private static let leastCapacityBytes = 1 << 16

    init(index: Int) { self.index = index }

    /// The smallest class of at least `byteCount` bytes.
    init(byteCount: Int) {
        let last = max(byteCount, Self.leastCapacityBytes) - 1
        let exponent = Int.bitWidth - 1 - last.leadingZeroBitCount
        index = exponent << 3 | last >> (exponent - 3) & 7
    }

    var capacityBytes: Int { (8 + index & 7 + 1) << (index >> 3 - 3) }
}

/// A decompressed chunk; slices of documents point into it and live as long as somebody holds it.
// Sound: the properties are constants; the bytes are written by the decoding cursor before anybody else sees the chunk
// and then, in place, only by the one owner that its consumer appoints.
package final class DecodedChunk: @unchecked Sendable {
    package let bytes: UnsafeMutableRawBufferPointer
    /// Bytes of memory that this chunk keeps busy, at least `bytes.count`.
    package var capacityBytes: Int { sizeClass.capacityBytes }
    private let sizeClass: ChunkSizeClass
    private let pool: ChunkPool

    fileprivate init(start: UnsafeMutableRawPointer, byteCount: Int, sizeClass: ChunkSizeClass, pool: ChunkPool) {
        bytes = UnsafeMutableRawBufferPointer(start: start, count: byteCount)
        self.sizeClass = sizeClass
        self.pool = pool
    }

    deinit {
        if let start = bytes.baseAddress { pool.giveBack(start, sizeClass: sizeClass) }
    }
}
