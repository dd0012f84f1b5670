/// How a file log is written.
package struct FileLogSettings: Sendable {
    /// When a record counts as durable.
    package enum SyncPolicy: Sendable, Equatable {
        /// After `fdatasync`; records that wait together share one.
        case always
        /// After `write`; `fdatasync` follows at this interval. A crash of the machine loses what was not synced.
        case interval(Duration)
        /// After `write`; the kernel syncs when it likes.
        case none
    }

    package var syncPolicy = SyncPolicy.always
    /// A segment that reached this is closed and a new one begun.
    package var segmentBytes: Int64 = 256 << 20
    /// Oldest segments are removed while all of them together hold more; nil keeps them.
    package var retainedBytes: Int64?
    /// Segments whose last record is older are removed; nil keeps them.
    package var retainedAge: Duration?
    /// Larger records are refused with `.tooLarge`.
    package var recordLimitBytes = 64 << 20
    /// Records that may wait for the disk; at the limit `append` throws `.full`.
    package var queueLimitBytes = 256 << 20
    package var queueLimitCount = 1_000_000
    /// Records of one batch, before compression. A batch is one write and is read at once.
    package var batchBytes = 4 << 20
    package var isCompressed = true
    /// A record that waits longer makes `state` an outage: the disk stalls.
    package var outageAfter = Duration.seconds(5)
    /// How long a failed write waits before the next attempt.
    package var retryAfter = Duration.milliseconds(250)

    /// For tests: called in front of each operation on the disk; a number other than 0 is the errno it fails with.
    var fault: (@Sendable (FileLogOperation) -> Int32)?

    package init() {}
}

/// What a file log asks of the disk.
enum FileLogOperation: Sendable, Equatable {
    case createSegment, write, sync
}

/// What was cut off when a log was opened: the tail of a write that was interrupted, never acknowledged.
package struct FileLogRecovery: Sendable, Equatable {
    package let file: String
    /// Where the cut is.
    package let keptBytes: Int64
    package let cutBytes: Int64
    /// What stood there.
    package let reason: String
}
