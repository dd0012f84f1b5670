import Synchronization
import TrafficLog

/// What all loops together may hold in records that are being filled or not yet acknowledged, and in bytes that wait
/// for peers: for a client or a source that does not read, or for the rest of a head.
final class InFlightBudget: Sendable {
    let limitBytes: Int
    private let used = Atomic<Int>(0)
    /// Of the used ones those that wait for peers.
    private let waiting = Atomic<Int>(0)

    init(limitBytes: Int) { self.limitBytes = limitBytes }

    /// False when the limit would be passed, unless `force`.
    func take(_ bytes: Int, force: Bool) -> Bool {
        let after = used.add(bytes, ordering: .relaxed).newValue
        if after <= limitBytes || force { return true }
        used.subtract(bytes, ordering: .relaxed)
        return false
    }

    func give(_ bytes: Int) { used.subtract(bytes, ordering: .relaxed) }

    /// So many bytes more, or fewer, wait for peers; they cannot be refused any more.
    func changeWaiting(by bytes: Int) {
        used.add(bytes, ordering: .relaxed)
        waiting.add(bytes, ordering: .relaxed)
    }

    /// How many bytes one read may bring at the most. What waits for slow peers is the rest of one read each, so with
    /// many of them reads get smaller.
    var readBytesLimit: Int {
        let waiting = waiting.load(ordering: .relaxed)
        if waiting <= limitBytes / 4 { return .max }
        return waiting <= limitBytes / 2 ? 16 << 10 : 2 << 10
    }

    /// Many peers are slow.
    var isTight: Bool { waiting.load(ordering: .relaxed) > limitBytes / 4 }
    var isSpent: Bool { usedBytes >= limitBytes }

    var usedBytes: Int { used.load(ordering: .relaxed) }
}

/// Record buffers of one loop, in two sizes: small ones for connections that write a little at a time, large ones for
/// those that stream. Confined to its loop.
///
/// A segment counts against the budget from `take` until `give` or `forget`. Free segments beyond `residentBytesLimit`
/// keep their addresses, of which there are plenty, and give their memory back to the kernel, and so do those that
/// nothing has used from one `trim` to the next: after a burst `quietBytes` and the few bytes of the objects stay.
/// There are never more of them than the budget allows.
final class SegmentPool {
    static let smallBytes = 16 << 10
    /// Free segments that keep their memory, in bytes.
    private static let residentBytesLimit = 8 << 20
    /// So much of it is kept even if nothing uses it.
    private static let quietBytes = 512 << 10

    let largeBytes: Int
    private let budget: InFlightBudget
    private var small: ContiguousArray<RecordSegment> = []
    private var large: ContiguousArray<RecordSegment> = []
    /// Free ones without memory.
    private var emptySmall: ContiguousArray<RecordSegment> = []
    private var emptyLarge: ContiguousArray<RecordSegment> = []
    private var residentBytes = 0
    /// The least numbers of free segments with memory since the last `trim`.
    private var unusedSmallCount = 0
    private var unusedLargeCount = 0

    init(recordBytes: Int, budget: InFlightBudget) {
        largeBytes = max(recordBytes, Self.smallBytes)
        self.budget = budget
    }

    /// nil when the budget is spent. `force` is for the rest of what has begun to be recorded.
    func take(isLarge: Bool, force: Bool) -> RecordSegment? {
        let bytes = isLarge ? largeBytes : Self.smallBytes
        guard budget.take(bytes, force: force) else { return nil }
        if let free = isLarge ? large.popLast() : small.popLast() {
            residentBytes -= bytes
            if isLarge {
                unusedLargeCount = min(unusedLargeCount, large.count)
            } else {
                unusedSmallCount = min(unusedSmallCount, small.count)
            }
            return free
        }
        if let free = isLarge ? emptyLarge.popLast() : emptySmall.popLast() { return free }
        return RecordSegment(capacityBytes: bytes)
    }

    /// A segment of another size, smaller than the small ones, whatever the budget says.
    func takeSmallest(bytes: Int) -> RecordSegment {
        precondition(bytes < Self.smallBytes, "\(bytes) bytes are not small")
        _ = budget.take(bytes, force: true)
        return RecordSegment(capacityBytes: bytes)
    }

    /// Takes back a segment that nobody uses any more.
    func give(_ segment: RecordSegment) {
        let bytes = segment.bytes.count
        budget.give(bytes)
        segment.context = nil
        guard bytes >= Self.smallBytes else { return }
        let isLarge = bytes == largeBytes && bytes != Self.smallBytes
        if residentBytes + bytes <= Self.residentBytesLimit {
            residentBytes += bytes
            if isLarge { large.append(segment) } else { small.append(segment) }
        } else {
            segment.releaseMemory()
            if isLarge { emptyLarge.append(segment) } else { emptySmall.append(segment) }
        }
    }

    /// `trim` may have something to do, now or later.
    var isTrimmable: Bool { residentBytes > Self.quietBytes }

    /// To be called now and then: gives the memory back of what was free all the time since the last call.
    func trim() {
        empty(&large, into: &emptyLarge, count: unusedLargeCount, bytes: largeBytes)
        empty(&small, into: &emptySmall, count: unusedSmallCount, bytes: Self.smallBytes)
        unusedLargeCount = large.count
        unusedSmallCount = small.count
    }

    private func empty(
        _ free: inout ContiguousArray<RecordSegment>, into empty: inout ContiguousArray<RecordSegment>, count: Int,
        bytes: Int
    ) {
        let surplus = max(0, residentBytes - Self.quietBytes + bytes - 1) / bytes
        let count = min(count, surplus)
        for segment in free[..<count] {
            segment.releaseMemory()
            empty.append(segment)
        }
        free.removeFirst(count)
        residentBytes -= count * bytes
    }

    /// The segment's memory goes with its last reference.
    func forget(_ segment: RecordSegment) {
        budget.give(segment.bytes.count)
        segment.context = nil
    }
}
