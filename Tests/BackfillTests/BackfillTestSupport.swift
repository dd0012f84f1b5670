import Dispatch
import Foundation
import Synchronization
import TestSupport

@testable import Backfill

/// Collects batches instead of sending them; resolves them on demand.
final class CollectingSink: BatchSink, @unchecked Sendable {
    let batchBytes: Int
    private(set) var batches: [BulkBatch] = []

    init(batchBytes: Int) { self.batchBytes = batchBytes }

    func submit(_ batch: BulkBatch) -> Bool {
        batch.sequence = batch.range.open(endDoc: batch.endDoc)
        batches.append(batch)
        return true
    }

    /// Action lines and sources as one body.
    func text(_ batch: Int) -> String {
        let slices = batches[batch].slices(of: Array(batches[batch].items.indices)).slices
        return String(decoding: slices.reduce(into: [UInt8]()) { $0 += $1 }, as: UTF8.self)
    }
}

func shardWork(_ name: String = "logs") -> ShardWork {
    ShardWork(indexName: name, key: ShardKey(indexID: name, number: 0))
}

func rangeWork(_ shard: ShardWork = shardWork(), segment: String = "_0", maxDoc: Int, from checkpoint: Int = 0)
    -> RangeWork
{
    RangeWork(
        segmentWork: SegmentWork(
            shard: shard, name: segment, maxDoc: maxDoc, deletedCount: 0, openRanges: 1, done: DocumentTally()),
        progress: RangeProgress(segment: segment, firstDoc: 0, endDoc: maxDoc, checkpoint: checkpoint))
}

/// A batch of documents "0", "1", … whose sources outlive it.
func batch(of count: Int, in range: RangeWork) -> BulkBatch {
    let batch = BulkBatch(range: range, startDoc: 0)
    for doc in 0..<count {
        let source = batch.keep(Array("{\"n\":\(doc)}".utf8))
        Array("\(doc)".utf8).withUnsafeBytes { batch.append(docID: doc, id: $0, routing: nil, source: source) }
        batch.extend(to: doc + 1)
    }
    return batch
}

/// A target of a closure.
final class ClosureTarget: BulkTransport {
    private let answer: @Sendable ([String]) -> BulkAnswer

    /// `answer` is given the ids of a request.
    init(_ answer: @escaping @Sendable ([String]) -> BulkAnswer) { self.answer = answer }

    func sendBulk(index: String, body: BulkBody, completion: @escaping @Sendable (BulkAnswer) -> Void) {
        let text = String(decoding: body.slices.reduce(into: [UInt8]()) { $0 += $1 }, as: UTF8.self)
        let actions = text.split(separator: "\n").enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
        completion(answer(actions.map { String($0.split(separator: "\"")[5]) }))
    }

    static func items(_ statuses: [Int]) -> BulkAnswer {
        let items = statuses.map {
            "{\"index\":{\"status\":\($0)" + ($0 < 300 ? "}}" : ",\"error\":{\"type\":\"t\",\"reason\":\"r\"}}}")
        }
        return .response(status: 200, body: Array("{\"items\":[\(items.joined(separator: ","))]}".utf8))
    }
}

/// A sender with a clock of its own: a wait passes at once and moves the clock on.
final class SenderStage: BulkSenderDelegate, @unchecked Sendable {
    let folder: TemporaryFolder
    let deadLetters: DeadLetterFile
    let budget = InFlightBudget(limitBytes: 64 << 20)
    let counters = BackfillCounters()
    let stops = Mutex<[RunStop]>([])
    private let done = DispatchSemaphore(value: 0)
    /// Outlives the stage: a late answer still asks for the time.
    private final class Clock: Sendable {
        let time = Mutex(Duration.zero)
    }
    private(set) var sender: BulkSender?

    init(_ target: any BulkTransport, giveUpAfter: Duration = .seconds(600)) throws {
        folder = try TemporaryFolder("sender")
        deadLetters = try DeadLetterFile(path: folder.path("dead-letters.jsonl"))
        let clock = Clock()
        let sender = BulkSender(
            transport: target, deadLetters: deadLetters, budget: budget, counters: counters,
            limits: BulkSender.Limits(requestLimit: 4, batchBytes: 1 << 20, giveUpAfter: giveUpAfter),
            now: { clock.time.withLock { $0 } },
            after: { queue, wait, work in
                clock.time.withLock { $0 += wait }
                queue.async(execute: work)
            }, random: SeededGenerator(seed: 1))
        sender.delegate = self
        self.sender = sender
    }

    func checkpointMoved(_ range: RangeWork) { if range.progress.isDone { done.signal() } }
    func senderStopped(_ stop: RunStop) {
        stops.withLock { $0.append(stop) }
        done.signal()
    }

    /// Waits until a range is done or the run has ended; false after ten seconds.
    func wait() -> Bool { done.wait(timeout: .now() + 10) == .success }

    func letters() throws -> [String] {
        try deadLetters.sync()
        return String(decoding: try FileTree.read(deadLetters.path), as: UTF8.self).split(separator: "\n").map(
            String.init)
    }
}
