import Dispatch

/// Writes checkpoints behind the sender: collects the ranges that moved and saves them together, dead letters first.
///
/// A range is finished for the scheduler only when its end is saved.
// Sound: all mutable state is confined to `queue`.
final class CheckpointWriter: @unchecked Sendable {
    private let store: any CheckpointStore
    private let run: RunKey
    private let deadLetters: DeadLetterFile
    private let queue = DispatchQueue(label: "backfill.checkpoint")
    private var dirty: [ObjectIdentifier: RangeWork] = [:]
    private var isScheduled = false
    private var failure: RunStop?
    /// Called on the queue after a range's end was saved.
    var rangeFinished: @Sendable (RangeWork) -> Void = { _ in }
    /// Called on the queue when checkpoints cannot be written.
    var failed: @Sendable (RunStop) -> Void = { _ in }

    /// Checkpoints are this old at the most.
    private static let interval = DispatchTimeInterval.milliseconds(500)

    init(store: any CheckpointStore, run: RunKey, deadLetters: DeadLetterFile) {
        self.store = store
        self.run = run
        self.deadLetters = deadLetters
    }

    /// Notes that the range's checkpoint moved; a finished range is saved at once.
    func note(_ range: RangeWork) {
        queue.async { [self] in
            // The last two notes of a range may both come after its end: the first has saved it, and the shard may be
            // finished and given back by now.
            guard failure == nil, !range.isEndSaved.load(ordering: .relaxed) else { return }
            dirty[ObjectIdentifier(range)] = range
            if range.progress.isDone {
                save()
            } else if !isScheduled {
                isScheduled = true
                queue.asyncAfter(deadline: .now() + Self.interval) { [self] in
                    isScheduled = false
                    save()
                }
            }
        }
    }

    /// Saves what has moved and returns when it is on disk, or with the reason why not.
    func flush() -> RunStop? {
        queue.sync {
            save()
            return failure
        }
    }

    private func save() {
        guard failure == nil, !dirty.isEmpty else { return }
        let ranges = Array(dirty.values)
        // Taken before the dead letters are synced: what a checkpoint passes later is not covered by this sync.
        let progress = ranges.map { (shard: $0.shard.key, range: $0.progress) }
        do {
            try deadLetters.sync()
            try store.save(run: run, progress)
        } catch let error as DeadLetterFile.Failure {
            return fail(error.message)
        } catch let error as CheckpointError {
            return fail(error.message)
        } catch {
            return fail("\(error)")
        }
        dirty.removeAll(keepingCapacity: true)
        for (range, saved) in zip(ranges, progress) {
            if saved.range.isDone {
                range.isEndSaved.store(true, ordering: .relaxed)
                rangeFinished(range)
            } else if range.progress != saved.range {
                dirty[ObjectIdentifier(range)] = range
            }
        }
        if !dirty.isEmpty, !isScheduled {
            isScheduled = true
            queue.asyncAfter(deadline: .now() + Self.interval) { [self] in
                isScheduled = false
                save()
            }
        }
    }

    private func fail(_ message: String) {
        let stop = RunStop(code: .unavailable, message: message)
        failure = stop
        failed(stop)
    }
}
