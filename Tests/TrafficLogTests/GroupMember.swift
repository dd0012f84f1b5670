import Glibc

@testable import TrafficLog

/// A reader of a group with everything that it reported, as a test compares it.
final class GroupMember {
    struct Record: Equatable {
        let partition: Int32
        let offset: Int64
        let value: String
    }

    let reader: any GroupLogReader
    /// Whether `revoked` is answered at once.
    var releasesAtOnce = true
    var records: [Record] = []
    var starts: [PartitionStart] = []
    var owned: Set<Int32> = []
    var revoked: [Int32] = []
    var lost: [Int32] = []
    var missing: [Range<Int64>] = []
    var unreadable: [UnreadableRecord] = []
    var ended: [Int32: Int64] = [:]

    init(_ reader: any GroupLogReader) { self.reader = reader }

    /// One event; false when none came.
    @discardableResult
    func turn(_ duration: Duration = .milliseconds(10), limit: Int = 500) throws -> Bool {
        guard let event = try reader.next(within: duration, recordLimit: limit) else { return false }
        switch event {
        case .records(let found):
            for record in found {
                records.append(
                    Record(
                        partition: record.position.partition, offset: record.position.offset,
                        value: String(decoding: record.value, as: UTF8.self)))
            }
        case .assigned(let found):
            starts += found
            owned.formUnion(found.map(\.partition))
        case .revoked(let partitions):
            revoked += partitions
            if releasesAtOnce {
                try commitAll()
                try release(partitions)
            }
        case .lost(let partitions):
            lost += partitions
            owned.subtract(partitions)
        case .missing(_, let offsets): missing.append(offsets)
        case .unreadable(let record): unreadable.append(record)
        case .endReached(let partition, let offset): ended[partition] = offset
        }
        return true
    }

    func release(_ partitions: [Int32]) throws {
        owned.subtract(partitions)
        try reader.release(partitions)
    }

    /// The position behind everything that was read.
    var positions: [Int32: GroupPosition] {
        var found: [Int32: GroupPosition] = [:]
        for record in records where owned.contains(record.partition) {
            found[record.partition] = GroupPosition(offset: record.offset + 1, note: "w\(record.offset)")
        }
        return found
    }

    @discardableResult
    func commitAll() throws -> Set<Int32> { try reader.commit(positions) }

    /// Events until `condition` holds, for 60 s at the most.
    func run(until condition: () throws -> Bool) throws -> Bool {
        try eventually {
            if try condition() { return true }
            try turn()
            return try condition()
        }
    }
}
