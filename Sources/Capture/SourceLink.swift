import EventIO

/// A connection to the source: one client connection's, or a warm one that waits for a client.
///
/// Confined to its loop. The handler of its connection for life, so that a warm connection can change hands. What is
/// written before it is connected waits here, so that another address can be tried. Bounds: the owner stops reading its
/// client by `pendingBytes`; of a request that an idle connection is tried with, at most `retainedBytesLimit` bytes are
/// kept.
final class SourceLink: ConnectionHandler {
    private static let retainedBytesLimit = 64 << 10
    /// A connection that was idle for longer may be one that the source is closing. Under load none is.
    static let idleLimit = Duration.milliseconds(100)

    unowned(unsafe) let loop: CaptureLoop
    /// nil: warm, or given up.
    private(set) var owner: ProxyConnection?
    private(set) var connection: Connection?
    private(set) var isReady = false
    /// Taken from the pool, or used after it was idle, and not answered since: the source may have closed it without
    /// our knowing.
    private(set) var isUntried = false
    private var lastReceived: MonotonicInstant
    private var isPooled: Bool
    private var triesLeft: Int
    private var address: SocketAddress?
    private var queued: [UInt8] = []
    /// What an untried connection was sent; nil when that was too much.
    private var retained: [UInt8]?
    private var endsWriting = false

    init(loop: CaptureLoop, owner: ProxyConnection?) {
        self.loop = loop
        self.owner = owner
        isPooled = owner == nil
        lastReceived = loop.loop.now
        triesLeft = loop.context.source.addressCount
    }

    /// Alive as far as the loop knows.
    var isUsable: Bool { connection?.isOpen == true }
    /// Bytes given to `write` that the kernel has not taken.
    var pendingBytes: Int { queued.count + (connection?.pendingWriteBytes ?? 0) }

    func connect() {
        let source = loop.context.source
        let address = source.address
        self.address = address
        triesLeft -= 1
        connection = Connection.connect(
            on: loop.loop, to: address, tls: source.tls, serverName: source.host,
            timeout: loop.context.settings.deadlines.connect, handler: self)
    }

    /// A warm link gets an owner.
    func take(by owner: ProxyConnection) {
        self.owner = owner
        isPooled = false
        isUntried = true
        retained = []
    }

    /// What is written next begins a request, and not the owner's first.
    func requestBegins() {
        guard isReady, loop.loop.now - lastReceived > Self.idleLimit else { return }
        isUntried = true
        retained = []
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        guard isReady, let connection else { return queued.append(contentsOf: bytes) }
        if isUntried { retain(bytes) }
        connection.writeThrough(bytes)
    }

    private func retain(_ bytes: UnsafeRawBufferPointer) {
        guard let count = retained?.count, count + bytes.count <= Self.retainedBytesLimit else {
            retained = nil
            return
        }
        retained?.append(contentsOf: bytes)
    }

    /// Behind what was written.
    func endWriting() {
        endsWriting = true
        if isReady { connection?.shutdownWrite() }
    }

    /// Nobody wants the link any more. What is queued is not waited for when `isAbrupt`.
    func giveUp(isAbrupt: Bool) {
        owner = nil
        isPooled = false
        queued = []
        if isAbrupt { connection?.abort(with: nil) } else { connection?.close() }
    }

    // MARK: ConnectionHandler

    func connectionReady(_ connection: Connection) {
        isReady = true
        if isPooled { return loop.warmLinkReady(self) }
        guard owner != nil else { return }
        if !queued.isEmpty {
            connection.writeCopy(queued)
            queued = []
        }
        if endsWriting { connection.shutdownWrite() }
    }

    func connectionReadBuffer(_ connection: Connection) -> UnsafeMutableRawBufferPointer? {
        owner?.sourceReadBuffer()
    }

    func connection(_ connection: Connection, received bytes: UnsafeMutableRawBufferPointer) {
        // Without a request, whatever this is must not be taken for an answer.
        guard let owner else { return connection.abort(with: nil) }
        lastReceived = loop.loop.now
        if isUntried {
            isUntried = false
            retained = nil
        }
        owner.sourceReceived(UnsafeRawBufferPointer(bytes))
    }

    func connectionReadEnded(_ connection: Connection) {
        if let owner, !mayTryAgain { owner.sourceReadEnded() } else { connection.close() }
    }

    func connectionWritesDrained(_ connection: Connection) { owner?.sourceDrained() }

    func connectionClosed(_ connection: Connection, error: IOError?) {
        guard connection === self.connection else { return }
        guard let owner else {
            if isPooled {
                isPooled = false
                loop.warmLinkEnded(self, wasReady: isReady)
            }
            return
        }
        if !isReady, let address, let error {
            loop.context.source.failed(address)
            if triesLeft > 0, error.code == .refused || error.code == .unreachable { return connect() }
        } else if mayTryAgain, let retained {
            // The source had closed an idle connection, as it may at any time: the request goes to a fresh one.
            isUntried = false
            isReady = false
            queued = retained
            self.retained = nil
            triesLeft = loop.context.source.addressCount
            return connect()
        }
        self.owner = nil
        owner.sourceClosed(self, error: error)
    }

    /// Only reads are sent twice: of a write it is not known whether it was executed (RFC 9110 §9.2.2).
    private var mayTryAgain: Bool {
        guard isUntried, let retained, let owner else { return false }
        return retained.isEmpty || owner.isReading
    }
}
