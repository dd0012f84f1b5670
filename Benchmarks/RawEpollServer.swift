import CSystem
import EventIO
import Glibc

/// The peer of the event-loop benchmark: the least that an edge-triggered epoll server can do, one thread, no timers,
/// no queue, no dispatch between the event and the work. Connections are indices into a table of descriptors.
// Sound: after `start` everything but `stop` is used on the server's own thread.
final class RawEpollServer: @unchecked Sendable {
    enum Mode: Sendable {
        /// Writes back what it reads.
        case echo
        /// Passes bytes on to a connection of its own to the address, and back.
        case proxy(SocketAddress)
    }

    let port: UInt16
    private let mode: Mode
    private let listener: Int32
    private let epoll: Int32
    private var thread = pthread_t()
    /// By descriptor: the descriptor that received bytes are written to.
    private var peers = [Int32](repeating: -1, count: 8192)
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 65_536, alignment: 64)

    init(mode: Mode) {
        self.mode = mode
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { erased in
                let code = bind(descriptor, erased, size)
                precondition(code == 0 && listen(descriptor, 1024) == 0, "listen: errno \(errno)")
                getsockname(descriptor, erased, &size)
            }
        }
        listener = descriptor
        port = UInt16(bigEndian: address.sin_port)
        epoll = millrace_epoll_create()
        _ = millrace_epoll_add(epoll, listener, millrace_epoll_in, UInt64(listener))
    }

    func start() {
        let box = Unmanaged.passRetained(self)
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<RawEpollServer>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, box.toOpaque())
        precondition(code == 0, "pthread_create: \(code)")
    }

    /// Processor time of the server's thread so far.
    var threadSeconds: Double {
        var clock = clockid_t()
        pthread_getcpuclockid(thread, &clock)
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private func run() {
        let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: 256)
        while true {
            let count = epoll_wait(epoll, events, 256, -1)
            for index in 0..<max(Int(count), 0) {
                let descriptor = Int32(truncatingIfNeeded: millrace_event_token(events + index))
                if descriptor == listener {
                    accept()
                } else if millrace_event_mask(events + index) & (millrace_epoll_in | millrace_epoll_rdhup) != 0 {
                    pass(descriptor)
                }
            }
        }
    }

    private func accept() {
        let accepted = millrace_accept(listener, nil, nil)
        guard accepted >= 0 else { return }
        register(accepted)
        switch mode {
        case .echo: peers[Int(accepted)] = accepted
        case .proxy(let target):
            // Blocking is fine here: the benchmark measures what comes after the connects.
            let upstream = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            address.sin_port = target.port.bigEndian
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { erased in
                    let code = connect(upstream, erased, socklen_t(MemoryLayout<sockaddr_in>.size))
                    precondition(code == 0, "connect: errno \(errno)")
                }
            }
            _ = fcntl(upstream, F_SETFL, O_NONBLOCK)
            register(upstream)
            peers[Int(accepted)] = upstream
            peers[Int(upstream)] = accepted
        }
    }

    private func register(_ descriptor: Int32) {
        _ = millrace_set_option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        let mask = millrace_epoll_in | millrace_epoll_out | millrace_epoll_rdhup | millrace_epoll_et
        _ = millrace_epoll_add(epoll, descriptor, mask, UInt64(descriptor))
    }

    private func pass(_ descriptor: Int32) {
        // An event of a descriptor that was closed in this batch: by now it may be another thread's.
        guard peers[Int(descriptor)] >= 0 else { return }
        while true {
            let count = recv(descriptor, buffer, 65_536, 0)
            if count <= 0 {
                if count == 0 || errno != EAGAIN { end(descriptor) }
                return
            }
            // The benchmark's messages fit a socket buffer, so the peer has no queue.
            let sent = send(peers[Int(descriptor)], buffer, count, Int32(MSG_NOSIGNAL))
            if sent != count { return end(descriptor) }
            if count < 65_536 { return }
        }
    }

    private func end(_ descriptor: Int32) {
        let peer = peers[Int(descriptor)]
        peers[Int(descriptor)] = -1
        close(descriptor)
        if peer >= 0, peer != descriptor {
            peers[Int(peer)] = -1
            close(peer)
        }
    }
}
