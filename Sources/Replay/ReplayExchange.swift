import CapturedTraffic
import HTTPMessage
import Transform

/// A request as it is sent to the target.
package struct OutgoingRequest {
    package var method: HTTPMethod
    /// Complete, with the empty line.
    package var head: [UInt8]
    /// Slices of the captured records, or of `replacement`.
    package var body: [UnsafeRawBufferPointer]
    /// Keeps a rewritten body alive.
    package var replacement: AnyObject?
    package var isMutating: Bool
    package var isBulk: Bool
    /// Carries ids that the source made up: a conflict with a document of that id says that it is there already.
    package var hasGeneratedIDs: Bool

    package init(
        method: HTTPMethod, head: [UInt8], body: [UnsafeRawBufferPointer], replacement: AnyObject? = nil,
        isMutating: Bool, isBulk: Bool = false, hasGeneratedIDs: Bool = false
    ) {
        self.method = method
        self.head = head
        self.body = body
        self.replacement = replacement
        self.isMutating = isMutating
        self.isBulk = isBulk
        self.hasGeneratedIDs = hasGeneratedIDs
    }

    var byteCount: Int { body.reduce(head.count) { $0 + $1.count } }
}

/// What the target answered. Times are nanoseconds since 1970.
package struct TargetAnswer: Sendable {
    package var status: Int
    package var head: [UInt8]
    /// Without transfer coding.
    package var body: [UInt8]
    /// Without content coding as well; the body where the coding is not known.
    package var content: [UInt8]
    package var sentTime: Int64
    package var endTime: Int64

    package init(
        status: Int, head: [UInt8] = [], body: [UInt8] = [], content: [UInt8] = [], sentTime: Int64 = 0,
        endTime: Int64 = 0
    ) {
        self.status = status
        self.head = head
        self.body = body
        self.content = content
        self.sentTime = sentTime
        self.endTime = endTime
    }
}

/// Why an attempt brought no answer.
package struct AttemptFailure: Error, Sendable {
    package enum Reason: String, Sendable, CaseIterable {
        case connect, tls, connectionLost, timeout, malformed, other
        /// This side ended it.
        case cancelled
    }

    package var reason: Reason
    package var message: String

    package init(_ reason: Reason, _ message: String) {
        self.reason = reason
        self.message = message
    }
}

/// A captured request, its response as far as it is kept, and what becomes of it at the target. Confined to its loop.
package final class ReplayExchange {
    enum Phase {
        /// The request is not whole.
        case reading
        /// Whole; waits for its turn, its time, the source's response or another attempt.
        case waiting
        case inFlight
        /// Nothing more is sent. Waits for the rest of the source's response.
        case answered
        /// Handed to the tuples or the dead letters.
        case recorded
    }

    /// On its connection, from 0.
    package let number: Int
    let connection: SourceConnection
    var phase = Phase.reading
    /// It has a place in the heap, for this time; places for other times count no more.
    var isQueued = false
    var queuedTime = Int64.min
    /// Its partition went to somebody else; whatever still comes for it is ignored.
    var isAbandoned = false
    /// Its partition is being given away and it is left to the next reader; nothing more is done for it here.
    private(set) var isLeftOpen = false

    /// As they lie in the records.
    package private(set) var request: [UnsafeRawBufferPointer] = []
    package var requestEndTime = Int64.min
    /// The final response; the rest of a long one is counted only.
    package private(set) var response: [UnsafeRawBufferPointer] = []
    package private(set) var responseByteCount = 0
    private var keptResponseBytes = 0
    package var responseTime = Int64.min
    package var responseEndTime = Int64.min
    /// nil while it goes on.
    var responseEnding: MessageEnding?
    package var sourceStatus: Int?

    /// Where the bytes are; a request that is being sent keeps them as well.
    private(set) var holders = RecordHolders()
    private(set) var endRecord: HeldRecord?
    private var chargedBytes = 0
    private var budget: ByteBudget?

    package var outgoing: OutgoingRequest?
    var responseNeed = ResponseNeed.none
    /// When its end was read, nanoseconds since 1970.
    var arrivalTime = Int64.min
    package var attemptCount = 0
    package var firstAttemptTime = Int64.min
    package var dueTime = Int64.min
    /// Before which no further attempt is made.
    var retryTime = Int64.min
    /// Of the last attempt, when it brought no answer.
    package var lastFailure: AttemptFailure?
    /// One an attempt that got an answer; all but the last `answerLimit` are dropped.
    package private(set) var answers: [TargetAnswer] = []
    package var outcome: ReplayOutcome?

    // The port's own.
    /// The attempt under way.
    var attempt: AnyObject?
    var conflict = ConflictMeaning.failure
    /// On the items of a bulk, after the last answer.
    var itemVerdicts: [BulkItemVerdict] = []
    var isAttemptOver: Bool { phase != .inFlight }

    /// Kept of one exchange: a target that is down for a day answers many times.
    static let answerLimit = 4
    /// What an exchange costs beside its records and answers: itself, the lists of its pieces, the head that is sent.
    static let overheadBytes = 1024

    init(number: Int, connection: SourceConnection, budget: ByteBudget) {
        self.number = number
        self.connection = connection
        charge(Self.overheadBytes, to: budget)
    }

    package var connectionID: String { connection.id }
    package var partition: Int32 { connection.key.partition }
    /// The first record that it lies in.
    var firstPlace: RecordPlace? { holders.records.first?.place }
    /// The record that its request ended in.
    package var endOffset: Int64 { endRecord?.place.offset ?? -1 }

    func hold(_ record: HeldRecord) {
        if holders.records.last !== record { holders.records.append(record) }
    }

    func appendRequest(_ bytes: UnsafeRawBufferPointer, _ record: HeldRecord) {
        hold(record)
        request.append(bytes)
    }

    func endRequest(in record: HeldRecord) {
        precondition(endRecord == nil, "request \(number) of \(connectionID) ended twice")
        endRecord = record
        record.requestEnded()
        phase = .waiting
    }

    /// - Parameter keptBytes: of a response that is not needed whole.
    func appendResponse(_ bytes: UnsafeRawBufferPointer, _ record: HeldRecord, keptBytes: Int) {
        responseByteCount += bytes.count
        let rest = responseNeed == .required ? Int.max : max(0, keptBytes - keptResponseBytes)
        guard rest > 0, keptResponseBytes == responseByteCount - bytes.count else { return }
        let part = UnsafeRawBufferPointer(rebasing: bytes.prefix(rest))
        keptResponseBytes += part.count
        hold(record)
        response.append(part)
    }

    func forgetResponse() {
        response.removeAll()
        responseByteCount = 0
        keptResponseBytes = 0
        responseTime = .min
    }

    /// Memory that is let go of when it is resolved; an estimate, for records may hold others as well.
    var heldBytes: Int {
        chargedBytes + request.reduce(0) { $0 + $1.count } + response.reduce(0) { $0 + $1.count }
    }

    /// Bytes that it holds beside its records.
    func charge(_ byteCount: Int, to budget: ByteBudget) {
        chargedBytes += byteCount
        self.budget = budget
        budget.take(byteCount)
    }

    func append(_ answer: TargetAnswer) {
        if answers.count == Self.answerLimit {
            answers.removeFirst()
        }
        answers.append(answer)
    }

    /// Lets go of the records; the request counts as resolved.
    func resolve() {
        if !isLeftOpen { endRecord?.requestResolved() }
        letGo()
    }

    /// Its end counts as resolved, for the position names it; its records stay held.
    func leaveOpen() {
        isLeftOpen = true
        endRecord?.requestResolved()
    }

    /// Lets go without being resolved: it is read again by somebody.
    func letGo() {
        endRecord = nil
        holders = RecordHolders()
        request.removeAll()
        response.removeAll()
        outgoing = nil
        answers.removeAll()
        budget?.release(chargedBytes)
        chargedBytes = 0
    }
}

/// The records that an exchange lies in.
final class RecordHolders {
    var records: [HeldRecord] = []
}

/// How a request ended at the target.
package enum ReplayOutcome: Sendable, Equatable {
    /// The target took it.
    case done
    /// The target answered otherwise than the source, and asking again would not change that.
    case different
    /// The source refused it, so one attempt was all.
    case refusedBySource
    /// Not sent: a rule leaves it out.
    case filtered
    /// Not sent: a write that the source did not execute, for want of room, or never had, because the proxy refused it.
    case neverExecuted
    /// Not sent: it cannot be rewritten.
    case untransformable(String)
    /// The time of `--give-up-after` is over.
    case gaveUp(String)
}
