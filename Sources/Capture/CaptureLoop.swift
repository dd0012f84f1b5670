import CapturedTraffic
import EventIO
import Settings
import Synchronization
import Telemetry
import TrafficLog

/// What the connections of one event loop share: buffers, the clock, warm connections to the source, and the way back
/// from the log.
///
/// Confined to its loop, but for the calls of `TrafficLogSink`, which only hand over.
// Sound: everything is used on the loop's serial queue; the log's threads only call `recordsResolved` and `logHasRoom`,
// which read `loop`, a constant.
final class CaptureLoop: TrafficLogSink, @unchecked Sendable {
    /// Small records that say what closed connections lost, kept while the log is away.
    private static let closedGapLimit = 100_000
    /// Room for so many reports is kept.
    private static let keptDeliveryLimit = 4096
    private static let keptPiecesLimit = (arrays: 256, capacity: 64)
    private static let parkedRetry = Duration.milliseconds(5)
    private static let trimInterval = Duration.milliseconds(500)
    private static let timestampRefresh = Duration.seconds(1)

    let loop: EventLoop
    let context: CaptureContext
    let pool: SegmentPool
    let scanners: ScannerPool
    let metrics: CaptureMetrics
    // Copies of what is asked for at every request: reaching through `context` would count references.
    let rules: RequestRules
    let deadlines: CaptureSettings.Deadlines
    let outagePolicy: CaptureSettings.OutagePolicy
    /// There is a log.
    let records: Bool
    private(set) var isOutage = false
    private(set) var isDraining = false

    /// In no order; each knows its index.
    private var connections: ContiguousArray<ProxyConnection> = []
    private var warm: [SourceLink] = []
    private var connectingCount = 0
    private var waiting: [ConnectionRecorder] = []
    /// What the log's threads have reported and the loop has not taken.
    private let reported = Mutex<[LogDelivery]>([])
    /// Empty, for the next turn.
    private var taken: [LogDelivery] = []
    /// Empty arrays with room, for connections that hold a request: idle ones have none.
    private var piecesRoom: ContiguousArray<[ProxyConnection.Piece]> = []
    /// Connections that wait for the budget.
    private var parked: [ProxyConnection] = []
    private var isParkedTimerArmed = false
    private var isTrimTimerArmed = false
    private var closedGaps: [(segment: RecordSegment, key: ConnectionKey)] = []
    private var spares: (small: RecordSegment?, large: RecordSegment?)
    private var spareOwners: (small: ConnectionRecorder?, large: ConnectionRecorder?)
    private lazy var smallReadBuffer = RecordSegment(capacityBytes: 16 << 10)
    private var wallOffset: Int64 = 0
    private var wallReadAt = MonotonicInstant(nanoseconds: 0)
    /// Called on the loop when the last connection of a draining loop is gone.
    private var drained: (() -> Void)?

    init(loop: EventLoop, context: CaptureContext) {
        self.loop = loop
        self.context = context
        metrics = context.metrics
        rules = context.rules
        deadlines = context.settings.deadlines
        outagePolicy = context.settings.outagePolicy
        records = context.trafficLog != nil
        scanners = ScannerPool(headBytes: context.settings.limits.headBytes)
        // What the log takes includes the key.
        let logLimitBytes = context.trafficLog.map { $0.recordLimitBytes - TrafficStreamIdentity.idBytesLimit } ?? .max
        pool = SegmentPool(
            recordBytes: min(context.settings.limits.recordBytes, logLimitBytes), budget: context.budget)
    }

    /// On the loop, before the first connection.
    func start() {
        if let log = context.trafficLog {
            isOutage = !log.state.takesRecords
            loop.batchServed = { log.handOver() }
        }
        fillWarm()
    }

    // MARK: Clock

    /// The wall clock at the current batch of events, read anew once a second.
    var timestamp: TrafficTimestamp {
        let now = loop.now
        if now - wallReadAt > Self.timestampRefresh {
            wallReadAt = now
            wallOffset = context.wallClock() - Int64(bitPattern: MonotonicInstant.now().nanoseconds)
        }
        let wall = Int64(bitPattern: now.nanoseconds) + wallOffset
        return TrafficTimestamp(seconds: wall / 1_000_000_000, nanoseconds: Int32(wall % 1_000_000_000))
    }

    // MARK: Connections

    func accept(_ client: Connection) -> ProxyConnection {
        let connection = ProxyConnection(loop: self, client: client)
        connection.index = Int32(connections.count)
        connections.append(connection)
        metrics.connections.increment()
        metrics.openConnections.add(1)
        return connection
    }

    func ended(_ connection: ProxyConnection) {
        let index = Int(connection.index)
        guard index >= 0 else { return }
        precondition(connections[index] === connection, "connection \(index) is another one")
        connection.index = -1
        let last = connections.removeLast()
        if last !== connection {
            connections[index] = last
            last.index = Int32(index)
        }
        metrics.openConnections.add(-1)
        if isDraining, connections.isEmpty { finishDraining() }
    }

    var connectionCount: Int { connections.count }

    /// Lets open exchanges finish and closes what is idle; `done` is called on the loop when nothing is left.
    func drain(done: @escaping () -> Void) {
        isDraining = true
        drained = done
        for link in warm { link.connection?.close() }
        warm = []
        for connection in Array(connections) { connection.drain() }
        if connections.isEmpty { finishDraining() }
    }

    /// Ends what `drain` did not bring to an end.
    func abandon() {
        for connection in Array(connections) { connection.abandon() }
    }

    private func finishDraining() {
        let done = drained
        drained = nil
        done?()
    }

    // MARK: Source

    /// A connection to the source: a warm one that is alive, or a new one.
    func link(for owner: ProxyConnection) -> SourceLink {
        while let link = warm.popLast() {
            guard link.isUsable else { continue }
            link.take(by: owner)
            fillWarm()
            return link
        }
        let link = SourceLink(loop: self, owner: owner)
        link.connect()
        return link
    }

    /// A link without an owner is ready to be taken.
    func warmLinkReady(_ link: SourceLink) {
        connectingCount -= 1
        if isDraining { link.connection?.close() } else { warm.append(link) }
    }

    /// A link without an owner has ended.
    func warmLinkEnded(_ link: SourceLink, wasReady: Bool) {
        if wasReady { warm.removeAll { $0 === link } } else { connectingCount -= 1 }
        // Not at once: a source that closes what it accepts would keep the loop busy.
        _ = loop.schedule(after: .seconds(1)) { [weak self] in self?.fillWarm() }
    }

    private func fillWarm() {
        guard !isDraining else { return }
        while warm.count + connectingCount < context.settings.limits.warmConnectionCount {
            connectingCount += 1
            SourceLink(loop: self, owner: nil).connect()
        }
    }

    // MARK: Slow peers

    /// So much may wait for one peer; more stops the reading from the other one.
    var pendingLimitBytes: Int { context.budget.isTight ? 0 : 64 << 10 }

    /// As much of the place as the budget lets a read bring.
    func limited(_ place: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawBufferPointer {
        let limit = context.budget.readBytesLimit
        return place.count <= limit ? place : UnsafeMutableRawBufferPointer(rebasing: place[..<limit])
    }

    /// For a read that is not recorded: nil, for a buffer of the event loop, or a small one when the budget is tight.
    var limitedReadBuffer: UnsafeMutableRawBufferPointer? {
        let limit = context.budget.readBytesLimit
        return limit == .max ? nil : UnsafeMutableRawBufferPointer(rebasing: smallReadBuffer.bytes[..<limit])
    }

    // MARK: Held requests

    func takePieces() -> [ProxyConnection.Piece] { piecesRoom.popLast() ?? [] }

    func givePieces(_ pieces: [ProxyConnection.Piece]) {
        guard piecesRoom.count < Self.keptPiecesLimit.arrays, pieces.capacity <= Self.keptPiecesLimit.capacity else {
            return
        }
        piecesRoom.append(pieces)
    }

    // MARK: Spare segments

    func isSpare(isLarge: Bool, laidOutFor recorder: ConnectionRecorder) -> Bool {
        (isLarge ? spareOwners.large : spareOwners.small) === recorder
    }

    /// The segment that the next bytes of a connection without an open record land in.
    func spare(isLarge: Bool, for recorder: ConnectionRecorder, force: Bool) -> RecordSegment? {
        if isLarge {
            if spares.large == nil { spares.large = pool.take(isLarge: true, force: force) }
            spareOwners.large = spares.large == nil ? nil : recorder
            return spares.large
        }
        if spares.small == nil { spares.small = pool.take(isLarge: false, force: force) }
        spareOwners.small = spares.small == nil ? nil : recorder
        return spares.small
    }

    func takeSpare(isLarge: Bool, laidOutFor recorder: ConnectionRecorder) -> RecordSegment? {
        guard isSpare(isLarge: isLarge, laidOutFor: recorder) else { return nil }
        let segment = isLarge ? spares.large : spares.small
        if isLarge {
            spares.large = nil
            spareOwners.large = nil
        } else {
            spares.small = nil
            spareOwners.small = nil
        }
        return segment
    }

    // MARK: The log

    func recordsResolved(_ deliveries: [LogDelivery]) {
        if loop.isCurrent { return resolve(deliveries) }
        let isFirst = reported.withLock { reported in
            reported.append(contentsOf: deliveries)
            return reported.count == deliveries.count
        }
        // A closure that holds nothing but a reference needs no memory of its own.
        if isFirst, !loop.execute({ [self] in takeReported() }) { reported.withLock { $0 = [] } }
    }

    private func takeReported() {
        var deliveries = taken
        taken = []
        reported.withLock { swap(&deliveries, &$0) }
        resolve(deliveries)
        deliveries.removeAll(keepingCapacity: deliveries.capacity <= Self.keptDeliveryLimit)
        taken = deliveries
    }

    func logHasRoom() {
        loop.execute { self.submitWaiting() }
    }

    private func resolve(_ deliveries: [LogDelivery]) {
        for delivery in deliveries {
            let recorder = delivery.segment.context as? ConnectionRecorder
            if let failure = delivery.failure { logFailed(failure) }
            recorder?.resolved(delivery.segment, failure: delivery.failure)
            if delivery.isReusable { pool.give(delivery.segment) } else { pool.forget(delivery.segment) }
        }
        resumeParked()
        trimLater()
    }

    /// Memory of record buffers that a burst needed and nothing needs now goes back.
    private func trimLater() {
        guard pool.isTrimmable, !isTrimTimerArmed else { return }
        isTrimTimerArmed = true
        _ = loop.schedule(after: Self.trimInterval) { [weak self] in
            guard let self else { return }
            isTrimTimerArmed = false
            pool.trim()
            trimLater()
        }
    }

    private func resumeParked() {
        guard !parked.isEmpty else { return }
        let resumed = parked
        parked = []
        for connection in resumed { connection.recorderHasRoom() }
    }

    func waitForRoom(_ recorder: ConnectionRecorder) { waiting.append(recorder) }

    /// Called back when a segment has come back to the pool, and now and then: the budget is shared with other loops,
    /// which do not say when they leave room.
    func waitForBudget(_ connection: ProxyConnection) {
        parked.append(connection)
        guard !isParkedTimerArmed else { return }
        isParkedTimerArmed = true
        _ = loop.schedule(after: Self.parkedRetry) { [weak self] in
            self?.isParkedTimerArmed = false
            self?.resumeParked()
        }
    }

    private func submitWaiting() {
        let recorders = waiting
        waiting = []
        for recorder in recorders { recorder.submitBacklog() }
    }

    /// The log is out, and the policy is not to wait for it.
    var isForwardingUnrecorded: Bool { isOutage && outagePolicy == .forward }

    /// The log's state changed.
    func logChanged(isOutage: Bool) {
        guard self.isOutage != isOutage else { return }
        self.isOutage = isOutage
        if isOutage {
            let recorders = waiting
            waiting = []
            for recorder in recorders { recorder.giveUpBacklog() }
            for connection in Array(connections) { connection.logWentAway() }
        } else {
            writeClosedGaps()
        }
    }

    func logFailed(_ error: TrafficLogError) {
        context.logTrouble.error("record not logged", [.error: LogValue(error), .code: .text(error.code.rawValue)])
    }

    /// A connection lost a record after its last one: says so as soon as the log takes records.
    func markClosedGap(identity: TrafficStreamIdentity, key: ConnectionKey, position: TrafficStreamPosition) {
        guard closedGaps.count < Self.closedGapLimit else { return }
        let segment = RecordSegment(capacityBytes: ConnectionRecorder.lastRecordBytes(identity))
        var writer = TrafficStreamWriter(into: segment.bytes, identity: identity, position: position)
        writer.appendException(CaptureMark.gap, at: timestamp)
        writer.appendClose(at: timestamp)
        segment.recordRange = 0..<writer.finish(isLast: true).count
        closedGaps.append((segment, key))
        if !isOutage {
            // Later: the log may be about to report more failures.
            _ = loop.schedule(after: .seconds(1)) { [weak self] in self?.writeClosedGaps() }
        }
    }

    private func writeClosedGaps() {
        guard let log = context.trafficLog, !isOutage, !closedGaps.isEmpty else { return }
        let gaps = closedGaps
        closedGaps = []
        for (index, gap) in gaps.enumerated() {
            do throws(TrafficLogError) {
                try log.append(gap.segment, key: gap.key, sink: GapSink(self, gap.segment, gap.key))
            } catch {
                closedGaps += gaps[index...]
                _ = loop.schedule(after: .seconds(1)) { [weak self] in self?.writeClosedGaps() }
                return
            }
        }
    }

    fileprivate func gapResolved(_ segment: RecordSegment, _ key: ConnectionKey, failure: TrafficLogError?) {
        guard failure != nil, closedGaps.count < Self.closedGapLimit else { return }
        closedGaps.append((segment, key))
    }
}

/// Hears what became of the record of one closed connection's gap.
// Sound: constants only, and the hand-over goes through the loop's inbox.
private final class GapSink: TrafficLogSink, @unchecked Sendable {
    private let loop: CaptureLoop
    private let segment: RecordSegment
    private let key: ConnectionKey

    init(_ loop: CaptureLoop, _ segment: RecordSegment, _ key: ConnectionKey) {
        self.loop = loop
        self.segment = segment
        self.key = key
    }

    func recordsResolved(_ deliveries: [LogDelivery]) {
        let failure = deliveries.first?.failure
        loop.loop.execute { self.loop.gapResolved(self.segment, self.key, failure: failure) }
    }
}
