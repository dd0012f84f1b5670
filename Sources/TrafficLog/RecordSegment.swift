import CSystem

/// Memory that holds one record from the first received byte to the acknowledgement of the log.
///
/// Whoever lays the record out owns the segment and keeps it in a pool. From a successful `TrafficLogWriter.append` to
/// the delivery the writer reads the bytes and nobody may change them. A delivery with `isReusable` gives the memory
/// back; after one without, the owner forgets the segment, and the last reference frees it.
// Sound: one side has the segment at a time: its owner until `append`, the writer until the delivery. The hand-over
// goes
// through the writer's lock on both ways.
package final class RecordSegment: @unchecked Sendable {
    /// The whole memory.
    package let bytes: UnsafeMutableRawBufferPointer
    /// Where in `bytes` the record stands; set before `append`.
    package var recordRange: Range<Int> = 0..<0
    /// For the owner: what the record is to it. The writer does not look at them.
    package var token: UInt64 = 0
    package var context: AnyObject?
    /// When it was handed over, nanoseconds of the monotonic clock.
    package var handedOverNanoseconds: UInt64 = 0

    // The writer's own, between append and delivery.
    var sink: (any TrafficLogSink)?
    var sequence: UInt64 = 0
    var key: ConnectionKey?
    /// -1: not known here.
    var partition: Int32 = -1
    /// A library has the record.
    var isHandedOver = false
    /// What a writer that stands in front of another one remembers of the segment.
    var relay: AnyObject?

    /// From here on a segment has pages of its own, so that they can be given back: the allocator's heap keeps what
    /// lies between small objects that live on.
    private static let mappedBytes = 16 << 10

    /// `capacityBytes` of memory with no defined content, aligned to 64 bytes.
    package init(capacityBytes: Int) {
        if capacityBytes >= Self.mappedBytes {
            guard let pages = millrace_map_pages(capacityBytes) else {
                fatalError("no memory for a segment of \(capacityBytes) bytes")
            }
            bytes = UnsafeMutableRawBufferPointer(start: pages, count: capacityBytes)
        } else {
            bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, capacityBytes), alignment: 64)
        }
    }

    /// Gives the memory back to the kernel and keeps the addresses. The content is gone; using the segment again takes
    /// memory again. Of a small segment it does nothing.
    package func releaseMemory() {
        if bytes.count >= Self.mappedBytes, let base = bytes.baseAddress { millrace_release_pages(base, bytes.count) }
    }

    /// A segment whose record is a copy of `record`.
    package convenience init(copying record: some Collection<UInt8>) {
        self.init(capacityBytes: record.count)
        bytes.copyBytes(from: record)
        recordRange = 0..<record.count
    }

    deinit {
        if bytes.count >= Self.mappedBytes, let base = bytes.baseAddress {
            millrace_unmap_pages(base, bytes.count)
        } else {
            bytes.deallocate()
        }
    }

    /// The record's bytes.
    package var record: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[recordRange])
    }
}

/// The key of a connection's records: its id. Records of one key keep their order and go to one partition.
package struct ConnectionKey: Sendable, Hashable {
    package let bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }
    package init(_ text: String) { bytes = Array(text.utf8) }
}
