import Foundation
import Testing

@testable import Backfill

@Suite struct SQLiteCheckpointStoreTests {
    private let folder = NSTemporaryDirectory() + "millrace-checkpoints-\(UUID().uuidString)"
    private let run = RunKey(snapshot: "s", target: "http://t")
    private let shards = [ShardKey(indexID: "a", number: 0), ShardKey(indexID: "a", number: 1)]

    private func store(now: @escaping @Sendable () -> Int64 = { 1000 }) throws -> SQLiteCheckpointStore {
        try SQLiteCheckpointStore(folder: folder, wallClock: now)
    }

    private func tally(_ count: Int) -> DocumentTally {
        var tally = DocumentTally()
        tally.migrated = count
        return tally
    }

    @Test func progressSurvivesReopening() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        do {
            let store = try store()
            try store.register(run: run, shards: shards)
            #expect(try store.leaseShard(run: run, from: shards) == shards[0])
            let plan = [
                RangeProgress(segment: "_0", firstDoc: 0, endDoc: 10),
                RangeProgress(segment: "_0", firstDoc: 10, endDoc: 30),
            ]
            try store.plan(run: run, shard: shards[0], ranges: plan)
            var range = plan[1]
            range.checkpoint = 20
            range.tally = tally(10)
            try store.save(run: run, [(shards[0], range)])
        }
        let store = try store()
        #expect(try store.leaseShard(run: run, from: shards) == shards[0], "the dead worker's lease is free at once")
        let ranges = try store.ranges(run: run, shard: shards[0])
        #expect(ranges.map(\.checkpoint) == [0, 20])
        #expect(ranges[1].tally == tally(10))
        try store.finish(run: run, shard: shards[0])
        #expect(try store.leaseShard(run: run, from: shards) == shards[1])
        #expect(try store.summary(run: run).map(\.isFinished) == [true, false])
        #expect(try store.summary(run: run)[0].tally.migrated == 10)
    }

    /// Until something is acknowledged nothing can be lost, and the first document need not wait for the disk.
    @Test func commitsWaitForTheDiskFromTheFirstCheckpointOn() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try store()
        try store.register(run: run, shards: shards)
        _ = try store.leaseShard(run: run, from: shards)
        var range = RangeProgress(segment: "_0", firstDoc: 0, endDoc: 10)
        try store.plan(run: run, shard: shards[0], ranges: [range])
        #expect(try !store.waitsForDisk)
        range.checkpoint = 5
        range.tally = tally(5)
        try store.save(run: run, [(shards[0], range)])
        #expect(try store.waitsForDisk)
    }

    @Test func aShardHasOneLivingWorker() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let first = try store()
        let second = try store()
        try first.register(run: run, shards: shards)
        #expect(try first.leaseShard(run: run, from: shards) == shards[0])
        #expect(try second.leaseShard(run: run, from: shards) == shards[1])
        #expect(try second.leaseShard(run: run, from: shards) == nil)
        try first.release(run: run, shard: shards[0])
        #expect(try second.leaseShard(run: run, from: shards) == shards[0])
    }

    @Test func aHungWorkersLeaseEndsAndItsWritesAreRefused() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let hung = try store(now: { 1000 })
        try hung.register(run: run, shards: shards)
        #expect(try hung.leaseShard(run: run, from: shards) == shards[0])
        let range = RangeProgress(segment: "_0", firstDoc: 0, endDoc: 10)
        try hung.plan(run: run, shard: shards[0], ranges: [range])
        let other = try store(now: { 1000 + SQLiteCheckpointStore.leaseSeconds })
        #expect(try other.leaseShard(run: run, from: shards) == shards[0])
        #expect(try hung.renewLeases(run: run, shards: [shards[0]]) == [shards[0]])
        #expect(throws: CheckpointError.self) { try hung.save(run: run, [(shards[0], range)]) }
        #expect(throws: CheckpointError.self) { try hung.finish(run: run, shard: shards[0]) }
        try other.save(run: run, [(shards[0], range)])
    }

    @Test func aShardThatIsFinishedWhileLeasesAreRenewedIsNotLost() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try store()
        try store.register(run: run, shards: shards)
        #expect(try store.leaseShard(run: run, from: shards) == shards[0])
        let held = shards.prefix(1)
        try store.finish(run: run, shard: shards[0])
        #expect(try store.renewLeases(run: run, shards: Array(held)) == [])
    }

    @Test func anUnusableFolderIsNamed() {
        let error = #expect(throws: CheckpointError.self) {
            try SQLiteCheckpointStore(folder: "/proc/none", wallClock: { 0 })
        }
        #expect(error?.message.contains("/proc/none") == true)
    }

    @Test func aFileThatIsNoDatabaseIsRefused() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(repeating: 0x41, count: 9000).write(to: URL(fileURLWithPath: folder + "/progress.db"))
        let error = #expect(throws: CheckpointError.self) { try store() }
        #expect(error?.message.contains("progress.db") == true)
    }
}
