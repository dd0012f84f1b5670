/// Progress that outlives the process: which shards are to be done, who works on them, how far each doc-id range is.
///
/// Calls block and come from worker threads or the checkpoint queue, never from an event loop. Every call is one
/// transaction: it holds whole or not at all.
package protocol CheckpointStore: Sendable {
    /// For messages.
    var location: String { get }
    /// Makes the shards of `run` known. Those that are known already keep their progress.
    func register(run: RunKey, shards: [ShardKey]) throws(CheckpointError)
    /// Leases one unfinished shard that nobody alive works on, or returns nil. `candidates` gives the order.
    func leaseShard(run: RunKey, from candidates: [ShardKey]) throws(CheckpointError) -> ShardKey?
    /// Extends this process's leases; returns those that were lost to another process. A finished shard is not lost.
    func renewLeases(run: RunKey, shards: [ShardKey]) throws(CheckpointError) -> [ShardKey]
    /// Gives a lease back, unfinished.
    func release(run: RunKey, shard: ShardKey) throws(CheckpointError)
    /// The ranges of a shard as they were planned first, with their progress; empty when it was never begun.
    func ranges(run: RunKey, shard: ShardKey) throws(CheckpointError) -> [RangeProgress]
    /// Records how a segment is cut into ranges. Ranges that exist already stay as they are.
    func plan(run: RunKey, shard: ShardKey, ranges: [RangeProgress]) throws(CheckpointError)
    /// Writes checkpoints, all or none. Fails when the lease of one of the shards is lost.
    func save(run: RunKey, _ progress: [(shard: ShardKey, range: RangeProgress)]) throws(CheckpointError)
    /// Marks a shard as done; its lease ends.
    func finish(run: RunKey, shard: ShardKey) throws(CheckpointError)
    /// What is known of every shard of a run.
    func summary(run: RunKey) throws(CheckpointError) -> [ShardProgress]
    func close()
}

/// One migration of one snapshot into one target. Several may share a store.
package struct RunKey: Hashable, Sendable {
    package let snapshot: String
    package let target: String

    package init(snapshot: String, target: String) {
        self.snapshot = snapshot
        self.target = target
    }

    var text: String { "\(snapshot) > \(target)" }
}

/// A shard of an index of the snapshot. `indexID` is the index's folder in the repository.
package struct ShardKey: Hashable, Sendable {
    package let indexID: String
    package let number: Int

    package init(indexID: String, number: Int) {
        self.indexID = indexID
        self.number = number
    }
}

/// A doc-id range of a segment and how far it is.
package struct RangeProgress: Equatable, Sendable {
    package let segment: String
    /// First document of the range, and the end (excluded).
    package let firstDoc: Int
    package let endDoc: Int
    /// The first document whose outcome is unknown.
    package var checkpoint: Int
    /// What became of the documents from `firstDoc` up to the checkpoint.
    package var tally: DocumentTally

    package init(
        segment: String, firstDoc: Int, endDoc: Int, checkpoint: Int? = nil, tally: DocumentTally = DocumentTally()
    ) {
        self.segment = segment
        self.firstDoc = firstDoc
        self.endDoc = endDoc
        self.checkpoint = checkpoint ?? firstDoc
        self.tally = tally
    }

    var isDone: Bool { checkpoint >= endDoc }
}

/// The state of one shard, for resuming and for reports.
package struct ShardProgress: Equatable, Sendable {
    package let shard: ShardKey
    package let isFinished: Bool
    package let tally: DocumentTally
}

/// Why progress could not be read or written.
package struct CheckpointError: Error, Equatable, Sendable {
    package enum Code: Equatable, Sendable {
        /// The store cannot be opened, read or written.
        case unavailable
        /// Another process took the shard over.
        case leaseLost
    }

    package let code: Code
    /// One line that names the store.
    package let message: String
}
