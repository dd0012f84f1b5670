import CapturedTraffic
import EventIO
import HTTPMessage

/// A request, or a part of one, that waits for room to be recorded.
struct ParkedStep {
    var bytes: [UInt8]
    var startsRequest: Bool
    var isComplete: Bool
}

extension ProxyConnection {
    /// What the state machine says about the client's bytes, done. `isLanded`: they lie where the recorder reserved.
    func takeRequestBytes(_ bytes: UnsafeRawBufferPointer, isLanded: Bool) {
        switch machine.requestBytes(bytes) {
        case .forward(let count, let startsRequest, let isComplete):
            if count < bytes.count { stash.insert(contentsOf: bytes[count...], at: 0) }
            let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
            takePart(part, isLanded: isLanded, startsRequest: startsRequest, isComplete: isComplete)
        case .gather:
            if machine.gathered.count > Self.gatheredFreeBytes, loop.context.budget.isSpent {
                return answerAndEnd(.overloaded)
            }
            if headSince == nil {
                headSince = loop.loop.now
                arm(within: loop.deadlines.head)
            }
        case .forwardGathered(let count, let isComplete):
            let head = machine.gathered
            stash.insert(contentsOf: machine.dropGathered(count), at: 0)
            head.withUnsafeBytes { whole in
                takePart(
                    UnsafeRawBufferPointer(rebasing: whole[..<count]), isLanded: false, startsRequest: true,
                    isComplete: isComplete)
            }
        case .wait: stash.append(contentsOf: bytes)
        case .refuse: if let answer = machine.refusal { answerAndEnd(answer) }
        case .tunnel: sendToSource(bytes)
        case .discard: break
        }
    }

    /// Takes up what was put aside, as far as the state allows.
    func takeStash() {
        guard !isTakingStash else { return }
        isTakingStash = true
        while !stash.isEmpty, phase == .open, parkedStep == nil, !isExchangeWaiting {
            let input = stash
            stash = []
            input.withUnsafeBytes { takeRequestBytes($0, isLanded: false) }
        }
        isTakingStash = false
        settleClientReading()
        if isClientEnded, phase == .open, stash.isEmpty { clientEnded() }
    }

    /// The request is whole and its response is not.
    private var isExchangeWaiting: Bool { machine.request == .complete }

    // MARK: Parts of a request

    /// The next part of the request. On its first part decides whether it is recorded, held or refused.
    func takePart(_ bytes: UnsafeRawBufferPointer, isLanded: Bool, startsRequest: Bool, isComplete: Bool) {
        if startsRequest {
            let wasInPieces = headSince != nil
            headSince = nil
            guard beginRequest(bytes, wasInPieces: wasInPieces, isComplete: isComplete) else { return }
        }
        guard isRecorded, let recorder else {
            return sendUnrecorded(bytes, startsRequest: startsRequest)
        }
        if startsRequest, recorder.hasGap, recorder.hasRoom() {
            let copy = Array(bytes)
            recorder.markGap()
            firstRecord = recorder.openNumber
            return copy.withUnsafeBytes {
                record($0, isLanded: false, startsRequest: true, isComplete: isComplete)
            }
        }
        if !isLanded, !recorder.hasRoom() {
            guard isReading || loop.isForwardingUnrecorded else {
                return park(ParkedStep(bytes: Array(bytes), startsRequest: startsRequest, isComplete: isComplete))
            }
            // Reads do not wait, nor does anything in an outage that writes are forwarded in: the rest of this exchange
            // goes unrecorded.
            if !isReading { loop.metrics.unheldRequests.increment() }
            dropRecording()
            return sendUnrecorded(bytes, startsRequest: startsRequest)
        }
        record(bytes, isLanded: isLanded, startsRequest: startsRequest, isComplete: isComplete)
    }

    func sendUnrecorded(_ bytes: UnsafeRawBufferPointer, startsRequest: Bool) {
        guard startsRequest, loop.rules.sets else { return sendToSource(bytes) }
        loop.rules.rewritten(machine.scanners.request.head, bytes).withUnsafeBytes { sendToSource($0) }
    }

    /// Returns false when the request was answered already.
    private func beginRequest(_ bytes: UnsafeRawBufferPointer, wasInPieces: Bool, isComplete: Bool) -> Bool {
        if isReading { loop.metrics.reads.increment() } else { loop.metrics.mutations.increment() }
        isForwarded = false
        isRecorded = loop.records
        arm(within: min(loop.deadlines.request, loop.deadlines.response))
        guard isRecorded, let recorder = openRecorder() else { return true }
        if loop.rules.suppresses, loop.rules.isSuppressed(machine.scanners.request.head, bytes) {
            isRecorded = false
            loop.metrics.suppressed.increment()
            if wasInPieces, recorder.hasRoom() { recordDroppedRequest(bytes, recorder) }
            return true
        }
        holdsEveryByte = !isReading
        firstRecord = recorder.openNumber
        if !isReading, loop.isOutage, loop.outagePolicy != .forward {
            isRecorded = false
            refuseForOutage(isComplete: isComplete)
            return false
        }
        return true
    }

    /// A suppressed request whose head came in several reads leaves its method and the word that it was dropped, and
    /// nothing else: the readers of the format forget the request that a read began.
    private func recordDroppedRequest(_ bytes: UnsafeRawBufferPointer, _ recorder: ConnectionRecorder) {
        recorder.append(
            .read,
            copying: UnsafeRawBufferPointer(rebasing: bytes[..<machine.scanners.request.head.methodRange.upperBound]))
        recorder.appendRequestDropped()
    }

    /// Puts the part into the record and sends or holds it.
    private func record(_ bytes: UnsafeRawBufferPointer, isLanded: Bool, startsRequest: Bool, isComplete: Bool) {
        guard let recorder else { return }
        // The source gets the bytes as they came: where the record or the source shall see others, there are two.
        var copy: [UInt8]?
        let isRedacted =
            startsRequest && loop.rules.redacts && loop.rules.hasRedaction(machine.scanners.request.head, bytes)
        if startsRequest, loop.rules.sets {
            copy = loop.rules.rewritten(machine.scanners.request.head, bytes)
        } else if isRedacted {
            copy = Array(bytes)
        }
        var place = bytes
        if isLanded {
            let landed = recorder.commit(.read, count: bytes.count)
            if isRedacted { loop.rules.redact(machine.scanners.request.head, landed) }
            place = UnsafeRawBufferPointer(landed)
        } else if isRedacted {
            var shown = Array(bytes)
            shown.withUnsafeMutableBytes { loop.rules.redact(machine.scanners.request.head, $0) }
            shown.withUnsafeBytes { recorder.append(.read, copying: $0) }
        } else {
            recorder.append(.read, copying: bytes)
        }
        // What did not land in the record does not stay where it is.
        if !isLanded, copy == nil, holdsEveryByte { copy = Array(bytes) }
        let owner: AnyObject? = copy == nil && holdsEveryByte ? recorder.openSegment : nil
        var required: Int32 = holdsEveryByte ? recorder.openNumber : 0
        if isComplete {
            recorder.appendEndOfMessage(firstLineBytes: machine.firstLineBytes, headBytes: machine.headBytes)
        }
        if !isReading, isComplete || isHeldForItself(startsRequest: startsRequest, count: bytes.count) {
            let last = recorder.flush()
            if holdsEveryByte { required = last }
        }
        dispatch(place, owner: owner, copy: copy, required: required)
    }

    /// Nothing more comes before the record that is open has been acknowledged: the client waits for an answer of the
    /// source, or is not read.
    private func isHeldForItself(startsRequest: Bool, count: Int) -> Bool {
        holdsEveryByte && (startsRequest && machine.expectsContinue || heldBytes + count > Self.heldLimitBytes)
    }

    /// The rest of the exchange is forwarded without being recorded.
    func dropRecording() {
        guard isRecorded else { return }
        isRecorded = false
        recorder?.noteGap()
    }

    // MARK: Waiting for room

    private func park(_ step: ParkedStep) {
        parkedStep = step
        parkedSince = loop.loop.now
        loop.waitForBudget(self)
        arm(within: loop.deadlines.hold)
    }

    /// The recorder says: there may be room again.
    func recorderHasRoom() {
        guard let step = parkedStep, phase != .closed else { return settleClientReading() }
        guard recorder?.hasRoom() == true else {
            if recorder?.hasBacklog != true { loop.waitForBudget(self) }
            return
        }
        parkedStep = nil
        parkedSince = nil
        step.bytes.withUnsafeBytes {
            record($0, isLanded: false, startsRequest: step.startsRequest, isComplete: step.isComplete)
        }
        takeStash()
        settleWaiting()
    }

    // MARK: Back-pressure

    /// Reads the client only while what comes can go somewhere.
    func settleClientReading() {
        guard phase == .open else { return }
        let mustWait =
            !stash.isEmpty || parkedStep != nil || heldBytes > Self.heldLimitBytes
            || (link?.pendingBytes ?? 0) > loop.pendingLimitBytes || recorder?.hasBacklog == true
        if mustWait == client.isReadingPaused { return }
        if mustWait { client.pauseReading() } else { client.resumeReading() }
    }

    /// Has the budget know what waits for the client, for the source, and for the rest of a head.
    func settleWaiting() {
        var now = 0
        if phase != .closed {
            now =
                client.pendingWriteBytes + (link?.pendingBytes ?? 0) + machine.gathered.count
                + machine.gatheredResponse.count + stash.count
        }
        guard now != waitingBytes else { return }
        loop.context.budget.changeWaiting(by: now - waitingBytes)
        waitingBytes = now
    }
}
