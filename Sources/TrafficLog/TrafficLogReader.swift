/// Where a record stands in its log.
package struct LogPosition: Sendable, Hashable, CustomStringConvertible {
    /// 0 in a file log.
    package let partition: Int32
    /// Number of the record within its partition, from 0.
    package let offset: Int64

    package init(partition: Int32, offset: Int64) {
        self.partition = partition
        self.offset = offset
    }

    package var description: String { "\(partition):\(offset)" }
}

/// A record as it was read. `key` and `value` are valid as long as `owner` lives.
// Sound: the slices point into memory that `owner` keeps and that nobody changes.
package struct LoggedRecord: @unchecked Sendable {
    package let key: UnsafeRawBufferPointer?
    package let value: UnsafeRawBufferPointer
    package let position: LogPosition
    /// When the writer took it, milliseconds since 1970; -1 when the log does not know.
    package let timestampMilliseconds: Int64
    package let owner: AnyObject & Sendable

    package init(
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer, position: LogPosition,
        timestampMilliseconds: Int64, owner: AnyObject & Sendable
    ) {
        self.key = key
        self.value = value
        self.position = position
        self.timestampMilliseconds = timestampMilliseconds
        self.owner = owner
    }
}

/// Where a reader begins.
package enum LogStart: Sendable, Equatable {
    /// With the oldest record there is.
    case earliest
    /// With the records that are written from now on.
    case latest
    /// With the first record of each partition whose timestamp is not before this, milliseconds since 1970; a partition
    /// that has none begins with the records that are written from now on.
    case timestamp(milliseconds: Int64)
    /// At these offsets, by partition; partitions that are not named begin with their oldest record.
    case offsets([Int32: Int64])
}

/// Where a reader stops of itself.
package enum LogEnd: Sendable, Equatable {
    /// Nowhere: it follows a log that grows.
    case never
    /// At the record that was the next to be written when the reader was opened.
    case end
    /// Each partition at its first record whose timestamp is not before this, milliseconds since 1970. A partition
    /// without such a record ends once all of it was read and the clock of this machine is `graceMilliseconds` past
    /// that time.
    case time(milliseconds: Int64)

    /// For records that are still on their way to the log when their time is over.
    package static let graceMilliseconds: Int64 = 5000
}

/// The reading end of a traffic log; used by one thread at a time.
package protocol TrafficLogReader: AnyObject {
    /// For messages: the address without settings.
    var location: String { get }

    /// The next record, or nil when the end is reached or `duration` is over. Records of a partition come in order.
    /// Call again to follow a log that grows: `.zero` looks only at what is there.
    func next(within duration: Duration) throws(TrafficLogError) -> LoggedRecord?
}

extension TrafficLogReader {
    /// The next record, or nil at the end of what the log holds now.
    package func next() throws(TrafficLogError) -> LoggedRecord? { try next(within: .zero) }
}
