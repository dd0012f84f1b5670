import EventIO
import Synchronization
import Testing

@testable import Backfill

@Suite struct WorkSchedulerTests {
    /// Holds every shard for another process until it has been asked often enough.
    private final class BusyStore: CheckpointStore {
        let location = "test"
        private let state: Mutex<(refusals: Int, leased: Set<ShardKey>)>

        init(refusals: Int) { state = Mutex((refusals, [])) }

        func register(run: RunKey, shards: [ShardKey]) {}
        func leaseShard(run: RunKey, from candidates: [ShardKey]) -> ShardKey? {
            state.withLock { state in
                state.refusals -= 1
                guard state.refusals < 0, let key = candidates.first(where: { !state.leased.contains($0) }) else {
                    return nil
                }
                state.leased.insert(key)
                return key
            }
        }
        func renewLeases(run: RunKey, shards: [ShardKey]) -> [ShardKey] { [] }
        func release(run: RunKey, shard: ShardKey) {}
        func ranges(run: RunKey, shard: ShardKey) -> [RangeProgress] { [] }
        func plan(run: RunKey, shard: ShardKey, ranges: [RangeProgress]) {}
        func save(run: RunKey, _ progress: [(shard: ShardKey, range: RangeProgress)]) {}
        func finish(run: RunKey, shard: ShardKey) {}
        func summary(run: RunKey) -> [ShardProgress] { [] }
        func close() {}
    }

    @Test func workersThatWaitForAnotherProcessTogetherLoseNoShard() {
        let keys = (0..<40).map { ShardKey(indexID: "a", number: $0) }
        let scheduler = WorkScheduler(
            store: BusyStore(refusals: 2), run: RunKey(snapshot: "s", target: "t"),
            shards: keys.map { (key: $0, indexName: "a") }, openShardLimit: 4)
        let done = Mutex<Set<ShardKey>>([])
        let workers = (0..<4).map { number in
            WorkerThread(name: "\(number)") {
                while let task = scheduler.next() {
                    done.withLock { _ = $0.insert(task.shard.key) }
                    scheduler.closed(task.shard)
                }
            }
        }
        for worker in workers { worker.join() }
        #expect(done.withLock { $0 } == Set(keys))
    }
}
