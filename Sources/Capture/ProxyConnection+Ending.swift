import EventIO
import Settings

extension ProxyConnection {
    // MARK: Own answers

    /// Answers in place of the source. The connection goes on when `keepsConnection` and nothing of the request is
    /// still to come.
    func answer(_ answer: ProxyAnswer, keepsConnection: Bool) {
        loop.metrics.answers.increment()
        let method = machine.method
        let isWriting = !isReading
        if isForwarded {
            // The source has an incomplete request, or owes an answer that nobody wants any more.
            link?.giveUp(isAbrupt: true)
            link = nil
        }
        endHold()
        let wasRecorded = isRecorded
        isRecorded = false
        isForwarded = false
        machine.answeredByProxy(keepsConnection: keepsConnection && !loop.isDraining)
        let keeps = machine.request == .idle && phase == .open
        let bytes = answer.bytes(isHead: method == .head, closesConnection: !keeps)
        if wasRecorded, let recorder {
            if !isWriting, !recorder.hasRoom() {
                recorder.noteGap()
            } else {
                bytes.withUnsafeBytes { recorder.append(.write, copying: $0) }
            }
        }
        if phase == .orphaned { return finish() }
        client.writeCopy(bytes)
        if keeps { takeStash() } else { linger() }
    }

    /// Answers a request that cannot be understood; nothing after it can be either.
    func answerAndEnd(_ answer: ProxyAnswer) {
        isForwarded = machine.isExchangeOpen || isForwarded
        self.answer(answer, keepsConnection: false)
    }

    // MARK: The end

    /// The client sends nothing more. What it asked for is still answered.
    func clientEnded() {
        switch phase {
        case .lingering: client.close()
        case .open:
            switch machine.request {
            case .complete: return
            case .tunnel:
                link?.endWriting()
                if isSourceEnded { closeBoth() }
            case .idle, .head, .body, .ended:
                guard stash.isEmpty, parkedStep == nil else { return }
                // A request that was cut off must not reach the source's end looking like a whole one.
                if machine.request == .body {
                    link?.giveUp(isAbrupt: true)
                    link = nil
                }
                closeBoth()
            }
        case .orphaned, .closed: return
        }
    }

    func clientFailed(_ error: IOError) {
        switch error.code {
        case .tlsHandshake, .tlsVerify:
            loop.metrics.handshakeFailures.increment()
            loop.context.clientTrouble.warning("TLS handshake with a client failed", [.error: .text(error.message)])
        case .proxyHeader:
            loop.metrics.clientFailures.increment()
            loop.context.clientTrouble.warning(
                "a connection does not begin with a PROXY protocol header", [.error: .text(error.message)])
        default:
            loop.metrics.clientFailures.increment()
            loop.context.log.debug("client connection failed", [.error: .text(error.message)])
        }
    }

    /// The client's connection is gone. A writing request that is recorded whole goes on all the same.
    func clientClosed() {
        if phase == .open, machine.request == .complete, !isReading, isRecorded, parkedStep == nil {
            phase = .orphaned
            return
        }
        finish()
    }

    /// Ends both sides; what is queued for the client is still written.
    func closeBoth(isAbrupt: Bool = false) {
        guard phase != .closed else { return }
        if phase == .orphaned { return finish() }
        link?.giveUp(isAbrupt: isAbrupt)
        link = nil
        endHold()
        if isAbrupt {
            phase = .lingering
            client.abort(with: nil)
        } else {
            linger()
        }
    }

    /// Sends the end of our side and waits for the client's: closing at once would take back, by a reset, what a client
    /// that is still sending has not read yet.
    private func linger() {
        guard phase != .closed, phase != .lingering else { return }
        phase = .lingering
        machine.end()
        stash = []
        parkedStep = nil
        recorder?.close()
        link?.giveUp(isAbrupt: isForwarded)
        link = nil
        if isClientEnded { return client.close() }
        client.resumeReading()
        client.shutdownWrite()
        lastActivity = loop.loop.now
        stalledSince = loop.loop.now
        stalledBytes = client.pendingWriteBytes
        arm(within: Self.lingerTimeout)
    }

    /// Both sides are over.
    func finish() {
        guard phase != .closed else { return }
        phase = .closed
        endHold()
        recorder?.close()
        recorder?.owner = nil
        loop.loop.cancel(timer)
        timer = .none
        link?.giveUp(isAbrupt: machine.request == .body)
        link = nil
        stash = []
        parkedStep = nil
        settleWaiting()
        loop.ended(self)
    }

    /// The proxy stops: what is open is finished, what is idle is closed.
    func drain() {
        switch phase {
        case .open: if machine.request == .idle, stash.isEmpty, parkedStep == nil { closeBoth() }
        case .lingering, .orphaned, .closed: break
        }
    }

    /// The grace period is over.
    func abandon() {
        client.abort(with: nil)
        finish()
    }

    // MARK: Deadlines

    /// Has `tick` called no later than after `delay`. One timer a connection, moved only to an earlier time: what has
    /// become due later is found when it fires.
    func arm(within delay: Duration) {
        let at = loop.loop.now.advanced(by: delay)
        guard at < timerAt else { return }
        loop.loop.cancel(timer)
        timerAt = at
        // A closure that holds nothing but a reference needs no memory of its own. `finish` cancels it.
        timer = loop.loop.schedule(after: delay) { [self] in tick() }
    }

    private func tick() {
        timer = .none
        timerAt = MonotonicInstant(nanoseconds: .max)
        guard phase != .closed else { return }
        var deadlines = DeadlineCheck(now: loop.loop.now)
        if let recorder, recorder.isOpen, deadlines.passed(recorder.openedAt, loop.deadlines.flushAfter) {
            recorder.flush()
        }
        checkClient(&deadlines)
        if phase == .open || phase == .orphaned { checkExchange(&deadlines) }
        if phase != .closed, let next = deadlines.next {
            arm(within: max(next - loop.loop.now, .milliseconds(1)))
        }
    }

    /// A client that does not read, or does not go.
    private func checkClient(_ deadlines: inout DeadlineCheck) {
        let pending = client.pendingWriteBytes
        if pending > 0, let since = stalledSince {
            if pending != stalledBytes {
                stalledBytes = pending
                stalledSince = loop.loop.now
            }
            if deadlines.passed(max(since, stalledSince ?? since), loop.deadlines.request) {
                client.abort(with: nil)
            }
        } else if phase == .lingering, deadlines.passed(lastActivity, Self.lingerTimeout) {
            client.close()
        }
    }

    private func checkExchange(_ deadlines: inout DeadlineCheck) {
        let limits = loop.deadlines
        if let since = heldSince {
            if deadlines.passed(since, limits.hold) { logFailedHeldRequest() }
            return
        }
        if let since = parkedSince {
            if deadlines.passed(since, limits.hold) { parkedTooLong() }
            return
        }
        if let since = headSince {
            if deadlines.passed(since, limits.head) { answerAndEnd(.headTimeout) }
            return
        }
        switch machine.request {
        case .idle, .tunnel: if deadlines.passed(lastActivity, limits.idle) { closeBoth() }
        case .body:
            if (link?.pendingBytes ?? 0) > 0 {
                if deadlines.passed(lastActivity, limits.response) { sourceTimedOut() }
            } else if deadlines.passed(lastActivity, limits.request) {
                answerAndEnd(.headTimeout)
            }
        case .complete:
            if client.pendingWriteBytes == 0, deadlines.passed(lastActivity, limits.response) { sourceTimedOut() }
        case .head, .ended: break
        }
    }

    private func sourceTimedOut() {
        loop.metrics.sourceFailures.increment()
        sourceFailed(.gatewayTimeout("the source did not answer in time"))
    }

    private func parkedTooLong() {
        if loop.outagePolicy == .forward { goOnUnrecorded() } else { refuseForOutage(isComplete: true) }
    }
}

/// Looks at deadlines and remembers the nearest one that has not passed.
struct DeadlineCheck {
    let now: MonotonicInstant
    private(set) var next: MonotonicInstant?

    init(now: MonotonicInstant) { self.now = now }

    mutating func passed(_ since: MonotonicInstant, _ limit: Duration) -> Bool {
        let at = since.advanced(by: limit)
        if at <= now { return true }
        next = next.map { min($0, at) } ?? at
        return false
    }
}
