/// Read buffers of one event loop. A connection has one only while it reads, so an idle connection owns no buffer.
///
/// Confined to its loop. A buffer is `bufferBytes` long with `paddingBytes` readable bytes behind it, which vector
/// scanners may read past the end of what was received.
package final class BufferPool {
    /// One read of this size empties most sockets; larger ones leave the processor's cache.
    package static let bufferBytes = 64 * 1024
    package static let paddingBytes = 64

    /// The buffer given back last; the pool of a loop whose connections only read is this one buffer.
    private var spare: UnsafeMutableRawPointer?
    private var free: ContiguousArray<UnsafeMutableRawPointer> = []
    private let retainedCountLimit: Int
    /// Buffers that were taken and not given back.
    package private(set) var takenCount = 0

    /// Keeps at most `retainedCountLimit` free buffers (default 16 MiB of them); others go back to the allocator.
    package init(retainedCountLimit: Int = 256) {
        self.retainedCountLimit = retainedCountLimit
    }

    deinit {
        spare?.deallocate()
        for pointer in free { pointer.deallocate() }
    }

    /// A buffer of `bufferBytes` whose content is undefined.
    package func take() -> UnsafeMutableRawBufferPointer {
        takenCount += 1
        if let pointer = spare {
            spare = nil
            return UnsafeMutableRawBufferPointer(start: pointer, count: Self.bufferBytes)
        }
        if let pointer = free.popLast() {
            return UnsafeMutableRawBufferPointer(start: pointer, count: Self.bufferBytes)
        }
        let pointer = UnsafeMutableRawPointer.allocate(
            byteCount: Self.bufferBytes + Self.paddingBytes, alignment: 64)
        // Only the padding is cleared: it is read before anything is written to it.
        pointer.advanced(by: Self.bufferBytes).initializeMemory(as: UInt8.self, repeating: 0, count: Self.paddingBytes)
        return UnsafeMutableRawBufferPointer(start: pointer, count: Self.bufferBytes)
    }

    /// Takes back a buffer of this pool.
    package func give(_ buffer: UnsafeMutableRawBufferPointer) {
        guard let pointer = buffer.baseAddress else { preconditionFailure("an empty buffer is not of a pool") }
        precondition(takenCount > 0, "a buffer was given back twice")
        takenCount -= 1
        if spare == nil {
            spare = pointer
        } else if free.count < retainedCountLimit {
            free.append(pointer)
        } else {
            pointer.deallocate()
        }
    }
}
