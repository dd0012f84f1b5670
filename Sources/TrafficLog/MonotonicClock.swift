import Glibc

/// The clocks of this machine.
enum MonotonicClock {
    /// Nanoseconds since the machine's start; never goes back.
    static var nanoseconds: UInt64 { read(CLOCK_MONOTONIC) }

    /// Milliseconds since 1970.
    static var wallMilliseconds: Int64 { Int64(read(CLOCK_REALTIME) / 1_000_000) }

    /// For a thread that waits for what nobody announces.
    static func sleep(milliseconds: Int32) { _ = poll(nil, 0, milliseconds) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

extension Duration {
    /// Whole nanoseconds, 0 for what is negative and about 292 years at the most.
    var wholeNanoseconds: UInt64 {
        guard self > .zero else { return 0 }
        let (seconds, attoseconds) = components
        guard seconds < 9_000_000_000 else { return 9_000_000_000_000_000_000 }
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }

    /// Whole milliseconds as C interfaces take them, rounded up.
    var wholeMilliseconds: Int32 {
        Int32(clamping: (wholeNanoseconds + 999_999) / 1_000_000)
    }
}
