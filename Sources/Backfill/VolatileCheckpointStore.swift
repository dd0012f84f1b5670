import Synchronization

/// Progress that ends with the process: for `--target null:`, which has nothing to resume.
final class VolatileCheckpointStore: CheckpointStore {
    let location = "memory"
    private let state = Mutex(State())

    private struct State {
        var order: [ShardKey] = []
        var leased: Set<ShardKey> = []
        var finished: Set<ShardKey> = []
        var ranges: [ShardKey: [RangeProgress]] = [:]
    }

    func register(run: RunKey, shards: [ShardKey]) {
        state.withLock { state in state.order += shards.filter { !state.order.contains($0) } }
    }

    func leaseShard(run: RunKey, from candidates: [ShardKey]) -> ShardKey? {
        state.withLock { state in
            guard let shard = candidates.first(where: { !state.leased.contains($0) && !state.finished.contains($0) })
            else { return nil }
            state.leased.insert(shard)
            return shard
        }
    }

    func renewLeases(run: RunKey, shards: [ShardKey]) -> [ShardKey] { [] }

    func release(run: RunKey, shard: ShardKey) {
        state.withLock { _ = $0.leased.remove(shard) }
    }

    func ranges(run: RunKey, shard: ShardKey) -> [RangeProgress] {
        state.withLock { $0.ranges[shard] ?? [] }
    }

    func plan(run: RunKey, shard: ShardKey, ranges: [RangeProgress]) {
        state.withLock { $0.ranges[shard, default: []] += ranges }
    }

    func save(run: RunKey, _ progress: [(shard: ShardKey, range: RangeProgress)]) {
        state.withLock { state in
            for (shard, range) in progress {
                guard
                    let index = state.ranges[shard]?.firstIndex(where: {
                        $0.segment == range.segment && $0.firstDoc == range.firstDoc
                    })
                else {
                    preconditionFailure("range \(range.segment) from \(range.firstDoc) of \(shard) was not planned")
                }
                state.ranges[shard]?[index] = range
            }
        }
    }

    func finish(run: RunKey, shard: ShardKey) {
        state.withLock { state in
            state.finished.insert(shard)
            state.leased.remove(shard)
        }
    }

    func summary(run: RunKey) -> [ShardProgress] {
        state.withLock { state in
            state.order.map { shard in
                var tally = DocumentTally()
                for range in state.ranges[shard] ?? [] { tally += range.tally }
                return ShardProgress(shard: shard, isFinished: state.finished.contains(shard), tally: tally)
            }
        }
    }

    func close() {}
}
