import Glibc

/// Bytes waiting to be written: slices of memory that somebody owns. An owner is released as soon as the last byte of
/// its slices has been handed to the kernel (or to the TLS record layer), or the queue is dropped.
struct OutputQueue {
    /// IOV_MAX of Linux.
    static let vectorLimit = 1024
    /// A vectored write offers no more than this: a socket takes far less at once, and the vectors behind that would
    /// be filled in vain again and again.
    private static let vectoredByteLimit = 1 << 20

    private struct Slice {
        var base: UnsafeRawPointer
        var count: Int
        var owner: AnyObject?
    }

    private var slices: ContiguousArray<Slice> = []
    private var head = 0
    /// Bytes that are queued.
    private(set) var byteCount = 0
    /// Bytes that were consumed, ever; dropping the queue does not count.
    private(set) var consumedByteCount = 0

    var isEmpty: Bool { byteCount == 0 }

    /// Appends a slice, empty ones too when they carry an owner behind earlier slices.
    mutating func append(_ bytes: UnsafeRawBufferPointer, owner: AnyObject?) {
        guard let base = bytes.baseAddress, bytes.count > 0 else {
            if let owner { appendOwner(owner) }
            return
        }
        slices.append(Slice(base: base, count: bytes.count, owner: owner))
        byteCount += bytes.count
    }

    /// Has `owner` kept until everything queued so far is written.
    mutating func appendOwner(_ owner: AnyObject) {
        guard let last = slices.indices.last, last >= head else { return }
        if slices[last].owner == nil {
            slices[last].owner = owner
        } else if slices[last].owner !== owner {
            slices[last].owner = OwnerPair(slices[last].owner, owner)
        }
    }

    /// The first slice.
    var first: UnsafeRawBufferPointer? {
        guard head < slices.count else { return nil }
        return UnsafeRawBufferPointer(start: slices[head].base, count: slices[head].count)
    }

    /// Fills vectors from the front and returns how many were filled.
    func fill(_ vectors: UnsafeMutablePointer<iovec>) -> (count: Int, byteCount: Int) {
        var filled = 0
        var bytes = 0
        var index = head
        while index < slices.count, filled < Self.vectorLimit, bytes < Self.vectoredByteLimit {
            vectors[filled].iov_base = UnsafeMutableRawPointer(mutating: slices[index].base)
            vectors[filled].iov_len = slices[index].count
            bytes += slices[index].count
            filled += 1
            index += 1
        }
        return (filled, bytes)
    }

    /// Copies from the front without removing, until `limit` bytes or the end.
    func copyFront(to target: UnsafeMutableRawPointer, limit: Int) -> Int {
        var copied = 0
        var index = head
        while index < slices.count, copied < limit {
            let count = min(slices[index].count, limit - copied)
            (target + copied).copyMemory(from: slices[index].base, byteCount: count)
            copied += count
            index += 1
        }
        return copied
    }

    /// Removes `count` bytes from the front and releases the owners that are done.
    mutating func consume(_ count: Int) {
        precondition(count <= byteCount, "consumed \(count) of \(byteCount) bytes")
        byteCount -= count
        consumedByteCount &+= count
        var left = count
        while left > 0 {
            if slices[head].count > left {
                slices[head].base += left
                slices[head].count -= left
                return
            }
            left -= slices[head].count
            slices[head].owner = nil
            head += 1
        }
        if head == slices.count {
            // An idle connection keeps no memory for slices.
            slices.removeAll(keepingCapacity: slices.capacity <= 16)
            head = 0
        } else if head >= 4096 {
            slices.removeSubrange(0..<head)
            head = 0
        }
    }

    /// Counts bytes that were written without having been queued.
    mutating func notePassedBy(_ count: Int) { consumedByteCount &+= count }

    mutating func removeAll() {
        slices = []
        head = 0
        byteCount = 0
    }
}

private final class OwnerPair {
    let first: AnyObject?
    let second: AnyObject

    init(_ first: AnyObject?, _ second: AnyObject) {
        self.first = first
        self.second = second
    }
}

/// A copy of bytes that were not the caller's to keep.
final class CopiedBytes {
    let bytes: UnsafeMutableRawBufferPointer

    init(_ source: UnsafeRawBufferPointer) {
        bytes = .allocate(byteCount: source.count, alignment: 16)
        bytes.copyMemory(from: source)
    }

    deinit { bytes.deallocate() }
}
