import CSystem
import Glibc

extension Connection {
    /// Bytes that were given to be written and have not reached the kernel.
    package var pendingWriteBytes: Int { output.byteCount }

    /// Bytes that have reached the kernel, or TLS, since the connection was made. Stays readable after the close.
    package var writtenByteCount: Int { output.consumedByteCount }

    /// Queues slices without copying them. The memory stays valid and unchanged while `owner` lives; the connection
    /// holds `owner` until the last byte is written or the connection is closed. nil: the memory outlives the
    /// connection. Ignored once the connection is closed or closing.
    @inlinable
    package func write(_ slices: some Collection<UnsafeRawBufferPointer>, owner: AnyObject?) {
        for slice in slices { enqueue(slice) }
        finishEnqueueing(owner: owner)
    }

    /// Queues one slice without copying it; see `write(_:owner:)` of several.
    package func write(_ slice: UnsafeRawBufferPointer, owner: AnyObject?) {
        enqueue(slice)
        finishEnqueueing(owner: owner)
    }

    /// Queues a copy of the bytes.
    package func writeCopy(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { writeCopy($0) }
    }

    /// Queues a copy of the bytes.
    package func writeCopy(_ bytes: UnsafeRawBufferPointer) {
        guard acceptsWrites, bytes.count > 0 else { return }
        let copy = CopiedBytes(bytes)
        enqueue(UnsafeRawBufferPointer(copy.bytes))
        finishEnqueueing(owner: copy)
    }

    /// Writes bytes that are only valid during the call, such as received ones: at once as far as the socket takes
    /// them, and the rest as a copy. The cheapest way to pass bytes on; several small pieces are better queued.
    package func writeThrough(_ bytes: UnsafeRawBufferPointer) {
        assertOnLoop()
        guard acceptsWrites, let base = bytes.baseAddress, bytes.count > 0 else { return }
        var written = 0
        if state == .open, output.isEmpty, !isWriteBlocked, !writeWantsRead {
            written = ssl == nil ? sendNow(base, bytes.count) : writeTLSNow(base, bytes.count)
            if written > 0 {
                lastActivity = loop.now
                output.notePassedBy(written)
            }
            if written == bytes.count { return }
        }
        writeCopy(UnsafeRawBufferPointer(rebasing: bytes[written...]))
    }

    @usableFromInline
    func enqueue(_ slice: UnsafeRawBufferPointer) {
        guard acceptsWrites else { return }
        output.append(slice, owner: nil)
    }

    @usableFromInline
    func finishEnqueueing(owner: AnyObject?) {
        assertOnLoop()
        guard acceptsWrites, !output.isEmpty else { return }
        if let owner { output.appendOwner(owner) }
        requestFlush()
    }

    private var acceptsWrites: Bool { !hasEnd && !isClosing && !isWriteEnding && state != .closed }

    func requestFlush() {
        needsFlush = true
        deferWork()
    }

    /// Writes as much as the socket takes, then does what was to follow the last byte.
    func flush() {
        needsFlush = false
        guard state == .open, !isWriteBlocked, !writeWantsRead, !hasEnd else { return }
        if !output.isEmpty {
            let before = output.byteCount
            if ssl == nil { flushPlain() } else { flushTLS() }
            if output.byteCount < before { lastActivity = loop.now }
            guard !hasEnd, output.isEmpty else { return }
            if !isClosing {
                handler?.connectionWritesDrained(self)
                guard !hasEnd, output.isEmpty else { return }
            }
        }
        if isClosing {
            end = .orderly
            deferWork()
        } else if isWriteEnding, !isWriteEnded {
            endWriting()
        }
    }

    private func endWriting() {
        if ssl != nil, !sendCloseNotify() { return }
        isWriteEnded = true
        shutdown(descriptor, Int32(SHUT_WR))
        if isReadEnded {
            end = .orderly
            deferWork()
        }
    }

    /// Writes until the queue is empty or the kernel says EAGAIN. A partial write is followed by another attempt: it
    /// costs one call when the peer is slow anyway, and the edge that EAGAIN promises is certain.
    private func flushPlain() {
        while !output.isEmpty {
            let vectors = output.fill(loop.vectors)
            let written = writev(descriptor, loop.vectors, Int32(vectors.count))
            if written >= 0 {
                output.consume(written)
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN:
                isWriteBlocked = true
                return
            default:
                return failWriting(.system(errno, "write to \(remoteAddress)"))
            }
        }
    }

    /// Sends without queueing; what it returns may be less than `count`.
    private func sendNow(_ base: UnsafeRawPointer, _ count: Int) -> Int {
        while true {
            let written = send(descriptor, base, count, Int32(MSG_NOSIGNAL))
            if written >= 0 { return written }
            switch errno {
            case EINTR: continue
            case EAGAIN: isWriteBlocked = true
            // The rest is queued; the flush meets the error again, outside of the caller's callback.
            default: break
            }
            return 0
        }
    }

    /// The peer takes nothing more, but may have sent an answer before it closed: that is still delivered.
    func failWriting(_ error: IOError) {
        output.removeAll()
        sawHangup = true
        isWriteEnding = true
        readAvailable()
        guard !hasEnd || !isFailed else { return }
        end = .failed(error)
        deferWork()
    }

    private var isFailed: Bool {
        if case .failed? = end { return true }
        return false
    }
}
