import CapturedTraffic
import HTTPMessage

/// A captured request where it lies. All memory outlives the call it is given to.
package struct CapturedRequest {
    /// Contiguous: the whole head with its empty line.
    package var headBytes: UnsafeRawBufferPointer
    /// Scanned from `headBytes`.
    package var head: HTTPHead
    /// Wire bytes after the head, in order, chunk framing still in.
    package var body: [UnsafeRawBufferPointer]

    package init(headBytes: UnsafeRawBufferPointer, head: HTTPHead, body: [UnsafeRawBufferPointer]) {
        self.headBytes = headBytes
        self.head = head
        self.body = body
    }

    var target: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: headBytes[head.target]) }
    var methodBytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: headBytes[head.methodRange]) }
}

/// What the source answered, where it lies: needed for ids that the source generated.
package struct SourceResponse {
    package var headBytes: UnsafeRawBufferPointer
    /// Scanned from `headBytes`.
    package var head: HTTPHead
    /// Wire bytes after the head.
    package var body: [UnsafeRawBufferPointer]

    package init(headBytes: UnsafeRawBufferPointer, head: HTTPHead, body: [UnsafeRawBufferPointer]) {
        self.headBytes = headBytes
        self.head = head
        self.body = body
    }

    var status: Int { head.status }
}

package enum RewrittenBody: Equatable, Sendable {
    /// The captured wire bytes, chunk framing included, as they are.
    case unchanged
    case replaced([UInt8])
}

/// Answers of status 409 that mean "an earlier sending of this request did it": creates with a generated id.
package enum ConflictMeaning: Equatable, Sendable {
    case failure
    case done
    /// Of these items of a bulk, counted in the body as sent, ascending.
    case doneForItems([Int32])

    /// For the whole request, or for an item of a bulk.
    package func isDone(item: Int? = nil) -> Bool {
        switch self {
        case .failure: false
        case .done: true
        case .doneForItems(let items):
            // Ascending: a bulk may have thousands.
            item.map { item in
                var low = 0
                var high = items.count
                while low < high {
                    let middle = (low + high) / 2
                    if items[middle] < item { low = middle + 1 } else { high = middle }
                }
                return low < items.count && items[low] == item
            } ?? false
        }
    }
}

/// What is to be sent.
package struct RewrittenRequest: Equatable, Sendable {
    /// Not nil: nothing is to be sent; `head` is empty.
    package var skip: SkipReason?
    /// The complete head with its empty line.
    package var head: [UInt8] = []
    package var body = RewrittenBody.unchanged
    /// Of `head`; it decides how the response is framed.
    package var method = HTTPMethod.other
    /// Whether the captured request may change documents or settings.
    package var isMutating = false
    package var isBulk = false
    /// A second sending does no harm that the first has not done: no id is left for the target to generate.
    package var hasGeneratedIDLeft = false
    package var conflict = ConflictMeaning.failure
    package var changes = TransformChanges()
}
