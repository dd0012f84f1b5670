import CapturedTraffic
import ClusterClient
import EventIO
import HTTPMessage
import Synchronization
import Telemetry
import Transform
import TupleFormat

/// One event loop of a replayer: the engine, the connections to the target, and what stands between them.
// Sound: everything but `shownActivity`, which synchronises itself, is touched on the loop only.
final class ReplayLoop: ReplayLoopPort, ReplayPort, @unchecked Sendable {
    let loop: EventLoop
    private let context: ReplayContext
    private let index: Int
    private let target: TargetConnections
    private var engine: ReplayEngine?
    private let messages = MessageReader()
    private let classifier = RequestClassifier()
    private var tuples: TupleWriter
    private let shownActivity = Mutex(LoopActivity())
    private var takenCount = 0
    /// The earliest timer that is set, nanoseconds since 1970.
    private var nextWake: Int64?
    /// What waits for its tuple or dead letter to be durable.
    private var undurable: [UInt64: () -> Void] = [:]
    private var nextTicket: UInt64

    init(_ loop: EventLoop, index: Int, context: ReplayContext) {
        self.loop = loop
        self.index = index
        self.context = context
        nextTicket = UInt64(index) << 48
        target = TargetConnections(
            context.cluster, timeouts: context.timeouts, tls: context.tls, signer: context.signer, loop: loop)
        tuples = TupleWriter(context.tupleSettings)
    }

    /// The loop whose tuple a ticket stands for.
    static func loopIndex(of ticket: UInt64) -> Int { Int(ticket >> 48) }

    /// Before the first message.
    func start(_ make: @escaping @Sendable (any ReplayPort) -> ReplayEngine) {
        loop.execute { self.engine = make(self) }
    }

    /// Ends everything that is under way; calls back when every connection is closed.
    func shutdown(_ whenClosed: @escaping @Sendable () -> Void) {
        let isAccepted = loop.execute {
            // Whatever still comes finds nobody who would send or write something.
            self.engine = nil
            self.target.cancelAll()
            self.target.shutdown(whenClosed: whenClosed)
        }
        if !isAccepted { whenClosed() }
    }

    // MARK: The feed's side

    var activity: LoopActivity { shownActivity.withLock { $0 } }

    func post(_ message: FeedMessage) {
        loop.execute {
            guard let engine = self.engine else { return }
            self.takenCount += 1
            engine.take(message) { self.context.mailbox.post($0) }
            self.callEnded()
        }
    }

    /// What the engine did has its say: settled records, and how much there is to do.
    private func callEnded() {
        guard let engine else { return }
        engine.flush()
        shownActivity.withLock { activity in
            activity.takenCount = takenCount
            activity.pendingCount = engine.pendingCount
            activity.busyCount = engine.busyCount
            activity.nextDue = engine.nextDue
        }
    }

    /// These tickets are on disk. From any thread.
    func durable(_ tickets: [UInt64]) {
        loop.execute {
            for ticket in tickets { self.undurable.removeValue(forKey: ticket)?() }
            self.callEnded()
        }
    }

    func settled(_ records: SettledRecords) { context.mailbox.post(.settled(records)) }

    // MARK: Time

    var now: Int64 { context.wallOffset + Int64(loop.now.nanoseconds) }

    func wake(at time: Int64) {
        if let nextWake, nextWake <= time { return }
        nextWake = time
        _ = loop.schedule(after: .nanoseconds(max(0, time.subtractingSaturating(now)))) {
            if self.nextWake == time { self.nextWake = nil }
            self.engine?.dispatch()
            self.callEnded()
        }
    }

    // MARK: The target's side

    func responseNeed(of exchange: ReplayExchange) -> ResponseNeed {
        guard let captured = messages.request(exchange.request) else { return .none }
        if context.rewriter.needsResponse(captured) { return .required }
        let method = UnsafeRawBufferPointer(rebasing: captured.headBytes[captured.head.methodRange])
        let target = UnsafeRawBufferPointer(rebasing: captured.headBytes[captured.head.target])
        return classifier.classify(method: method, target: target) == .mutating ? .preferred : .none
    }

    func prepare(_ exchange: ReplayExchange) -> ReplayOutcome? {
        guard let captured = messages.request(exchange.request) else {
            return .untransformable("the request is not HTTP/1.1: \(messages.lastProblem)")
        }
        if exchange.wasNeverExecuted { return .neverExecuted }
        let rewritten: RewrittenRequest
        do throws(TransformError) {
            rewritten = try context.rewriter.rewrite(captured, ids: ids(of: exchange))
        } catch {
            return .untransformable(error.description)
        }
        context.outcomes.count(rewritten.changes)
        if rewritten.skip != nil { return .filtered }
        exchange.conflict = rewritten.conflict
        var outgoing = OutgoingRequest(
            method: rewritten.method, head: rewritten.head, body: captured.body, isMutating: rewritten.isMutating,
            isBulk: rewritten.isBulk, hasGeneratedIDs: rewritten.conflict == .done)
        if case .replaced(let bytes) = rewritten.body {
            let replacement = RequestBytes(bytes)
            outgoing.body = [replacement.bytes]
            outgoing.replacement = replacement
            exchange.charge(bytes.count, to: context.budget)
        }
        exchange.outgoing = outgoing
        return nil
    }

    private func ids(of exchange: ReplayExchange) -> SourceIDs {
        guard exchange.responseNeed == .required else { return .notNeeded }
        guard exchange.responseEnding == .complete || exchange.responseEnding == .nextRequest,
            let response = messages.response(exchange.response, to: .post)
        else { return .unavailable }
        return .response(SourceResponse(headBytes: response.headBytes, head: response.head, body: response.body))
    }

    func send(_ exchange: ReplayExchange) {
        guard let outgoing = exchange.outgoing else { preconditionFailure("a request is sent before it is prepared") }
        let request = RawRequest(
            method: outgoing.method, head: outgoing.head, body: outgoing.body,
            owner: outgoing.replacement ?? exchange.holders)
        exchange.attempt = target.send(request) { [weak self] result in
            exchange.attempt = nil
            guard let self, let engine = self.engine else { return }
            engine.attemptEnded(exchange, self.answer(result, to: exchange))
            if let trouble = exchange.trouble { self.context.outcomes.tellOfRetry(trouble, log: self.context.log) }
            self.callEnded()
        }
        // It may have ended within the call.
        if exchange.isAttemptOver { exchange.attempt = nil }
    }

    func cancel(_ exchange: ReplayExchange) { (exchange.attempt as? TargetExchange)?.cancel() }

    private func answer(
        _ result: Result<RawResponse, ClusterError>, to exchange: ReplayExchange
    ) -> Result<TargetAnswer, AttemptFailure> {
        switch result {
        case .success(let response):
            let seconds = response.lastByte - response.sendStart
            context.outcomes.latency.observe(seconds)
            let body = response.content(bytesLimit: 64 << 20) ?? response.body
            return .success(
                TargetAnswer(
                    status: response.status, head: response.head, body: response.body, content: body,
                    sentTime: context.wallOffset + Int64(response.sendStart.nanoseconds),
                    endTime: context.wallOffset + Int64(response.lastByte.nanoseconds)))
        case .failure(let error):
            return .failure(AttemptFailure(error))
        }
    }

    func read(_ answer: TargetAnswer, to exchange: ReplayExchange) -> OutcomePolicy.Answer {
        if answer.status == 403, answer.content.contains("cluster_block_exception") { return .blocked }
        guard exchange.outgoing?.isBulk == true, answer.status == 200 else { return .status(answer.status) }
        guard !answer.content.saysNoErrors else { return .bulk(retryableItems: 0, failedItems: 0) }
        let verdicts: [BulkItemVerdict]
        do throws(TransformError) {
            verdicts = try answer.content.span.bytes.withUnsafeBytes { (bytes) throws(TransformError) in
                try BulkItemPolicy.verdicts(bytes, conflict: exchange.conflict)
            }
        } catch {
            return .status(answer.status)
        }
        exchange.itemVerdicts = verdicts
        return .bulk(
            retryableItems: verdicts.count { $0 == .retry }, failedItems: verdicts.count { $0 == .refused })
    }

    func keepRetryableItems(_ exchange: ReplayExchange, after answer: TargetAnswer) {
        guard var outgoing = exchange.outgoing else { return }
        let verdicts = exchange.itemVerdicts
        let smaller = outgoing.head.withUnsafeBytes { head -> RewrittenRequest? in
            guard let sent = messages.request([head] + outgoing.body) else { return nil }
            return try? BulkResend.request(sent, itemCount: verdicts.count) { verdicts[$0] == .retry }
        }
        // A bulk that cannot be taken apart is sent whole again: twice is better than never.
        guard let smaller, case .replaced(let bytes) = smaller.body else {
            context.outcomes.wholeResends.increment()
            return
        }
        let replacement = RequestBytes(bytes)
        outgoing.head = smaller.head
        outgoing.body = [replacement.bytes]
        outgoing.replacement = replacement
        exchange.charge(bytes.count, to: context.budget)
        exchange.conflict = exchange.conflict.keeping(verdicts)
        exchange.outgoing = outgoing
    }

    // MARK: What is written

    func record(_ exchange: ReplayExchange) {
        switch exchange.outcome {
        case .untransformable(let reason)?, .gaveUp(let reason)?:
            context.log.error(
                "a request cannot be replayed; it is in the dead letters",
                [
                    .connection: .text(exchange.connectionID), .partition: LogValue(exchange.partition),
                    .offset: LogValue(exchange.endOffset), .reason: .text(reason),
                ])
            let letter = DeadLetter(
                partition: exchange.partition, offset: exchange.endOffset, connection: exchange.connectionID,
                request: exchange.number, reason: reason, content: exchange.request)
            deadLetter(letter) { self.writeTuple(exchange) }
        default: writeTuple(exchange)
        }
    }

    private func writeTuple(_ exchange: ReplayExchange) {
        guard let files = context.tuples, !exchange.isAbandoned else {
            engine?.recorded(exchange)
            return
        }
        let (line, verdict) = tuples.line(exchange, messages)
        context.outcomes.count(verdict)
        write(line, to: files, heldBytes: exchange.heldBytes) { [weak self] in self?.engine?.recorded(exchange) }
    }

    func deadLetter(_ letter: DeadLetter, done: @escaping () -> Void) {
        let contentBytes = letter.content.reduce(0) { $0 + $1.count }
        write(letter.line(at: now), to: context.deadLetters, heldBytes: contentBytes, done)
    }

    func hurryRecords() {
        context.tuples?.hurry()
        context.deadLetters.hurry()
    }

    private func write(_ line: [UInt8], to files: TupleFiles, heldBytes: Int, _ done: @escaping () -> Void) {
        let ticket = nextTicket
        nextTicket += 1
        let byteCount = line.count
        context.budget.take(byteCount)
        let budget = context.budget
        undurable[ticket] = {
            budget.release(byteCount)
            done()
        }
        files.append(line, ticket: ticket, heldBytes: heldBytes + byteCount)
    }
}

extension AttemptFailure {
    init(_ error: ClusterError) {
        let reason: Reason =
            switch error.code {
            case .resolveFailed, .connectionRefused, .connectTimedOut, .queueFull: .connect
            case .tlsHandshakeFailed, .tlsVerifyFailed: .tls
            case .connectionLost: .connectionLost
            case .responseTimedOut: .timeout
            case .protocolViolation: .malformed
            case .cancelled, .shutDown: .cancelled
            default: .other
            }
        self.init(reason, error.message)
    }
}

extension ReplayExchange {
    /// Why it is sent again, when the last attempt did not settle it.
    fileprivate var trouble: String? {
        guard phase == .waiting, !isAbandoned, !isLeftOpen else { return nil }
        if let lastFailure { return lastFailure.reason == .cancelled ? nil : lastFailure.message }
        return answers.last.map { answer in
            answer.status < 300 ? "it refused items of a bulk for now" : "it answered with status \(answer.status)"
        }
    }

    /// A write of which the source's response says that nothing of it was executed: the source was overloaded (429),
    /// or the proxy answered in its place because it could not record the request. At the target it would make a
    /// difference.
    fileprivate var wasNeverExecuted: Bool {
        guard responseNeed != .none, responseEnding != nil else { return false }
        if sourceStatus == 429 { return true }
        return sourceStatus == 503 && Array(response.joined().prefix(1024)).contains(CaptureMark.notExecuted)
    }
}

extension [UInt8] {
    func contains(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard self.count >= count else { return false }
        return withUnsafeBytes { bytes in
            var start = 0
            while let found = bytes[start..<(bytes.count - count + 1)].firstIndex(of: text.utf8Start[0]) {
                if (0..<count).allSatisfy({ bytes[found + $0] == text.utf8Start[$0] }) { return true }
                start = found + 1
            }
            return false
        }
    }

    /// A bulk response that says at its beginning, as the engines do, that every item went through.
    fileprivate var saysNoErrors: Bool { Array(prefix(96)).contains("\"errors\":false") }
}

extension ConflictMeaning {
    /// For the items that are sent again, counted anew.
    func keeping(_ verdicts: [BulkItemVerdict]) -> ConflictMeaning {
        guard case .doneForItems = self else { return self }
        var kept: [Int32] = []
        var place: Int32 = 0
        for (item, verdict) in verdicts.enumerated() where verdict == .retry {
            if isDone(item: item) { kept.append(place) }
            place += 1
        }
        return .doneForItems(kept)
    }
}
