import CISAL
import Glibc

/// Bodies as gzip (RFC 1952), both ways.
enum GzipBody {
    /// `body` as one gzip member of level 1, or nil when it does not get smaller or memory is out: it is then sent as
    /// it is. Slices are joined, as the deflater takes one piece; this is the only path that copies a body.
    static func compressed(_ body: ClusterRequestBody) -> ClusterRequestBody? {
        if body.slices.count == 1 { return compressed(body.slices[0]) }
        let joined = OwnedBytes(count: body.byteCount)
        var offset = 0
        for slice in body.slices where slice.count > 0 {
            UnsafeMutableRawBufferPointer(rebasing: joined.bytes[offset...]).copyMemory(from: slice)
            offset += slice.count
        }
        return compressed(UnsafeRawBufferPointer(joined.bytes))
    }

    private static func compressed(_ input: UnsafeRawBufferPointer) -> ClusterRequestBody? {
        // The deflater counts in 32 bits.
        guard input.count > 0, input.count < Int(UInt32.max) / 2 else { return nil }
        let output = OwnedBytes(count: millrace_gzip_bound(input.count))
        let count = millrace_gzip(
            input.baseAddress?.assumingMemoryBound(to: UInt8.self), input.count,
            output.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), output.bytes.count)
        guard count > 0, count < input.count else { return nil }
        return ClusterRequestBody(
            slices: [UnsafeRawBufferPointer(rebasing: output.bytes[..<count])], owner: output)
    }

    /// The bytes that `input` inflates to; nil when it is not one whole gzip member or holds more than `limitBytes`.
    static func inflated(_ input: [UInt8], limitBytes: Int) -> [UInt8]? {
        var count = 0
        guard input.count < Int(UInt32.max) / 2,
            let memory = millrace_gunzip(input, input.count, limitBytes, &count)
        else { return nil }
        defer { free(memory) }
        return Array(UnsafeBufferPointer(start: memory, count: count))
    }
}
