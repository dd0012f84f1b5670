import Dispatch
import Glibc

/// One connection of the admin server: reads a head, writes an answer, closes. Confined to the server's queue.
///
/// After the answer the write side is shut and what still arrives is read and thrown away until the peer closes:
/// closing with unread bytes would send a reset, which may take the answer away from the peer.
// Sound: every member is used only on the queue that the sources were made with.
final class AdminConnection: @unchecked Sendable {
    private enum Phase {
        case readingHead
        case writing
        case draining
        case ended
    }

    private let descriptor: Int32
    private let answer: (AdminRequest) -> [UInt8]
    private let ended: () -> Void
    private let readSource: any DispatchSourceRead
    private let writeSource: any DispatchSourceWrite
    private let timer: any DispatchSourceTimer
    private var isWriteSourceActive = false
    private var phase = Phase.readingHead
    private var head: [UInt8] = []
    private var response: [UInt8] = []
    private var writtenCount = 0
    private var drainedBytes = 0

    /// More than this after the answer is not listened to.
    private static let drainLimitBytes = 1 << 16

    /// Owns `descriptor`, which is non-blocking. `ended` is called once, unless `end` is.
    init(
        descriptor: Int32, queue: DispatchQueue, timeout: Duration, answer: @escaping (AdminRequest) -> [UInt8],
        ended: @escaping () -> Void
    ) {
        self.descriptor = descriptor
        self.answer = answer
        self.ended = ended
        readSource = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        writeSource = DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
        timer = DispatchSource.makeTimerSource(queue: queue)
        let (seconds, attoseconds) = timeout.components
        timer.schedule(deadline: .now() + .nanoseconds(Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)))
        timer.setEventHandler { [weak self] in self?.timeIsOver() }
        readSource.setEventHandler { [weak self] in self?.readable() }
        writeSource.setEventHandler { [weak self] in self?.writable() }
        // The descriptor may be closed only when neither source watches it any more.
        let sources = DispatchGroup()
        sources.enter()
        sources.enter()
        readSource.setCancelHandler { sources.leave() }
        writeSource.setCancelHandler { sources.leave() }
        sources.notify(queue: queue) { close(descriptor) }
        timer.activate()
        readSource.activate()
    }

    /// Closes the connection without calling `ended`. May be called twice.
    func end() {
        guard phase != .ended else { return }
        phase = .ended
        timer.cancel()
        readSource.cancel()
        writeSource.cancel()
        // A cancelled source must have been activated before it is released.
        if !isWriteSourceActive { writeSource.activate() }
    }

    private func finish() {
        guard phase != .ended else { return }
        end()
        ended()
    }

    private func timeIsOver() {
        if phase == .readingHead, !head.isEmpty {
            respond(with: AdminRequest.refused(status: 408).refusal)
        }
        finish()
    }

    private func readable() {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { page in
            while phase != .ended {
                let count = read(descriptor, page.baseAddress, page.count)
                if count < 0, errno == EINTR { continue }
                if count < 0, errno == EAGAIN { return }
                // At the end of the input a whole answer may still be under way: half-closing clients wait for it.
                guard count > 0 else {
                    if phase == .writing, count == 0 { readSource.cancel() } else { finish() }
                    return
                }
                received(UnsafeRawBufferPointer(rebasing: page[..<count]))
            }
        }
    }

    private func received(_ bytes: UnsafeRawBufferPointer) {
        guard phase == .readingHead else {
            drainedBytes += bytes.count
            if drainedBytes > Self.drainLimitBytes { finish() }
            return
        }
        head += bytes
        let request = AdminRequest.parse(head)
        if request != .incomplete { respond(with: answer(request)) }
    }

    private func respond(with bytes: [UInt8]) {
        phase = .writing
        response = bytes
        writable()
    }

    private func writable() {
        guard phase == .writing else { return }
        while writtenCount < response.count {
            let count = response.withUnsafeBytes { bytes in
                // MSG_NOSIGNAL: a peer that is gone is no reason for SIGPIPE.
                send(
                    descriptor, bytes.baseAddress.unsafelyUnwrapped + writtenCount, bytes.count - writtenCount,
                    Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                writtenCount += count
            } else if errno == EAGAIN {
                if !isWriteSourceActive {
                    isWriteSourceActive = true
                    writeSource.activate()
                }
                return
            } else if errno != EINTR {
                finish()
                return
            }
        }
        phase = .draining
        shutdown(descriptor, Int32(SHUT_WR))
        if isWriteSourceActive { writeSource.cancel() }
        if readSource.isCancelled { finish() }
    }
}
