import ClusterClient
import EventIO
import Glibc
import Settings
import Synchronization
import Telemetry
import TrafficLog
import Transform

/// The replay flow: reads captured traffic and brings the target up to date with it.
///
/// | stage | file | in | out |
/// |---|---|---|---|
/// | read | TrafficLog's `GroupLogReader`, `LogFeed` | log | records, held back by time and memory |
/// | reassemble | `SourceConnection` | records | exchanges, in order of their connection |
/// | schedule | `ReplayEngine`, `ReplaySchedule`, `DueHeap` | exchanges | requests that are due |
/// | rewrite | `ReplayLoop.prepare`, Transform | captured request | request for the target |
/// | send | ClusterClient's `TargetConnections` | request | answer, or none |
/// | decide | `OutcomePolicy`, `BackoffPolicy` | answer | done, again, given up |
/// | write | `TupleWriter`, `TupleFiles` | exchange with answers | tuple on disk |
/// | commit | `PartitionLedger`, `LogFeed` | resolved exchanges | position in the log |
///
/// The feed runs on a thread of its own, each engine on its event loop, the files have a thread each. Records go to the
/// loops by their connection; what is settled comes back by a mailbox.
// Sound: constants that synchronise themselves; `feed` and `reader` are used by the feed's thread alone.
package final class TrafficReplayer: @unchecked Sendable {
    /// How a run ended.
    package struct Report: Sendable {
        package var status: LogFeed.Status
        /// Why it could not go on.
        package var failure: String?
    }

    private let context: ReplayContext
    private let loops: EventLoopGroup
    private let replayLoops: [ReplayLoop]
    private let feed: LogFeed
    private let reader: any GroupLogReader
    private let log: Log
    private let isStopAsked = Atomic<Bool>(false)
    /// Waits here between two attempts to reach the log.
    private let pause = Monitor()
    private let isRunning = Atomic<Bool>(true)

    /// Connections of the log that is read, as `reader` has it.
    package init(
        _ settings: ReplaySettings, reader: any GroupLogReader, metrics: MetricsRegistry, log: Log, seed: UInt64
    ) throws(ReplayStartError) {
        self.reader = reader
        self.log = log
        let budget = ByteBudget(limitBytes: ReplayMemory.budgetBytes(of: settings.limits.memoryBytes))
        let mailbox = ReplyMailbox()
        let engineMetrics = ReplayMetrics(metrics)
        let durable = DurableTickets()
        context = try Self.context(
            settings, budget: budget, metrics: metrics, engineMetrics: engineMetrics, mailbox: mailbox, log: log,
            durable: durable)
        do throws(IOError) {
            loops = try EventLoopGroup(count: settings.limits.workerCount)
        } catch {
            throw ReplayStartError(message: error.message)
        }
        let context = context
        replayLoops = loops.loops.enumerated().map { ReplayLoop($1, index: $0, context: context) }
        durable.deliver(to: replayLoops)
        let origin = SharedOrigin()
        let speed: ReplaySchedule.Speed =
            switch settings.speed {
            case .maximum: .maximum
            case .factor(let factor): .factor(factor)
            }
        var limits = ReplayEngine.Limits()
        limits.inFlightCount = max(1, settings.limits.inFlightCount / replayLoops.count)
        limits.inFlightBytes = budget.limitBytes / replayLoops.count
        limits.expiry = settings.limits.expiry.wholeNanoseconds
        let patience = OutcomePolicy.Patience(
            mutating: settings.deadlines.giveUpWrites?.wholeNanoseconds,
            reading: settings.deadlines.giveUpReads?.wholeNanoseconds)
        for (index, replayLoop) in replayLoops.enumerated() {
            let limits = limits
            replayLoop.start { port in
                ReplayEngine(
                    port: port, schedule: ReplaySchedule(speed: speed), origin: origin, limits: limits,
                    patience: patience, budget: budget, metrics: engineMetrics, seed: seed &+ UInt64(index))
            }
        }
        var feedSettings = LogFeed.Settings()
        feedSettings.lookAhead = settings.lookAhead.wholeNanoseconds
        feedSettings.drainTime = settings.deadlines.drain.wholeNanoseconds
        feedSettings.longestGap = settings.longestGap?.wholeNanoseconds
        feed = LogFeed(
            reader: reader, loops: replayLoops, settings: feedSettings, speed: speed, budget: budget, origin: origin,
            metrics: FeedMetrics(metrics, budget: budget), log: log)
    }

    package var readiness: AdminReadiness {
        isRunning.load(ordering: .relaxed) ? .ready : .notReady("stopping")
    }

    /// Finishes what has begun and ends `run`. From any thread.
    package func stop() {
        isRunning.store(false, ordering: .relaxed)
        isStopAsked.store(true, ordering: .releasing)
        pause.locked { pause.signalAll() }
    }

    /// Replays until `--until` is reached, `stop` was called, or nothing more can be done. Blocks.
    package func run() -> Report {
        var report = Report(status: .running)
        while report.status == .running, report.failure == nil {
            let now = context.wallOffset + Int64(MonotonicInstant.now().nanoseconds)
            if isStopAsked.load(ordering: .acquiring) { feed.stop(now: now) }
            let replies = context.mailbox.take()
            do throws(TrafficLogError) {
                report.status = try feed.turn(
                    now: now, replies: replies, wait: replies.isEmpty ? .milliseconds(10) : .zero)
            } catch {
                guard error.disposition == .retry else {
                    report.failure = error.message
                    break
                }
                log.warning("the log is not available; it is tried again", [.reason: .text(error.message)])
                pause.locked { pause.wait(milliseconds: 500) }
            }
        }
        close()
        return report
    }

    private func close() {
        let isClosed = Monitor()
        let left = Atomic<Int>(replayLoops.count)
        for replayLoop in replayLoops {
            replayLoop.shutdown {
                left.subtract(1, ordering: .acquiringAndReleasing)
                isClosed.locked { isClosed.signalAll() }
            }
        }
        isClosed.locked {
            let deadline = MonotonicInstant.now().advanced(by: .seconds(2))
            while left.load(ordering: .acquiring) > 0, MonotonicInstant.now() < deadline {
                isClosed.wait(milliseconds: 100)
            }
        }
        context.tuples?.close()
        context.deadLetters.close()
        loops.stop()
        reader.close()
    }
}

/// Why a replayer cannot begin; one line that says what to do.
package struct ReplayStartError: Error, Sendable {
    package let message: String
    /// A setting is wrong, rather than something not available.
    package var isWrongUsage = false
}

/// Hands tickets from the files' threads to the loops that wait for them. The loops are made after the files.
// Sound: `loops` is set once, before anything is appended.
final class DurableTickets: @unchecked Sendable {
    private var loops: [ReplayLoop] = []

    func deliver(to loops: [ReplayLoop]) { self.loops = loops }

    func take(_ tickets: [UInt64]) {
        var byLoop: [[UInt64]] = Array(repeating: [], count: loops.count)
        for ticket in tickets { byLoop[ReplayLoop.loopIndex(of: ticket)].append(ticket) }
        for (index, tickets) in byLoop.enumerated() where !tickets.isEmpty { loops[index].durable(tickets) }
    }
}

// What the parts are made from.
extension TrafficReplayer {
    private static func context(
        _ settings: ReplaySettings, budget: ByteBudget, metrics: MetricsRegistry, engineMetrics: ReplayMetrics,
        mailbox: ReplyMailbox, log: Log, durable: DurableTickets
    ) throws(ReplayStartError) -> ReplayContext {
        let rules = try rules(settings)
        let cluster: ClusterSettings
        var tls: TLSClientConfiguration?
        do throws(ClusterError) {
            var made = try ClusterSettings(url: settings.target, authentication: .none, tls: settings.tls)
            made.connectionLimit = max(1, settings.limits.inFlightCount / settings.limits.workerCount)
            made.waitingLimit = 1 << 20
            made.connectTimeout = settings.deadlines.connect
            made.responseBytesLimit = 64 << 20
            cluster = made
        } catch {
            throw ReplayStartError(message: error.message)
        }
        if settings.target.isTLS {
            do throws(IOError) {
                tls = try TLSClientConfiguration(
                    caFile: settings.tls.caFile, certificateChainFile: settings.tls.clientCertificateFile,
                    privateKeyFile: settings.tls.clientKeyFile, isInsecure: settings.tls.isInsecure)
            } catch {
                throw ReplayStartError(message: "TLS to \(settings.target): \(error.message)")
            }
        }
        var timeouts = ExchangeTimeouts()
        timeouts.firstByte = settings.deadlines.response
        timeouts.whole = settings.deadlines.request
        let access = authentication(settings)
        return ReplayContext(
            rewriter: RequestRewriter(
                rules: rules, host: Array(cluster.url.authority.utf8), authentication: access.captured,
                userAgentSuffix: Array((settings.userAgentSuffix ?? "").utf8),
                generatedIDs: settings.generatedIDs == .source),
            cluster: cluster, timeouts: timeouts, tls: tls, signer: access.signer,
            tuples: try tupleFiles(settings, log, durable), tupleSettings: settings.tuples,
            deadLetters: try files(
                settings.deadLettersFolder, compression: .none, settings, fileBytes: 1 << 40, log, durable),
            budget: budget, metrics: engineMetrics, outcomes: TargetMetrics(metrics), mailbox: mailbox, log: log,
            wallOffset: wallOffset())
    }

    private static func rules(_ settings: ReplaySettings) throws(ReplayStartError) -> RuleSet? {
        guard let rules = settings.rules else { return nil }
        do throws(RuleFileError) {
            return try RuleSet(json: rules.content, file: rules.path)
        } catch {
            throw ReplayStartError(message: "--rules: \(error.description)", isWrongUsage: true)
        }
    }

    private static func authentication(
        _ settings: ReplaySettings
    ) -> (captured: Authentication, signer: RawRequestSigner?) {
        switch settings.authentication {
        case .none: return (settings.capturedCredentials == .keep ? .keep : .remove, nil)
        case .basic(let user, let password):
            return (.basic(Array(BasicAuthorization.text(user: user, password: password.revealed).utf8)), nil)
        case .sigV4(let region, let service):
            let signer = RawRequestSigner(
                region: region, service: service, credentials: DefaultAWSCredentials(),
                unixSeconds: { Int64(time(nil)) })
            return (.signed, signer)
        }
    }

    private static func tupleFiles(
        _ settings: ReplaySettings, _ log: Log, _ durable: DurableTickets
    ) throws(ReplayStartError) -> TupleFiles? {
        guard let folder = settings.tuples.folder else { return nil }
        let compression: TupleCompression =
            switch settings.tuples.compression {
            case .gzip: .gzip
            case .zstd: .zstd(level: 1)
            case .none: .none
            }
        return try files(
            folder, compression: compression, settings, fileBytes: Int64(settings.tuples.fileBytes), log, durable)
    }

    private static func files(
        _ folder: String, compression: TupleCompression, _ settings: ReplaySettings, fileBytes: Int64, _ log: Log,
        _ durable: DurableTickets
    ) throws(ReplayStartError) -> TupleFiles {
        var made = TupleFiles.Settings(folder: folder, instance: settings.groupInstance ?? "replay")
        made.compression = compression
        made.fileBytes = fileBytes
        made.fileAge = settings.tuples.fileAge
        made.groupBytes = min(made.groupBytes, ReplayMemory.tupleGroupBytes(of: settings.limits.memoryBytes))
        made.heldBytes = ReplayMemory.budgetBytes(of: settings.limits.memoryBytes) / 8
        do throws(TupleFileError) {
            return try TupleFiles(made, wallClock: { (wallOffset() + monotonic()) / 1_000_000 }) { event in
                switch event {
                case .durable(let tickets): durable.take(tickets)
                case .failed(let error):
                    log.error("a file cannot be written; it is tried again", [.reason: .text(error.description)])
                case .finished(let path, let byteCount):
                    log.info("a file is finished", [.path: .text(path), .byteCount: LogValue(byteCount)])
                case .recovered(let path, let keptBytes, _):
                    log.info(
                        "a file of an earlier run is finished", [.path: .text(path), .byteCount: LogValue(keptBytes)])
                }
            }
        } catch {
            throw ReplayStartError(message: error.description)
        }
    }

    private static func monotonic() -> Int64 { Int64(MonotonicInstant.now().nanoseconds) }

    private static func wallOffset() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) - monotonic()
    }
}
