import CapturedTraffic
import EventIO
import HTTPMessage

extension ProxyConnection {
    /// Where the next bytes of the source land: in the record, when the exchange is recorded.
    func sourceReadBuffer() -> UnsafeMutableRawBufferPointer? {
        landing = nil
        guard isRecorded, phase == .open || phase == .orphaned, !machine.isTunnel, let place = recorder?.reserve()
        else { return loop.limitedReadBuffer }
        landing = place.baseAddress
        return loop.limited(place)
    }

    func sourceReceived(_ bytes: UnsafeRawBufferPointer) {
        lastActivity = loop.loop.now
        guard phase == .open || phase == .orphaned else { return }
        let isLanded = landing != nil && bytes.baseAddress == UnsafeRawPointer(landing)
        switch machine.responseBytes(bytes) {
        case .forward(let count, let isComplete):
            takeResponse(UnsafeRawBufferPointer(rebasing: bytes[..<count]), isLanded: isLanded)
            if isComplete { responseEnded(hasMore: count < bytes.count) }
        case .gather: break
        case .forwardGathered(let count, let isComplete):
            let (head, hasMore) = machine.takeGatheredResponse(count)
            head.withUnsafeBytes { takeResponse($0, isLanded: false) }
            if isComplete { responseEnded(hasMore: hasMore) }
        case .tunnel: client.writeThrough(bytes)
        case .upgrade(let count, let isGathered):
            upgrade(bytes, count: count, isGathered: isGathered, isLanded: isLanded)
        case .unexpected: responseUnexpected()
        case .malformed:
            sourceFailed(.badGateway("the source's response is not HTTP: \(machine.responseError?.description ?? "")"))
        }
        slowDownSource()
        settleWaiting()
    }

    private func takeResponse(_ bytes: UnsafeRawBufferPointer, isLanded: Bool) {
        if isRecorded, let recorder {
            if isLanded {
                _ = recorder.commit(.write, count: bytes.count)
            } else if recorder.hasRoom() || !isReading && !loop.isForwardingUnrecorded {
                // The answer to a write is recorded past the budget: a log that is stuck releases no further writes,
                // so there are no more of these than writes at the source. Unless they are forwarded all the same.
                recorder.append(.write, copying: bytes)
            } else {
                dropRecording()
            }
        }
        client.writeThrough(bytes)
    }

    private func slowDownSource() {
        guard client.pendingWriteBytes > loop.pendingLimitBytes, let source = link?.connection else { return }
        if !source.isReadingPaused { source.pauseReading() }
        if stalledSince == nil {
            stalledSince = loop.loop.now
            stalledBytes = client.pendingWriteBytes
            arm(within: loop.deadlines.request)
        }
    }

    /// The source took what waited for it.
    func sourceDrained() {
        settleClientReading()
        settleWaiting()
    }

    /// The response is whole. Bytes behind it answer no request: the connection cannot be trusted with another one.
    private func responseEnded(hasMore: Bool) {
        if hasMore {
            machine.end()
            loop.metrics.sourceFailures.increment()
            loop.context.sourceTrouble.warning("bytes from the source behind a response")
        }
        exchangeMayEnd()
    }

    private func responseUnexpected() {
        loop.metrics.sourceFailures.increment()
        loop.context.sourceTrouble.warning("bytes from the source without a request")
        closeBoth()
    }

    /// When request and response are whole, the next request may begin.
    func exchangeMayEnd() {
        if machine.endExchange() { isForwarded = false } else if machine.request != .ended { return }
        isRecorded = false
        if phase == .orphaned { return finish() }
        guard machine.request != .ended, !loop.isDraining else { return closeBoth() }
        if !stash.isEmpty || isClientEnded { takeStash() }
    }

    /// What follows the response belongs to another protocol: it passes both ways unseen.
    private func upgrade(_ bytes: UnsafeRawBufferPointer, count: Int, isGathered: Bool, isLanded: Bool) {
        let all = isGathered ? machine.takeGatheredUpgrade() : [UInt8](bytes)
        if isRecorded, let recorder {
            if isLanded, !isGathered {
                _ = recorder.commit(.write, count: count)
            } else {
                all.withUnsafeBytes { recorder.append(.write, copying: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            }
            recorder.appendException(CaptureMark.upgraded)
            recorder.flush()
        }
        isRecorded = false
        client.writeCopy(all)
        let waiting = stash
        stash = []
        waiting.withUnsafeBytes { if $0.count > 0 { sendToSource($0) } }
        if isClientEnded { link?.endWriting() }
        settleClientReading()
    }

    // MARK: The source's end

    func sourceReadEnded() {
        isSourceEnded = true
        if machine.isTunnel {
            client.shutdownWrite()
            if isClientEnded { closeBoth() }
            return
        }
        if machine.response == .body, machine.sourceEnded() {
            if machine.request != .complete { machine.end() }
            return exchangeMayEnd()
        }
        sourceIsGone(nil)
    }

    func sourceClosed(_ link: SourceLink, error: IOError?) {
        guard link === self.link else { return }
        self.link = nil
        if let error {
            loop.metrics.sourceFailures.increment()
            loop.context.sourceTrouble.warning("connection to the source failed", [.error: .text(error.message)])
        }
        guard phase != .closed else { return }
        if machine.isTunnel {
            if error != nil { client.abort(with: nil) } else { client.close() }
            return
        }
        if !isSourceEnded || machine.request != .ended { sourceIsGone(error) }
    }

    /// The source's side is over. When it has nothing of a request, the next connection to it will do as well: servers
    /// end what is idle, and the client shall not have to notice.
    private func sourceIsGone(_ error: IOError?) {
        guard phase == .open || phase == .orphaned else { return }
        guard isForwarded else {
            link?.giveUp(isAbrupt: false)
            link = nil
            isSourceEnded = false
            return
        }
        if machine.response == .complete { return closeBoth() }
        if machine.hasResponseBegun {
            // The client has seen the beginning: that the rest is missing, the end of the connection tells.
            closeBoth(isAbrupt: error != nil)
        } else if let error, error.code == .timedOut {
            sourceFailed(.gatewayTimeout(error.message))
        } else {
            sourceFailed(.badGateway(error?.message ?? "the source closed the connection without an answer"))
        }
    }

    /// Answers in place of the source when that is still possible.
    func sourceFailed(_ answer: ProxyAnswer) {
        if machine.hasResponseBegun {
            closeBoth(isAbrupt: true)
        } else {
            self.answer(answer, keepsConnection: false)
        }
    }
}
