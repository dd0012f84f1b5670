/// The target `null:`: every batch counts as migrated at once. For measuring how fast a snapshot is read.
final class DiscardingSink: BatchSink {
    private let counters: BackfillCounters
    private let checkpointMoved: @Sendable (RangeWork) -> Void
    let batchBytes: Int

    init(batchBytes: Int, counters: BackfillCounters, checkpointMoved: @escaping @Sendable (RangeWork) -> Void) {
        self.batchBytes = batchBytes
        self.counters = counters
        self.checkpointMoved = checkpointMoved
    }

    func submit(_ batch: BulkBatch) -> Bool {
        batch.sequence = batch.range.open(endDoc: batch.endDoc)
        for item in batch.items { batch.tally.sourceBytes += Int64(item.source.count) }
        batch.tally.migrated += batch.items.count
        counters.resolved(batch.tally)
        if batch.range.complete(sequence: batch.sequence, tally: batch.tally) { checkpointMoved(batch.range) }
        return true
    }
}
