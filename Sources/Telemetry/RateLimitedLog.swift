import Glibc
import Synchronization

/// Keeps one kind of message from flooding the log: the first is written at once, then at most one an interval, which
/// carries the count of those suppressed since the last (`suppressed`).
///
/// One object stands for one kind of message. `flush` at the end of a run writes what would stay uncounted.
package final class RateLimitedLog: Sendable {
    private struct State {
        var nextAllowed: Duration?
        var suppressedCount = 0
        var lastLevel = LogLevel.info
        var lastMessage: StaticString = ""
    }

    private enum Verdict {
        case write(suppressedCount: Int)
        case suppress
    }

    private let log: Log
    private let interval: Duration
    private let now: @Sendable () -> Duration
    private let state = Mutex(State())

    /// `now` is a monotonic clock.
    package init(
        _ log: Log, interval: Duration = .seconds(10),
        now: @escaping @Sendable () -> Duration = { MonotonicClock.now }
    ) {
        self.log = log
        self.interval = interval
        self.now = now
    }

    package func log(
        _ level: LogLevel, _ message: StaticString,
        _ metadata: @autoclosure () -> KeyValuePairs<LogKey, LogValue> = [:]
    ) {
        guard log.isEnabled(level) else { return }
        let moment = now()
        let verdict = state.withLock { state -> Verdict in
            if let nextAllowed = state.nextAllowed, moment < nextAllowed {
                state.suppressedCount += 1
                state.lastLevel = level
                state.lastMessage = message
                return .suppress
            }
            let count = state.suppressedCount
            state.suppressedCount = 0
            state.nextAllowed = moment + interval
            return .write(suppressedCount: count)
        }
        if case .write(let count) = verdict { log.log(level, message, metadata(), suppressedCount: count) }
    }

    package func warning(
        _ message: StaticString, _ metadata: @autoclosure () -> KeyValuePairs<LogKey, LogValue> = [:]
    ) {
        log(.warning, message, metadata())
    }

    package func error(
        _ message: StaticString, _ metadata: @autoclosure () -> KeyValuePairs<LogKey, LogValue> = [:]
    ) {
        log(.error, message, metadata())
    }

    /// Writes the last suppressed message with the count of suppressed ones, if there are any.
    package func flush() {
        let pending = state.withLock { state -> State in
            let pending = state
            state.suppressedCount = 0
            return pending
        }
        guard pending.suppressedCount > 0 else { return }
        log.log(pending.lastLevel, pending.lastMessage, suppressedCount: pending.suppressedCount)
    }
}

/// Time since an arbitrary start that never goes back.
package enum MonotonicClock {
    package static var now: Duration {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
