import CapturedTraffic
import EventIO
import HTTPMessage
import Settings

/// One client connection with its connection to the source: does the I/O that the state machine asks for, has it
/// recorded, and holds what has to wait for the log.
///
/// Confined to its loop. Parts: `+Client` takes what the client sends, `+Holding` releases it to the source, `+Source`
/// takes what the source sends, `+Ending` has deadlines, own answers and the end. The connection lives until both sides
/// are closed: a request that is recorded whole reaches the source even when its client is gone, so that log and source
/// agree.
///
/// Bounds: a side is not read while more than `CaptureLoop.pendingLimitBytes` wait for the other one; `stash` and
/// `pieces` hold at most what one turn of reading brings, or `heldLimitBytes` of a write under way.
final class ProxyConnection: ConnectionHandler {
    static let heldLimitBytes = 4 << 20
    /// So much of a head is gathered even when the budget is spent: more than clients of the engines send.
    static let gatheredFreeBytes = 2 << 10
    /// How long a client may go on sending after an answer that ends the connection.
    static let lingerTimeout = Duration.seconds(2)

    enum Phase: UInt8 {
        case open
        /// The last answer is given; what the client still sends is thrown away.
        case lingering
        /// The client is gone, its request is not: the exchange goes on.
        case orphaned
        case closed
    }

    /// Bytes of a request that wait for the log.
    struct Piece {
        var bytes: UnsafeRawBufferPointer
        /// Keeps `bytes`; nil for bytes of `copy`.
        var owner: AnyObject?
        var copy: [UInt8]
        /// Through which record the log has to have everything; 0 for no wait.
        var requiredRecord: Int32
        var heldSince: MonotonicInstant

        var count: Int { owner == nil ? copy.count : bytes.count }
    }

    unowned(unsafe) let loop: CaptureLoop
    /// Where the loop keeps the connection, -1 when it does not.
    var index: Int32 = -1
    let client: Connection
    var machine: ProxyConnectionStateMachine
    /// nil until the first request, and when nothing is recorded at all.
    var recorder: ConnectionRecorder?
    var link: SourceLink?
    var phase = Phase.open

    // The current exchange.
    /// The request and its response go into the record.
    var isRecorded = false
    /// Bytes of the request go to the source only when their record is acknowledged: engines may execute a request
    /// before its end has come.
    var holdsEveryByte = false
    /// The record that the request begins in.
    var firstRecord: Int32 = 0
    /// Some of the request has gone to the source.
    var isForwarded = false

    /// Bytes that came too early: of the next request, or while nothing could be recorded.
    var stash: [UInt8] = []
    var pieces: [Piece] = []
    var heldBytes = 0
    /// What the budget knows of the bytes that wait for a peer; see `settleWaiting`.
    var waitingBytes = 0
    /// A writing request waits for the budget or the log's queue, since then.
    var parkedSince: MonotonicInstant?
    var parkedStep: ParkedStep?
    /// Where the last read was told to land, when that is a record.
    var landing: UnsafeMutableRawPointer?
    /// `takeStash` is at work.
    var isTakingStash = false
    var isClientEnded = false
    var isSourceEnded = false

    // Deadlines; see +Ending.
    var timer = TimerToken.none
    var timerAt = MonotonicInstant(nanoseconds: .max)
    var lastActivity: MonotonicInstant
    var headSince: MonotonicInstant?
    var stalledSince: MonotonicInstant?
    var stalledBytes = 0

    init(loop: CaptureLoop, client: Connection) {
        self.loop = loop
        self.client = client
        lastActivity = loop.loop.now
        machine = ProxyConnectionStateMachine(
            classifier: loop.context.classifier, scanners: loop.scanners,
            bodyBytes: loop.context.settings.limits.bodyBytes)
    }

    /// When the request's oldest bytes that wait for the log began to; nil when none do.
    var heldSince: MonotonicInstant? { pieces.first?.heldSince }

    /// The current request changes nothing at the source.
    var isReading: Bool { machine.requestClass == .read }

    // MARK: ConnectionHandler, the client's side

    func connectionReady(_ connection: Connection) {
        arm(within: min(loop.deadlines.idle, loop.deadlines.head))
    }

    func connectionReadBuffer(_ connection: Connection) -> UnsafeMutableRawBufferPointer? {
        landing = nil
        guard phase == .open, loop.records, parkedStep == nil else { return loop.limitedReadBuffer }
        switch machine.request {
        case .idle, .head: break
        case .body: guard isRecorded else { return loop.limitedReadBuffer }
        case .complete, .ended, .tunnel: return loop.limitedReadBuffer
        }
        guard let place = openRecorder()?.reserve() else { return nil }
        landing = place.baseAddress
        return loop.limited(place)
    }

    func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
        lastActivity = loop.loop.now
        let bytes = UnsafeRawBufferPointer(bytes)
        switch phase {
        case .open:
            if stash.isEmpty, parkedStep == nil {
                takeRequestBytes(bytes, isLanded: bytes.baseAddress == UnsafeRawPointer(landing))
            } else {
                stash.append(contentsOf: bytes)
            }
            if stash.isEmpty { settleClientReading() } else { takeStash() }
            settleWaiting()
        case .lingering, .orphaned, .closed: break
        }
    }

    func connectionReadEnded(_ connection: Connection) {
        isClientEnded = true
        clientEnded()
    }

    func connectionWritesDrained(_ connection: Connection) {
        stalledSince = nil
        if phase == .lingering { arm(within: Self.lingerTimeout) }
        link?.connection?.resumeReading()
        settleWaiting()
    }

    func connectionClosed(_ connection: Connection, error: IOError?) {
        if let error { clientFailed(error) }
        clientClosed()
    }

    /// The recorder, made when there is something to record.
    func openRecorder() -> ConnectionRecorder? {
        if let recorder { return recorder }
        guard let log = loop.context.trafficLog else { return nil }
        let ids = loop.context.connectionIDs
        let made = ConnectionRecorder(
            loop: loop, log: log, identity: TrafficStreamIdentity(connectionID: ids.next(), nodeID: ids.nodeID))
        made.owner = self
        recorder = made
        return made
    }
}
