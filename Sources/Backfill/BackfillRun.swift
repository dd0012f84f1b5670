import Dispatch
import EventIO
import LuceneFormat
import Settings
import SnapshotRepository
import Synchronization
import Telemetry

/// One run in progress: its stages, wired together, and their life.
final class BackfillRun: Sendable {
    private let settings: BackfillSettings
    private let selection: SnapshotSelection
    private let key: RunKey
    private let store: any CheckpointStore
    private let deadLetters: DeadLetterFile
    private let counters = BackfillCounters()
    private let budget: InFlightBudget
    private let scheduler: WorkScheduler
    private let writer: CheckpointWriter
    /// Nil for the target `null:`.
    private let sender: BulkSender?
    private let worker: BackfillWorker
    private let delegate: SenderDelegate
    private let shardCount: Int
    private let finishedBefore: Int
    private let begun: MonotonicInstant
    private let tuning: Tuning

    /// What nobody sets but tests: time and sizes.
    struct Tuning: Sendable {
        /// Compressed bytes of a range. Small enough that several workers share a big segment, large enough that the
        /// partly filled batch at the end of a range does not matter.
        var rangeBytes: Int64 = 64 << 20
        /// How long answers are awaited when a run ends early.
        var drainTime = Duration.seconds(10)
        /// Time since the run began; nil: the monotonic clock.
        var now: (@Sendable () -> Duration)?
        var after = BulkSender.dispatchAfter
    }

    /// Leases are renewed three times within their life.
    private static let renewalInterval = DispatchTimeInterval.seconds(Int(SQLiteCheckpointStore.leaseSeconds / 3))
    /// Shards whose segments are open at once.
    private static let openShardLimit = 4
    /// Decompressed chunks kept for reuse, beside those in flight: what a burst of answers gives back at once is wanted
    /// again at once, and memory that goes back to the system in between costs a page fault for every 4 KiB.
    private static let pooledBytes = 32 << 20

    init(
        settings: BackfillSettings, repository: RepositoryReader, snapshot: SnapshotDescription,
        selection: SnapshotSelection, transport: (any BulkTransport)?, store: any CheckpointStore,
        begun: MonotonicInstant, tuning: Tuning = Tuning()
    ) throws(RunStop) {
        self.settings = settings
        self.selection = selection
        self.begun = begun
        self.store = store
        self.tuning = tuning
        key = RunKey(snapshot: "\(snapshot.name) \(snapshot.uuid)", target: settings.target.text)
        let shards = Self.shards(of: selection)
        let counters = counters
        do throws(CheckpointError) {
            try store.register(run: key, shards: shards.map(\.key))
            let finished = Set(try store.summary(run: key).filter(\.isFinished).map(\.shard))
            let open = shards.filter { !finished.contains($0.key) }
            shardCount = shards.count
            finishedBefore = shards.count - open.count
            scheduler = WorkScheduler(store: store, run: key, shards: open, openShardLimit: Self.openShardLimit)
        } catch {
            throw RunStop(code: .unavailable, message: error.message)
        }
        deadLetters = try Self.openDeadLetters(settings, leftOut: selection.leftOut)
        budget = InFlightBudget(limitBytes: settings.limits.memoryBudgetBytes)
        writer = CheckpointWriter(store: store, run: key, deadLetters: deadLetters)
        let writer = writer
        let scheduler = scheduler
        delegate = SenderDelegate(writer: writer, scheduler: scheduler)
        let sink: any BatchSink
        if let transport {
            let sender = BulkSender(
                transport: transport, deadLetters: deadLetters, budget: budget, counters: counters,
                limits: BulkSender.Limits(
                    requestLimit: settings.limits.connectionLimit, batchBytes: settings.limits.bulkBytes,
                    giveUpAfter: settings.limits.retryDuration),
                now: tuning.now ?? { MonotonicInstant.now() - begun }, after: tuning.after)
            sender.delegate = delegate
            self.sender = sender
            sink = sender
        } else {
            sender = nil
            sink = DiscardingSink(batchBytes: settings.limits.bulkBytes, counters: counters) { writer.note($0) }
        }
        worker = BackfillWorker(
            repository: repository, indices: selection.indices, scheduler: scheduler, store: store, run: key,
            sink: sink, deadLetters: deadLetters, counters: counters,
            pool: ChunkPool(retainedBytesLimit: Self.pooledBytes),
            batchDocumentLimit: settings.limits.bulkDocumentCount,
            rangeBytes: tuning.rangeBytes)
        let worker = worker
        let budget = budget
        writer.rangeFinished = { worker.finished($0) }
        writer.failed = { scheduler.end($0) }
        scheduler.ended = { budget.close() }
    }

    /// Reads and sends until everything is done or the run ends; returns when everything known is saved.
    func work() {
        let renewal = startRenewal()
        let threads = (0..<settings.limits.workerCount).map { [worker] number in
            WorkerThread(name: "backfill.\(number)") { worker.work() }
        }
        for thread in threads { thread.join() }
        if let stop = scheduler.stopReason { sender?.finish(because: stop, within: tuning.drainTime) }
        if let failure = writer.flush() { scheduler.end(failure) }
        renewal.cancel()
        for shard in scheduler.leasedShards { try? store.release(run: key, shard: shard) }
    }

    /// Ends the run early: nothing new is sent, what is known is saved.
    func end(_ reason: RunStop) { scheduler.end(reason) }

    func look() -> ProgressReporter.Snapshot {
        ProgressReporter.Snapshot(
            figures: counters.figures, shardsDone: Double(finishedBefore) + scheduler.finishedShards,
            shardCount: shardCount, waitsForOthers: scheduler.waitsForOthers, elapsed: MonotonicInstant.now() - begun)
    }

    /// Adds what the store knows of all runs, and what this one did.
    func complete(_ report: inout BackfillReport) {
        report.stop = scheduler.stopReason
        report.deadLetters = settings.deadLettersPath
        report.wasFinishedBefore = shardCount > 0 && finishedBefore == shardCount
        for (shard, why) in scheduler.abandonedShards {
            report.leftOut.append(
                .init(
                    index: shard.indexName, shard: shard.key.number,
                    reason: DeadLetter.Reason.unsupportedIndex.rawValue, detail: why))
        }
        let figures = counters.figures
        report.sentSourceBytes = figures.sourceBytes
        report.sentDocumentCount = figures.migrated
        report.retriedDocumentCount = figures.retried
        do throws(CheckpointError) {
            let summary = try store.summary(run: key)
            report.stop = report.stop ?? unfinished(summary)
            let progress = Dictionary(grouping: summary, by: \.shard.indexID)
            report.indices = selection.indices.map { index in
                var entry = BackfillReport.Index(name: index.name, shardCount: index.shardCount)
                for shard in progress[index.id] ?? [] {
                    entry.tally += shard.tally
                    if shard.isFinished { entry.finishedShardCount += 1 }
                }
                return entry
            }
        } catch {
            report.stop = report.stop ?? RunStop(code: .unavailable, message: error.message)
        }
        store.close()
    }

    /// A run may only end by itself when every shard is finished or left out by name.
    private func unfinished(_ summary: [ShardProgress]) -> RunStop? {
        let settled = Set(summary.filter(\.isFinished).map(\.shard)).union(scheduler.abandonedShards.map(\.shard.key))
        let open = Self.shards(of: selection).filter { !settled.contains($0.key) }
        guard let shard = open.first else { return nil }
        return RunStop(
            code: .ourFault,
            message: "\(open.count) shards are unfinished though no work is left, the first is "
                + "\(shard.indexName)/\(shard.key.number)")
    }

    func register(in metrics: MetricsRegistry) {
        BackfillMetrics.register(in: metrics, counters: counters, budget: budget, look: { [weak self] in self?.look() })
    }

    // MARK: - Helpers

    private static func shards(of selection: SnapshotSelection) -> [(key: ShardKey, indexName: String)] {
        selection.indices.flatMap { index in
            (0..<index.shardCount).map { (ShardKey(indexID: index.id, number: $0), index.name) }
        }.filter { !selection.missingShards.contains($0.0) }.map { (key: $0.0, indexName: $0.1) }
    }

    /// The coordinator that the settings name.
    static func openStore(
        _ settings: BackfillSettings, _ wallClock: @escaping @Sendable () -> Int64
    ) throws(RunStop) -> any CheckpointStore {
        guard let folder = settings.coordinatorPath else { return VolatileCheckpointStore() }
        do throws(CheckpointError) {
            return try SQLiteCheckpointStore(folder: folder, wallClock: wallClock)
        } catch {
            throw RunStop(code: .unavailable, message: error.message)
        }
    }

    private static func openDeadLetters(
        _ settings: BackfillSettings, leftOut: [DeadLetter]
    ) throws(RunStop) -> DeadLetterFile {
        // Only the target null: goes without a file: what is left out there is in the report alone.
        let path = settings.deadLettersPath ?? "/dev/null"
        do throws(DeadLetterFile.Failure) {
            let file = try DeadLetterFile(path: path)
            for letter in leftOut { try file.append(letter) }
            try file.sync()
            return file
        } catch {
            throw RunStop(code: .unavailable, message: error.message)
        }
    }

    private func startRenewal() -> any DispatchSourceTimer {
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "backfill.leases"))
        timer.schedule(deadline: .now() + Self.renewalInterval, repeating: Self.renewalInterval)
        timer.setEventHandler { [scheduler, store, key] in
            do throws(CheckpointError) {
                let lost = try store.renewLeases(run: key, shards: scheduler.leasedShards)
                // What was closed while they were renewed was given back, not lost.
                let held = Set(scheduler.leasedShards)
                guard let shard = lost.first(where: held.contains) else { return }
                scheduler.end(
                    RunStop(
                        code: .unavailable,
                        message:
                            "coordinator \(store.location): the lease of shard \(shard.number) of "
                            + "\(shard.indexID) was lost"
                    ))
            } catch {
                scheduler.end(RunStop(code: .unavailable, message: error.message))
            }
        }
        timer.activate()
        return timer
    }
}

/// Passes the sender's reports on.
private final class SenderDelegate: BulkSenderDelegate {
    private let writer: CheckpointWriter
    private let scheduler: WorkScheduler

    init(writer: CheckpointWriter, scheduler: WorkScheduler) {
        self.writer = writer
        self.scheduler = scheduler
    }

    func checkpointMoved(_ range: RangeWork) { writer.note(range) }
    func senderStopped(_ stop: RunStop) { scheduler.end(stop) }
}
