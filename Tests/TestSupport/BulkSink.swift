import CISAL
import CSystem
import Dispatch
import Glibc
import Synchronization

/// What a sink does beyond answering.
package struct SinkOptions: Sendable {
    /// 127.0.0.1 always; 0 lets the system choose.
    package var port: UInt16 = 0
    package var threadCount = 1
    /// Items answered with an error status.
    package var itemFault: SinkFault?
    /// Whole bulk requests answered with an error status, body unread.
    package var requestFault: SinkFault?
    /// Every answer to a bulk waits this long.
    package var delayMilliseconds = 0
    /// `index TAB id LF` of accepted documents are appended here before the answer goes out.
    package var recordPath: String?
    /// `N TAB STATUS LF` of every request with a member `k=N` in its query is appended here before its answer goes out.
    package var journalPath: String?
    /// The same in memory.
    package var isRecording = false
    package var versionNumber = "2.19.4"
    package var distribution = "opensearch"

    package init() {}
}

/// Counts of a sink, over all its connections.
package struct SinkCounts: Sendable {
    package var documents = 0
    package var rejected = 0
    package var bulkRequests = 0
    package var bulkBodyBytes = 0
    package var otherRequests = 0
    package var connections = 0
    /// Of those, the ones that were read to their end.
    package var closedConnections = 0
    /// CLOCK_MONOTONIC when the first byte of a bulk body arrived; 0 before. Other processes see the same clock.
    package var firstBulkNanoseconds = 0
    package var lastBulkNanoseconds = 0

    package var json: String {
        """
        {"documents":\(documents),"rejected":\(rejected),"bulk_requests":\(bulkRequests),\
        "bulk_body_bytes":\(bulkBodyBytes),"other_requests":\(otherRequests),"connections":\(connections),\
        "first_bulk_ns":\(firstBulkNanoseconds),"last_bulk_ns":\(lastBulkNanoseconds)}
        """
    }
}

/// A stand-in for a target cluster that accepts every bulk at socket speed: plain threads, each with an epoll loop and
/// a listening socket of its own. Not a server to learn from: it trusts its peer and
/// knows HTTP/1.1 with Content-Length or chunks. It also takes orders: `/_sink/outage?kind=503&seconds=60` (see
/// `SinkOutage`), `/_sink/outage?kind=none`, `/_sink/counts`, `/_sink/reset`.
// Sound: what changes is behind the mutexes; everything else is set before the threads start.
package final class BulkSink: @unchecked Sendable {
    package let options: SinkOptions
    package private(set) var port: UInt16 = 0
    let counts = Mutex(SinkCounts())
    let faultSequence = Atomic<Int>(0)
    let requestSequence = Atomic<Int>(0)
    private let records = Mutex<[UInt8]>([])
    private let waiters = Mutex<[(documents: Int, signal: DispatchSemaphore)]>([])
    let outage = Mutex<SinkOutage?>(nil)
    private let recordDescriptor: Int32
    private let journalDescriptor: Int32
    private var threads: [pthread_t] = []
    private var stopEvents: [Int32] = []

    package init(_ options: SinkOptions = SinkOptions()) throws {
        self.options = options
        recordDescriptor = try Self.openToAppend(options.recordPath)
        journalDescriptor = try Self.openToAppend(options.journalPath)
        port = options.port
        for _ in 0..<max(1, options.threadCount) {
            let listener = try Self.listen(port)
            port = Self.localPort(listener)
            let stopEvent = eventfd(0, Int32(EFD_CLOEXEC))
            stopEvents.append(stopEvent)
            start(BulkSinkLoop(self, listener, stopEvent))
        }
    }

    private static func openToAppend(_ path: String?) throws -> Int32 {
        guard let path else { return -1 }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileFailure("open \(path)", errno) }
        return descriptor
    }

    /// Starts an outage, or ends the one there is.
    package func setOutage(_ next: SinkOutage?) { outage.withLock { $0 = next } }

    package var snapshot: SinkCounts { counts.withLock { $0 } }
    package var url: String { "http://127.0.0.1:\(port)" }

    /// `index TAB id` of every accepted document in the order of arrival, repeated ones included.
    package var recordedLines: [String] {
        String(decoding: records.withLock { $0 }, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// Waits until that many documents have been accepted since the last reset; false when `seconds` passed before.
    package func waitForDocuments(_ documents: Int, seconds: Double) -> Bool {
        let signal = DispatchSemaphore(value: 0)
        waiters.withLock { $0.append((documents, signal)) }
        wake()
        return signal.wait(timeout: .now() + seconds) == .success
    }

    func wake() {
        let arrived = counts.withLock { $0.documents }
        waiters.withLock { waiting in
            for waiter in waiting where waiter.documents <= arrived { waiter.signal.signal() }
            waiting.removeAll { $0.documents <= arrived }
        }
    }

    package func reset() {
        counts.withLock { $0 = SinkCounts() }
        records.withLock { $0.removeAll() }
    }

    /// Closes everything and waits for the threads.
    package func stop() {
        for event in stopEvents { eventfd_write(event, 1) }
        for thread in threads { pthread_join(thread, nil) }
        for event in stopEvents { close(event) }
        threads = []
        stopEvents = []
        for descriptor in [recordDescriptor, journalDescriptor] where descriptor >= 0 { close(descriptor) }
    }

    var isJournaling: Bool { journalDescriptor >= 0 }

    func journal(_ number: Substring, status: Int) {
        let line = Array("\(number)\t\(status)\n".utf8)
        line.withUnsafeBytes { try? FileTree.writeAll(journalDescriptor, $0, "journal") }
    }

    func record(_ lines: [UInt8]) {
        if recordDescriptor >= 0 {
            lines.withUnsafeBytes { try? FileTree.writeAll(recordDescriptor, $0, "record") }
        }
        if options.isRecording { records.withLock { $0 += lines } }
    }

    private func start(_ loop: BulkSinkLoop) {
        var thread = pthread_t()
        let retained = Unmanaged.passRetained(loop)
        let code = pthread_create(
            &thread, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<BulkSinkLoop>.fromOpaque(pointer).takeRetainedValue().run()
                return nil
            }, retained.toOpaque())
        precondition(code == 0, "no thread")
        threads.append(thread)
    }

    private static func listen(_ port: UInt16) throws -> Int32 {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = socket(AF_INET, Int32(kind), 0)
        guard descriptor >= 0 else { throw FileFailure("socket", errno) }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, 4)
        var address = loopback(port)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0, Glibc.listen(descriptor, 128) == 0 else {
            throw FileFailure("listen on 127.0.0.1:\(port)", errno)
        }
        return descriptor
    }

    static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func localPort(_ descriptor: Int32) -> UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        return UInt16(bigEndian: address.sin_port)
    }
}

/// One thread of a sink.
// Sound: created on one thread, handed over before the other starts, used by that one alone.
final class BulkSinkLoop: @unchecked Sendable {
    private let sink: BulkSink
    private let listener: Int32
    private let stopEvent: Int32
    private let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 64)
    private var connections: [Int32: BulkSinkConnection] = [:]

    init(_ sink: BulkSink, _ listener: Int32, _ stopEvent: Int32) {
        self.sink = sink
        self.listener = listener
        self.stopEvent = stopEvent
    }

    func run() {
        watch(listener, EPOLLIN.rawValue, isNew: true)
        watch(stopEvent, EPOLLIN.rawValue, isNew: true)
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        loop: while true {
            let count = epoll_wait(epoll, &events, 64, nextDelay())
            if count < 0 && errno != EINTR { break }
            for position in 0..<max(0, Int(count)) {
                let descriptor = events[position].data.fd
                if descriptor == stopEvent { break loop }
                if descriptor == listener { accept() } else { serve(descriptor, events[position].events) }
            }
            answerDelayed()
        }
        for descriptor in connections.keys { close(descriptor) }
        close(listener)
        close(epoll)
        buffer.deallocate()
    }

    private func watch(_ descriptor: Int32, _ interest: UInt32, isNew: Bool) {
        var event = epoll_event()
        event.events = interest
        event.data.fd = descriptor
        epoll_ctl(epoll, isNew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event)
    }

    private func accept() {
        while true {
            let descriptor = Glibc.accept(listener, nil, nil)
            if descriptor < 0 { return }
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            var one: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
            connections[descriptor] = BulkSinkConnection(sink)
            sink.counts.withLock { $0.connections += 1 }
            watch(descriptor, EPOLLIN.rawValue, isNew: true)
        }
    }

    private func serve(_ descriptor: Int32, _ events: UInt32) {
        guard let connection = connections[descriptor] else { return }
        if events & EPOLLIN.rawValue != 0 {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { return drop(descriptor) }
            if count > 0 { connection.receive(UnsafeRawBufferPointer(rebasing: buffer[0..<count])) }
        } else if events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 {
            return drop(descriptor)
        }
        send(descriptor, connection)
    }

    private func send(_ descriptor: Int32, _ connection: BulkSinkConnection) {
        while !connection.output.isEmpty {
            let sent = connection.output.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if sent < 0 && errno == EINTR { continue }
            if sent < 0 && errno != EAGAIN { return drop(descriptor) }
            if sent < 0 { break }
            connection.output.removeFirst(sent)
        }
        if connection.output.isEmpty && connection.isClosing { return drop(descriptor) }
        watch(
            descriptor, connection.output.isEmpty ? EPOLLIN.rawValue : EPOLLIN.rawValue | EPOLLOUT.rawValue,
            isNew: false)
    }

    private func drop(_ descriptor: Int32) {
        connections[descriptor] = nil
        close(descriptor)
        sink.counts.withLock { $0.closedConnections += 1 }
    }

    /// Milliseconds until the next delayed answer is due; -1: none waits.
    private func nextDelay() -> Int32 {
        guard sink.options.delayMilliseconds > 0 else { return -1 }
        guard let due = connections.values.compactMap({ $0.delayed.first?.dueNanoseconds }).min() else { return -1 }
        return Int32(max(0, min(60_000, (due - monotonicNanoseconds() + 999_999) / 1_000_000)))
    }

    private func answerDelayed() {
        guard sink.options.delayMilliseconds > 0 else { return }
        let now = monotonicNanoseconds()
        for (descriptor, connection) in connections {
            while let first = connection.delayed.first, first.dueNanoseconds <= now {
                connection.output += first.bytes
                connection.delayed.removeFirst()
            }
            if !connection.output.isEmpty { send(descriptor, connection) }
        }
    }
}

func monotonicNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
