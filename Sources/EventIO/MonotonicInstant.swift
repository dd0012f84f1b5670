import Glibc

/// A point on CLOCK_MONOTONIC, in nanoseconds. It never goes back and does not follow the wall clock.
package struct MonotonicInstant: InstantProtocol, Hashable, Sendable {
    package var nanoseconds: UInt64

    @inlinable package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Reads the clock (about 25 ns). Code on an event loop uses `EventLoop.now`, which is read once a batch.
    package static func now() -> MonotonicInstant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicInstant(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }

    @inlinable package static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    /// Saturates at both ends.
    package func advanced(by duration: Duration) -> MonotonicInstant {
        let delta = duration.wholeNanoseconds
        if delta < 0 {
            let (value, isBelow) = nanoseconds.subtractingReportingOverflow(delta.magnitude)
            return MonotonicInstant(nanoseconds: isBelow ? 0 : value)
        }
        let (value, isAbove) = nanoseconds.addingReportingOverflow(UInt64(delta))
        return MonotonicInstant(nanoseconds: isAbove ? .max : value)
    }

    package func duration(to other: MonotonicInstant) -> Duration {
        if other.nanoseconds >= nanoseconds {
            return .nanoseconds(Int64(clamping: other.nanoseconds - nanoseconds))
        }
        return .nanoseconds(-Int64(clamping: nanoseconds - other.nanoseconds))
    }

    package static func - (left: Self, right: Self) -> Duration { right.duration(to: left) }
}

/// The clock of `MonotonicInstant` for code that takes a clock as a parameter.
package struct MonotonicClock: Clock {
    package init() {}

    package var now: MonotonicInstant { .now() }
    package var minimumResolution: Duration { .nanoseconds(1) }

    package func sleep(until deadline: MonotonicInstant, tolerance: Duration?) async throws {
        try await Task.sleep(for: now.duration(to: deadline), tolerance: tolerance, clock: .continuous)
    }
}

extension Duration {
    /// The duration in nanoseconds, rounded towards zero, clamped to what an Int64 holds (292 years).
    package var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, isTooLong) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !isTooLong else { return seconds < 0 ? .min : .max }
        let (sum, overflows) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflows ? (seconds < 0 ? .min : .max) : sum
    }
}
