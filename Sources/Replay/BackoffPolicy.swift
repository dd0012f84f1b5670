/// How long to wait before another attempt: doubled each time, and spread so that many do not come back at once.
struct BackoffPolicy: Sendable {
    var first: Int64 = 100_000_000
    var longest: Int64 = 30_000_000_000

    /// Nanoseconds, after `attempts` attempts (1 and more). `random` is uniform over all values.
    func delay(attempts: Int, random: UInt64) -> Int64 {
        let doubled = attempts > 20 ? longest : min(longest, first << Int64(max(0, attempts - 1)))
        // Three quarters to five quarters.
        let spread = Int64(random % UInt64(doubled / 2 + 1))
        return doubled - doubled / 4 + spread
    }
}

/// A seeded sequence (SplitMix64, Steele et al. 2014); the seed makes a run repeatable.
struct SplitMix: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
