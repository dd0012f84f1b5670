/// Which records are not resolved and how old the oldest of them is. Records are numbered in the order of their appends
/// and resolved in any order; the memory is a ring over the numbers from the oldest unresolved one on.
struct UnacknowledgedTracker {
    /// When each record from `head` on was appended; 0 once it is resolved.
    private var times: [UInt64] = Array(repeating: 0, count: 1024)
    /// Number of the oldest unresolved record, or of the next one when there is none.
    private(set) var head: UInt64 = 0
    /// Number of the next record.
    private(set) var tail: UInt64 = 0
    private(set) var count = 0

    /// Numbers a record; `time` is not 0.
    mutating func append(time: UInt64) -> UInt64 {
        if tail - head == UInt64(times.count) { grow() }
        times[slot(tail)] = time
        tail += 1
        count += 1
        return tail - 1
    }

    mutating func resolve(_ number: UInt64) {
        precondition(number >= head && number < tail && times[slot(number)] != 0, "record \(number) is resolved twice")
        times[slot(number)] = 0
        count -= 1
        while head < tail, times[slot(head)] == 0 { head += 1 }
    }

    /// When the oldest unresolved record was appended; nil when there is none.
    var oldestTime: UInt64? { head < tail ? times[slot(head)] : nil }

    private func slot(_ number: UInt64) -> Int { Int(truncatingIfNeeded: number) & (times.count - 1) }

    private mutating func grow() {
        var larger = Array(repeating: UInt64(0), count: times.count * 2)
        for number in head..<tail { larger[Int(truncatingIfNeeded: number) & (larger.count - 1)] = times[slot(number)] }
        times = larger
    }
}
