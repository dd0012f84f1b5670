import Synchronization

/// A shard of the snapshot that this process holds the lease of.
final class ShardWork: Sendable {
    let indexName: String
    let key: ShardKey
    /// Steps that keep the shard open: its opening, the preparing of each segment, the reading of each range.
    private let openSteps = Atomic<Int>(1)
    /// Documents of the shard's segments, deleted ones included; 0 until it is open.
    let maxDoc = Atomic<Int>(0)
    /// Documents whose outcome is known.
    let doneCount = Atomic<Int>(0)

    init(indexName: String, key: ShardKey) {
        self.indexName = indexName
        self.key = key
    }

    /// For messages: index and shard number.
    var name: String { "\(indexName)/\(key.number)" }

    func addSteps(_ count: Int) { openSteps.add(count, ordering: .sequentiallyConsistent) }

    /// Ends one step; true when it was the last one and the shard is done.
    func endStep() -> Bool {
        openSteps.subtract(1, ordering: .sequentiallyConsistent).newValue == 0
    }
}

/// A segment whose ranges are read: ends with the check that every document was accounted for.
final class SegmentWork: Sendable {
    let shard: ShardWork
    let name: String
    let maxDoc: Int
    /// Hard and soft deletes, as the segment's own files say.
    let deletedCount: Int
    private let state: Mutex<(openRanges: Int, tally: DocumentTally)>

    /// `done` is what ranges that are not read any more have counted.
    init(shard: ShardWork, name: String, maxDoc: Int, deletedCount: Int, openRanges: Int, done: DocumentTally) {
        self.shard = shard
        self.name = name
        self.maxDoc = maxDoc
        self.deletedCount = deletedCount
        state = Mutex((openRanges, done))
    }

    /// Counts a finished range. After the last one, returns a message when the counts contradict the segment.
    func finishedRange(_ tally: DocumentTally) -> String? {
        state.withLock { state in
            state.openRanges -= 1
            state.tally += tally
            guard state.openRanges == 0 else { return nil }
            return Self.contradiction(
                in: state.tally, shard: shard, name: name, maxDoc: maxDoc, deletedCount: deletedCount)
        }
    }

    /// `migrated + rejected + omitted + nested + deleted = maxDoc`, and as many deleted as the segment says; else what
    /// is wrong.
    static func contradiction(
        in tally: DocumentTally, shard: ShardWork, name: String, maxDoc: Int, deletedCount: Int
    ) -> String? {
        guard tally.documentCount == maxDoc, tally.deleted == deletedCount else {
            return """
                shard \(shard.name), segment \(name): \(tally.documentCount) documents were accounted for \
                (\(tally.deleted) deleted), the segment holds \(maxDoc) (\(deletedCount) deleted)
                """
        }
        return nil
    }
}

/// A doc-id range of a segment in work: its place in the snapshot, and its progress.
final class RangeWork: Sendable {
    let segmentWork: SegmentWork
    let firstDoc: Int
    let endDoc: Int
    /// Where this process began.
    let startDoc: Int

    private let tracker: Mutex<AcknowledgementTracker>
    /// The range's end is on disk: nothing is left to save. Set by the checkpoint writer.
    let isEndSaved = Atomic<Bool>(false)

    init(segmentWork: SegmentWork, progress: RangeProgress) {
        self.segmentWork = segmentWork
        firstDoc = progress.firstDoc
        endDoc = progress.endDoc
        startDoc = progress.checkpoint
        tracker = Mutex(AcknowledgementTracker(checkpoint: progress.checkpoint, tally: progress.tally))
    }

    var shard: ShardWork { segmentWork.shard }
    var segment: String { segmentWork.name }

    /// Opens the span up to `endDoc` (excluded).
    func open(endDoc: Int) -> Int {
        tracker.withLock { $0.open(endDoc: endDoc) }
    }

    /// Resolves a span; true when the checkpoint moved.
    func complete(sequence: Int, tally: DocumentTally) -> Bool {
        shard.doneCount.add(tally.documentCount, ordering: .relaxed)
        return tracker.withLock { $0.complete(sequence: sequence, tally: tally) }
    }

    /// What may be saved now.
    var progress: RangeProgress {
        tracker.withLock {
            RangeProgress(
                segment: segment, firstDoc: firstDoc, endDoc: endDoc, checkpoint: $0.checkpoint, tally: $0.tally)
        }
    }
}
