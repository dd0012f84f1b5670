import CSystem
import Dispatch
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import EventIO

@Suite struct ConnectionLifeTests {
    private func outcome(
        _ loop: EventLoop, _ address: SocketAddress, timeout: Duration = .seconds(20),
        _ configure: (ScriptedHandler) -> Void = { _ in }
    ) throws -> IOError? {
        let promise = Promise<IOError?>()
        let handler = ScriptedHandler()
        handler.onClosed = { _, error in promise.fulfil(error) }
        configure(handler)
        loop.connect(to: address, timeout: timeout, handler: handler)
        return try promise.wait()
    }

    private func listener(
        _ loop: EventLoop, options: ListenerOptions = ListenerOptions(),
        _ configure: @escaping @Sendable (ScriptedHandler) -> Void
    ) throws -> Listener {
        try Listener(on: loop, address: .loopback(port: 0), options: options) { _ in
            let handler = ScriptedHandler()
            configure(handler)
            return handler
        }
    }

    @Test func refusedConnectNamesThePeer() throws {
        try withLoop { loop throws in
            // Bound, but nobody listens: the port stays taken, so no one else answers.
            let bound = millrace_stream_socket(AF_INET)
            defer { close(bound) }
            let any = SocketAddress.loopback(port: 0)
            #expect(any.withSocketAddress { bind(bound, $0, $1) } == 0)
            let address = try #require(SocketAddress.local(of: bound))
            let error = try outcome(loop, address) { $0.onReady = { _ in Issue.record("connected") } }
            #expect(error?.code == .refused && error?.isRetryable == true)
            #expect(error?.message == "connect to \(address): connection refused")
        }
    }

    @Test func fullBacklogTimesTheConnectOut() throws {
        let silent = millrace_stream_socket(AF_INET)
        var fillers: [Int32] = []
        defer { for descriptor in fillers + [silent] { close(descriptor) } }
        let any = SocketAddress.loopback(port: 0)
        #expect(any.withSocketAddress { bind(silent, $0, $1) } == 0)
        #expect(Glibc.listen(silent, 0) == 0)
        let address = try #require(SocketAddress.local(of: silent))
        for _ in 0..<4 {
            let filler = millrace_stream_socket(AF_INET)
            _ = address.withSocketAddress { Glibc.connect(filler, $0, $1) }
            fillers.append(filler)
        }
        try withLoop { loop throws in
            let error = try outcome(loop, address, timeout: .milliseconds(80))
            #expect(error?.code == .timedOut)
            #expect(error?.message == "connect to \(address): no answer within 80 ms")
        }
    }

    @Test func halfCloseByTheClient() throws {
        try withLoop { loop throws in
            let server = try listener(loop) { handler in
                handler.onReadEnded = { connection in
                    connection.writeCopy([9, 9])
                    connection.shutdownWrite()
                }
            }
            var received: [UInt8] = []
            var hasEnded = false
            let error = try outcome(loop, server.localAddress) { handler in
                handler.onReady = { connection in
                    connection.writeCopy([1])
                    connection.shutdownWrite()
                    connection.shutdownWrite()
                    connection.writeCopy([2])
                }
                handler.onReceived = { _, bytes in received += Array(bytes) }
                handler.onReadEnded = { _ in hasEnded = true }
            }
            #expect(error == nil && hasEnded)
            #expect(received == [9, 9])
        }
    }

    @Test func halfCloseByTheServer() throws {
        try withLoop { loop throws in
            let serverGot = Promise<[UInt8]>()
            let server = try listener(loop) { handler in
                var got: [UInt8] = []
                handler.onReady = { $0.shutdownWrite() }
                handler.onReceived = { _, bytes in got += Array(bytes) }
                handler.onReadEnded = { _ in }
                handler.onClosed = { _, error in
                    #expect(error == nil)
                    serverGot.fulfil(got)
                }
            }
            let error = try outcome(loop, server.localAddress) { handler in
                handler.onReadEnded = { connection in
                    connection.writeCopy([4, 5, 6])
                    connection.close()
                }
            }
            #expect(error == nil)
            #expect(try serverGot.wait() == [4, 5, 6])
        }
    }

    @Test func closeWritesWhatIsQueued() throws {
        let data = [UInt8](repeating: 7, count: 2_000_000)
        try withLoop("server") { serverLoop throws in
            let total = Promise<Int>()
            let server = try listener(serverLoop) { handler in
                var count = 0
                handler.onReceived = { _, bytes in count += bytes.count }
                handler.onClosed = { _, _ in total.fulfil(count) }
            }
            try withLoop("client") { loop throws in
                let owned = OwnedBytes(data)
                let error = try outcome(loop, server.localAddress) { handler in
                    handler.onReady = { connection in
                        connection.write(owned.bytes, owner: owned)
                        connection.close()
                        connection.writeCopy([1, 2, 3])
                    }
                }
                #expect(error == nil)
                #expect(try total.wait() == data.count)
            }
        }
    }

    @Test func resetInTheMiddleOfWritingReleasesTheOwner() throws {
        try withLoop("server") { serverLoop throws in
            let server = try listener(serverLoop) { handler in
                handler.onReceived = { connection, _ in
                    connection.abort(with: IOError(code: .closed, message: "enough"))
                }
                handler.onClosed = { _, error in #expect(error?.message == "enough") }
            }
            try withLoop("client") { loop throws in
                let released = Promise<Bool>()
                let error = try outcome(loop, server.localAddress) { handler in
                    handler.onReady = { connection in
                        let owned = OwnedBytes([UInt8](repeating: 1, count: 20_000_000)) { released.fulfil(true) }
                        connection.write([owned.bytes], owner: owned)
                    }
                }
                #expect(error?.code == .reset && error?.isRetryable == true)
                #expect(error?.message.contains("\(server.localAddress)") == true)
                #expect(try released.wait())
            }
        }
    }

    @Test func anAnswerThatCameBeforeTheResetIsDelivered() throws {
        try withLoop("server") { serverLoop throws in
            // The server answers and closes with most of the request unread, which makes the kernel send a reset.
            let server = try listener(serverLoop) { handler in
                handler.onReceived = { connection, _ in
                    connection.pauseReading()
                    [UInt8](repeating: 4, count: 13).withUnsafeBytes { connection.writeThrough($0) }
                    connection.close()
                }
            }
            try withLoop("client") { loop throws in
                var received: [UInt8] = []
                let error = try outcome(loop, server.localAddress) { handler in
                    handler.onReady = { $0.writeCopy([UInt8](repeating: 1, count: 20_000_000)) }
                    handler.onReceived = { _, bytes in received += Array(bytes) }
                    handler.onReadEnded = { _ in }
                }
                #expect(error?.code == .reset)
                #expect(received.count == 13)
            }
        }
    }

    @Test func closeAndAbortWithinEveryCallback() throws {
        try withLoop { loop throws in
            let server = try loop.echoListener()
            for isAbort in [false, true] {
                let end: (Connection) -> Void = { connection in
                    if isAbort { connection.abort(with: nil) } else { connection.close() }
                    connection.close()
                    connection.writeCopy([1])
                    connection.pauseReading()
                    connection.resumeReading()
                    connection.shutdownWrite()
                }
                #expect(try outcome(loop, server.localAddress) { $0.onReady = end } == nil)
                let error = try outcome(loop, server.localAddress) { handler in
                    handler.onReady = { $0.writeCopy([1, 2]) }
                    handler.onReceived = { connection, _ in end(connection) }
                }
                #expect(error == nil)
                let drained = try outcome(loop, server.localAddress) { handler in
                    handler.onReady = { $0.writeCopy([1, 2]) }
                    handler.onDrained = end
                }
                #expect(drained == nil)
                let ended = try outcome(loop, server.localAddress) { handler in
                    handler.onReady = { $0.shutdownWrite() }
                    handler.onReadEnded = end
                }
                #expect(ended == nil)
            }
            // Before the connect is done.
            let promise = Promise<IOError?>()
            loop.execute {
                let handler = ScriptedHandler()
                handler.onClosed = { _, error in promise.fulfil(error) }
                Connection.connect(on: loop, to: server.localAddress, timeout: .seconds(9), handler: handler).close()
                #expect(!handler.isClosed)
            }
            #expect(try promise.wait() == nil)
        }
    }

    @Test func oneConnectionClosesAnotherInTheSameBatch() throws {
        try withLoop { loop throws in
            let server = try loop.echoListener()
            let count = 20
            let closed = DispatchGroup()
            let everyone = Everyone()
            for _ in 0..<count {
                closed.enter()
                let handler = ScriptedHandler()
                handler.onReady = { connection in
                    everyone.connections.append(connection)
                    guard everyone.connections.count == count else { return }
                    // All answers come in one batch; whoever is first closes the rest, whose events are stale then.
                    for other in everyone.connections { other.writeCopy([1]) }
                }
                handler.onReceived = { _, _ in
                    for other in everyone.connections { other.close() }
                }
                handler.onClosed = { _, error in
                    #expect(error == nil)
                    closed.leave()
                }
                loop.connect(to: server.localAddress, handler: handler)
            }
            #expect(closed.wait(timeout: .now() + 30) == .success)
            loop.execute { everyone.connections = [] }
        }
    }

    // Sound: used on the loop of the test only.
    private final class Everyone: @unchecked Sendable {
        var connections: [Connection] = []
    }

    @Test func thousandConnections() throws {
        try withLoop("server") { serverLoop throws in
            let server = try serverLoop.echoListener()
            try withLoop("client") { loop throws in
                let count = 1000
                let closed = DispatchGroup()
                let good = Atomic<Int>(0)
                for number in 0..<count {
                    closed.enter()
                    let handler = ScriptedHandler()
                    let message = Array("connection \(number)".utf8)
                    var received: [UInt8] = []
                    handler.onReady = { $0.writeCopy(message) }
                    handler.onReceived = { connection, bytes in
                        received += Array(bytes)
                        if received.count == message.count { connection.close() }
                    }
                    handler.onClosed = { _, error in
                        if error == nil, received == message { good.wrappingAdd(1, ordering: .relaxed) }
                        closed.leave()
                    }
                    loop.connect(to: server.localAddress, handler: handler)
                }
                #expect(closed.wait(timeout: .now() + 60) == .success)
                #expect(good.load(ordering: .relaxed) == count)
                #expect(try loop.sync { loop.targetCount } == 0)
                #expect(try loop.sync { loop.bufferPool.takenCount } == 0)
            }
        }
    }

    /// All ends and the other one's bytes are known when the loop comes to look, the ends first.
    @Test func thousandsThatCloseAtOnceDoNotDelayTheOthers() throws {
        try withLoop { loop throws in
            let seen = Mutex<(closed: Int, closedBefore: Int?)>((0, nil))
            let closed = Promise<Void>()
            let heard = Promise<Void>()
            let accepted = Mutex(0)
            let listener = try listener(loop) { handler in
                handler.onReady = { _ in accepted.withLock { $0 += 1 } }
                handler.onReceived = { _, _ in
                    seen.withLock { $0.closedBefore = $0.closed }
                    heard.fulfil(())
                }
                handler.onClosed = { _, _ in
                    let count = seen.withLock { seen -> Int in
                        seen.closed += 1
                        return seen.closed
                    }
                    if count == 600 { closed.fulfil(()) }
                }
            }
            let peers = (0...600).map { _ -> Int32 in
                let peer = millrace_stream_socket(AF_INET)
                _ = listener.localAddress.withSocketAddress { Glibc.connect(peer, $0, $1) }
                return peer
            }
            while accepted.withLock({ $0 }) < peers.count { usleep(1000) }
            let isBlocked = DispatchSemaphore(value: 0)
            let mayGoOn = DispatchSemaphore(value: 0)
            loop.execute {
                isBlocked.signal()
                mayGoOn.wait()
            }
            isBlocked.wait()
            for peer in peers.dropLast() { close(peer) }
            #expect(send(peers[600], "x", 1, Int32(MSG_NOSIGNAL)) == 1)
            mayGoOn.signal()
            try heard.wait()
            try closed.wait()
            close(peers[600])
            // Three polls bring them all; between these only a few end.
            let before = try #require(seen.withLock { $0.closedBefore })
            #expect(before <= 16, "\(before) of 600 ended first")
        }
    }

    @Test func idleConnectionTimesOutAndABusyOneDoesNot() throws {
        try withLoop { loop throws in
            let server = try loop.echoListener()
            let rounds = Atomic<Int>(0)
            let error = try outcome(loop, server.localAddress) { handler in
                handler.onReady = { connection in
                    connection.idleTimeout = .milliseconds(80)
                    connection.writeCopy([1])
                }
                handler.onReceived = { connection, _ in
                    // Ten answers 20 ms apart take longer than the limit.
                    guard rounds.wrappingAdd(1, ordering: .relaxed).newValue < 10 else { return }
                    _ = loop.schedule(after: .milliseconds(20)) { connection.writeCopy([1]) }
                }
            }
            #expect(rounds.load(ordering: .relaxed) == 10)
            #expect(error?.code == .timedOut)
            #expect(error?.message.hasSuffix("idle for 80 ms") == true)
        }
    }

    @Test func handlerSuppliesTheMemoryOfEachRead() throws {
        var generator = SeededGenerator(seed: 3)
        let data = generator.bytes(100_000)
        try withLoop { loop throws in
            let server = try loop.echoListener()
            let target = OwnedBytes([UInt8](repeating: 0, count: data.count + 10))
            var filled = 0
            let error = try outcome(loop, server.localAddress) { handler in
                handler.onReady = { $0.writeCopy(data) }
                handler.readBuffer = { _ in
                    // Three bytes are left out before each read, as for a record's header.
                    UnsafeMutableRawBufferPointer(rebasing: target.memory[filled..<min(filled + 999, data.count + 1)])
                }
                handler.onReceived = { connection, bytes in
                    #expect(bytes.baseAddress == target.memory.baseAddress.map { $0 + filled })
                    filled += bytes.count
                    if filled == data.count { connection.close() }
                }
            }
            #expect(error == nil)
            #expect(Array(target.bytes[..<data.count]) == data)
        }
    }

    @Test func listenerPausesAtItsLimitAndGoesOn() throws {
        try withLoop { loop throws in
            var options = ListenerOptions()
            options.connectionLimit = 2
            let server = try Listener(on: loop, address: .loopback(port: 0), options: options) { _ in
                let handler = ScriptedHandler()
                handler.onReceived = { connection, bytes in connection.writeThrough(UnsafeRawBufferPointer(bytes)) }
                return handler
            }
            let closed = DispatchGroup()
            let answered = Atomic<Int>(0)
            for _ in 0..<10 {
                closed.enter()
                let handler = ScriptedHandler()
                handler.onReady = { $0.writeCopy([1]) }
                handler.onReceived = { connection, _ in
                    #expect(server.connectionCount <= 2)
                    answered.wrappingAdd(1, ordering: .relaxed)
                    connection.close()
                }
                handler.onClosed = { _, _ in closed.leave() }
                loop.connect(to: server.localAddress, handler: handler)
            }
            #expect(closed.wait(timeout: .now() + 30) == .success)
            #expect(answered.load(ordering: .relaxed) == 10)
        }
    }

    @Test func listenerReportsATakenAddressAndSharesAReusedOne() throws {
        try withLoop { loop throws in
            let first = try loop.echoListener()
            let error = #expect(throws: IOError.self) {
                try Listener(on: loop, address: first.localAddress) { _ in ScriptedHandler() }
            }
            #expect(error?.code == .addressInUse)
            #expect(error?.message.contains("\(first.localAddress)") == true)
            var options = ListenerOptions()
            options.isPortReused = true
            let shared = try Listener(on: loop, address: .loopback(port: 0), options: options) { _ in ScriptedHandler()
            }
            let again = try Listener(on: loop, address: shared.localAddress, options: options) { _ in ScriptedHandler()
            }
            #expect(again.localAddress == shared.localAddress)
            shared.close()
            again.close()
            #expect(try loop.sync { loop.targetCount } == 1)
        }
    }

    @Test func failingAcceptsBackOff() throws {
        try withLoop { loop throws in
            let server = try loop.echoListener()
            let failed = Promise<Int>()
            // A listening socket that was shut down is always readable, and every accept fails.
            loop.execute {
                shutdown(server.descriptor, Int32(SHUT_RD))
                _ = loop.schedule(after: .milliseconds(250)) { failed.fulfil(server.failedAcceptCount) }
            }
            let count = try failed.wait()
            #expect((1...4).contains(count), "\(count) accepts in 250 ms")
        }
    }
}
