/// The low watermark of one doc-id range: the end of the contiguous prefix of spans that are fully resolved.
///
/// Spans are opened in document order and completed in any order. The checkpoint moves only over a completed prefix, so
/// it never passes a document whose outcome is unknown, and it never retreats. At most as many spans are held as are in
/// flight. A value type without I/O; its owner confines it.
package struct AcknowledgementTracker {
    private struct Span {
        var endDoc: Int
        var tally: DocumentTally?
    }

    /// The first document whose outcome is not yet known: where a successor starts.
    package private(set) var checkpoint: Int
    /// What became of the documents before the checkpoint, from where this tracker began.
    package private(set) var tally = DocumentTally()
    private var spans: [Span] = []
    private var resolvedCount = 0
    private var firstSequence = 0
    private var lastEndDoc: Int

    /// Starts at document `checkpoint`, with what is already known of the documents before it.
    package init(checkpoint: Int, tally: DocumentTally = DocumentTally()) {
        self.checkpoint = checkpoint
        self.lastEndDoc = checkpoint
        self.tally = tally
    }

    /// Spans that are open or wait for an earlier one.
    package var openCount: Int { spans.count - resolvedCount }

    /// Opens the span from the end of the previous one up to `endDoc` (excluded) and returns its sequence number.
    package mutating func open(endDoc: Int) -> Int {
        precondition(endDoc >= lastEndDoc, "span ends at \(endDoc), before \(lastEndDoc)")
        lastEndDoc = endDoc
        spans.append(Span(endDoc: endDoc, tally: nil))
        return firstSequence + spans.count - 1
    }

    /// Marks a span as resolved and returns true when the checkpoint moved.
    package mutating func complete(sequence: Int, tally: DocumentTally) -> Bool {
        let index = sequence - firstSequence
        precondition(index >= resolvedCount && index < spans.count, "span \(sequence) is not open")
        precondition(spans[index].tally == nil, "span \(sequence) was completed before")
        spans[index].tally = tally
        guard index == resolvedCount else { return false }
        while resolvedCount < spans.count, let resolved = spans[resolvedCount].tally {
            checkpoint = spans[resolvedCount].endDoc
            self.tally += resolved
            resolvedCount += 1
        }
        if resolvedCount * 2 >= spans.count {
            spans.removeFirst(resolvedCount)
            firstSequence += resolvedCount
            resolvedCount = 0
        }
        return true
    }
}
