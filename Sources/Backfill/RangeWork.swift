import Synchronization

/// A doc-id range of a segment in work: its place in the snapshot, and its progress.
final class RangeWork: Sendable {
    let shard: ShardWork
    let segment: String
    let firstDoc: Int
    let endDoc: Int
    /// Where this process began.
    let startDoc: Int

    private let tracker: Mutex<AcknowledgementTracker>

    init(shard: ShardWork, progress: RangeProgress) {
        self.shard = shard
        segment = progress.segment
        firstDoc = progress.firstDoc
        endDoc = progress.endDoc
        startDoc = progress.checkpoint
        tracker = Mutex(AcknowledgementTracker(checkpoint: progress.checkpoint, tally: progress.tally))
    }

    /// Opens the span up to `endDoc` (excluded).
    func open(endDoc: Int) -> Int {
        tracker.withLock { $0.open(endDoc: endDoc) }
    }

    /// Resolves a span; true when the checkpoint moved.
    func complete(sequence: Int, tally: DocumentTally) -> Bool {
        tracker.withLock { $0.complete(sequence: sequence, tally: tally) }
    }

    /// What may be saved now.
    var progress: RangeProgress {
        tracker.withLock {
            RangeProgress(
                segment: segment, firstDoc: firstDoc, endDoc: endDoc, checkpoint: $0.checkpoint, tally: $0.tally)
        }
    }
}

/// A shard of the snapshot that this process holds the lease of.
final class ShardWork: Sendable {
    let indexName: String
    let key: ShardKey
    /// Ranges that are not finished, and whether more may come.
    private let state = Mutex((openCount: 0, isPlanned: false))

    init(indexName: String, key: ShardKey) {
        self.indexName = indexName
        self.key = key
    }

    var name: String { "\(indexName)/\(key.number)" }

    func opened(_ count: Int) {
        state.withLock { $0.openCount += count }
    }

    /// A range or a planning step ended; true when it was the last one of a fully planned shard.
    func closedOne() -> Bool {
        state.withLock {
            $0.openCount -= 1
            return $0.openCount == 0 && $0.isPlanned
        }
    }

    /// No range comes any more; true when none is open either.
    func planned() -> Bool {
        state.withLock {
            $0.isPlanned = true
            return $0.openCount == 0
        }
    }
}
