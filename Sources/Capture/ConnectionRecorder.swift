import CapturedTraffic
import EventIO
import TrafficLog

/// Lays out the records of one client connection in the buffers that its bytes land in, and hands them to the log.
///
/// Confined to its loop. The open segment belongs to the recorder until `flush`; from then on the log has it, and its
/// bytes do not change. Record numbers go on whatever becomes of the records, so a hole in them is a lost record. That
/// something was not recorded is remembered and marked (`CaptureMark.gap`) before the next request: within one, readers
/// would take the mark for its end.
///
/// A connection without an open record has no segment: its next read lands in the loop's spare one, which becomes its
/// own only when bytes came.
final class ConnectionRecorder {
    unowned(unsafe) let loop: CaptureLoop
    let key: ConnectionKey
    /// The connection, until it is over.
    unowned(unsafe) var owner: ProxyConnection?
    private let identity: TrafficStreamIdentity
    private let log: any TrafficLogWriter
    /// The open record's, or the tentative one's of the loop's spare.
    private var writer: TrafficStreamWriter?
    private var segment: RecordSegment?
    private var isSpareLaidOut = false
    private var position = TrafficStreamPosition()
    /// The connection streams: its next segment is a large one.
    private var wantsLarge = false
    /// Finished records that the log had no room for, in order.
    private var backlog: [RecordSegment] = []
    private var isClosed = false

    /// When the open record got its first observation.
    private(set) var openedAt = MonotonicInstant(nanoseconds: .max)
    /// Every record up to this one is acknowledged or lost.
    private(set) var resolvedThrough: Int32 = 0
    /// The last record that was lost; 0 for none.
    private(set) var lastLost: Int32 = 0
    private(set) var unresolvedCount = 0
    /// Something was not recorded, and no record says so yet.
    private(set) var hasGap = false

    init(loop: CaptureLoop, log: any TrafficLogWriter, identity: TrafficStreamIdentity) {
        self.loop = loop
        self.log = log
        self.identity = identity
        key = ConnectionKey(identity.connectionID)
    }

    /// The number of the record that the next observation goes into.
    var openNumber: Int32 { position.number }
    var isOpen: Bool { segment != nil }
    /// The memory of the open record.
    var openSegment: RecordSegment? { segment }
    var hasBacklog: Bool { !backlog.isEmpty }
    /// Whether anything was ever recorded.
    var isUsed: Bool { position.number > 1 || segment != nil }

    // MARK: Bytes that land in place

    /// Where the next bytes have to land; nil when the budget is spent.
    func reserve() -> UnsafeMutableRawBufferPointer? {
        if let segment {
            let least = segment.bytes.count >> 3
            if let place = writer?.reserve(leastBytes: least) { return place }
            wantsLarge = true
            flush()
        }
        guard layOutSpare(force: false) else { return nil }
        return writer?.reserve()
    }

    /// Records the first `count` of the bytes that landed in the place reserved last; returns where they lie.
    func commit(_ kind: TrafficStreamWriter.DataKind, count: Int) -> UnsafeMutableRawBufferPointer {
        guard count > 0, adopt() else { return UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        return writer?.commit(kind, count: count, at: loop.timestamp)
            ?? UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }

    // MARK: What is known whole

    /// Whether an observation can begin without passing the budget.
    func hasRoom() -> Bool {
        guard !hasBacklog else { return false }
        return segment != nil || layOutSpare(force: false)
    }

    /// Records a copy, in as many observations as are needed.
    func append(_ kind: TrafficStreamWriter.DataKind, copying data: UnsafeRawBufferPointer) {
        var rest = data
        while rest.count > 0 {
            guard open(leastBytes: TrafficStreamWriter.dataHeadBytes + TrafficStreamWriter.endOfMessageBytes + 64)
            else {
                return
            }
            let count = min(rest.count, writer?.dataBytesFree() ?? 0)
            let piece = UnsafeRawBufferPointer(rebasing: rest[..<count])
            writer?.append(
                kind, copying: piece, at: loop.timestamp, keepingBytes: TrafficStreamWriter.endOfMessageBytes)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    func appendEndOfMessage(firstLineBytes: Int, headBytes: Int) {
        guard open(leastBytes: TrafficStreamWriter.endOfMessageBytes) else { return }
        writer?.appendEndOfMessage(
            firstLineBytes: Int32(clamping: firstLineBytes),
            headerBytes: Int32(clamping: headBytes - firstLineBytes), at: loop.timestamp)
    }

    func appendRequestDropped() {
        guard open(leastBytes: TrafficStreamWriter.requestDroppedBytes) else { return }
        writer?.appendRequestDropped(at: loop.timestamp)
    }

    func appendException(_ message: String) {
        guard open(leastBytes: TrafficStreamWriter.exceptionBytes(messageBytes: message.utf8.count)) else { return }
        writer?.appendException(message, at: loop.timestamp)
    }

    /// Something is forwarded without being recorded.
    func noteGap() {
        if !hasGap { loop.metrics.gaps.increment() }
        hasGap = true
    }

    /// Between exchanges: says that something before this point was not recorded. Bytes that have landed are
    /// overwritten.
    func markGap() {
        guard hasGap, open(leastBytes: TrafficStreamWriter.exceptionBytes(messageBytes: CaptureMark.gap.utf8.count))
        else { return }
        writer?.appendException(CaptureMark.gap, at: loop.timestamp)
        hasGap = false
    }

    /// The connection is over. Leaves no record when there was none.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        guard isUsed || hasGap else { return }
        if segment == nil { openLast() }
        markGap()
        guard open(leastBytes: TrafficStreamWriter.emptyEventBytes) else { return }
        writer?.appendClose(at: loop.timestamp)
        flush(isLast: true)
    }

    /// The end alone needs little memory: thousands of connections may close at once, and all go past the budget.
    private func openLast() {
        let last = loop.pool.takeSmallest(bytes: Self.lastRecordBytes(identity))
        writer = TrafficStreamWriter(into: last.bytes, identity: identity, position: position)
        isSpareLaidOut = false
        segment = last
    }

    /// Of a record that says that something is missing and that the connection is closed.
    static func lastRecordBytes(_ identity: TrafficStreamIdentity) -> Int {
        TrafficStreamWriter.headBytesLimit(identity) + TrafficStreamWriter.dataHeadBytes
            + TrafficStreamWriter.exceptionBytes(messageBytes: CaptureMark.gap.utf8.count)
            + TrafficStreamWriter.emptyEventBytes + TrafficStreamWriter.indexBytes
    }

    // MARK: Records

    /// Hands the open record over. Returns the number of the last record that holds anything.
    @discardableResult
    func flush(isLast: Bool = false) -> Int32 {
        guard let segment, var writer, writer.observationCount > 0 else { return position.number - 1 }
        if writer.byteCount < SegmentPool.smallBytes / 2 { wantsLarge = false }
        let record = writer.finish(isLast: isLast)
        segment.recordRange = 0..<record.count
        segment.token = UInt64(position.number)
        segment.context = self
        segment.handedOverNanoseconds = loop.loop.now.nanoseconds
        position = writer.nextPosition
        self.segment = nil
        self.writer = nil
        openedAt = MonotonicInstant(nanoseconds: .max)
        submit(segment)
        return position.number - 1
    }

    private func submit(_ segment: RecordSegment) {
        unresolvedCount += 1
        guard backlog.isEmpty else { return backlog.append(segment) }
        do throws(TrafficLogError) {
            try log.append(segment, key: key, sink: loop, more: true)
            loop.metrics.records.increment()
            loop.metrics.recordBytes.add(segment.recordRange.count)
        } catch {
            if error.code == .full, !loop.isOutage {
                backlog.append(segment)
                loop.waitForRoom(self)
            } else {
                lose(segment)
                loop.logFailed(error)
            }
        }
    }

    /// The log has room again: hands over what waited, in order.
    func submitBacklog() {
        let waiting = backlog
        backlog = []
        for segment in waiting {
            unresolvedCount -= 1
            submit(segment)
        }
        if backlog.isEmpty { owner?.recorderHasRoom() }
    }

    /// The log does not come back soon: what waits for it is lost.
    func giveUpBacklog() {
        let waiting = backlog
        backlog = []
        for segment in waiting { lose(segment) }
        owner?.recordsResolved()
        owner?.recorderHasRoom()
    }

    /// The memory stays with whoever still forwards from it.
    private func lose(_ segment: RecordSegment) {
        note(number: Int32(truncatingIfNeeded: segment.token), isLost: true)
        loop.pool.forget(segment)
    }

    /// The log reports on a record, in order.
    func resolved(_ segment: RecordSegment, failure: TrafficLogError?) {
        let number = Int32(truncatingIfNeeded: segment.token)
        if failure == nil {
            loop.metrics.produceSeconds.observe(
                loop.loop.now - MonotonicInstant(nanoseconds: segment.handedOverNanoseconds))
        }
        note(number: number, isLost: failure != nil)
        resolvedThrough = max(resolvedThrough, number)
        owner?.recordsResolved()
    }

    private func note(number: Int32, isLost: Bool) {
        unresolvedCount -= 1
        guard isLost else { return }
        lastLost = max(lastLost, number)
        noteGap()
        loop.metrics.lostRecords.increment()
        // Nothing follows on a connection that is closed: a record of its own says what is missing.
        if isClosed { loop.markClosedGap(identity: identity, key: key, position: position) }
    }

    // MARK: Segments

    /// Opens a record, or another one when fewer than `leastBytes` are free. What has begun goes on past the budget.
    private func open(leastBytes: Int) -> Bool {
        if segment != nil {
            if let free = writer?.freeBytes, free >= leastBytes { return true }
            wantsLarge = true
            flush()
        }
        return layOutSpare(force: true) && adopt()
    }

    /// Begins a record in the loop's spare segment, which stays the loop's.
    private func layOutSpare(force: Bool) -> Bool {
        if isSpareLaidOut, loop.isSpare(isLarge: wantsLarge, laidOutFor: self) { return true }
        guard let spare = loop.spare(isLarge: wantsLarge, for: self, force: force) else { return false }
        writer = TrafficStreamWriter(
            into: spare.bytes, identity: identity, position: position, recordBytesLimit: spare.bytes.count)
        isSpareLaidOut = true
        return true
    }

    /// Makes the laid out spare segment the open one.
    private func adopt() -> Bool {
        if segment != nil { return true }
        guard isSpareLaidOut, let spare = loop.takeSpare(isLarge: wantsLarge, laidOutFor: self) else { return false }
        isSpareLaidOut = false
        segment = spare
        openedAt = loop.loop.now
        owner?.recordOpened()
        return true
    }
}
