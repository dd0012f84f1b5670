import CSystem
import Glibc

/// What a read left behind.
enum ReadStatus {
    /// There may be more.
    case more
    /// Nothing is left; an event announces more.
    case drained
    /// The peer's stream has ended.
    case ended
    /// See the error that comes with it.
    case failed
}

extension Connection {
    /// Stops calling `connection(_:received:)`. Bytes wait in the kernel, so the peer is slowed down.
    package func pauseReading() {
        assertOnLoop()
        isReadPaused = true
    }

    /// Goes on reading. What has come meanwhile makes no new event, so it is read as soon as the current callback has
    /// returned.
    package func resumeReading() {
        assertOnLoop()
        guard isReadPaused else { return }
        isReadPaused = false
        needsRead = true
        deferWork()
    }

    package var isReadingPaused: Bool { isReadPaused }

    private var mayRead: Bool {
        state == .open && !isReadPaused && !isReadEnded && !isClosing && !hasEnd
    }

    /// Reads until the socket is empty, the handler pauses or closes, or the connection has had its share of the turn.
    func readAvailable() {
        needsRead = false
        guard mayRead, let handler else { return }
        let pooled = loop.bufferPool.take()
        defer { loop.bufferPool.give(pooled) }
        var bytesLeft = Self.readTurnBytes
        while true {
            let buffer = handler.connectionReadBuffer(self) ?? pooled
            guard let base = buffer.baseAddress, buffer.count > 0 else {
                preconditionFailure("the handler supplied an empty read buffer")
            }
            var error: IOError?
            let (count, status) =
                ssl == nil ? readPlain(base, buffer.count, &error) : readTLS(base, buffer.count, &error)
            if count > 0 {
                lastActivity = loop.now
                handler.connection(self, received: UnsafeMutableRawBufferPointer(start: base, count: count))
                guard !hasEnd, !isClosing else { return }
            }
            switch status {
            case .more:
                guard !isReadPaused else { return }
                bytesLeft -= max(count, 1)
                if bytesLeft <= 0 { return postponeReading() }
            case .drained:
                return
            case .ended:
                return readEnded()
            case .failed:
                return fail(error ?? IOError(code: .reset, message: "connection with \(remoteAddress): read failed"))
            }
        }
    }

    private func readEnded() {
        isReadEnded = true
        if isWriteEnded {
            end = .orderly
            deferWork()
        }
        handler?.connectionReadEnded(self)
    }

    private func postponeReading() {
        guard !isPostponed else { return }
        isPostponed = true
        loop.postpone(self)
    }

    /// Called by the loop one round after `postponeReading`.
    func continueReading() {
        isPostponed = false
        readAvailable()
    }

    private func readPlain(
        _ base: UnsafeMutableRawPointer, _ capacity: Int, _ error: inout IOError?
    ) -> (count: Int, status: ReadStatus) {
        while true {
            let count = recv(descriptor, base, capacity, 0)
            if count > 0 {
                // A short read has emptied the socket, which saves the read that would say EAGAIN; the end of the
                // stream makes an event of its own, unless this event already announced it.
                return (count, count == capacity || sawHangup ? .more : .drained)
            }
            if count == 0 { return (0, .ended) }
            switch errno {
            case EAGAIN: return (0, .drained)
            case EINTR: continue
            default:
                error = .system(errno, "read from \(remoteAddress)")
                return (0, .failed)
            }
        }
    }
}
