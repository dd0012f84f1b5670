/// The way to the target: sends one bulk body and brings back the answer. A fake stands in for it in flow tests.
package protocol BulkTransport: Sendable {
    /// Sends `body` to the `_bulk` endpoint of `index`. `completion` is called exactly once, from any thread; until
    /// then the body's slices are read.
    func sendBulk(index: String, body: BulkBody, completion: @escaping @Sendable (BulkAnswer) -> Void)
}

/// A bulk body as slices of memory that `owner` keeps alive.
// Sound: immutable, and the memory behind the slices is not written while a request runs.
package final class BulkBody: @unchecked Sendable {
    package let slices: [UnsafeRawBufferPointer]
    package let byteCount: Int
    package let documentCount: Int
    package let owner: AnyObject

    init(slices: [UnsafeRawBufferPointer], byteCount: Int, documentCount: Int, owner: AnyObject) {
        self.slices = slices
        self.byteCount = byteCount
        self.documentCount = documentCount
        self.owner = owner
    }
}

/// What came back for a bulk request.
package enum BulkAnswer: Sendable {
    case response(status: Int, body: [UInt8])
    /// No answer. What the target did with the request is unknown.
    case failed(message: String, isRetryable: Bool)
}
