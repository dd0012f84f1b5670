import ClusterClient
import EventIO
import Settings
import Synchronization
import Telemetry
import Transform

/// What the loops of one replayer share. Everything in it is constant or synchronises itself.
final class ReplayContext: Sendable {
    let rewriter: RequestRewriter
    let cluster: ClusterSettings
    let timeouts: ExchangeTimeouts
    let tls: TLSClientConfiguration?
    let signer: RawRequestSigner?
    /// nil: tuples are not written.
    let tuples: TupleFiles?
    let tupleSettings: ReplaySettings.Tuples
    let deadLetters: TupleFiles
    let budget: ByteBudget
    let metrics: ReplayMetrics
    let outcomes: TargetMetrics
    let mailbox: ReplyMailbox
    let log: Log
    /// Nanoseconds since 1970 at the zero of the monotonic clock, as it was when the program began: the replay's time
    /// does not jump with the wall clock.
    let wallOffset: Int64

    init(
        rewriter: RequestRewriter, cluster: ClusterSettings, timeouts: ExchangeTimeouts, tls: TLSClientConfiguration?,
        signer: RawRequestSigner?, tuples: TupleFiles?, tupleSettings: ReplaySettings.Tuples, deadLetters: TupleFiles,
        budget: ByteBudget, metrics: ReplayMetrics, outcomes: TargetMetrics, mailbox: ReplyMailbox, log: Log,
        wallOffset: Int64
    ) {
        self.rewriter = rewriter
        self.cluster = cluster
        self.timeouts = timeouts
        self.tls = tls
        self.signer = signer
        self.tuples = tuples
        self.tupleSettings = tupleSettings
        self.deadLetters = deadLetters
        self.budget = budget
        self.metrics = metrics
        self.outcomes = outcomes
        self.mailbox = mailbox
        self.log = log
        self.wallOffset = wallOffset
    }
}

/// What the loops have told the feed and it has not taken yet.
final class ReplyMailbox: Sendable {
    private let replies = Mutex<[FeedReply]>([])

    func post(_ reply: FeedReply) { replies.withLock { $0.append(reply) } }

    func take() -> [FeedReply] {
        replies.withLock { replies in
            let taken = replies
            replies = []
            return taken
        }
    }
}

/// Bytes that a request to the target is made of, for as long as somebody refers to them.
// Sound: never changed.
final class RequestBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    private let memory: UnsafeMutableRawBufferPointer

    init(_ content: some Collection<UInt8>) {
        memory = .allocate(byteCount: max(1, content.count), alignment: 16)
        memory.copyBytes(from: content)
        bytes = UnsafeRawBufferPointer(rebasing: memory[..<content.count])
    }

    deinit { memory.deallocate() }
}
