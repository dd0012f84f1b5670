import BlobStore
import ClusterClient
import Dispatch
import EventIO
import Glibc
import LuceneFormat
import Settings
import SnapshotRepository
import Synchronization
import Telemetry

/// Migrates the documents of a snapshot into a target: the composition of the backfill flow.
///
/// | stage | file | in | out |
/// |---|---|---|---|
/// | repository | SnapshotRepository/RepositoryReader | folder | indices, shards, failures of the snapshot |
/// | selection | SnapshotSelection | indices | indices to read, what is left out and why |
/// | leases | WorkScheduler, SQLiteCheckpointStore | shards | open shard, pending segment, range |
/// | segments | BackfillWorker, LuceneFormat | shard's files | verified segments, doc-id ranges |
/// | documents | RangeReader | range | batches of action lines and sources |
/// | bulk | BulkSender, ClusterBulkTransport | batch | an outcome for every document |
/// | checkpoint | AcknowledgementTracker, CheckpointWriter | outcomes | contiguous acknowledged prefix, saved |
///
/// The way back is acknowledgement alone: an outcome closes its batch's span, a closed prefix moves the range's
/// checkpoint, a saved end finishes the range, its segment and its shard. Worker threads read and decode, one serial
/// queue owns the outcomes, one the checkpoints; an event loop moves the bytes.
package struct SnapshotBackfill: Sendable {
    private let settings: BackfillSettings
    private let metrics: MetricsRegistry
    private let log: Log
    /// Seconds since 1970, for leases.
    private let wallClock: @Sendable () -> Int64
    /// Writes the live progress line; nil where there is no terminal.
    private let terminal: (@Sendable (String) -> Void)?
    private let control: BackfillControl

    package init(
        _ settings: BackfillSettings, control: BackfillControl, metrics: MetricsRegistry, log: Log,
        wallClock: @escaping @Sendable () -> Int64, terminal: (@Sendable (String) -> Void)?
    ) {
        self.settings = settings
        self.control = control
        self.metrics = metrics
        self.log = log
        self.wallClock = wallClock
        self.terminal = terminal
    }

    /// Runs to the end, whatever the end is. Blocks; called on a plain thread.
    package func run() -> BackfillReport {
        let begun = MonotonicInstant.now()
        var report = BackfillReport()
        report.repository = settings.repositoryPath
        report.snapshot = settings.snapshotName
        report.target = settings.target.text
        do {
            try run(into: &report, begun: begun)
        } catch {
            // What a signal cut short before the run had begun is the signal's doing.
            report.stop = control.reason ?? report.stop ?? error
        }
        report.elapsed = MonotonicInstant.now() - begun
        report.processorTime = Self.processorTime()
        return report
    }

    private func run(into report: inout BackfillReport, begun: MonotonicInstant) throws(RunStop) {
        let (repository, snapshot) = try openSnapshot()
        let selection = SnapshotSelection(snapshot, isSelected: settings.indices.selects)
        report.notes = selection.notes
        report.leftOut = selection.leftOut.map {
            .init(index: $0.index, shard: $0.shard, reason: $0.reason.rawValue, detail: $0.detail)
        }
        try checkSelection(selection, of: snapshot)
        let target = try TargetConnection(settings)
        defer { target.close() }
        if let identity = target.identity {
            log.info(
                "target identified",
                [
                    .target: .text(settings.target.text), .distribution: .text(identity.flavour.rawValue),
                    .version: .text(identity.version.description),
                ])
        }
        let store = try BackfillRun.openStore(settings, wallClock)
        let run = try BackfillRun(
            settings: settings, repository: repository, snapshot: snapshot, selection: selection,
            transport: target.transport, store: store, begun: begun)
        run.register(in: metrics)
        control.attach { [weak run] reason in run?.end(reason) }
        let progress = ProgressReporter(style: progressStyle, look: { run.look() })
        progress.start()
        run.work()
        progress.stop()
        run.complete(&report)
    }

    // MARK: - Before anything is read

    private func openSnapshot() throws(RunStop) -> (RepositoryReader, SnapshotDescription) {
        do {
            let store = try FileBlobStore(path: settings.repositoryPath)
            let repository = RepositoryReader(store: store, cancellation: control.cancellation)
            return (repository, try repository.open(snapshot: settings.snapshotName))
        } catch let error as BlobError {
            throw RunStop(code: .unavailable, message: error.message)
        } catch let error as RepositoryError {
            throw RunStop(error)
        } catch {
            throw RunStop(code: .ourFault, message: "\(error)")
        }
    }

    private func checkSelection(_ selection: SnapshotSelection, of snapshot: SnapshotDescription) throws(RunStop) {
        switch snapshot.state {
        case .success: break
        case .partial:
            guard settings.acceptsPartial else {
                let missing = snapshot.failures.prefix(5).map { "\($0.index)/\($0.shard.map(String.init) ?? "*")" }
                    .joined(separator: ", ")
                let more = snapshot.failures.count > 5 ? " and \(snapshot.failures.count - 5) more" : ""
                throw RunStop(
                    code: .unreadable,
                    message: "snapshot \(snapshot.name) is PARTIAL: it does not hold shards \(missing)\(more); "
                        + "--accept-partial migrates the rest")
            }
        case .failed, .inProgress, .incompatible:
            throw RunStop(
                code: .unreadable,
                message: "snapshot \(snapshot.name) is \(snapshot.state): only a finished snapshot can be migrated")
        }
        guard !snapshot.indices.isEmpty else {
            throw RunStop(code: .unreadable, message: "snapshot \(snapshot.name) holds no indices")
        }
        let names = snapshot.indices.map(\.name)
        let held = names.prefix(10).joined(separator: ", ") + (names.count > 10 ? " and \(names.count - 10) more" : "")
        // A name with a typing mistake in it must not pass for an index that was migrated.
        let unmatched = settings.indices.unmatchedPatterns(in: names)
        guard unmatched.isEmpty else {
            throw RunStop(
                code: .unreadable,
                message: "snapshot \(snapshot.name): --index \(unmatched.map(\.text).joined(separator: ", ")) selects "
                    + "nothing; it holds \(held)")
        }
        guard !selection.indices.isEmpty || !selection.leftOut.isEmpty else {
            throw RunStop(
                code: .unreadable,
                message: "snapshot \(snapshot.name) holds system indices alone: \(held); "
                    + "--include-system-indices takes them")
        }
    }

    private var progressStyle: ProgressReporter.Style {
        switch settings.progress {
        case .line: return line(terminal ?? { _ in })
        case .none: return .none
        case .json, .auto:
            if settings.progress == .auto, let terminal { return line(terminal) }
            return .entries { [log] now, rates in
                log.info(
                    "backfill progress",
                    [
                        .fraction: .number((rates.fraction * 1000).rounded() / 1000),
                        .migratedCount: .integer(Int64(now.figures.migrated)),
                        .byteCount: .integer(Int64(now.figures.sourceBytes)),
                        .bytesPerSecond: .integer(Int64(rates.bytesPerSecond)),
                        .leftOutCount: .integer(Int64(now.figures.rejected + now.figures.omitted)),
                        .retriedCount: .integer(Int64(now.figures.retried)),
                        .remainingSeconds: .integer(Int64(rates.remaining?.seconds ?? -1)),
                    ])
            }
        }
    }

    private func line(_ write: @escaping @Sendable (String) -> Void) -> ProgressReporter.Style {
        .line(write: write, columns: { Console.errorColumns })
    }

    /// User and system time of this process so far.
    private static func processorTime() -> Duration {
        var usage = rusage()
        guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return .zero }
        let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        let microseconds = usage.ru_utime.tv_usec + usage.ru_stime.tv_usec
        return .seconds(seconds) + .microseconds(microseconds)
    }
}

/// Ends a run from outside: signals.
package final class BackfillControl: Sendable {
    package let cancellation = Cancellation()
    private let state = Mutex(State())

    private struct State {
        var reason: RunStop?
        var end: (@Sendable (RunStop) -> Void)?
    }

    package init() {}

    /// Asks the run to end; the first reason stays.
    package func stop(_ reason: RunStop) {
        let end = state.withLock { state in
            if state.reason == nil { state.reason = reason }
            return state.end
        }
        // The run learns the reason before its reads are cancelled: a cancelled read is not why it ends.
        end?(reason)
        cancellation.cancel()
    }

    /// Why the run was asked to end; nil when it was not.
    var reason: RunStop? { state.withLock { $0.reason } }

    func attach(_ end: @escaping @Sendable (RunStop) -> Void) {
        let reason = state.withLock { state in
            state.end = end
            return state.reason
        }
        if let reason { end(reason) }
    }
}
