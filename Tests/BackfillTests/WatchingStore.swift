import Synchronization

@testable import Backfill

/// Passes everything on, looks at every checkpoint before it is written, and "dies" at a given one: nothing of it or
/// after it is saved.
final class WatchingStore: CheckpointStore {
    private let inner: any CheckpointStore
    private let look: @Sendable ([(shard: ShardKey, range: RangeProgress)]) -> Void
    private let diesAtSave: Int
    private let saveCount = Mutex(0)

    init(
        _ inner: any CheckpointStore, diesAtSave: Int = .max,
        look: @escaping @Sendable ([(shard: ShardKey, range: RangeProgress)]) -> Void
    ) {
        self.inner = inner
        self.diesAtSave = diesAtSave
        self.look = look
    }

    var location: String { inner.location }

    private func checkAlive() throws(CheckpointError) {
        guard saveCount.withLock({ $0 < diesAtSave }) else {
            throw CheckpointError(code: .unavailable, message: "database or disk is full")
        }
    }

    func register(run: RunKey, shards: [ShardKey]) throws(CheckpointError) {
        try inner.register(run: run, shards: shards)
    }

    func leaseShard(run: RunKey, from candidates: [ShardKey]) throws(CheckpointError) -> ShardKey? {
        try checkAlive()
        return try inner.leaseShard(run: run, from: candidates)
    }

    func renewLeases(run: RunKey, shards: [ShardKey]) throws(CheckpointError) -> [ShardKey] {
        try inner.renewLeases(run: run, shards: shards)
    }

    func release(run: RunKey, shard: ShardKey) throws(CheckpointError) { try inner.release(run: run, shard: shard) }

    func ranges(run: RunKey, shard: ShardKey) throws(CheckpointError) -> [RangeProgress] {
        try inner.ranges(run: run, shard: shard)
    }

    func plan(run: RunKey, shard: ShardKey, ranges: [RangeProgress]) throws(CheckpointError) {
        try checkAlive()
        try inner.plan(run: run, shard: shard, ranges: ranges)
    }

    func save(run: RunKey, _ progress: [(shard: ShardKey, range: RangeProgress)]) throws(CheckpointError) {
        saveCount.withLock { $0 += 1 }
        try checkAlive()
        look(progress)
        try inner.save(run: run, progress)
    }

    func finish(run: RunKey, shard: ShardKey) throws(CheckpointError) {
        try checkAlive()
        try inner.finish(run: run, shard: shard)
    }

    func summary(run: RunKey) throws(CheckpointError) -> [ShardProgress] { try inner.summary(run: run) }

    /// The inner store outlives a run, as a file does.
    func close() {}
}
