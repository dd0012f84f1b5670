import Synchronization
import TrafficLog

/// What all loops together may hold in records that are being filled or not yet acknowledged.
final class InFlightBudget: Sendable {
    let limitBytes: Int
    private let used = Atomic<Int>(0)

    init(limitBytes: Int) { self.limitBytes = limitBytes }

    /// False when the limit would be passed, unless `force`.
    func take(_ bytes: Int, force: Bool) -> Bool {
        let after = used.add(bytes, ordering: .relaxed).newValue
        if after <= limitBytes || force { return true }
        used.subtract(bytes, ordering: .relaxed)
        return false
    }

    func give(_ bytes: Int) { used.subtract(bytes, ordering: .relaxed) }

    var usedBytes: Int { used.load(ordering: .relaxed) }
}

/// Record buffers of one loop, in two sizes: small ones for connections that write a little at a time, large ones for
/// those that stream. Confined to its loop.
///
/// A segment counts against the budget from `take` until `give` or `forget`.
final class SegmentPool {
    static let smallBytes = 16 << 10
    /// Free segments that are kept, in bytes; others go back to the allocator.
    private static let retainedBytesLimit = 16 << 20

    let largeBytes: Int
    private let budget: InFlightBudget
    private var small: ContiguousArray<RecordSegment> = []
    private var large: ContiguousArray<RecordSegment> = []
    private var retainedBytes = 0

    init(recordBytes: Int, budget: InFlightBudget) {
        largeBytes = max(recordBytes, Self.smallBytes)
        self.budget = budget
    }

    /// nil when the budget is spent. `force` is for the rest of what has begun to be recorded.
    func take(isLarge: Bool, force: Bool) -> RecordSegment? {
        let bytes = isLarge ? largeBytes : Self.smallBytes
        guard budget.take(bytes, force: force) else { return nil }
        let free = isLarge ? large.popLast() : small.popLast()
        if let free {
            retainedBytes -= bytes
            return free
        }
        return RecordSegment(capacityBytes: bytes)
    }

    /// Takes back a segment that nobody uses any more.
    func give(_ segment: RecordSegment) {
        let bytes = segment.bytes.count
        budget.give(bytes)
        segment.context = nil
        guard retainedBytes + bytes <= Self.retainedBytesLimit else { return }
        retainedBytes += bytes
        if bytes == largeBytes, bytes != Self.smallBytes { large.append(segment) } else { small.append(segment) }
    }

    /// The segment's memory goes with its last reference.
    func forget(_ segment: RecordSegment) {
        budget.give(segment.bytes.count)
        segment.context = nil
    }
}
