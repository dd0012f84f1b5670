import CSystem
import EventIO
import Glibc

/// Processor time a request of `EventLoop` and `Connection` against a bare epoll loop that does the same work.
///
/// Both servers and the load run in this process, the load on the calling thread. A server's processor time is the
/// process's less the load's (and, behind a proxy, the backend's), so Dispatch's threads count in full. The two servers
/// take turns, and the medians of the rounds make the ratio.
///
/// Arguments: rounds (default 15), requests a round (default 40000), connections (default 64), message bytes (default:
/// 256, 4096 and 16384 in turn).
func runEventLoopBenchmark(arguments: [String]) {
    let numbers = arguments.compactMap { Int($0) }
    let roundCount = numbers.count > 0 ? numbers[0] : 15
    let requestCount = numbers.count > 1 ? numbers[1] : 40_000
    let connectionCount = numbers.count > 2 ? numbers[2] : 64
    do {
        let backend = RawEpollServer(mode: .echo)
        backend.start()
        let target = SocketAddress.loopback(port: backend.port)
        for (name, mode) in [("echo", RawEpollServer.Mode.echo), ("proxy", .proxy(target))] {
            let raw = RawEpollServer(mode: mode)
            raw.start()
            let swift = try EventLoopServer(mode: mode)
            for messageBytes in [256, 4096, 16_384] where numbers.count < 4 || numbers[3] == messageBytes {
                let load = EchoLoad(connectionCount: connectionCount, messageBytes: messageBytes)
                var rawCosts: [Double] = []
                var swiftCosts: [Double] = []
                for round in 0..<roundCount + 1 {
                    let first = round % 2 == 0
                    for isRaw in [first, !first] {
                        let cost = load.measure(
                            port: isRaw ? raw.port : swift.port, requestCount: requestCount, apart: backend)
                        // The first round warms up.
                        if round == 0 { continue }
                        if isRaw { rawCosts.append(cost) } else { swiftCosts.append(cost) }
                    }
                }
                report("\(name) \(messageBytes) B", rawCosts, swiftCosts)
            }
            swift.loop.stop()
        }
    } catch {
        print("event loop benchmark: \(error)")
    }
}

private func report(_ name: String, _ raw: [Double], _ swift: [Double]) {
    func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    func text(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
    let ratios = zip(raw, swift).map { $1 / $0 }
    print(
        "\(name): raw epoll \(text(median(raw))) us/request, event loop \(text(median(swift))) us/request,",
        "ratio \(text(median(swift) / median(raw))) (median of paired ratios \(text(median(ratios))))")
}

/// A closed-loop client: every connection sends its message again as soon as the echo is complete.
private final class EchoLoad {
    private let connectionCount: Int
    private let messageBytes: Int
    private let message: UnsafeMutableRawPointer
    private let buffer: UnsafeMutableRawPointer

    init(connectionCount: Int, messageBytes: Int) {
        self.connectionCount = connectionCount
        self.messageBytes = messageBytes
        message = .allocate(byteCount: messageBytes, alignment: 64)
        message.initializeMemory(as: UInt8.self, repeating: 0x61, count: messageBytes)
        buffer = .allocate(byteCount: 65_536, alignment: 64)
    }

    deinit {
        message.deallocate()
        buffer.deallocate()
    }

    /// Microseconds of processor time a request, of everything in the process but this thread and `apart`.
    func measure(port: UInt16, requestCount: Int, apart: RawEpollServer) -> Double {
        let epoll = millrace_epoll_create()
        defer { close(epoll) }
        var left = [Int](repeating: 0, count: 65_536)
        let descriptors = (0..<connectionCount).map { _ in connect(port) }
        defer { for descriptor in descriptors { close(descriptor) } }
        for descriptor in descriptors {
            _ = millrace_epoll_add(epoll, descriptor, millrace_epoll_in | millrace_epoll_et, UInt64(descriptor))
            // One exchange before the clock starts: the proxies have connected behind it.
            exchangeOnce(descriptor)
        }
        let others = Self.seconds(CLOCK_PROCESS_CPUTIME_ID) - Self.seconds(CLOCK_THREAD_CPUTIME_ID)
        let apartBefore = apart.threadSeconds
        for descriptor in descriptors {
            left[Int(descriptor)] = messageBytes
            send(descriptor, message, messageBytes, 0)
        }
        var done = 0
        let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: 256)
        defer { events.deallocate() }
        while done < requestCount {
            let count = epoll_wait(epoll, events, 256, 10_000)
            precondition(count > 0, "the server does not answer: errno \(errno)")
            for index in 0..<Int(count) {
                let descriptor = Int32(truncatingIfNeeded: millrace_event_token(events + index))
                done += pump(descriptor, &left)
            }
        }
        let used = Self.seconds(CLOCK_PROCESS_CPUTIME_ID) - Self.seconds(CLOCK_THREAD_CPUTIME_ID) - others
        let cost = (used - (apart.threadSeconds - apartBefore)) * 1e6 / Double(done)
        return cost
    }

    private func pump(_ descriptor: Int32, _ left: inout [Int]) -> Int {
        let got = recv(descriptor, buffer, 65_536, Int32(MSG_DONTWAIT))
        precondition(got > 0 || (got < 0 && errno == EAGAIN), "the server closed: errno \(errno)")
        guard got > 0 else { return 0 }
        left[Int(descriptor)] -= got
        guard left[Int(descriptor)] == 0 else { return 0 }
        left[Int(descriptor)] = messageBytes
        let sent = send(descriptor, message, messageBytes, 0)
        precondition(sent == messageBytes, "a message was cut")
        return 1
    }

    private func exchangeOnce(_ descriptor: Int32) {
        send(descriptor, message, messageBytes, 0)
        var left = messageBytes
        while left > 0 {
            let got = recv(descriptor, buffer, 65_536, 0)
            precondition(got > 0, "no answer: errno \(errno)")
            left -= got
        }
    }

    private func connect(_ port: UInt16) -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { erased in
                let code = Glibc.connect(descriptor, erased, socklen_t(MemoryLayout<sockaddr_in>.size))
                precondition(code == 0, "connect: errno \(errno)")
            }
        }
        _ = millrace_set_option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        return descriptor
    }

    private static func seconds(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
