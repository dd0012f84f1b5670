import CSystem

/// The ids of a connection, which each of its records begins with. The arrays can be shared: a process has thousands of
/// connections and one node id.
package struct TrafficStreamIdentity: Sendable {
    /// The reference project asserts the same bound. Each length is then one byte of varint.
    package static let idBytesLimit = 100

    package let connectionID: [UInt8]
    package let nodeID: [UInt8]

    /// Both ids, UTF-8, together take at most `idBytesLimit` bytes.
    package init(connectionID: [UInt8], nodeID: [UInt8]) {
        precondition(
            connectionID.count + nodeID.count <= Self.idBytesLimit,
            "ids of \(connectionID.count) and \(nodeID.count) bytes")
        self.connectionID = connectionID
        self.nodeID = nodeID
    }

    package init(connectionID: String, nodeID: String) {
        self.init(connectionID: Array(connectionID.utf8), nodeID: Array(nodeID.utf8))
    }

    /// Of fields 1 and 5.
    var fieldBytes: Int { 4 + connectionID.count + nodeID.count }
}

/// Where a connection's next record goes on.
package struct TrafficStreamPosition: Sendable, Equatable {
    /// Of the record, from 1.
    package var number: Int32 = 1
    /// Ends of message in the records before.
    package var priorRequests: Int32 = 0
    /// The records before end with reads that no end of message follows.
    package var isReadUnterminated = false

    package init() {}
}

/// A record being laid out in the buffer that received bytes land in: nothing is copied, and the finished record is
/// ready to be produced.
///
///     12 LLLL  0A 0C 08 SSSSS 10 NNNNN  tag LLLL  0A LLLL  data        read, write (segments: 12 for 0A)
///     12 LLLL  0A 0C 08 SSSSS 10 NNNNN  tag 00                         events without content
///     1A NNNNN | 22 NNNNN                                              index, the end of the record
///
/// Lengths, times and numbers are padded varints (continuation bits on zero digits): their place is kept before the
/// bytes land and filled in after. That is legal Protocol Buffers. Every cost is a constant, so the caller knows what
/// still fits. Nothing moves once it is committed; slices handed to a socket stay good. A writer belongs to one thread
/// and does not allocate. The caller keeps the buffer alive.
package struct TrafficStreamWriter {
    /// Events with data.
    package enum DataKind: UInt8, Sendable {
        case read, readSegment, write, writeSegment
    }

    /// Brokers accept 1 MiB with their default settings (`message.max.bytes` is 1,048,588).
    package static let defaultRecordBytesLimit = 1 << 20
    /// Four varint bytes hold no more.
    package static let largestRecordBytesLimit = (1 << 28) - 1

    static let lengthBytes = 4
    static let numberBytes = 5
    /// 08 SSSSS 10 NNNNN.
    static let timestampBytes = 2 + 2 * numberBytes
    /// Tag and length of the observation, then the timestamp with tag and length.
    static let observationHeadBytes = 1 + lengthBytes + 2 + timestampBytes
    /// What stands before the data of a read or write.
    package static let dataHeadBytes = observationHeadBytes + 1 + lengthBytes + 1 + lengthBytes
    /// Of segmentEnd and close.
    package static let emptyEventBytes = observationHeadBytes + 2
    package static let requestDroppedBytes = observationHeadBytes + 3
    package static let endOfMessageBytes = observationHeadBytes + 2 + 2 * (1 + numberBytes)
    /// The record's end, which is always kept free.
    package static let indexBytes = 1 + numberBytes
    /// Longer messages of exceptions are cut.
    package static let exceptionMessageBytesLimit = 1024

    /// What the head of a record costs at the most.
    package static func headBytesLimit(_ identity: TrafficStreamIdentity) -> Int {
        identity.fieldBytes + 1 + numberBytes + 2
    }

    /// Of an exception with a message of `count` bytes.
    package static func exceptionBytes(messageBytes count: Int) -> Int {
        observationHeadBytes + 1 + lengthBytes + 1 + lengthBytes + min(count, exceptionMessageBytesLimit)
    }

    private let base: UnsafeMutableRawPointer
    /// End of the usable part, the index excluded.
    private let limit: Int
    private var end = 0
    private var position: TrafficStreamPosition
    private var reservation: Int?
    private var isFinished = false

    /// Bytes laid out so far, the index not counted.
    package var byteCount: Int { end }
    /// None: there is nothing to write into the log.
    package private(set) var observationCount = 0
    /// The number of this record.
    package var number: Int32 { position.number }

    /// Begins the record at `position` in `buffer`, of which at most `recordBytesLimit` bytes are used. The buffer
    /// holds at least `headBytesLimit`, one data head and the index.
    package init(
        into buffer: UnsafeMutableRawBufferPointer, identity: TrafficStreamIdentity,
        position: TrafficStreamPosition = TrafficStreamPosition(),
        recordBytesLimit: Int = Self.defaultRecordBytesLimit
    ) {
        let usable = min(buffer.count, recordBytesLimit, Self.largestRecordBytesLimit)
        let least = Self.headBytesLimit(identity) + Self.dataHeadBytes + Self.indexBytes
        guard let base = buffer.baseAddress, usable > least else {
            preconditionFailure("\(usable) bytes for a record that needs more than \(least)")
        }
        self.base = base
        limit = usable - Self.indexBytes
        self.position = position
        putID(StreamField.connectionID, identity.connectionID)
        putID(StreamField.nodeID, identity.nodeID)
        if position.priorRequests > 0 {
            putTag(StreamField.priorRequests, .varint)
            putNumber(UInt64(position.priorRequests))
        }
        if position.isReadUnterminated {
            putTag(StreamField.isReadUnterminated, .varint)
            put(1)
        }
    }

    /// For the record after this one.
    package var nextPosition: TrafficStreamPosition {
        var next = position
        next.number = position.number == .max ? .max : position.number + 1
        return next
    }

    /// Bytes free for observations and their heads.
    package var freeBytes: Int { limit - end }

    /// How many bytes of data one more observation can hold when `keptBytes` stay free behind it (for an end of
    /// message, say). Not negative.
    package func dataBytesFree(keepingBytes keptBytes: Int = Self.endOfMessageBytes) -> Int {
        max(0, limit - end - Self.dataHeadBytes - keptBytes)
    }

    // MARK: Data that lands in place

    /// The place where the data of the next observation has to land; nil when fewer than `leastBytes` are free with
    /// `keptBytes` left over. Nothing is taken until `commit`; another call or an append drops the reservation.
    package mutating func reserve(
        keepingBytes keptBytes: Int = Self.endOfMessageBytes, leastBytes: Int = 1
    ) -> UnsafeMutableRawBufferPointer? {
        precondition(!isFinished, "record \(position.number) is finished")
        let count = dataBytesFree(keepingBytes: keptBytes)
        guard count >= max(1, leastBytes) else { return nil }
        reservation = limit - end - Self.dataHeadBytes
        return UnsafeMutableRawBufferPointer(start: base + end + Self.dataHeadBytes, count: count)
    }

    /// Turns the first `count` bytes of the reserved place into an observation and returns where they lie; they do not
    /// move any more. Bytes behind them are given up (see `commitRequest` for pipelined requests). A count of 0 only
    /// drops the reservation.
    @discardableResult
    package mutating func commit(
        _ kind: DataKind, count: Int, at time: TrafficTimestamp
    ) -> UnsafeMutableRawBufferPointer {
        guard let reserved = reservation, count >= 0, count <= reserved else {
            preconditionFailure("\(count) bytes committed of \(reservation ?? 0) reserved")
        }
        reservation = nil
        let start = end + Self.dataHeadBytes
        guard count > 0 else { return UnsafeMutableRawBufferPointer(start: base + start, count: 0) }
        let isSegment = kind == .readSegment || kind == .writeSegment
        let contentBytes = 1 + Self.lengthBytes + count
        putObservationHead(contentBytes: 1 + Self.lengthBytes + contentBytes, time)
        putTag(Self.field(kind).rawValue, .lengthDelimited)
        putLength(contentBytes)
        putTag(isSegment ? 2 : 1, .lengthDelimited)
        putLength(count)
        assert(end == start, "data moved from \(start) to \(end)")
        end = start + count
        if kind == .read || kind == .readSegment { position.isReadUnterminated = true }
        return UnsafeMutableRawBufferPointer(start: base + start, count: count)
    }

    /// For several requests in one socket read: turns the first `count` of `landedCount` bytes in the reserved place
    /// into a read with an end of message, and moves the rest to where the data of the next observation has to land, as
    /// if it were read there: it is still reserved and not committed. Returns the request's place and the rest's. When
    /// the rest does not fit any more, `rest` is nil and nothing is done: the caller copies the rest into the reserved
    /// place of a new record and then commits the request here by `commit`.
    package mutating func commitRequest(
        count: Int, landedCount: Int, firstLineBytes: Int32, headerBytes: Int32, at time: TrafficTimestamp,
        keepingBytes keptBytes: Int = Self.endOfMessageBytes
    ) -> (request: UnsafeMutableRawBufferPointer, rest: UnsafeMutableRawBufferPointer)? {
        guard let reserved = reservation, count > 0, count <= landedCount, landedCount <= reserved else {
            preconditionFailure("\(count) of \(landedCount) bytes committed of \(reservation ?? 0) reserved")
        }
        let restCount = landedCount - count
        let restStart = end + Self.dataHeadBytes + count
        let restPlace = restStart + Self.endOfMessageBytes + Self.dataHeadBytes
        guard restPlace + restCount + keptBytes <= limit else { return nil }
        memmove(base + restPlace, base + restStart, restCount)
        let request = commit(.read, count: count, at: time)
        appendEndOfMessage(firstLineBytes: firstLineBytes, headerBytes: headerBytes, at: time)
        reservation = limit - end - Self.dataHeadBytes
        return (request, UnsafeMutableRawBufferPointer(start: base + restPlace, count: restCount))
    }

    // MARK: What is known whole. Each returns false, and does nothing, when it does not fit.

    /// Copies data that landed elsewhere. The caller cuts what does not fit into segments (`dataBytesFree`).
    @discardableResult
    package mutating func append(
        _ kind: DataKind, copying data: UnsafeRawBufferPointer, at time: TrafficTimestamp,
        keepingBytes keptBytes: Int = 0
    ) -> Bool {
        guard data.count <= dataBytesFree(keepingBytes: keptBytes) else { return false }
        guard data.count > 0, let place = reserve(keepingBytes: keptBytes) else { return data.count == 0 }
        place.copyMemory(from: data)
        commit(kind, count: data.count, at: time)
        return true
    }

    /// The request that the reads so far make is whole. Lengths count from its first byte and are not negative.
    @discardableResult
    package mutating func appendEndOfMessage(
        firstLineBytes: Int32, headerBytes: Int32, at time: TrafficTimestamp
    ) -> Bool {
        precondition(firstLineBytes >= 0 && headerBytes >= 0, "lengths \(firstLineBytes) and \(headerBytes)")
        guard beginEvent(Self.endOfMessageBytes, time) else { return false }
        putTag(CaptureField.endOfMessage.rawValue, .lengthDelimited)
        put(UInt8(truncatingIfNeeded: 2 * (1 + Self.numberBytes)))
        putTag(1, .varint)
        putNumber(UInt64(firstLineBytes))
        putTag(2, .varint)
        putNumber(UInt64(headerBytes))
        position.isReadUnterminated = false
        if position.priorRequests < .max { position.priorRequests += 1 }
        return true
    }

    /// Ends a run of segments.
    @discardableResult
    package mutating func appendSegmentEnd(at time: TrafficTimestamp) -> Bool { appendEmpty(.segmentEnd, time) }

    /// The connection is closed; nothing follows.
    @discardableResult
    package mutating func appendClose(at time: TrafficTimestamp) -> Bool { appendEmpty(.close, time) }

    /// The reads since the last end of message are not to be kept.
    @discardableResult
    package mutating func appendRequestDropped(at time: TrafficTimestamp) -> Bool {
        guard beginEvent(Self.requestDroppedBytes, time) else { return false }
        // Field 16 needs two bytes of tag.
        put(0x82)
        put(0x01)
        put(0)
        position.isReadUnterminated = false
        return true
    }

    /// An error of the connection, or a `CaptureMark`. Longer messages are cut at a character.
    @discardableResult
    package mutating func appendException(_ message: String, at time: TrafficTimestamp) -> Bool {
        var copy = message
        return copy.withUTF8 { text in
            var count = min(text.count, Self.exceptionMessageBytesLimit)
            // A proto3 string is UTF-8: a character that is cut goes whole.
            while count > 0, count < text.count, text[count] & 0xC0 == 0x80 { count -= 1 }
            guard beginEvent(Self.exceptionBytes(messageBytes: count), time) else { return false }
            putTag(CaptureField.connectionException.rawValue, .lengthDelimited)
            putLength(1 + Self.lengthBytes + count)
            putTag(1, .lengthDelimited)
            putLength(count)
            if let start = text.baseAddress { (base + end).copyMemory(from: start, byteCount: count) }
            end += count
            position.isReadUnterminated = false
            return true
        }
    }

    /// Writes the index and returns the record, which starts at the buffer's first byte. `isLast`: the connection has
    /// no more records. The writer is spent, but `nextPosition` stays good.
    package mutating func finish(isLast: Bool) -> UnsafeRawBufferPointer {
        precondition(!isFinished, "record \(position.number) is finished twice")
        isFinished = true
        reservation = nil
        putTag(isLast ? StreamField.lastNumber : StreamField.number, .varint)
        putNumber(UInt64(max(0, position.number)))
        return UnsafeRawBufferPointer(start: base, count: end)
    }

    // MARK: Bytes

    private static func field(_ kind: DataKind) -> CaptureField {
        switch kind {
        case .read: .read
        case .readSegment: .readSegment
        case .write: .write
        case .writeSegment: .writeSegment
        }
    }

    private mutating func appendEmpty(_ field: CaptureField, _ time: TrafficTimestamp) -> Bool {
        guard beginEvent(Self.emptyEventBytes, time) else { return false }
        putTag(field.rawValue, .lengthDelimited)
        put(0)
        return true
    }

    /// The head of an observation that takes `count` bytes in all; false when they are not free.
    private mutating func beginEvent(_ count: Int, _ time: TrafficTimestamp) -> Bool {
        precondition(!isFinished, "record \(position.number) is finished")
        guard count <= freeBytes else { return false }
        reservation = nil
        putObservationHead(contentBytes: count - Self.observationHeadBytes, time)
        return true
    }

    private mutating func putObservationHead(contentBytes: Int, _ time: TrafficTimestamp) {
        putTag(StreamField.observation, .lengthDelimited)
        putLength(2 + Self.timestampBytes + contentBytes)
        putTag(1, .lengthDelimited)
        put(UInt8(truncatingIfNeeded: Self.timestampBytes))
        putTag(1, .varint)
        // Five digits last until the year 3058; a clock outside of that is clamped.
        putNumber(UInt64(min(max(time.seconds, 0), (1 << 35) - 1)))
        putTag(2, .varint)
        putNumber(UInt64(min(max(time.nanoseconds, 0), 999_999_999)))
        observationCount += 1
    }

    private mutating func put(_ byte: UInt8) {
        base.storeBytes(of: byte, toByteOffset: end, as: UInt8.self)
        end += 1
    }

    /// Of at most 127 bytes.
    private mutating func putID(_ field: UInt32, _ id: [UInt8]) {
        putTag(field, .lengthDelimited)
        put(UInt8(truncatingIfNeeded: id.count))
        id.withUnsafeBytes { bytes in
            if let start = bytes.baseAddress { (base + end).copyMemory(from: start, byteCount: bytes.count) }
        }
        end += id.count
    }

    /// Of a field below 16.
    private mutating func putTag(_ field: UInt32, _ type: WireType) {
        put(UInt8(truncatingIfNeeded: WireType.tag(field, type)))
    }

    /// Below 2²⁸, four bytes.
    private mutating func putLength(_ value: Int) {
        let bits = UInt32(truncatingIfNeeded: value)
        var digits = bits & 0x7F | 0x0080_8080
        digits |= (bits << 1) & 0x7F00
        digits |= (bits << 2) & 0x7F_0000
        digits |= (bits << 3) & 0x7F00_0000
        base.storeBytes(of: digits.littleEndian, toByteOffset: end, as: UInt32.self)
        end += Self.lengthBytes
    }

    /// Below 2³⁵, five bytes.
    private mutating func putNumber(_ value: UInt64) {
        putLength(Int(truncatingIfNeeded: value & 0xFFF_FFFF))
        base.storeBytes(
            of: base.load(fromByteOffset: end - 1, as: UInt8.self) | 0x80, toByteOffset: end - 1, as: UInt8.self)
        put(UInt8(truncatingIfNeeded: value >> 28) & 0x7F)
    }
}
