import Settings
import Synchronization
import Telemetry
import TrafficLog

/// Says when recording stops being normal, what becomes of writing requests meanwhile, and, at the end, for how long it
/// was so and what it came to.
///
/// At most one beginning an interval: a log that comes and goes is told by the outage that lasts, with the number of
/// those that were left out (`suppressed`). An end follows its beginning at once.
final class OutageReport: Sendable {
    /// What becomes of writing requests.
    enum Mode: Sendable, Equatable {
        case refusing
        case forwarding
        case spooling
    }

    /// Figures that grow, to be compared between the beginning and the end.
    struct Figures: Sendable {
        var refusedRequests: UInt64 = 0
        var unrecordedWrites: UInt64 = 0
        var gaps: UInt64 = 0
        var records: UInt64 = 0
    }

    private struct State {
        var mode: Mode?
        var reason = ""
        /// Of `mode`.
        var since = Duration.zero
        var figures = Figures()
        /// The beginning of `mode` is written.
        var isTold = false
        /// When the next beginning may be written.
        var nextAllowed = Duration.zero
        var isScheduled = false
        var suppressedCount = 0
    }

    private let log: Log
    private let policy: CaptureSettings.OutagePolicy
    private let figures: @Sendable () -> Figures
    private let now: @Sendable () -> Duration
    private let later: @Sendable (Duration, @escaping @Sendable () -> Void) -> Void
    private let interval: Duration
    private let state = Mutex(State())

    /// - Parameters:
    ///   - now: a monotonic clock.
    ///   - later: calls back after that time, on any thread.
    init(
        _ log: Log, policy: CaptureSettings.OutagePolicy, interval: Duration = .seconds(10),
        figures: @escaping @Sendable () -> Figures,
        now: @escaping @Sendable () -> Duration = { MonotonicClock.now },
        later: @escaping @Sendable (Duration, @escaping @Sendable () -> Void) -> Void
    ) {
        self.log = log
        self.policy = policy
        self.interval = interval
        self.figures = figures
        self.now = now
        self.later = later
    }

    func changed(to logState: TrafficLogState) {
        let (mode, reason): (Mode?, String) =
            switch logState {
            case .healthy: (nil, "")
            case .spooling(_, let reason): (.spooling, reason)
            case .outage(_, let reason): (policy == .forward ? .forwarding : .refusing, reason)
            }
        let moment = now()
        state.withLock { state in
            guard state.mode != mode else { return }
            if state.mode != nil {
                if state.isTold { writeEnd(state, moment) } else { state.suppressedCount += 1 }
            }
            state.mode = mode
            state.reason = reason
            state.since = moment
            state.figures = figures()
            state.isTold = false
            settle(&state, moment)
        }
    }

    /// Writes what is still to be told, or has it written when the interval is over.
    private func settle(_ state: inout State, _ moment: Duration) {
        guard !state.isTold, state.mode != nil || state.suppressedCount > 0 else { return }
        guard moment >= state.nextAllowed else {
            guard !state.isScheduled else { return }
            state.isScheduled = true
            later(state.nextAllowed - moment) { [weak self] in self?.intervalEnded() }
            return
        }
        writeBeginning(state)
        state.isTold = state.mode != nil
        state.suppressedCount = 0
        state.nextAllowed = moment + interval
    }

    private func intervalEnded() {
        let moment = now()
        state.withLock { state in
            state.isScheduled = false
            settle(&state, moment)
        }
    }

    private func writeBeginning(_ state: State) {
        let reason: KeyValuePairs<LogKey, LogValue> = [.reason: .text(state.reason)]
        let count = state.suppressedCount
        switch state.mode {
        case .refusing:
            log.log(
                .error, "the log takes no records: writing requests are refused", reason, suppressedCount: count)
        case .forwarding:
            log.log(
                .error, "the log takes no records: writing requests are forwarded unrecorded", reason,
                suppressedCount: count)
        case .spooling:
            log.log(.warning, "records go to the spool", reason, suppressedCount: count)
        case nil: log.log(.warning, "the log took no records for moments", suppressedCount: count)
        }
    }

    private func writeEnd(_ state: State, _ moment: Duration) {
        let before = state.figures
        let after = figures()
        let count = { (after: UInt64, before: UInt64) in LogValue.integer(Int64(clamping: after &- before)) }
        let lasted = moment - state.since
        switch state.mode {
        case .refusing:
            log.info(
                "the log takes records again: no more requests are refused",
                [
                    .durationSeconds: .duration(lasted),
                    .requestCount: count(after.refusedRequests, before.refusedRequests),
                ])
        case .forwarding:
            log.info(
                "the log takes records again: no more requests are forwarded unrecorded",
                [
                    .durationSeconds: .duration(lasted),
                    .requestCount: count(after.unrecordedWrites, before.unrecordedWrites),
                    .gapCount: count(after.gaps, before.gaps),
                ])
        case .spooling:
            log.info(
                "records go to the log again, the spool is empty",
                [.durationSeconds: .duration(lasted), .recordCount: count(after.records, before.records)])
        case nil: break
        }
    }
}
