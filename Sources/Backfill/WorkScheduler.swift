import EventIO
import LuceneFormat
import Synchronization

/// One thing that a worker does next.
enum WorkerTask {
    /// Read the shard's file list and its segments.
    case openShard(ShardWork)
    /// Cut a segment into ranges and begin to verify its checksums.
    case prepareSegment(PendingSegment)
    /// Help with a segment's checksums.
    case verifySegment(SegmentCheck)
    /// Read a range's documents into batches.
    case readRange(RangeWork, SegmentReader)

    var shard: ShardWork {
        switch self {
        case .openShard(let shard): shard
        case .prepareSegment(let pending): pending.shard
        case .verifySegment(let check): check.pending.shard
        case .readRange(let range, _): range.shard
        }
    }
}

/// A segment that is open and waits to be verified.
struct PendingSegment {
    let shard: ShardWork
    let reader: SegmentReader
    /// Progress of earlier runs; empty when the segment was never begun.
    let known: [RangeProgress]
}

/// A segment whose checksums are being verified, by every worker that has nothing to read.
struct SegmentCheck {
    let pending: PendingSegment
    let ranges: [RangeProgress]
    let verification: SegmentVerification
}

/// Gives work to the workers: ranges before segments before new shards, so that what is begun is finished first.
/// Leases shards from the store as workers run out of work, and waits for shards that other processes hold.
// Sound: all mutable state is used only while `monitor` is held.
final class WorkScheduler: @unchecked Sendable {
    private let store: any CheckpointStore
    private let run: RunKey
    private let indexNames: [ShardKey: String]
    private let openShardLimit: Int
    private let monitor = Monitor()
    private var candidates: [ShardKey]
    private var deferred: [ShardKey] = []
    private var ranges: [(RangeWork, SegmentReader)] = []
    private var checks: [SegmentCheck] = []
    private var segments: [PendingSegment] = []
    private var openShards: [ShardKey: ShardWork] = [:]
    private var finishedCount = 0
    private var abandoned: [(shard: ShardWork, why: String)] = []
    private var stop: RunStop? {
        didSet { hasStopped.store(stop != nil, ordering: .relaxed) }
    }
    private let hasStopped = Atomic<Bool>(false)
    private var isWaitingForOthers = false

    /// Called once when the run ends early, on the thread that ended it. Set before any worker starts.
    var ended: @Sendable () -> Void = {}

    /// Shards asked for in one query.
    private static let leaseChunk = 32
    /// Between looks at shards that other processes hold.
    private static let otherWorkersPollMilliseconds = 1000

    init(store: any CheckpointStore, run: RunKey, shards: [(key: ShardKey, indexName: String)], openShardLimit: Int) {
        self.store = store
        self.run = run
        indexNames = Dictionary(shards.map { ($0.key, $0.indexName) }, uniquingKeysWith: { first, _ in first })
        candidates = shards.map(\.key).reversed()
        self.openShardLimit = openShardLimit
    }

    /// The next task, or nil when everything is done or the run has been stopped. Waits while others may bring work.
    func next() -> WorkerTask? {
        monitor.locked {
            while stop == nil {
                if let (range, reader) = ranges.popLast() { return .readRange(range, reader) }
                checks.removeAll { !$0.verification.hasPiecesLeft }
                if let check = checks.first { return .verifySegment(check) }
                if let segment = segments.popLast() { return .prepareSegment(segment) }
                if openShards.count < openShardLimit, !candidates.isEmpty {
                    if let shard = leaseNext() { return .openShard(shard) }
                    continue
                }
                if candidates.isEmpty, openShards.isEmpty {
                    if deferred.isEmpty { return nil }
                    waitForOthers()
                    continue
                }
                monitor.wait()
            }
            return nil
        }
    }

    /// Segments of an opened shard, in the order in which they are to be prepared.
    func add(_ pending: [PendingSegment]) {
        monitor.locked {
            segments = pending.reversed() + segments
            monitor.signalAll()
        }
    }

    /// A segment whose checksums others may help with.
    func add(_ check: SegmentCheck) {
        monitor.locked {
            checks.append(check)
            monitor.signalAll()
        }
    }

    func add(_ work: [(RangeWork, SegmentReader)]) {
        monitor.locked {
            ranges = work.reversed() + ranges
            monitor.signalAll()
        }
    }

    /// The shard is finished, or left to a later run.
    func closed(_ shard: ShardWork) {
        monitor.locked {
            openShards[shard.key] = nil
            finishedCount += 1
            monitor.signalAll()
        }
    }

    /// Leaves out a shard that was found unreadable while it was opened: nothing of it has been sent.
    func abandon(_ shard: ShardWork, why: String) {
        monitor.locked {
            abandoned.append((shard, why))
            openShards[shard.key] = nil
            monitor.signalAll()
        }
    }

    /// Ends the run: waiting workers return. The first reason stays.
    func end(_ reason: RunStop) {
        let isFirst = monitor.locked {
            let isFirst = stop == nil
            if isFirst { stop = reason }
            ranges.removeAll()
            checks.removeAll()
            segments.removeAll()
            monitor.signalAll()
            return isFirst
        }
        if isFirst { ended() }
    }

    /// True as soon as the run ends early. Cheap: polled once a chunk.
    var isStopping: Bool { hasStopped.load(ordering: .relaxed) }
    var stopReason: RunStop? { monitor.locked { stop } }
    /// Shards left out because this program cannot read them.
    var abandonedShards: [(shard: ShardWork, why: String)] { monitor.locked { abandoned } }
    /// How much of the work that this process knows of is done, in shards; an open shard counts by its documents.
    var finishedShards: Double {
        monitor.locked {
            openShards.values.reduce(Double(finishedCount + abandoned.count)) { sum, shard in
                let maxDoc = shard.maxDoc.load(ordering: .relaxed)
                return maxDoc == 0 ? sum : sum + Double(shard.doneCount.load(ordering: .relaxed)) / Double(maxDoc)
            }
        }
    }
    var leasedShards: [ShardKey] { monitor.locked { Array(openShards.keys) } }
    /// True while only shards of other processes are left.
    var waitsForOthers: Bool { monitor.locked { isWaitingForOthers } }

    // MARK: - With the monitor held

    /// Leases one of the next candidates. Those that others hold are looked at again at the end.
    private func leaseNext() -> ShardWork? {
        let chunk = Array(candidates.suffix(Self.leaseChunk).reversed())
        do {
            guard let key = try store.leaseShard(run: run, from: chunk) else {
                candidates.removeLast(chunk.count)
                deferred += chunk
                return nil
            }
            candidates.removeAll { $0 == key }
            let shard = ShardWork(indexName: indexNames[key] ?? key.indexID, key: key)
            openShards[key] = shard
            return shard
        } catch {
            fail(error)
            return nil
        }
    }

    private func fail(_ error: CheckpointError) {
        guard stop == nil else { return }
        stop = RunStop(code: .unavailable, message: error.message)
        monitor.signalAll()
        ended()
    }

    private func waitForOthers() {
        do {
            let finished = Set(try store.summary(run: run).filter(\.isFinished).map(\.shard))
            let deferredCount = deferred.count
            deferred.removeAll { finished.contains($0) }
            finishedCount += deferredCount - deferred.count
            guard !deferred.isEmpty else { return monitor.signalAll() }
            isWaitingForOthers = true
            monitor.wait(milliseconds: Self.otherWorkersPollMilliseconds)
            isWaitingForOthers = false
            // Several workers wait here. The first to wake makes candidates of all; what it has not leased by the time
            // the next one wakes stays one.
            candidates += deferred.reversed()
            deferred = []
        } catch {
            fail(error)
        }
    }
}
