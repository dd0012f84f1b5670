/// Follows which records of a partition are settled, in whatever order they are: everything below the watermark is.
///
/// Confined to its owner. Memory: 17 bytes a record between the watermark and the newest.
package struct WatermarkTracker: Sendable {
    /// Ascending. Those before `head` are settled and forgotten.
    private var offsets: [Int64] = []
    private var times: [Int64] = []
    private var isSettled: [Bool] = []
    private var head = 0
    /// Behind the newest record: the watermark when nothing is open.
    private var end: Int64

    /// - Parameter start: the offset that is read first.
    package init(start: Int64) { end = start }

    /// The lowest offset that is not settled; behind the newest record when all are.
    package var watermark: Int64 { head < offsets.count ? offsets[head] : end }
    /// Of the record at the watermark; nil when all are settled.
    package var watermarkTime: Int64? { head < offsets.count ? times[head] : nil }
    package var isEmpty: Bool { head == offsets.count }

    /// A record was read that was written at `time`. Offsets rise, with gaps where the log has none.
    package mutating func open(_ offset: Int64, time: Int64 = 0) {
        precondition(offset >= end, "offset \(offset) after \(end)")
        offsets.append(offset)
        times.append(time)
        isSettled.append(false)
        end = offset + 1
    }

    /// Nothing has to be done for `offset` any more. Each offset is settled once.
    package mutating func settle(_ offset: Int64) {
        var low = head
        var high = offsets.count
        while low < high {
            let middle = (low + high) / 2
            if offsets[middle] < offset { low = middle + 1 } else { high = middle }
        }
        precondition(
            low < offsets.count && offsets[low] == offset && !isSettled[low], "offset \(offset) settled but not open")
        isSettled[low] = true
        while head < offsets.count, isSettled[head] { head += 1 }
        if head > 4096, head * 2 > offsets.count {
            offsets.removeFirst(head)
            times.removeFirst(head)
            isSettled.removeFirst(head)
            head = 0
        }
    }
}
