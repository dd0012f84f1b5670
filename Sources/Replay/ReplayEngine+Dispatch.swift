import CapturedTraffic

/// Sending in order and in time, and what follows from the answers.
extension ReplayEngine {
    /// Sends what is due, as far as there is room.
    package func dispatch() {
        guard !isDispatching else { return }
        isDispatching = true
        defer { isDispatching = false }
        let now = port.now
        while hasRoom, let first = heap.first, first.notBefore <= now {
            let entry = heap.removeFirst()
            let exchange = entry.element
            guard exchange.isQueued, exchange.queuedTime == entry.notBefore else { continue }
            exchange.isQueued = false
            // What was given up, or held back, since it was put in.
            guard !exchange.isAbandoned, exchange.phase == .waiting, mayBegin(exchange) else { continue }
            begin(exchange, now)
        }
        if hasRoom, let first = heap.first { port.wake(at: first.notBefore) }
        // Reading waits for memory, and all that could let go of some waits for the disk.
        if isReadingPaused, recordingCount > 0, inFlightCount == 0, (heap.first?.notBefore ?? .max) > now {
            port.hurryRecords()
        }
        flush()
    }

    /// The reader stops at the budget, so what goes beyond it is answers: they have to be written down first.
    private var hasRoom: Bool {
        guard inFlightCount > 0 else { return limits.inFlightCount > 0 }
        return inFlightCount < limits.inFlightCount && inFlightBytes < limits.inFlightBytes
            && budget.usedBytes < budget.limitBytes / 4 * 5
    }

    /// Puts the connection's next exchange in line, unless something is missing.
    func enqueue(_ connection: SourceConnection) {
        guard let exchange = connection.next, mayBegin(exchange) else { return }
        let lacksResponse = exchange.responseEnding == nil
        if lacksResponse, exchange.responseNeed == .required { return }
        if exchange.attemptCount == 0 {
            if schedule.speed != .maximum, schedule.origin == nil {
                schedule.origin = origin.adopt(source: exchange.requestEndTime, wall: port.now)
            }
            exchange.dueTime = schedule.due(exchange.requestEndTime)
        }
        var notBefore = max(exchange.dueTime, exchange.retryTime)
        // While reading waits for room no response comes.
        if lacksResponse, exchange.responseNeed == .preferred, exchange.attemptCount == 0, !isReadingPaused {
            notBefore = max(notBefore, exchange.arrivalTime.addingSaturating(limits.responseWait))
        }
        if case .draining? = partitions[exchange.partition]?.mode, exchange.attemptCount == 0 { notBefore = .min }
        if exchange.isQueued, exchange.queuedTime <= notBefore { return }
        exchange.isQueued = true
        exchange.queuedTime = notBefore
        heap.insert(.init(notBefore: notBefore, order: exchange.requestEndTime, element: exchange))
    }

    private func mayBegin(_ exchange: ReplayExchange) -> Bool {
        guard let partition = partitions[exchange.partition], !exchange.isLeftOpen else { return false }
        switch partition.mode {
        case .running: return true
        case .quiet: return false
        case .draining(let lastOffset): return exchange.endOffset <= lastOffset
        }
    }

    /// Puts everything in line anew: the modes, or the time origin, have changed.
    func requeueAll() {
        while heap.count > 0 { heap.removeFirst().element.isQueued = false }
        for connection in connections.values { enqueue(connection) }
    }

    /// Takes over the time origin that the group agreed on.
    package func originChanged() {
        let agreed = origin.current
        guard agreed != schedule.origin else { return }
        schedule.origin = agreed
        requeueAll()
        dispatch()
    }

    // MARK: Attempts

    private func begin(_ exchange: ReplayExchange, _ now: Int64) {
        if exchange.attemptCount == 0 {
            let last = partitions[exchange.partition]?.lastBegunEnd ?? -1
            partitions[exchange.partition]?.lastBegunEnd = max(last, exchange.endOffset)
            if let outcome = port.prepare(exchange) {
                exchange.outcome = outcome
                return answered(exchange)
            }
            exchange.firstAttemptTime = now
            if exchange.dueTime > .min { metrics.lateness.observe(.nanoseconds(now - exchange.dueTime)) }
        } else {
            metrics.attemptsAgain.increment()
        }
        exchange.attemptCount += 1
        exchange.phase = .inFlight
        exchange.itemVerdicts = []
        inFlightCount += 1
        inFlightBytes += exchange.outgoing?.byteCount ?? 0
        metrics.inFlight.add(1)
        port.send(exchange)
    }

    /// An attempt is over. Those of exchanges that were given up are ignored.
    package func attemptEnded(_ exchange: ReplayExchange, _ result: Result<TargetAnswer, AttemptFailure>) {
        guard !exchange.isAbandoned, !exchange.isLeftOpen else { return }
        precondition(exchange.phase == .inFlight, "an attempt of \(exchange.number) ended that was not under way")
        inFlightCount -= 1
        inFlightBytes -= exchange.outgoing?.byteCount ?? 0
        metrics.inFlight.add(-1)
        exchange.phase = .waiting
        let now = port.now
        let answer: OutcomePolicy.Answer
        switch result {
        case .success(let received):
            answer = port.read(received, to: exchange)
            exchange.append(received)
            exchange.charge(received.head.count + received.body.count, to: budget)
            exchange.lastFailure = nil
        case .failure(let failure):
            answer = .failure(failure.reason)
            exchange.lastFailure = failure
        }
        let facts = OutcomePolicy.Facts(
            isMutating: exchange.outgoing?.isMutating ?? true,
            hasGeneratedIDs: exchange.outgoing?.hasGeneratedIDs ?? false, sourceStatus: exchange.sourceStatus,
            attemptCount: exchange.attemptCount, elapsed: now - exchange.firstAttemptTime, answer: answer)
        switch OutcomePolicy.decide(facts, patience) {
        case .end(let outcome):
            exchange.outcome = outcome
            answered(exchange)
        case .retry(let reason): retry(exchange, reason, now)
        case .resendItems:
            if case .success(let received) = result { port.keepRetryableItems(exchange, after: received) }
            retry(exchange, .bulkItems, now)
        }
        dispatch()
    }

    private func retry(_ exchange: ReplayExchange, _ reason: OutcomePolicy.RetryReason, _ now: Int64) {
        metrics.retries(reason).increment()
        let delay = backoff.delay(attempts: exchange.attemptCount, random: random.next())
        exchange.retryTime = now.addingSaturating(delay)
        enqueue(exchange.connection)
    }

    private func answered(_ exchange: ReplayExchange) {
        exchange.phase = .answered
        if let outcome = exchange.outcome { metrics.outcomes(outcome).increment() }
        var isLeaving = false
        if case .draining? = partitions[exchange.partition]?.mode { isLeaving = true }
        if exchange.responseEnding != nil || isLeaving { record(exchange) }
        enqueue(exchange.connection)
    }

    func record(_ exchange: ReplayExchange) {
        exchange.phase = .recorded
        recordingCount += 1
        port.record(exchange)
    }

    /// What became of the exchange is durable.
    package func recorded(_ exchange: ReplayExchange) {
        guard !exchange.isAbandoned else { return }
        precondition(exchange.phase == .recorded, "exchange \(exchange.number) was recorded before it was answered")
        recordingCount -= 1
        let connection = exchange.connection
        connection.remove(exchange)
        exchange.resolve()
        forgetIfDone(connection)
        flush()
    }
}
