/// Records that are numbered and not yet handed to librdkafka, by partition, and which of them may go.
///
/// librdkafka sends what it is given at once, a request for each partition; a request costs its thread and the event
/// loop about as much as three records do. So what comes while others are on their way waits and goes as one group
/// when they are acknowledged. When that takes long (a broker of several hangs) groups go for all partitions but those
/// whose own records are on their way.
///
/// For these they never do: an idempotent producer sends nothing more for a partition while five or more of its records
/// are on their way, and its thread then asks without a pause whether it may. Up to a hundred polls a record were
/// counted.
///
/// Records of a partition that is not known have a lane of their own, over all partitions, without the second rule.
struct HandOverGate {
    enum Outcome {
        /// The library has the record.
        case handed
        /// It does not, and never will.
        case refused
        /// It has no room for this one and those behind it, for the time being.
        case full
    }

    private struct Lane {
        /// In the order of their numbers.
        var waiting: [RecordSegment] = []
        var handedCount = 0
        /// The lane is in `ready`.
        var isReady = false
    }

    /// Records on their way, of all or of a partition, below which others are handed over: a record on its way shall
    /// not cost the next one a second round trip.
    static let openCount = 2
    /// After so long a group does not wait for the one before it.
    static let longestNanoseconds: UInt64 = 20_000_000
    private static let retainedLimit = 256

    /// The lane of partition p is p + 1.
    private var lanes: [Lane]
    /// Lanes with records that may go.
    private var ready: [Int] = []
    private(set) var waitingCount = 0
    /// Records on their way.
    private(set) var handedCount = 0

    init(partitionCount: Int) { lanes = Array(repeating: Lane(), count: partitionCount + 1) }

    /// Whether a group may go. `oldestTime` is when the oldest unresolved record was appended, `now` the time.
    mutating func isOpen(oldestTime: UInt64?, now: @autoclosure () -> UInt64) -> Bool {
        guard waitingCount > 0 else { return false }
        guard handedCount >= Self.openCount, let oldestTime else { return !ready.isEmpty }
        guard now() >= oldestTime + Self.longestNanoseconds else { return false }
        if !lanes[0].waiting.isEmpty { markReady(0) }
        return !ready.isEmpty
    }

    /// Takes a record for `segment.partition`, -1 if that is not known.
    mutating func append(_ segment: RecordSegment) {
        let index = Int(segment.partition) + 1
        segment.isHandedOver = false
        lanes[index].waiting.append(segment)
        waitingCount += 1
        open(index)
    }

    /// A record that was handed over is no longer on its way.
    mutating func resolved(partition: Int32) {
        let index = Int(partition) + 1
        lanes[index].handedCount -= 1
        handedCount -= 1
        precondition(lanes[index].handedCount >= 0, "more records resolved than handed over, partition \(partition)")
        open(index)
    }

    private mutating func open(_ index: Int) {
        guard !lanes[index].waiting.isEmpty, lanes[index].handedCount < Self.openCount else { return }
        markReady(index)
    }

    private mutating func markReady(_ index: Int) {
        guard !lanes[index].isReady else { return }
        lanes[index].isReady = true
        ready.append(index)
    }

    /// Hands over what may go, each partition's records together: their broker's thread is awake after the first, and
    /// what it does not see in time costs a request of its own.
    mutating func release(_ handOver: (RecordSegment) -> Outcome) {
        var unfinished: [Int] = []
        for index in ready {
            var takenCount = 0
            var isFull = false
            for segment in lanes[index].waiting {
                let outcome = handOver(segment)
                isFull = outcome == .full
                if isFull { break }
                segment.isHandedOver = outcome == .handed
                if segment.isHandedOver {
                    lanes[index].handedCount += 1
                    handedCount += 1
                }
                takenCount += 1
            }
            waitingCount -= takenCount
            if isFull {
                lanes[index].waiting.removeFirst(takenCount)
                unfinished.append(index)
            } else {
                lanes[index].waiting.removeAll(keepingCapacity: takenCount <= Self.retainedLimit)
                lanes[index].isReady = false
            }
        }
        if unfinished.isEmpty { ready.removeAll(keepingCapacity: true) } else { ready = unfinished }
    }

    /// Gives up what waits.
    mutating func removeAll() -> [RecordSegment] {
        let given = lanes.flatMap(\.waiting)
        for index in lanes.indices {
            lanes[index].waiting = []
            lanes[index].isReady = false
        }
        ready = []
        waitingCount = 0
        return given
    }
}
