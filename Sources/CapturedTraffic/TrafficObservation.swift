/// A moment of the wall clock as the records hold it (google.protobuf.Timestamp).
package struct TrafficTimestamp: Sendable, Equatable, Comparable {
    /// Since 1970-01-01T00:00:00Z.
    package var seconds: Int64
    /// 0 to 999,999,999 in records that follow the schema; kept as read otherwise.
    package var nanoseconds: Int32

    package init(seconds: Int64 = 0, nanoseconds: Int32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    package static func < (left: TrafficTimestamp, right: TrafficTimestamp) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }
}

/// Something that the proxy saw at a connection.
package enum TrafficEvent {
    case bind
    case connect
    /// Bytes from the client, as one socket read returned them.
    case read(UnsafeRawBufferPointer)
    /// Part of a read that did not fit into one record; `segmentEnd` follows the last part.
    case readSegment(UnsafeRawBufferPointer)
    case requestReleased(isTimedOut: Bool)
    /// Bytes to the client.
    case write(UnsafeRawBufferPointer)
    /// Part of a write that did not fit into one record.
    case writeSegment(UnsafeRawBufferPointer)
    case disconnect
    case close
    /// UTF-8 text, unchecked. `CaptureMark` names the texts with a meaning.
    case connectionException(UnsafeRawBufferPointer)
    case segmentEnd
    /// The request is whole. Lengths of its first line and of its header block; nil or negative when unknown.
    case endOfMessage(firstLineBytes: Int32?, headerBytes: Int32?)
    /// What was read since the last end of message is not to be kept.
    case requestDropped
    /// No event, or one of a later schema.
    case unknown
}

/// One entry of a record. Its slices point into the record and live as long as its bytes.
package struct TrafficObservation {
    package var timestamp: TrafficTimestamp
    package var event: TrafficEvent
    /// Of the observation's message in the record, without tag and length.
    package var range: Range<Int>
}

/// Texts of `connectionException` by which the proxy tells the replayer what the schema has no word for. The reference
/// project's replayer takes them for what they are to it: the response ends, a request under way is forgotten, the
/// connection lives on.
package enum CaptureMark {
    /// Traffic of this connection was forwarded but not recorded before this point.
    package static let gap = "millrace: gap"
    /// The connection changed to another protocol (101, or CONNECT); what follows is opaque.
    package static let upgraded = "millrace: upgraded"
    /// Not a mark of its own: the error's type in the proxy's answer to a request that it kept from the source because
    /// it could not be recorded. The request may be in the log all the same, and was never executed.
    package static let notExecuted: StaticString = "proxy_capture_unavailable_exception"
}
