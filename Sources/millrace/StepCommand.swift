import BlobStore
import ClusterClient
import Metadata
import Settings
import SnapshotCreation
import SnapshotRepository
import Telemetry
import Transform
import Validation

/// `millrace step snapshot|metadata|validate`: settings, signals and report around a one-shot job.
struct StepCommand {
    private let settings: StepSettings
    private let verb: StepSettings.Verb

    static func run(arguments: [String]) -> Int32 {
        guard let word = arguments.first, !["--help", "-h", "help"].contains(word) else {
            Console.output(usage)
            return arguments.isEmpty ? ExitStatus.usage.rawValue : 0
        }
        guard let verb = StepSettings.Verb(rawValue: word) else {
            Console.error("millrace step: there is no \"\(word)\"; the steps are: snapshot, metadata, validate\n")
            return ExitStatus.usage.rawValue
        }
        do throws(SettingsError) {
            switch try StepSettings.load(verb, arguments: Array(arguments.dropFirst())) {
            case .help(let text):
                Console.output(text)
                return 0
            case .run(let settings) where settings.common.isCheckOnly:
                Console.output("millrace step \(verb.rawValue): the settings can be used\n")
                return 0
            case .run(let settings): return StepCommand(settings: settings, verb: verb).run()
            }
        } catch {
            let problems = error.problems.map { "  \($0.description)\n" }.joined()
            Console.error(
                "millrace step \(word): wrong usage:\n\(problems)millrace step \(word) --help lists the flags.\n")
            return ExitStatus.usage.rawValue
        }
    }

    static let usage = """
        usage: millrace step snapshot|metadata|validate [flags]

          snapshot   takes a snapshot of the source and waits for it
          metadata   makes a snapshot's indices in the target
          validate   compares counts in the target with what a backfill read

        millrace step NAME --help lists the flags. Each may run again after it was stopped or killed.

        """

    /// Of a backfill's report: some 200 bytes an index.
    private static let reportLimitBytes = 256 << 20

    /// What ends a step with a message.
    private struct Stop: Error {
        let status: ExitStatus
        let message: String
    }

    private func run() -> Int32 {
        let stop = StepStop()
        let signals = stop.watch()
        defer { signals.cancel() }
        do throws(Stop) {
            let cluster: StepCluster
            do throws(ClusterError) {
                cluster = try StepCluster(settings.common, stop: stop)
            } catch {
                throw Stop(status: .unavailable, message: error.message)
            }
            defer { cluster.close() }
            switch settings {
            case .snapshot(let step): return try snapshot(step, cluster, stop)
            case .metadata(let step): return try metadata(step, cluster)
            case .validate(let step): return try validate(step, cluster)
            }
        } catch {
            Console.error("millrace step \(verb.rawValue): \(error.message)\n")
            return stop.signal.map { 128 + $0 } ?? error.status.rawValue
        }
    }

    private func snapshot(
        _ step: StepSettings.Snapshot, _ cluster: StepCluster, _ stop: StepStop
    ) throws(Stop) -> Int32 {
        var order = SnapshotCreator.Order(repository: step.repositoryName, snapshot: step.snapshotName)
        order.location = step.location
        order.indices = step.indices
        order.includesGlobalState = step.includesGlobalState
        order.rateLimitBytes = step.rateLimitBytes
        order.isCompressed = step.isCompressed
        order.acceptsPartial = step.acceptsPartial
        let creator = SnapshotCreator(
            order, send: { (request) throws(ClusterError) in try cluster.ask(request) },
            pause: { stop.pause(0.5) }, isStopped: { stop.signal != nil })
        var told = -1
        let last: SnapshotCreator.Progress
        do throws(SnapshotCreator.Failure) {
            last = try creator.run { progress in
                guard progress.doneShardCount != told else { return }
                told = progress.doneShardCount
                Console.error(
                    "snapshot \(step.snapshotName): \(progress.state), "
                        + "\(progress.doneShardCount) of \(progress.shardCount) shards\n")
            }
        } catch {
            switch error {
            case .refused(let message), .unusable(let message): throw Stop(status: .unreadable, message: message)
            case .unavailable(let message): throw Stop(status: .unavailable, message: message)
            case .stopped:
                throw Stop(status: .unavailable, message: "stopped; the source goes on, the same command waits again")
            }
        }
        let report = SnapshotCreationReport(repository: step.repositoryName, snapshot: step.snapshotName, last: last)
        return try finish(text: report.text, json: report.json, status: 0)
    }

    private func metadata(_ step: StepSettings.Metadata, _ cluster: StepCluster) throws(Stop) -> Int32 {
        let indices: [SnapshotIndex]
        do {
            let store = try FileBlobStore(path: step.repositoryPath)
            let snapshot = try RepositoryReader(store: store, cancellation: .never).open(snapshot: step.snapshotName)
            let unmatched = step.selection.unmatchedPatterns(in: snapshot.indices.map(\.name))
            if let pattern = unmatched.first {
                throw Stop(
                    status: .usage, message: "--index \(pattern.text): snapshot \(step.snapshotName) has no such index")
            }
            indices = snapshot.indices.filter { step.selection.selects($0.name) }
        } catch let error as BlobError {
            throw Stop(status: .unavailable, message: error.message)
        } catch let error as RepositoryError {
            throw Stop(status: error.code == .unavailable ? .unavailable : .unreadable, message: error.message)
        } catch let error as Stop {
            throw error
        } catch {
            throw Stop(status: .fault, message: "\(error)")
        }
        let migration = MetadataMigration(isEvaluation: step.isEvaluation, replicas: step.replicas) {
            (request) throws(ClusterError) in try cluster.ask(request)
        }
        let report: MetadataReport
        do throws(ClusterError) {
            report = try migration.run(indices)
        } catch {
            throw Stop(status: .unavailable, message: error.message)
        }
        return try finish(text: report.text, json: report.json, status: report.exitCode)
    }

    private func validate(_ step: StepSettings.Validate, _ cluster: StepCluster) throws(Stop) -> Int32 {
        let expected: ExpectedCounts
        do {
            let bytes = try SmallFile.read(step.expectedFile, limitBytes: Self.reportLimitBytes).get()
            expected = try ExpectedCounts(backfillReport: bytes, name: step.expectedFile)
        } catch let error as ExpectedCounts.ReadError {
            throw Stop(status: .unreadable, message: error.message)
        } catch let error as ValueProblem {
            throw Stop(status: .unreadable, message: error.message)
        } catch {
            throw Stop(status: .fault, message: "\(error)")
        }
        let rule = CountValidator.Rule(tolerance: step.tolerance, ignored: step.ignored.map { NamePattern($0) })
        let validator = CountValidator(rule) {
            (request) throws(ClusterError) in try cluster.ask(request)
        }
        let report: CountReport
        do throws(ClusterError) {
            report = try validator.run(expected)
        } catch {
            throw Stop(status: .unavailable, message: error.message)
        }
        return try finish(text: report.text, json: report.json, status: report.exitCode)
    }

    private func finish(text: String, json: String, status: Int32) throws(Stop) -> Int32 {
        if let file = settings.common.reportFile {
            do throws(StateFileError) {
                try StateFile.write(Array((json + "\n").utf8), to: file)
            } catch {
                throw Stop(status: .unavailable, message: "--report: \(error.message)")
            }
        }
        Console.output(settings.common.output == .json ? json + "\n" : text)
        return status
    }
}
