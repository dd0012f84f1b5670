import TrafficLog

/// Where a record stands, with the assignment that it was read under.
package struct RecordPlace: Sendable, Equatable {
    package let partition: Int32
    package let offset: Int64
    package let epoch: UInt32
}

/// What a loop has finished since it last said so.
package struct SettledRecords: Sendable {
    /// Records whose requests' ends are all resolved.
    package var resolved: [RecordPlace] = []
    /// Records that nobody needs.
    package var released: [RecordPlace] = []

    package var isEmpty: Bool { resolved.isEmpty && released.isEmpty }
}

/// Collects what a loop finishes; confined to the loop.
final class SettledCollector {
    var records = SettledRecords()

    func take() -> SettledRecords {
        defer { records = SettledRecords() }
        return records
    }
}

/// A record whose bytes are needed: by the messages that lie in it, until each of them is resolved. When the last one
/// lets go the record counts as released. Confined to its loop.
final class HeldRecord {
    let record: LoggedRecord
    let place: RecordPlace
    private let collector: SettledCollector
    private let budget: ByteBudget
    /// Ends of requests in it that are not resolved, and one while it is being read.
    private var openEndCount = 1

    init(_ record: LoggedRecord, epoch: UInt32, collector: SettledCollector, budget: ByteBudget) {
        self.record = record
        place = RecordPlace(partition: record.position.partition, offset: record.position.offset, epoch: epoch)
        self.collector = collector
        self.budget = budget
    }

    deinit {
        budget.release(record.value.count + Self.overheadBytes)
        // One that is let go with unresolved requests belongs to an assignment that was given up.
        if openEndCount == 0 { collector.records.released.append(place) }
    }

    /// What a record costs beside its value: the objects that hold it and its place in the ledgers, with what the
    /// allocator adds. What its exchanges cost is theirs, see `ReplayExchange.overheadBytes`.
    static let overheadBytes = 1024

    func requestEnded() { openEndCount += 1 }

    func requestResolved() {
        openEndCount -= 1
        if openEndCount == 0 { collector.records.resolved.append(place) }
    }

    /// The whole record was taken in.
    func wasRead() { requestResolved() }
}
