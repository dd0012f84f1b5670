import EventIO
import Settings

extension ProxyConnection {
    /// Sends a part of a request, or holds it until the log has record `required`.
    func dispatch(_ bytes: UnsafeRawBufferPointer, owner: AnyObject?, copy: [UInt8]?, required: Int32) {
        guard required > 0 || !pieces.isEmpty else {
            if let copy { copy.withUnsafeBytes { sendToSource($0) } } else { sendToSource(bytes) }
            return
        }
        if pieces.isEmpty {
            pieces = loop.takePieces()
            loop.metrics.heldRequests.add(1)
            arm(within: loop.deadlines.hold)
        }
        let piece = Piece(
            bytes: bytes, owner: copy == nil ? owner : nil, copy: copy ?? [], requiredRecord: required,
            heldSince: loop.loop.now)
        pieces.append(piece)
        heldBytes += piece.count
        loop.metrics.heldBytes.add(piece.count)
        settleHeld()
    }

    /// Releases what the log has, or applies the policy to what it lost.
    func settleHeld() {
        guard !pieces.isEmpty, let recorder else { return }
        if recorder.lastLost >= firstRecord, firstRecord > 0 { return logFailedHeldRequest() }
        if loop.isForwardingUnrecorded { return releaseUnrecorded() }
        var releasedCount = 0
        var releasedBytes = 0
        while releasedCount < pieces.count, pieces[releasedCount].requiredRecord <= recorder.resolvedThrough {
            send(pieces[releasedCount])
            releasedBytes += pieces[releasedCount].count
            releasedCount += 1
        }
        guard releasedCount > 0 else { return }
        if releasedCount == pieces.count {
            endHold()
        } else {
            pieces.removeFirst(releasedCount)
            heldBytes -= releasedBytes
            loop.metrics.heldBytes.add(-releasedBytes)
            lastActivity = loop.loop.now
        }
        settleClientReading()
        settleWaiting()
    }

    /// The policy of an outage for a request that is held.
    func logFailedHeldRequest() {
        if loop.outagePolicy == .forward { releaseUnrecorded() } else { refuseForOutage(isComplete: isWhole) }
    }

    /// The whole request has come.
    private var isWhole: Bool { machine.request == .complete }

    /// Forwards what is held although the log does not have it.
    private func releaseUnrecorded() {
        loop.metrics.unheldRequests.increment()
        holdsEveryByte = false
        for piece in pieces { send(piece) }
        endHold()
        settleClientReading()
        settleWaiting()
    }

    private func send(_ piece: Piece) {
        if piece.owner == nil {
            piece.copy.withUnsafeBytes { sendToSource($0) }
        } else {
            sendToSource(piece.bytes)
        }
    }

    /// Nothing is held any more; its memory is let go.
    func endHold() {
        if let last = pieces.last {
            loop.metrics.heldRequests.add(-1)
            // Of a body of several records the last one counts: what clients wait for when they have sent all.
            if isWhole { loop.metrics.holdSeconds.observe(loop.loop.now - last.heldSince) }
        }
        loop.metrics.heldBytes.add(-heldBytes)
        heldBytes = 0
        if pieces.capacity > 0 {
            pieces.removeAll(keepingCapacity: true)
            loop.givePieces(pieces)
            pieces = []
        }
        lastActivity = loop.loop.now
    }

    /// The recorder says: the log reported.
    func recordsResolved() {
        guard phase != .closed else { return }
        if !pieces.isEmpty { settleHeld() }
    }

    /// The recorder says: a record was opened, which is flushed in time.
    func recordOpened() { arm(within: loop.deadlines.flushAfter) }

    /// The log went away.
    func logWentAway() {
        guard loop.outagePolicy == .forward, phase != .closed else { return }
        if !pieces.isEmpty { settleHeld() }
        goOnUnrecorded()
    }

    /// What waits for room is forwarded without being recorded.
    func goOnUnrecorded() {
        guard let step = parkedStep else { return }
        parkedStep = nil
        parkedSince = nil
        dropRecording()
        loop.metrics.unheldRequests.increment()
        step.bytes.withUnsafeBytes { sendUnrecorded($0, startsRequest: step.startsRequest) }
        takeStash()
        settleWaiting()
    }

    /// 503 for a writing request that cannot be recorded: it does not reach the source, at least not as a whole.
    func refuseForOutage(isComplete: Bool) {
        loop.metrics.refusedRequests.increment()
        parkedStep = nil
        parkedSince = nil
        answer(.logUnavailable, keepsConnection: isComplete)
    }

    /// Sends bytes of a request, or of a tunnel, to the source.
    func sendToSource(_ bytes: UnsafeRawBufferPointer) {
        guard phase != .closed else { return }
        if link == nil { link = loop.link(for: self) } else if !isForwarded { link?.requestBegins() }
        isForwarded = true
        link?.write(bytes)
    }
}
