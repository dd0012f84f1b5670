import Synchronization

/// A number that only grows, until the process ends. Lock-free.
package final class Counter: Sendable {
    private let count = Atomic<UInt64>(0)

    init() {}

    @inline(__always)
    package func increment() { count.add(1, ordering: .relaxed) }

    /// `amount` is not negative.
    package func add(_ amount: Int) {
        precondition(amount >= 0, "a counter cannot go back by \(amount)")
        count.add(UInt64(amount), ordering: .relaxed)
    }

    package var value: UInt64 { count.load(ordering: .relaxed) }
}

/// A whole number that goes up and down. Lock-free. What is not whole is registered with a closure.
package final class Gauge: Sendable {
    private let level = Atomic<Int64>(0)

    init() {}

    package func set(_ value: Int) { level.store(Int64(value), ordering: .relaxed) }

    package func add(_ amount: Int) { level.add(Int64(amount), ordering: .relaxed) }

    package var value: Int64 { level.load(ordering: .relaxed) }
}

/// Observations counted in fixed buckets, with their sum. Lock-free.
// Sound: `counts` is allocated once, holds atomics only and lives as long as the object.
package final class Histogram: @unchecked Sendable {
    /// Upper bounds, ascending, each inclusive; one more bucket, +Inf, follows.
    package let bounds: [Double]
    private let counts: UnsafeMutablePointer<Atomic<UInt64>>
    /// Bits of a Double.
    private let sumBits = Atomic<UInt64>(0)

    /// Latencies from a millisecond to a minute.
    package static let latencySecondsBounds: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]

    /// Sizes from 1 KiB to 256 MiB in steps of four.
    package static let sizeBytesBounds: [Double] = (5...14).map { Double(1 << (2 * $0)) }

    init(bounds: [Double]) {
        self.bounds = bounds
        counts = .allocate(capacity: bounds.count + 1)
        for index in 0...bounds.count { (counts + index).initialize(to: Atomic(0)) }
    }

    deinit {
        counts.deinitialize(count: bounds.count + 1)
        counts.deallocate()
    }

    package func observe(_ value: Double) {
        var bucket = 0
        // A dozen buckets: a straight loop beats a binary search.
        while bucket < bounds.count, !(value <= bounds[bucket]) { bucket += 1 }
        counts[bucket].add(1, ordering: .relaxed)
        var old = sumBits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + value).bitPattern
            let (isExchanged, found) = sumBits.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if isExchanged { return }
            old = found
        }
    }

    package func observe(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        observe(Double(seconds) + Double(attoseconds) / 1e18)
    }

    package struct Figures: Sendable, Equatable {
        /// Observations up to and including each bound, then all of them.
        package var cumulativeCounts: [UInt64]
        package var sum: Double
        package var count: UInt64 { cumulativeCounts.last ?? 0 }
    }

    /// Counts add up whatever is observed meanwhile; the sum may be an observation ahead or behind.
    package var figures: Figures {
        var total: UInt64 = 0
        let cumulative = (0...bounds.count).map { index in
            total += counts[index].load(ordering: .relaxed)
            return total
        }
        return Figures(cumulativeCounts: cumulative, sum: Double(bitPattern: sumBits.load(ordering: .relaxed)))
    }
}
