/// Where a snapshot repository's blobs are. Blobs do not change once written.
package protocol BlobStore: Sendable {
    /// The place for messages, for example `file:///repo`; holds no secret.
    var location: String { get }

    /// The blob's length in bytes.
    func size(of name: String) throws(BlobError) -> Int64

    /// Fills `buffer` exactly from byte `offset` of the blob. Blocks: it is called on worker threads, never on an event
    /// loop. A blob that ends before that is `.truncated`.
    func read(
        _ name: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer, cancellation: Cancellation
    ) throws(BlobError)

    /// Names, without the folder and in no order, of the blobs directly in `folder` ("" is the root), all pages.
    /// A folder that does not exist holds none: an object store knows no difference.
    func list(folder: String, cancellation: Cancellation) throws(BlobError) -> [String]
}

extension BlobStore {
    /// The whole blob. One longer than `limitBytes` is `.tooLarge`, before anything of it is read.
    package func readAll(
        _ name: String, limitBytes: Int, cancellation: Cancellation
    ) throws(BlobError) -> [UInt8] {
        let count = try size(of: name)
        guard count >= 0, count <= Int64(limitBytes) else {
            throw BlobError(
                code: .tooLarge, location: location, name: name,
                reason: "\(count) bytes, at most \(limitBytes) expected")
        }
        var failure: BlobError?
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, initializedCount in
            do throws(BlobError) {
                if count > 0 {
                    let all = UnsafeMutableRawBufferPointer(
                        rebasing: UnsafeMutableRawBufferPointer(buffer)[..<Int(count)])
                    try read(name, at: 0, into: all, cancellation: cancellation)
                }
                initializedCount = Int(count)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
