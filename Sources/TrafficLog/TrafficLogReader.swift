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
    case beginning
    /// With the records that are written from now on.
    case end
    /// At these offsets, by partition; partitions that are not named begin with their oldest record.
    case offsets([Int32: Int64])
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
