import BulkFormat
import Dispatch
import Synchronization

/// Takes finished batches from the workers.
protocol BatchSink: Sendable {
    /// Bytes at which a batch is worth sending, as of now.
    var batchBytes: Int { get }
    /// Hands a batch over; waits while too much is in flight. Returns false when the run is ending.
    func submit(_ batch: BulkBatch) -> Bool
}

/// Why a run ends before its work is done.
package struct RunStop: Error, Equatable, Sendable {
    package enum Code: Equatable, Sendable {
        /// Snapshot or repository content that cannot be read.
        case unreadable
        /// Repository, target, coordinator or dead-letter file out of reach.
        case unavailable
        /// A broken promise of our own code.
        case ourFault
        /// A signal.
        case signal(Int32)
    }

    package let code: Code
    package let message: String

    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }
}

/// What the sender reports, each on its own queue, in order.
protocol BulkSenderDelegate: AnyObject, Sendable {
    /// A range's checkpoint moved.
    func checkpointMoved(_ range: RangeWork)
    /// The run cannot go on.
    func senderStopped(_ stop: RunStop)
}

/// Sends batches to the target: adaptive in number and size, per-item outcomes, patient retries of exactly the items
/// that can be retried, rejected documents to the dead-letter file.
///
/// A request whose outcome is unknown is sent again: every operation carries its id, so a repetition changes nothing.
// Sound: all mutable state is confined to `queue`, except `batchBytesNow`, which is atomic.
final class BulkSender: BatchSink, @unchecked Sendable {
    /// One bulk request: some or all items of a batch.
    private struct Request {
        let batch: BulkBatch
        var indices: [Int]
        var attempt = 0
        var firstFailure: Duration?
    }

    struct Limits {
        var requestLimit: Int
        var batchBytes: Int
        /// How long the same document or request is retried.
        var giveUpAfter: Duration
    }

    private let transport: any BulkTransport
    private let deadLetters: DeadLetterFile
    private let budget: InFlightBudget
    private let counters: BackfillCounters
    private let limits: Limits
    private let now: @Sendable () -> Duration
    private let after: After
    private let queue = DispatchQueue(label: "backfill.sender")
    private let batchBytesNow: Atomic<Int>

    private var pacing: BulkPacingPolicy
    /// In the order in which they go. Short (the budget bounds it), and a request leaves it when it is sent: whatever
    /// stays referenced keeps its batch's chunks alive.
    private var waiting: [Request] = []
    private var activeCount = 0
    private var delayedCount = 0
    private var stop: RunStop?
    /// When the target last took a document: it is alive, and what it puts off for long is at fault itself.
    private var lastAccepted: Duration?
    private var acceptedIndices: Set<String> = []
    private var refusedAlone: [String: Int] = [:]
    private var random: any RandomNumberGenerator
    private var idleWaiters: [DispatchSemaphore] = []
    weak var delegate: (any BulkSenderDelegate)?

    /// So many documents of an index refused one by one as whole requests, and none accepted: the index is at fault.
    private static let refusedAloneLimit = 50
    /// A target that has not taken a document for this long may be down as a whole. Twice the longest backoff.
    private static let aliveTime = Duration.seconds(60)

    /// Runs work on a queue after a time. Tests let the time pass at once.
    typealias After = @Sendable (DispatchQueue, Duration, @escaping @Sendable () -> Void) -> Void

    static let dispatchAfter: After = { queue, wait, work in
        let milliseconds =
            Int(wait.components.seconds) * 1000 + Int(wait.components.attoseconds / 1_000_000_000_000_000)
        queue.asyncAfter(deadline: .now() + .milliseconds(milliseconds), execute: work)
    }

    init(
        transport: any BulkTransport, deadLetters: DeadLetterFile, budget: InFlightBudget, counters: BackfillCounters,
        limits: Limits, now: @escaping @Sendable () -> Duration, after: @escaping After = BulkSender.dispatchAfter,
        random: any RandomNumberGenerator = SystemRandomNumberGenerator()
    ) {
        self.transport = transport
        self.deadLetters = deadLetters
        self.budget = budget
        self.counters = counters
        self.limits = limits
        self.now = now
        self.after = after
        self.random = random
        pacing = BulkPacingPolicy(requestLimitMaximum: limits.requestLimit, batchBytesMaximum: limits.batchBytes)
        batchBytesNow = Atomic(pacing.batchBytes)
    }

    var batchBytes: Int { batchBytesNow.load(ordering: .relaxed) }

    func submit(_ batch: BulkBatch) -> Bool {
        guard budget.acquire(batch.retainedBytes) else { return false }
        batch.sequence = batch.range.open(endDoc: batch.endDoc)
        batch.unresolvedCount = batch.items.count
        queue.async { [self] in
            guard stop == nil else { return budget.release(batch.retainedBytes) }
            if batch.items.isEmpty {
                resolve(batch)
            } else {
                waiting.append(Request(batch: batch, indices: Array(batch.items.indices)))
                pump()
            }
        }
        return true
    }

    /// Sends nothing new; answers that still come count. Returns when none is awaited any more or `deadline` is over.
    func finish(because reason: RunStop, within deadline: Duration) {
        let semaphore = DispatchSemaphore(value: 0)
        queue.async { [self] in
            if stop == nil { stop = reason }
            budget.close()
            abandonWaiting()
            if activeCount == 0 {
                semaphore.signal()
            } else {
                idleWaiters.append(semaphore)
            }
        }
        let (seconds, attoseconds) = deadline.components
        _ = semaphore.wait(timeout: .now() + .seconds(Int(seconds)) + .nanoseconds(Int(attoseconds / 1_000_000_000)))
        queue.sync {}
    }

    // MARK: - On the queue

    private func pump() {
        while stop == nil, activeCount < pacing.requestLimit, !waiting.isEmpty {
            send(waiting.removeFirst())
        }
        counters.setQueue(active: activeCount, waiting: waiting.count + delayedCount)
    }

    private func send(_ request: Request) {
        activeCount += 1
        let (slices, byteCount) = request.batch.slices(of: request.indices)
        let body = BulkBody(
            slices: slices, byteCount: byteCount, documentCount: request.indices.count, owner: request.batch)
        let begun = now()
        let box = RequestBox(request)
        counters.requestSent(bytes: byteCount)
        transport.sendBulk(index: request.batch.range.shard.indexName, body: body) { [self] answer in
            queue.async { self.answered(box.request, answer, byteCount: byteCount, begun: begun) }
        }
    }

    /// Carries a request through a sendable closure.
    // Sound: handed from the queue through the transport back to the same queue, never used in between.
    private final class RequestBox: @unchecked Sendable {
        let request: Request
        init(_ request: Request) { self.request = request }
    }

    private func answered(_ request: Request, _ answer: BulkAnswer, byteCount: Int, begun: Duration) {
        activeCount -= 1
        let time = now()
        counters.answered(after: time - begun)
        switch answer {
        case .failed(let message, true): retryWhole(request, "the target did not answer: \(message)")
        case .failed(let message, false): end(.unavailable, "target: \(message)")
        case .response(let status, let body):
            switch BulkOutcomePolicy.decide(requestStatus: status) {
            case .readItems: readItems(request, body, latency: time - begun)
            case .retry:
                retryWhole(
                    request, "the target answered \(status): \(Self.reason(body))",
                    refusal: Refusal(status: status, answer: body))
            case .split(let isTooLarge):
                if isTooLarge { pacing.refusedAsTooLarge(byteCount: byteCount) }
                split(request, status: status, body: body)
            case .stop: end(.unavailable, Self.stopMessage(status, body, index: request.batch.range.shard.indexName))
            }
        }
        // Its own documents were open until now, so exactly one answer of a batch finds none left.
        if request.batch.unresolvedCount == 0 { resolve(request.batch) }
        batchBytesNow.store(pacing.batchBytes, ordering: .relaxed)
        if activeCount == 0, stop != nil {
            for waiter in idleWaiters { waiter.signal() }
            idleWaiters.removeAll()
        }
        pump()
    }

    private func readItems(_ request: Request, _ body: [UInt8], latency: Duration) {
        var items: [BulkResponseScanner.Item] = []
        items.reserveCapacity(request.indices.count)
        let problem: BulkResponseError? = body.withUnsafeBytes { bytes in
            do throws(BulkResponseError) {
                _ = try BulkResponseScanner.scan(bytes) { _, item in items.append(item) }
                return nil
            } catch {
                return error
            }
        }
        if let problem {
            return retryWhole(request, "an unreadable bulk response: \(problem.message) at byte \(problem.offset)")
        }
        guard items.count == request.indices.count else {
            return retryWhole(
                request, "a bulk response with \(items.count) items for \(request.indices.count) documents")
        }
        var retry: [Int] = []
        var retryExample: BulkResponseScanner.Item?
        let migratedBefore = request.batch.tally.migrated
        for (position, item) in items.enumerated() {
            let index = request.indices[position]
            switch BulkOutcomePolicy.decide(itemStatus: item.status) {
            case .accepted: accept(request.batch, index)
            case .reject: reject(request.batch, index, .rejected, item, body)
            case .retry:
                retry.append(index)
                retryExample = item
            case .stop:
                noteAccepted(request, since: migratedBefore)
                return end(.unavailable, Self.itemStopMessage(item, body, index: request.batch.range.shard.indexName))
            }
        }
        noteAccepted(request, since: migratedBefore)
        if let retryExample {
            pacing.overloaded(now: now())
            retryItems(request, retry, items, body, example: retryExample)
        } else {
            pacing.answered(after: latency, now: now())
        }
    }

    /// An index of which one document was taken is not itself at fault, whatever else of its batch is still open.
    private func noteAccepted(_ request: Request, since migratedBefore: Int) {
        guard request.batch.tally.migrated > migratedBefore else { return }
        lastAccepted = now()
        acceptedIndices.insert(request.batch.range.shard.indexName)
    }

    private func accept(_ batch: BulkBatch, _ index: Int) {
        batch.tally.migrated += 1
        batch.tally.sourceBytes += Int64(batch.items[index].source.count)
        batch.unresolvedCount -= 1
    }

    private func reject(
        _ batch: BulkBatch, _ index: Int, _ reason: DeadLetter.Reason, _ item: BulkResponseScanner.Item, _ body: [UInt8]
    ) {
        let error = Self.error(item, body)
        record(
            batch, index, reason, detail: "\(error.type): \(error.reason)", status: item.status,
            answer: Array(body[item.range]))
    }

    private func record(
        _ batch: BulkBatch, _ index: Int, _ reason: DeadLetter.Reason, detail: String, status: Int?, answer: [UInt8]?
    ) {
        let item = batch.items[index]
        let letter = DeadLetter(
            index: batch.range.shard.indexName, shard: batch.range.shard.key.number, segment: batch.range.segment,
            docID: item.docID, action: [UInt8](item.action), reason: reason, detail: detail,
            source: [UInt8](item.source), status: status, answer: answer)
        do throws(DeadLetterFile.Failure) {
            try deadLetters.append(letter)
        } catch {
            return end(.unavailable, error.message)
        }
        batch.tally.rejected += 1
        batch.unresolvedCount -= 1
        counters.leftOut(reason)
    }

    /// Only the items that were put off go again. When others of the same request got through, the target is alive, and
    /// a document that is put off for `giveUpAfter` is given up alone.
    private func retryItems(
        _ request: Request, _ retry: [Int], _ items: [BulkResponseScanner.Item], _ body: [UInt8],
        example: BulkResponseScanner.Item
    ) {
        if let first = request.firstFailure, now() - first >= limits.giveUpAfter, retry.count < request.indices.count {
            let positions = Dictionary(uniqueKeysWithValues: zip(request.indices, items))
            for index in retry {
                if let item = positions[index] { reject(request.batch, index, .retriesExhausted, item, body) }
            }
            return
        }
        var next = request
        next.indices = retry
        counters.retried(documents: retry.count)
        let error = Self.error(example, body)
        delay(
            next, "the target put documents off with \(example.status): \(error.type) \(error.reason)",
            refusal: Refusal(status: example.status, answer: Array(body[example.range])))
    }

    /// What the target said when it put something off.
    private struct Refusal {
        let status: Int
        let answer: [UInt8]
    }

    private func retryWhole(_ request: Request, _ why: String, refusal: Refusal? = nil) {
        pacing.overloaded(now: now())
        counters.retried(documents: request.indices.count)
        delay(request, why, refusal: refusal)
    }

    private func delay(_ request: Request, _ why: String, refusal: Refusal?) {
        guard stop == nil else { return }
        var next = request
        next.attempt += 1
        let time = now()
        let first = next.firstFailure ?? time
        next.firstFailure = first
        guard time - first < limits.giveUpAfter else { return giveUp(next, at: time, why, refusal) }
        counters.noteProblem(why)
        let wait = BulkOutcomePolicy.backoff(attempt: next.attempt, random: Double.random(in: 0..<1, using: &random))
        delayedCount += 1
        let box = RequestBox(next)
        after(queue, wait) { [self] in
            delayedCount -= 1
            guard stop == nil else { return }
            waiting.insert(box.request, at: 0)
            pump()
        }
    }

    /// Retried for long enough. While the target takes other documents, the request itself is at fault, and halves of
    /// it find the document; a document alone is left out. Else the target is, and the run ends.
    private func giveUp(_ request: Request, at time: Duration, _ why: String, _ refusal: Refusal?) {
        guard let lastAccepted, time - lastAccepted < min(Self.aliveTime, limits.giveUpAfter) else {
            return end(.unavailable, "gave up after \(DurationText.of(limits.giveUpAfter)) of retries: \(why)")
        }
        guard request.indices.count == 1 else { return halve(request) }
        record(
            request.batch, request.indices[0], .retriesExhausted, detail: why, status: refusal?.status,
            answer: refusal?.answer)
    }

    /// The whole request was refused: smaller ones find the document at fault.
    private func split(_ request: Request, status: Int, body: [UInt8]) {
        let indexName = request.batch.range.shard.indexName
        guard request.indices.count > 1 else {
            refusedAlone[indexName, default: 0] += 1
            let error = body.withUnsafeBytes { EngineError($0) }
            guard acceptedIndices.contains(indexName) || refusedAlone[indexName, default: 0] < Self.refusedAloneLimit
            else {
                return end(
                    .unavailable,
                    "index \(indexName): the target refuses every document (\(status) \(error.type): \(error.reason))")
            }
            let detail = "request refused: \(error.type) \(Self.reason(body))"
            record(request.batch, request.indices[0], .rejected, detail: detail, status: status, answer: body)
            return
        }
        halve(request)
    }

    private func halve(_ request: Request) {
        var first = request
        var second = request
        let middle = request.indices.count / 2
        first.indices = Array(request.indices[..<middle])
        second.indices = Array(request.indices[middle...])
        waiting.insert(contentsOf: [first, second], at: 0)
    }

    private func resolve(_ batch: BulkBatch) {
        let moved = batch.range.complete(sequence: batch.sequence, tally: batch.tally)
        counters.resolved(batch.tally)
        budget.release(batch.retainedBytes)
        if moved { delegate?.checkpointMoved(batch.range) }
    }

    private func end(_ code: RunStop.Code, _ message: String) {
        guard stop == nil else { return }
        let reason = RunStop(code: code, message: message)
        stop = reason
        budget.close()
        abandonWaiting()
        delegate?.senderStopped(reason)
    }

    /// What was not sent stays beyond the checkpoint and is read again by the next run.
    private func abandonWaiting() {
        waiting.removeAll()
    }

    // MARK: - Messages

    private static func error(_ item: BulkResponseScanner.Item, _ body: [UInt8]) -> EngineError {
        body.withUnsafeBytes { EngineError(UnsafeRawBufferPointer(rebasing: $0[item.error ?? 0..<0])) }
    }

    /// The reason in an error answer, or its beginning when it is not an engine's.
    private static func reason(_ body: [UInt8]) -> String {
        let error = body.withUnsafeBytes { EngineError($0) }
        if !error.reason.isEmpty { return error.reason }
        if !error.type.isEmpty { return error.type }
        let text = String(decoding: body.prefix(160), as: UTF8.self)
        return text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    private static func stopMessage(_ status: Int, _ body: [UInt8], index: String) -> String {
        switch status {
        case 401: "target: 401 Unauthorized: check the user name and password, or the signing service and region"
        case 403: "target: 403 Forbidden for index \(index): \(reason(body))"
        case 404: "target: 404 for /\(index)/_bulk: this address is not an OpenSearch cluster's: \(reason(body))"
        default: "target: unexpected answer \(status) to a bulk request: \(reason(body))"
        }
    }

    private static func itemStopMessage(_ item: BulkResponseScanner.Item, _ body: [UInt8], index: String) -> String {
        let error = error(item, body)
        let advice = item.status == 404 ? "; create the index, or allow its automatic creation, and start again" : ""
        return "target: index \(index): \(item.status) \(error.type): \(error.reason)\(advice)"
    }
}
