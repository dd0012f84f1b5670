/// How many bulk requests run at once and how large they are: additive increase, multiplicative decrease.
///
/// Both start small, so that the first documents leave at once, and double until the first sign of overload (slow
/// start). A refusal (429, 503, a lost connection) halves the number of requests, a slow answer halves the size, a 413
/// bounds it. Decreases are at least `recoveryInterval` apart: one overload answers many requests that left together.
/// A pure decision: no clock, no I/O.
package struct BulkPacingPolicy: Sendable {
    /// Requests allowed in flight, from 1 to `requestLimitMaximum`.
    package var requestLimit: Int { Int(window) }
    /// Source and action bytes at which a batch is full.
    package private(set) var batchBytes: Int

    private var window: Double
    private let requestLimitMaximum: Int
    private var batchBytesMaximum: Int
    private var isSlowStart = true
    private var lastDecrease: Duration?

    /// An answer slower than this asks for smaller batches.
    package static let slowAnswer = Duration.seconds(5)
    /// The least time between two decreases.
    package static let recoveryInterval = Duration.seconds(1)
    /// Batches are not made smaller than this because of slow answers.
    package static let batchBytesMinimum = 64 << 10
    /// The first batches: small enough to leave within milliseconds.
    package static let batchBytesInitial = 256 << 10

    package init(requestLimitMaximum: Int, batchBytesMaximum: Int) {
        self.requestLimitMaximum = max(1, requestLimitMaximum)
        self.batchBytesMaximum = max(1, batchBytesMaximum)
        self.batchBytes = min(Self.batchBytesInitial, self.batchBytesMaximum)
        self.window = Double(min(2, self.requestLimitMaximum))
    }

    /// A request was answered with per-item outcomes after `latency`.
    package mutating func answered(after latency: Duration, now: Duration) {
        if latency > Self.slowAnswer {
            isSlowStart = false
            guard mayDecrease(now) else { return }
            batchBytes = max(min(Self.batchBytesMinimum, batchBytesMaximum), batchBytes / 2)
            return
        }
        let step = isSlowStart ? 1 : 1 / window
        window = min(Double(requestLimitMaximum), window + step)
        batchBytes = min(batchBytesMaximum, isSlowStart ? batchBytes * 2 : batchBytes + batchBytesMaximum / 16)
    }

    /// The target, or the way to it, is overloaded: 429, 503 and their like, whole or for single items.
    package mutating func overloaded(now: Duration) {
        isSlowStart = false
        guard mayDecrease(now) else { return }
        window = max(1, window / 2)
    }

    /// A request of `byteCount` bytes was refused as too large (413).
    package mutating func refusedAsTooLarge(byteCount: Int) {
        // Below the minimum it is a document that is refused, not a size: batches would stay tiny for good.
        let floor = min(Self.batchBytesMinimum, batchBytesMaximum)
        batchBytesMaximum = max(floor, min(batchBytesMaximum, byteCount / 2))
        batchBytes = min(batchBytes, batchBytesMaximum)
    }

    private mutating func mayDecrease(_ now: Duration) -> Bool {
        if let lastDecrease, now - lastDecrease < Self.recoveryInterval { return false }
        lastDecrease = now
        return true
    }
}
