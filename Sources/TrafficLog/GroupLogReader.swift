/// Where a group stands in a partition.
package struct GroupPosition: Sendable, Equatable {
    /// The largest note; well below the brokers' own limit (`offset.metadata.max.bytes`, 4096).
    package static let noteLimitBytes = 512

    /// The first record that has to be read again.
    package let offset: Int64
    /// What the group remembers with it: printable ASCII.
    package let note: String

    package init(offset: Int64, note: String = "") {
        precondition(offset >= 0, "a position of \(offset)")
        precondition(
            note.utf8.count <= Self.noteLimitBytes && note.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F },
            "a note is at most \(Self.noteLimitBytes) bytes of printable ASCII: \(note)")
        self.offset = offset
        self.note = note
    }
}

/// A partition that has come to this reader.
package struct PartitionStart: Sendable, Equatable {
    package let partition: Int32
    /// The first record that will be delivered, if it exists.
    package let offset: Int64
    /// What was committed with the position; nil when the group had none here.
    package let note: String?
    /// Offset of the next record to be written, as far as it is known.
    package let endOffset: Int64

    package init(partition: Int32, offset: Int64, note: String?, endOffset: Int64) {
        self.partition = partition
        self.offset = offset
        self.note = note
        self.endOffset = endOffset
    }
}

/// A record that its medium holds but that cannot be taken from it, such as a line of an archive that is not base64.
package struct UnreadableRecord: Sendable, Equatable {
    package let position: LogPosition
    /// One line that names the file and the place.
    package let reason: String
    /// What stands there.
    package let bytes: [UInt8]
}

/// What a group's reader reports.
package enum GroupLogEvent: Sendable {
    /// Of one partition or several; in order within each.
    case records([LoggedRecord])
    /// These partitions are now this reader's. No record of a partition comes before.
    case assigned([PartitionStart])
    /// These partitions shall go to another reader. No record of them comes any more; finish their work, commit, and
    /// call `release`: before that nobody else gets a record of them.
    case revoked([Int32])
    /// These partitions may already be another reader's: drop their work. Nothing of it can be committed.
    case lost([Int32])
    /// These records are gone, removed by retention or by hand before the group had read them; reading goes on behind.
    case missing(partition: Int32, offsets: Range<Int64>)
    /// This one can never be read; reading goes on behind it.
    case unreadable(UnreadableRecord)
    /// Everything in front of `offset` was delivered, and nothing behind it will be (see `LogEnd`). Once for each
    /// assignment.
    case endReached(partition: Int32, offset: Int64)
}

/// How a group reads. What does not apply to a kind of log is ignored, unless said otherwise.
package struct GroupReaderSettings: Sendable {
    /// Where a partition begins for which the group has no position.
    package var start = LogStart.earliest
    /// Sets the whole group to `start` when the reader is opened, as if it had never read. Refused with `.locked` while
    /// the group has other readers.
    package var resetsPositions = false
    package var end = LogEnd.never
    /// How much is fetched ahead of `next`, roughly. A single record may be larger. Kafka only: files are read batch
    /// by batch.
    package var readAheadBytes = 32 << 20
    /// Kafka's `group.instance.id`: a reader that comes back under this name within the session timeout keeps its
    /// partitions. Refused with `.locked` when another reader has the name.
    package var instanceID: String?
    /// How long `commit` waits for the log.
    package var commitTimeout = Duration.seconds(15)

    package init() {}
}

/// What a group's reader counts.
package struct GroupReaderStatistics: Sendable, Equatable {
    /// Memory that delivered records keep alive now.
    package var heldBytes = 0
    /// Positions that were not committed because their partition is not this reader's.
    package var staleCommitCount: UInt64 = 0
    /// Positions that were not committed because the group was between two generations.
    package var deferredCommitCount: UInt64 = 0
    /// Records that came for a partition that was given up or ended.
    package var discardedRecordCount: UInt64 = 0
    /// Records that were gone before they were read.
    package var missingRecordCount: UInt64 = 0
    /// Partitions that were assigned, revoked, lost.
    package var assignedCount: UInt64 = 0
    package var revokedCount: UInt64 = 0
    package var lostCount: UInt64 = 0

    package init() {}
}

/// The reading end of a traffic log, shared by the readers of a group: each partition is one reader's at a time, and
/// the group's committed position in it is where the next reader goes on. Used by one thread at a time; that thread
/// calls `next` all the time, also when nothing may be delivered, or the group gives its partitions to others.
package protocol GroupLogReader: AnyObject {
    /// For messages: the address without settings.
    var location: String { get }
    /// nil when nothing is committed anywhere: each run begins at the start.
    var group: String? { get }
    var statistics: GroupReaderStatistics { get }

    /// The next event, or nil when `duration` is over. `recordLimit`, at least 1, bounds one event's records.
    /// After an error with the disposition `retry` the same call may be made again.
    func next(within duration: Duration, recordLimit: Int) throws(TrafficLogError) -> GroupLogEvent?

    /// No records of these until `resume`. Partitions that are not this reader's are ignored.
    func pause(_ partitions: [Int32]) throws(TrafficLogError)
    func resume(_ partitions: [Int32]) throws(TrafficLogError)

    /// Makes positions durable and returns the partitions for which that is so. The others are not this reader's any
    /// more, or the group is between two generations (then try again after `next`); both are counted. Fails with
    /// `.unavailable` when it is not known what became durable.
    @discardableResult
    func commit(_ positions: [Int32: GroupPosition]) throws(TrafficLogError) -> Set<Int32>

    /// After `revoked`: hands the partitions over. Those of one `revoked` go together, with the last of them.
    func release(_ partitions: [Int32]) throws(TrafficLogError)

    /// What the group has committed, of all partitions, whoever reads them.
    func committedPositions() throws(TrafficLogError) -> [Int32: GroupPosition]

    /// Offsets of the next records to be written, of this reader's partitions, as far as the log has told.
    func endOffsets() -> [Int32: Int64]

    /// Leaves the group. Delivered records stay valid.
    func close()
}
