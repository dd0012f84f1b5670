import BlobStore
import LuceneFormat
import SnapshotRepository

/// Does the scheduler's tasks: opens shards, verifies segments, reads ranges. One object for all worker threads.
///
/// A shard is opened whole before anything of it is sent, so that one with a segment of an unknown format is left out
/// as a whole; a segment's checksums are verified before its first document leaves.
final class BackfillWorker: Sendable {
    private let repository: RepositoryReader
    private let indices: [String: SnapshotIndex]
    private let scheduler: WorkScheduler
    private let store: any CheckpointStore
    private let run: RunKey
    private let sink: any BatchSink
    private let deadLetters: DeadLetterFile
    private let counters: BackfillCounters
    private let pool: ChunkPool
    private let batchDocumentLimit: Int

    /// Compressed bytes of a range.
    private let rangeBytes: Int64

    init(
        repository: RepositoryReader, indices: [SnapshotIndex], scheduler: WorkScheduler, store: any CheckpointStore,
        run: RunKey, sink: any BatchSink, deadLetters: DeadLetterFile, counters: BackfillCounters, pool: ChunkPool,
        batchDocumentLimit: Int, rangeBytes: Int64
    ) {
        self.repository = repository
        self.indices = Dictionary(indices.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        self.scheduler = scheduler
        self.store = store
        self.run = run
        self.sink = sink
        self.deadLetters = deadLetters
        self.counters = counters
        self.pool = pool
        self.batchDocumentLimit = batchDocumentLimit
        self.rangeBytes = rangeBytes
    }

    /// The body of a worker thread: returns when there is nothing left to do or the run ends.
    func work() {
        while let task = scheduler.next() {
            do {
                switch task {
                case .openShard(let shard): try openOrLeaveOut(shard)
                case .prepareSegment(let pending): try prepare(pending)
                case .verifySegment(let check): try verify(check)
                case .readRange(let range, let reader): try read(range, reader)
                }
            } catch {
                scheduler.end(RunStop(reading: error, of: task.shard.name))
            }
        }
    }

    /// Only an opening may leave a shard out: later, documents of it may be on their way.
    private func openOrLeaveOut(_ shard: ShardWork) throws {
        do {
            try open(shard)
        } catch let error as LuceneError where error.code == .unsupported {
            try leaveOut(shard, error.description)
        } catch let error as RepositoryError where error.code == .unsupported {
            try leaveOut(shard, error.message)
        }
    }

    private func open(_ shard: ShardWork) throws {
        guard let index = indices[shard.key.indexID] else {
            preconditionFailure("shard \(shard.key) is not of a selected index")
        }
        let directory = try repository.directory(index, shard: shard.key.number)
        let known = Dictionary(grouping: try store.ranges(run: run, shard: shard.key), by: \.segment)
        var pending: [PendingSegment] = []
        for info in try SegmentInfos.read(directory).segments {
            let reader = try SegmentReader.open(directory, info)
            pending.append(PendingSegment(shard: shard, reader: reader, known: known[reader.name] ?? []))
        }
        // The smallest first: the first documents leave while the large segments are verified.
        pending.sort { $0.reader.storedFieldsBytes < $1.reader.storedFieldsBytes }
        shard.maxDoc.store(pending.reduce(0) { $0 + $1.reader.maxDoc }, ordering: .relaxed)
        shard.addSteps(pending.count)
        scheduler.add(pending)
        endStep(of: shard)
    }

    private func prepare(_ pending: PendingSegment) throws {
        let reader = pending.reader
        let shard = pending.shard
        var ranges = pending.known
        if ranges.isEmpty, reader.maxDoc > 0 {
            let starts = reader.splitPoints(targetBytes: rangeBytes)
            ranges = zip(starts, starts.dropFirst() + [reader.maxDoc]).map {
                RangeProgress(segment: reader.name, firstDoc: $0, endDoc: $1)
            }
        }
        let resolved = ranges.reduce(0) { $0 + $1.tally.documentCount }
        shard.doneCount.add(resolved, ordering: .relaxed)
        guard ranges.contains(where: { !$0.isDone }) else {
            // The process that saved the last of them may have died before it checked.
            let done = ranges.reduce(into: DocumentTally()) { $0 += $1.tally }
            if let contradiction = SegmentWork.contradiction(
                in: done, shard: shard, name: reader.name, maxDoc: reader.maxDoc, deletedCount: reader.deletedCount)
            {
                return scheduler.end(RunStop(code: .ourFault, message: contradiction))
            }
            return endStep(of: shard)
        }
        let check = SegmentCheck(pending: pending, ranges: ranges, verification: SegmentVerification(reader))
        // Workers without anything to read help, so that the first documents leave sooner.
        if check.verification.isDivisible { scheduler.add(check) }
        try verify(check)
    }

    /// Does a part of a segment's verification; who does the last part hands out the ranges.
    private func verify(_ check: SegmentCheck) throws {
        guard try check.verification.work(isCancelled: { scheduler.isStopping }), !scheduler.isStopping else { return }
        let reader = check.pending.reader
        let shard = check.pending.shard
        if check.pending.known.isEmpty { try store.plan(run: run, shard: shard.key, ranges: check.ranges) }
        let open = check.ranges.filter { !$0.isDone }
        var done = DocumentTally()
        for range in check.ranges where range.isDone { done += range.tally }
        let segment = SegmentWork(
            shard: shard, name: reader.name, maxDoc: reader.maxDoc, deletedCount: reader.deletedCount,
            openRanges: open.count, done: done)
        shard.addSteps(open.count)
        scheduler.add(open.map { (RangeWork(segmentWork: segment, progress: $0), reader) })
        endStep(of: shard)
    }

    private func read(_ range: RangeWork, _ reader: SegmentReader) throws {
        var rangeReader = RangeReader(
            range: range, reader: reader, pool: pool, sink: sink, deadLetters: deadLetters, counters: counters,
            batchDocumentLimit: batchDocumentLimit, isStopping: { [scheduler] in scheduler.isStopping })
        _ = try rangeReader.run()
    }

    /// Called when the end of a range is saved: the segment's counts must add up.
    func finished(_ range: RangeWork) {
        if let contradiction = range.segmentWork.finishedRange(range.progress.tally) {
            return scheduler.end(RunStop(code: .ourFault, message: contradiction))
        }
        endStep(of: range.shard)
    }

    private func endStep(of shard: ShardWork) {
        guard shard.endStep() else { return }
        do throws(CheckpointError) {
            try store.finish(run: run, shard: shard.key)
            scheduler.closed(shard)
        } catch {
            scheduler.end(RunStop(code: .unavailable, message: error.message))
        }
    }

    /// The shard cannot be read by this program: it is named, and the others go on.
    private func leaveOut(_ shard: ShardWork, _ why: String) throws {
        counters.leftOut(.unsupportedIndex)
        try deadLetters.append(
            DeadLetter(index: shard.indexName, shard: shard.key.number, reason: .unsupportedIndex, detail: why))
        try deadLetters.sync()
        // Before the lease is given back, or its renewal would take it for lost.
        scheduler.abandon(shard, why: why)
        try store.release(run: run, shard: shard.key)
    }
}

extension RunStop {
    /// What an error while reading a shard means for the run.
    init(reading error: any Error, of shard: String) {
        switch error {
        case let error as RunStop:
            self = error
        case let error as LuceneError:
            if error.code == .readFailed, let cause = error.underlying {
                self.init(reading: cause, of: shard)
            } else {
                self.init(code: .unreadable, message: error.description)
            }
        case let error as BlobError:
            let code: Code
            switch error.code {
            case .notFound, .truncated, .tooLarge: code = .unreadable
            case .denied, .unavailable, .cancelled: code = .unavailable
            }
            self.init(code: code, message: "shard \(shard): \(error.message)")
        case let error as RepositoryError:
            self.init(error)
        case let error as CheckpointError:
            self.init(code: .unavailable, message: error.message)
        case let error as DeadLetterFile.Failure:
            self.init(code: .unavailable, message: error.message)
        default:
            self.init(code: .ourFault, message: "shard \(shard): \(error)")
        }
    }

    init(_ error: RepositoryError) {
        switch error.code {
        case .unreadable, .unsupported: self.init(code: .unreadable, message: error.message)
        case .unavailable, .cancelled: self.init(code: .unavailable, message: error.message)
        }
    }
}
