/// What a record says about itself. Slices point into the record.
package struct TrafficStreamHeader {
    /// UTF-8, unchecked; empty when the record has none.
    package fileprivate(set) var connectionID = UnsafeRawBufferPointer(start: nil, count: 0)
    package fileprivate(set) var nodeID = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Ends of message before this record; nil when not given, which is 0.
    package fileprivate(set) var priorRequests: Int32?
    /// The record before ended with reads that no end of message follows.
    package fileprivate(set) var isReadUnterminated = false
    /// From 1; nil when the record has no index.
    package fileprivate(set) var number: Int32?
    /// No record of this connection follows.
    package fileprivate(set) var isLast = false
    package fileprivate(set) var observationCount = 0
}

/// Decodes a record: any legal Protocol Buffers encoding of the schema, whoever wrote it. Fields come in any order,
/// varints may be padded, unknown fields are passed over, of a repeated scalar or oneof the last one counts, parts of
/// one message merge. It copies nothing, allocates nothing but for unknown groups, and reads nothing outside of the
/// record.
///
/// The caller keeps the bytes alive and unchanged. A value: a copy goes on from where the original stands.
package struct TrafficStreamReader {
    package let header: TrafficStreamHeader
    private var cursor: WireCursor

    /// Checks the fields of the record itself and reads the header; observations are only counted.
    package init(_ record: UnsafeRawBufferPointer) throws(TrafficStreamError) {
        cursor = WireCursor(record.baseAddress, 0..<record.count)
        header = try Self.header(WireCursor(record.baseAddress, 0..<record.count))
    }

    private static func header(_ start: WireCursor) throws(TrafficStreamError) -> TrafficStreamHeader {
        var cursor = start
        var header = TrafficStreamHeader()
        while !cursor.isAtEnd {
            let (field, type) = try cursor.tag()
            switch (field, type) {
            case (StreamField.observation, .lengthDelimited):
                _ = try cursor.content()
                header.observationCount += 1
            case (StreamField.connectionID, .lengthDelimited): header.connectionID = cursor.slice(try cursor.content())
            case (StreamField.nodeID, .lengthDelimited): header.nodeID = cursor.slice(try cursor.content())
            case (StreamField.number, .varint):
                header.number = try cursor.int32()
                header.isLast = false
            case (StreamField.lastNumber, .varint):
                header.number = try cursor.int32()
                header.isLast = true
            case (StreamField.priorRequests, .varint): header.priorRequests = try cursor.int32()
            case (StreamField.isReadUnterminated, .varint): header.isReadUnterminated = try cursor.varint() != 0
            default: try cursor.skip(field, type)
            }
        }
        return header
    }

    /// The next observation in order, nil behind the last one. After an error the reader stands behind the observation
    /// that is broken and can go on.
    package mutating func next() throws(TrafficStreamError) -> TrafficObservation? {
        while !cursor.isAtEnd {
            let (field, type) = try cursor.tag()
            guard field == StreamField.observation, type == .lengthDelimited else {
                try cursor.skip(field, type)
                continue
            }
            return try Self.observation(WireCursor(cursor.base, try cursor.content()))
        }
        return nil
    }

    private static func observation(_ start: WireCursor) throws(TrafficStreamError) -> TrafficObservation {
        var cursor = start
        var observation = TrafficObservation(
            timestamp: TrafficTimestamp(), event: .unknown, range: start.position..<start.end)
        var member: CaptureField?
        var capture = CaptureContent()
        while !cursor.isAtEnd {
            let (field, type) = try cursor.tag()
            guard type == .lengthDelimited else {
                try cursor.skip(field, type)
                continue
            }
            let content = WireCursor(cursor.base, try cursor.content())
            if field == 1 {
                try merge(content, into: &observation.timestamp)
            } else if let named = CaptureField(rawValue: field) {
                // Another member takes the place of the one before; the same one again merges with it.
                if named != member { capture = CaptureContent() }
                member = named
                try capture.merge(content, named)
            }
        }
        if let member { observation.event = capture.event(member) }
        return observation
    }

    private static func merge(
        _ content: WireCursor, into timestamp: inout TrafficTimestamp
    ) throws(TrafficStreamError) {
        var cursor = content
        while !cursor.isAtEnd {
            switch try cursor.tag() {
            case (1, .varint): timestamp.seconds = Int64(bitPattern: try cursor.varint())
            case (2, .varint): timestamp.nanoseconds = try cursor.int32()
            case (let field, let type): try cursor.skip(field, type)
            }
        }
    }
}

/// The fields that any member of `Capture` has.
private struct CaptureContent {
    private var data = UnsafeRawBufferPointer(start: nil, count: 0)
    private var first: Int32?
    private var second: Int32?

    mutating func merge(_ content: WireCursor, _ member: CaptureField) throws(TrafficStreamError) {
        var cursor = content
        while !cursor.isAtEnd {
            let (field, type) = try cursor.tag()
            switch (member, field, type) {
            case (.read, 1, .lengthDelimited), (.write, 1, .lengthDelimited),
                (.readSegment, 2, .lengthDelimited), (.writeSegment, 2, .lengthDelimited),
                (.connectionException, 1, .lengthDelimited):
                data = cursor.slice(try cursor.content())
            case (.endOfMessage, 1, .varint): first = try cursor.int32()
            case (.endOfMessage, 2, .varint): second = try cursor.int32()
            case (.requestReleased, 1, .varint): first = try cursor.varint() == 0 ? 0 : 1
            default: try cursor.skip(field, type)
            }
        }
    }

    func event(_ member: CaptureField) -> TrafficEvent {
        switch member {
        case .bind: .bind
        case .connect: .connect
        case .read: .read(data)
        case .readSegment: .readSegment(data)
        case .requestReleased: .requestReleased(isTimedOut: first == 1)
        case .write: .write(data)
        case .writeSegment: .writeSegment(data)
        case .disconnect: .disconnect
        case .close: .close
        case .connectionException: .connectionException(data)
        case .segmentEnd: .segmentEnd
        case .endOfMessage: .endOfMessage(firstLineBytes: first, headerBytes: second)
        case .requestDropped: .requestDropped
        }
    }
}
