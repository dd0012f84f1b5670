import Dispatch
import EventIO
import Glibc
import Synchronization
import Testing

@Suite struct EventLoopTests {
    @Test func timersFireInOrderAndNeverEarly() throws {
        try withLoop { loop throws in
            let promise = Promise<[Int]>()
            loop.execute {
                var fired: [Int] = []
                let start = loop.now
                for (number, milliseconds) in [30, 10, 20, 10, 0, 65, 64, 63].enumerated() {
                    _ = loop.schedule(after: .milliseconds(milliseconds)) {
                        #expect(loop.isCurrent)
                        #expect(loop.now - start >= .milliseconds(milliseconds))
                        fired.append(number)
                        if fired.count == 8 { promise.fulfil(fired) }
                    }
                }
                #expect(fired.isEmpty)
            }
            #expect(try promise.wait() == [4, 1, 3, 2, 0, 7, 6, 5])
        }
    }

    @Test func cancelledTimersDoNotFire() throws {
        try withLoop { loop throws in
            let promise = Promise<Int>()
            loop.execute {
                var fired = 0
                var tokens: [TimerToken] = []
                for _ in 0..<10_000 { tokens.append(loop.schedule(after: .milliseconds(5)) { fired += 1 }) }
                for token in tokens[1...] { loop.cancel(token) }
                // A timer may cancel another one that is due at the same moment.
                let victim = TokenBox()
                _ = loop.schedule(after: .milliseconds(6)) { loop.cancel(victim.token) }
                victim.token = loop.schedule(after: .milliseconds(6)) { fired += 1000 }
                _ = loop.schedule(after: .milliseconds(30)) { promise.fulfil(fired) }
            }
            #expect(try promise.wait() == 1)
        }
    }

    private final class TokenBox {
        var token = TimerToken.none
    }

    @Test func aTimerThatRearmsItselfLeavesTheLoopAlive() throws {
        try withLoop { loop throws in
            let promise = Promise<Int>()
            loop.execute { Self.rearm(loop, 0, promise) }
            #expect(try promise.wait() == 20)
            #expect(try loop.sync { 5 } == 5)
        }
    }

    private static func rearm(_ loop: EventLoop, _ count: Int, _ promise: Promise<Int>) {
        if count == 20 { return promise.fulfil(count) }
        _ = loop.schedule(after: .zero) { rearm(loop, count + 1, promise) }
    }

    @Test func anIdleLoopWakesForALateTimer() throws {
        try withLoop { loop throws in
            let promise = Promise<Duration>()
            loop.execute {
                let start = loop.now
                _ = loop.schedule(after: .seconds(100)) {}
                _ = loop.schedule(after: .milliseconds(150)) { promise.fulfil(loop.now - start) }
            }
            let passed = try promise.wait()
            #expect(passed >= .milliseconds(150) && passed < .seconds(10))
        }
    }

    @Test func inboxKeepsEveryThreadsOrder() throws {
        try withLoop { loop throws in
            let threadCount = 4
            let perThread = 5_000
            let seen = Mutex([[Int]](repeating: [], count: threadCount))
            let group = DispatchGroup()
            DispatchQueue.concurrentPerform(iterations: threadCount) { thread in
                for number in 0..<perThread {
                    group.enter()
                    let isAccepted = loop.execute {
                        if !loop.isCurrent { Issue.record("work ran off the loop") }
                        seen.withLock { $0[thread].append(number) }
                        group.leave()
                    }
                    if !isAccepted { Issue.record("work was refused") }
                }
            }
            #expect(group.wait(timeout: .now() + 30) == .success)
            #expect(seen.withLock { $0 } == [[Int]](repeating: Array(0..<perThread), count: threadCount))
            #expect(!loop.isCurrent)
        }
    }

    @Test func stopRunsWhatWasHandedOverAndRefusesTheRest() throws {
        let loop = try EventLoop(label: "stop")
        let ran = Atomic<Int>(0)
        for _ in 0..<100 { loop.execute { ran.wrappingAdd(1, ordering: .relaxed) } }
        loop.start()
        loop.stop()
        #expect(ran.load(ordering: .relaxed) == 100)
        #expect(!loop.execute { ran.wrappingAdd(1, ordering: .relaxed) })
        loop.stop()
        #expect(ran.load(ordering: .relaxed) == 100)
    }

    @Test func stopFromTheLoopAndWithoutStart() throws {
        let loop = try EventLoop(label: "inner")
        loop.start()
        loop.execute { loop.stop() }
        loop.stop()
        #expect(!loop.execute {})
        let idle = try EventLoop(label: "never started")
        idle.stop()
        #expect(!idle.execute {})
    }

    @Test func stopClosesOpenConnectionsOnce() throws {
        let closed = Mutex<[IOError?]>([])
        let opened = Atomic<Int>(0)
        let isUp = DispatchSemaphore(value: 0)
        try withLoop("server") { server throws in
            let listener = try server.echoListener()
            let client = try EventLoop(label: "client")
            client.start()
            for _ in 0..<50 {
                let handler = ScriptedHandler()
                handler.onReady = { connection in
                    connection.writeCopy([1, 2, 3])
                    if opened.wrappingAdd(1, ordering: .relaxed).newValue == 50 { isUp.signal() }
                }
                handler.onClosed = { connection, error in
                    #expect(!connection.isOpen)
                    closed.withLock { $0.append(error) }
                }
                client.connect(to: listener.localAddress, handler: handler)
            }
            #expect(isUp.wait(timeout: .now() + 30) == .success)
            client.stop()
            let errors = closed.withLock { $0 }
            #expect(errors.count == 50)
            #expect(errors.allSatisfy { $0?.code == .closed })
        }
    }

    @Test func aHandlerThatReconnectsWhenTheLoopStopsIsRefused() throws {
        try withLoop("server") { server in
            let listener = try server.echoListener()
            let address = listener.localAddress
            let client = try EventLoop(label: "client")
            client.start()
            let isUp = Promise<Bool>()
            let refusal = Promise<IOError?>()
            let again = ScriptedHandler()
            again.onReady = { _ in Issue.record("connected on a loop that stops") }
            again.onClosed = { _, error in refusal.fulfil(error) }
            let handler = ScriptedHandler()
            handler.onReady = { _ in isUp.fulfil(true) }
            handler.onClosed = { _, _ in
                Connection.connect(on: client, to: address, timeout: .seconds(9), handler: again)
            }
            client.connect(to: address, handler: handler)
            #expect(try isUp.wait())
            client.stop()
            #expect(try refusal.wait()?.code == .closed)
        }
    }

    @Test func groupHandsOutItsLoopsInTurn() throws {
        let group = try EventLoopGroup(count: 3)
        defer { group.stop() }
        let order = (0..<6).map { _ in group.next().label }
        #expect(order == ["loop.0", "loop.1", "loop.2", "loop.0", "loop.1", "loop.2"])
    }

    @Test func signalWatchReportsTheSecondSignalToo() throws {
        let first = Promise<Int>()
        let second = Promise<Int>()
        // SIGUSR2 stands for SIGTERM, which would end the test run if the watch failed.
        let watch = SignalWatch(signals: [SIGUSR2]) { number, count in
            #expect(number == SIGUSR2)
            (count == 1 ? first : second).fulfil(count)
        }
        defer { watch.cancel() }
        kill(getpid(), SIGUSR2)
        #expect(try first.wait() == 1)
        kill(getpid(), SIGUSR2)
        #expect(try second.wait() == 2)
    }
}
