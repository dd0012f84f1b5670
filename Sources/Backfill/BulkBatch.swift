import BulkFormat

/// Documents of one doc-id range on their way to the target, and what is known of their outcome.
///
/// The sources lie where their chunks were decompressed; the batch keeps those chunks alive. Built by one worker, then
/// handed over to the sender and changed only on its outcome queue.
// Sound: one owner at a time. The worker that builds it gives it away with `submit`, the outcome queue is serial, and
// a request's slices are read by the event loop only between `send` and its completion.
final class BulkBatch: @unchecked Sendable {
    struct Item {
        let docID: Int
        /// The action line with the line break in front of it (`BulkActionLine`).
        let action: UnsafeRawBufferPointer
        let source: UnsafeRawBufferPointer
    }

    let range: RangeWork
    private(set) var items: [Item] = []
    /// Bytes of the request body when all items are sent.
    private(set) var bodyBytes = 1
    /// Memory that stays occupied until the batch is resolved.
    private(set) var retainedBytes = 0
    /// What is known of the span's documents; the items are added as they are resolved.
    var tally = DocumentTally()
    /// The first document after this batch's span.
    private(set) var endDoc: Int
    /// Given by the range when the batch is submitted.
    var sequence = 0
    /// Items whose outcome is not known yet; the sender's.
    var unresolvedCount = 0

    private var retained: [AnyObject] = []
    /// Blocks of action lines; only the last one has room.
    private var blocks: [UnsafeMutableRawBufferPointer] = []
    private var blockOffset = 0
    /// Copies that documents point into. Apart from the blocks: an action line is never written into one.
    private var copies: [UnsafeMutableRawBufferPointer] = []

    /// Action lines are written into blocks of this size, which never move.
    private static let blockBytes = 32 << 10

    init(range: RangeWork, startDoc: Int) {
        self.range = range
        self.endDoc = startDoc
    }

    deinit {
        for block in blocks { block.deallocate() }
        for copy in copies { copy.deallocate() }
    }

    var isEmpty: Bool { items.isEmpty && tally.documentCount == 0 }

    /// Keeps `chunk` alive until this batch is gone.
    func retain(_ chunk: AnyObject, byteCount: Int) {
        retained.append(chunk)
        retainedBytes += byteCount
    }

    /// The document numbers before `endDoc` are now this batch's or an earlier one's.
    func extend(to endDoc: Int) {
        self.endDoc = endDoc
    }

    /// Adds a document. `source` lies in a retained chunk.
    func append(
        docID: Int, id: UnsafeRawBufferPointer, routing: UnsafeRawBufferPointer?, source: UnsafeRawBufferPointer
    ) {
        let limit = BulkActionLine.byteLimit(idByteCount: id.count, routingByteCount: routing?.count ?? 0)
        let start = reserve(limit)
        let count = BulkActionLine.write(id: id, routing: routing, to: start)
        blockOffset += count
        items.append(Item(docID: docID, action: UnsafeRawBufferPointer(start: start, count: count), source: source))
        bodyBytes += count + source.count
    }

    /// A copy of bytes that must live as long as the batch.
    func keep(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 1)
        copy.copyBytes(from: bytes)
        copies.append(copy)
        retainedBytes += bytes.count
        return UnsafeRawBufferPointer(start: copy.baseAddress, count: bytes.count)
    }

    /// The slices of a request with the items at `indices`, in order.
    func slices(of indices: [Int]) -> (slices: [UnsafeRawBufferPointer], byteCount: Int) {
        var slices: [UnsafeRawBufferPointer] = []
        slices.reserveCapacity(2 * indices.count + 1)
        var byteCount = 0
        for index in indices {
            let item = items[index]
            let action = slices.isEmpty ? UnsafeRawBufferPointer(rebasing: item.action[1...]) : item.action
            slices.append(action)
            slices.append(item.source)
            byteCount += action.count + item.source.count
        }
        slices.append(Self.lineBreak)
        return (slices, byteCount + 1)
    }

    /// Ends the last document of a body. It lies in the program's constants.
    private static var lineBreak: UnsafeRawBufferPointer {
        let text: StaticString = "\n"
        return UnsafeRawBufferPointer(start: text.utf8Start, count: 1)
    }

    private func reserve(_ byteCount: Int) -> UnsafeMutableRawPointer {
        if blocks.isEmpty || blockOffset + byteCount > blocks[blocks.count - 1].count {
            let block = UnsafeMutableRawBufferPointer.allocate(
                byteCount: max(Self.blockBytes, byteCount), alignment: 16)
            blocks.append(block)
            blockOffset = 0
            retainedBytes += block.count
        }
        return blocks[blocks.count - 1].baseAddress.unsafelyUnwrapped + blockOffset
    }
}
