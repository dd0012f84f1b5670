/// The schema of a record, `TrafficStream` of the reference project's TrafficCaptureStream.proto (proto3).
///
///     TrafficStream {
///       string connectionId = 1            string nodeId = 5
///       optional int32 priorRequestsReceived = 6
///       optional bool lastObservationWasUnterminatedRead = 7
///       repeated TrafficObservation subStream = 2
///       oneof index { int32 number = 3; int32 numberOfThisLastChunk = 4 }
///     }
///     TrafficObservation {
///       google.protobuf.Timestamp ts = 1   (int64 seconds = 1, int32 nanos = 2)
///       oneof Capture { see CaptureField }
///     }
enum StreamField {
    static let connectionID: UInt32 = 1
    static let observation: UInt32 = 2
    static let number: UInt32 = 3
    static let lastNumber: UInt32 = 4
    static let nodeID: UInt32 = 5
    static let priorRequests: UInt32 = 6
    static let isReadUnterminated: UInt32 = 7
}

/// Members of `TrafficObservation.Capture`; 7 and 13 are unused.
enum CaptureField: UInt32 {
    case bind = 2
    case connect = 3
    /// { bytes data = 1 }
    case read = 4
    /// { bytes data = 2 }
    case readSegment = 5
    /// { bool timedOut = 1 }
    case requestReleased = 6
    /// { bytes data = 1 }
    case write = 8
    /// { bytes data = 2 }
    case writeSegment = 9
    case disconnect = 10
    case close = 11
    /// { string message = 1 }
    case connectionException = 12
    case segmentEnd = 14
    /// { optional int32 firstLineByteLength = 1; optional int32 headersByteLength = 2 }
    case endOfMessage = 15
    case requestDropped = 16
}

/// Protocol Buffers' wire types.
enum WireType: UInt32 {
    case varint = 0
    case fixed64 = 1
    case lengthDelimited = 2
    case startGroup = 3
    case endGroup = 4
    case fixed32 = 5

    static func tag(_ field: UInt32, _ type: WireType) -> UInt32 { field << 3 | type.rawValue }
}
