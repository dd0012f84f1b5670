import Dispatch
import EventIO
import HTTPMessage
import Synchronization
import Testing

@testable import ClusterClient

/// Order, limits, deadlines and ends of `TargetConnections`.
@Suite struct TargetConnectionsBoundsTests {
    private typealias Message = TargetHarness.Message

    // MARK: - Order and limits

    @Test func exchangesAreTakenInTheirOrder() throws {
        try TargetHarness.run {
            $0.connectionLimit = 1
        } script: { peer in
            peer.serve { request in peer.respond(200, request.target) }
        } _: { harness in
            let targets = (0..<50).map { "/\($0)" }
            let outcomes = targets.map { harness.begin(Message(target: $0)) }
            for (target, outcome) in zip(targets, outcomes) { #expect(outcome.wait().text == target) }
            #expect(harness.server.requests.map(\.target) == targets)
            #expect(harness.server.acceptedCount == 1)
        }
    }

    @Test(arguments: [1, 3, 10]) func theLimitHoldsUnderManyExchanges(_ limit: Int) throws {
        try TargetHarness.run {
            $0.connectionLimit = limit
        } script: { peer in
            peer.serve { request in peer.respond(200, request.target) }
        } _: { harness in
            let outcomes = (0..<200).map { harness.begin(Message(target: "/\($0)")) }
            for (number, outcome) in outcomes.enumerated() { #expect(outcome.wait().text == "/\(number)") }
            #expect(harness.server.highestOpenCount <= limit)
            #expect(harness.server.acceptedCount <= limit)
            #expect(harness.onLoop { $0.openCount == $0.idleCount && $0.waitingCount == 0 })
        }
    }

    @Test func theConnectionUsedLastIsUsedNext() throws {
        let bothAreBusy = DispatchSemaphore(value: 0)
        try TargetHarness.run { peer in
            peer.serve { request in
                if request.target == "/wait" { bothAreBusy.wait() }
                peer.respond(200, "\(peer.number)")
            }
        } _: { harness in
            let waits = harness.begin(Message(target: "/wait"))
            let quick = harness.get().text
            for _ in 0..<5 { #expect(harness.get().text == quick) }
            bothAreBusy.signal()
            let last = waits.wait().text
            #expect(last != quick)
            for _ in 0..<5 { #expect(harness.get().text == last) }
            #expect(harness.onLoop { $0.idleCount } == 2)
        }
    }

    @Test func tooManyWaitingExchangesAreRefused() throws {
        let mayAnswer = DispatchSemaphore(value: 0)
        try TargetHarness.run {
            $0.connectionLimit = 1
            $0.waitingLimit = 3
        } script: { peer in
            peer.serve { _ in
                mayAnswer.wait()
                mayAnswer.signal()
                peer.respond()
            }
        } _: { harness in
            let outcomes = (0..<10).map { _ in harness.begin(Message()) }
            for outcome in outcomes[4...] {
                let error = outcome.wait().error
                #expect(error?.code == .queueFull)
                #expect(error?.disposition == .retry)
                #expect(error?.isNotSent == true)
            }
            #expect(harness.onLoop { $0.waitingCount } >= 3)
            mayAnswer.signal()
            for outcome in outcomes[..<4] { #expect(outcome.wait().status == 200) }
            #expect(harness.server.requests.count == 4)
        }
    }

    @Test func aCompletionMaySendTheNextRequest() throws {
        try TargetHarness.run { peer in
            peer.serve { _ in peer.respond() }
        } _: { harness in
            let done = DispatchSemaphore(value: 0)
            @Sendable func step(_ left: Int) {
                harness.connections.send(Message(target: "/\(left)").request()) { _ in
                    if left == 0 { done.signal() } else { step(left - 1) }
                }
            }
            harness.loop.execute { step(500) }
            #expect(done.wait(timeout: .now() + 20) == .success)
            #expect(harness.server.acceptedCount == 1)
        }
    }

    @Test func theOwnerOfABodyIsKeptUntilItIsWritten() throws {
        try TargetHarness.run { peer in
            peer.serve { request in peer.respond(200, "\(request.body.count)") }
        } _: { harness in
            let outcome = TargetHarness.Outcome()
            let isGone = harness.onLoop { connections in
                var request = Message(method: "PUT", body: [UInt8](repeating: 7, count: 5 << 20)).request()
                weak let owner = request.owner
                connections.send(request) { outcome.set($0) }
                request = RawRequest(method: .get, head: [])
                return owner == nil
            }
            #expect(!isGone)
            #expect(outcome.wait().text == "\(5 << 20)")
        }
    }

    // MARK: - Connecting

    @Test func aRefusedConnectionFailsOneExchangeAtATime() throws {
        let refusing = RefusingPort()
        try TargetHarness.run {
            $0.url = try ClusterURL("http://127.0.0.1:\(refusing.port)")
            $0.connectionLimit = 2
        } script: { _ in
        } _: { harness in
            let outcomes = (0..<10).map { _ in harness.begin(Message()) }
            for outcome in outcomes {
                let error = outcome.wait().error
                #expect(error?.code == .connectionRefused)
                #expect(error?.disposition == .retry)
                #expect(error?.isNotSent == true)
                #expect(error?.progress == nil)
            }
            #expect(harness.onLoop { $0.openCount } == 0)
        }
    }

    @Test func theNextAddressIsTriedAndNamesAreLookedUpOnce() throws {
        let refusing = RefusingPort()
        let openPort = Mutex<UInt16>(0)
        let lookUps = Atomic<Int>(0)
        try TargetHarness.run {
            openPort.withLock { [port = $0.url.port] in $0 = UInt16(port) }
            $0.url = try ClusterURL("http://cluster.test")
        } resolve: { (host, port) throws(IOError) in
            lookUps.wrappingAdd(1, ordering: .relaxed)
            guard host == "cluster.test", port == 80 else {
                throw IOError(code: .resolveFailed, message: "asked for \(host):\(port)")
            }
            return [.loopback(port: refusing.port), .loopback(port: openPort.withLock { $0 })]
        } script: { peer in
            peer.serve { _ in peer.respond(200, "{}", fields: "Connection: close\r\n") }
        } _: { harness in
            for _ in 0..<4 { #expect(harness.get().status == 200) }
            #expect(lookUps.load(ordering: .relaxed) == 1)
        }
    }

    @Test func aNameThatIsUnknown() throws {
        try TargetHarness.run {
            $0.url = try ClusterURL("http://cluster.test:9200")
        } resolve: { (host, _) throws(IOError) in
            throw IOError(code: .resolveFailed, message: "resolve \(host): name or service not known")
        } script: { _ in
        } _: { harness in
            for _ in 0..<2 {
                let error = harness.get().error
                #expect(error?.code == .resolveFailed)
                #expect(error?.disposition == .retry)
                #expect(error?.isNotSent == true)
            }
        }
    }

    @Test func aNameServiceThatDoesNotAnswer() throws {
        let mayAnswer = DispatchSemaphore(value: 0)
        try TargetHarness.run {
            $0.url = try ClusterURL("http://cluster.test:9200")
            $0.connectTimeout = .milliseconds(50)
        } resolve: { (host, _) throws(IOError) in
            mayAnswer.wait()
            mayAnswer.signal()
            throw IOError(code: .resolveFailed, message: "resolve \(host): too late")
        } script: { _ in
        } _: { harness in
            let outcomes = (0..<3).map { _ in harness.begin(Message()) }
            for outcome in outcomes {
                let error = outcome.wait().error
                #expect(error?.code == .resolveFailed)
                #expect(error?.message.contains("no answer within") == true)
            }
            mayAnswer.signal()
        }
    }

    @Test func aTLSHandshakeThatIsNotAnswered() throws {
        try TargetHarness.run {
            $0.url = try ClusterURL("https://localhost:\($0.url.port)")
            $0.tls.isInsecure = true
            $0.connectTimeout = .milliseconds(50)
        } script: { peer in
            while peer.fill() {}
        } _: { harness in
            let error = harness.get().error
            #expect(error?.code == .connectTimedOut)
            #expect(error?.disposition == .retry)
            #expect(error?.isNotSent == true)
            #expect(error?.message.contains("does that port speak TLS") == true)
        }
    }

    // MARK: - Deadlines of an exchange

    @Test func aClusterThatTakesNothingMore() throws {
        var timeouts = ExchangeTimeouts()
        timeouts.write = .milliseconds(100)
        let mayEnd = DispatchSemaphore(value: 0)
        try TargetHarness.run(timeouts: timeouts) { peer in
            _ = peer.readHead()
            mayEnd.wait()
        } _: { harness in
            let body = [UInt8](repeating: 0x61, count: 64 << 20)
            let error = harness.send(Message(method: "POST", target: "/_bulk", body: body)).error
            #expect(error?.code == .responseTimedOut)
            #expect(error?.message.contains("it took nothing more of POST /_bulk for 100 ms") == true)
            let progress = try #require(error?.progress)
            #expect(progress.sentByteCount > 0 && !progress.isSentWhole && !progress.hasResponseBegun)
            mayEnd.signal()
        }
    }

    @Test func noAnswerWithinItsTime() throws {
        var timeouts = ExchangeTimeouts()
        timeouts.firstByte = .milliseconds(50)
        try TargetHarness.run(timeouts: timeouts) { peer in
            _ = peer.readRequest()
            _ = peer.fill()
        } _: { harness in
            for round in 1...3 {
                let error = harness.get("/a?b").error
                #expect(error?.code == .responseTimedOut)
                #expect(error?.disposition == .retry)
                #expect(error?.message.contains("no answer to GET /a within 50 ms") == true)
                #expect(error?.progress?.isSentWhole == true)
                #expect(error?.isNotSent == false)
                #expect(harness.server.acceptedCount == round)
            }
        }
    }

    @Test(arguments: ["HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n12"])
    func anAnswerThatStops(_ wire: String) throws {
        var timeouts = ExchangeTimeouts()
        timeouts.responseIdle = .milliseconds(50)
        try TargetHarness.run(timeouts: timeouts) { peer in
            _ = peer.readRequest()
            peer.send(wire)
            _ = peer.fill()
        } _: { harness in
            let error = harness.get().error
            #expect(error?.code == .responseTimedOut)
            #expect(error?.message.contains("the answer to GET / stopped for 50 ms") == true)
            #expect(error?.progress?.hasResponseBegun == true)
        }
    }

    @Test func anAnswerWithoutEnd() throws {
        var timeouts = ExchangeTimeouts()
        timeouts.whole = .milliseconds(100)
        try TargetHarness.run(
            change: { $0.responseBytesLimit = 1000 }, timeouts: timeouts,
            script: { peer in
                _ = peer.readRequest()
                peer.send("HTTP/1.1 200 OK\r\n\r\n")
                while peer.send("and on and on") {}
            },
            { harness in
                let error = harness.get().error
                #expect(error?.code == .responseTimedOut)
                #expect(error?.message.contains("no complete answer to GET / within 100 ms") == true)
            })
    }

    @Test func aDeadlineOfOneExchangeIsNotThatOfTheNext() throws {
        var timeouts = ExchangeTimeouts()
        timeouts.firstByte = .milliseconds(200)
        try TargetHarness.run(timeouts: timeouts) { peer in
            peer.serve { _ in peer.respond() }
        } _: { harness in
            let start = MonotonicInstant.now()
            var count = 0
            while MonotonicInstant.now() - start < .milliseconds(500) {
                #expect(harness.get().status == 200)
                count += 1
            }
            #expect(count > 3)
            #expect(harness.server.acceptedCount == 1)
        }
    }

    // MARK: - Cancelling and shutting down

    @Test func aCancelledExchangeClosesItsConnection() throws {
        let isAsked = DispatchSemaphore(value: 0)
        try TargetHarness.run {
            $0.connectionLimit = 1
        } script: { peer in
            peer.serve { request in
                if request.target == "/hang" { isAsked.signal() } else { peer.respond(200, request.target) }
            }
        } _: { harness in
            let outcomes = (0..<4).map { _ in TargetHarness.Outcome() }
            let exchanges = Mutex<[Handle]>([])
            harness.onLoop { connections in
                for (number, target) in ["/hang", "/waits", "/given-up", "/last"].enumerated() {
                    let exchange = connections.send(Message(target: target).request()) { outcomes[number].set($0) }
                    exchanges.withLock { $0.append(Handle(exchange)) }
                }
            }
            isAsked.wait()
            let handles = exchanges.withLock { $0 }
            harness.onLoop { connections in
                for index in [2, 0] {
                    handles[index].exchange.cancel()
                    #expect(outcomes[index].isKnown)
                }
                #expect(connections.waitingCount == 2)
            }
            #expect(outcomes[2].wait().error?.code == .cancelled)
            #expect(outcomes[2].wait().error?.progress == nil)
            let error = outcomes[0].wait().error
            #expect(error?.code == .cancelled)
            #expect(error?.progress?.isSentWhole == true)
            #expect(outcomes[1].wait().text == "/waits")
            #expect(outcomes[3].wait().text == "/last")
            #expect(harness.server.acceptedCount == 2)
            // After its end it does nothing.
            harness.onLoop { _ in for handle in handles { handle.exchange.cancel() } }
        }
    }

    @Test func allAreCancelledAtOnce() throws {
        let isAsked = DispatchSemaphore(value: 0)
        try TargetHarness.run {
            $0.connectionLimit = 2
        } script: { peer in
            peer.serve { request in
                if request.target == "/hang" { isAsked.signal() } else { peer.respond() }
            }
        } _: { harness in
            let outcomes = (0..<20).map { _ in harness.begin(Message(target: "/hang")) }
            isAsked.wait()
            isAsked.wait()
            harness.onLoop { $0.cancelAll() }
            for outcome in outcomes { #expect(outcome.wait().error?.code == .cancelled) }
            #expect(harness.get().status == 200)
        }
    }

    @Test func shutdownLetsRunningExchangesFinish() throws {
        let isAsked = DispatchSemaphore(value: 0)
        let mayAnswer = DispatchSemaphore(value: 0)
        try TargetHarness.run {
            $0.connectionLimit = 1
        } script: { peer in
            peer.serve { _ in
                isAsked.signal()
                mayAnswer.wait()
                peer.respond(200, "done")
            }
        } _: { harness in
            let running = harness.begin(Message())
            let waits = harness.begin(Message())
            isAsked.wait()
            let isClosed = DispatchSemaphore(value: 0)
            harness.onLoop { $0.shutdown { isClosed.signal() } }
            #expect(waits.wait().error?.code == .shutDown)
            #expect(harness.get().error?.code == .shutDown)
            #expect(isClosed.wait(timeout: .now()) == .timedOut)
            mayAnswer.signal()
            #expect(running.wait().text == "done")
            #expect(isClosed.wait(timeout: .now() + 5) == .success)
            #expect(harness.onLoop { $0.openCount } == 0)
        }
    }

    @Test func shutdownWhileConnecting() throws {
        let lookUpMayEnd = DispatchSemaphore(value: 0)
        try TargetHarness.run {
            $0.url = try ClusterURL("http://cluster.test:9200")
        } resolve: { (_, _) throws(IOError) in
            lookUpMayEnd.wait()
            return [.loopback(port: 1)]
        } script: { _ in
        } _: { harness in
            let outcome = harness.begin(Message())
            let isClosed = DispatchSemaphore(value: 0)
            harness.onLoop { $0.shutdown { isClosed.signal() } }
            #expect(isClosed.wait(timeout: .now() + 5) == .success)
            #expect(outcome.wait().error?.code == .shutDown)
            lookUpMayEnd.signal()
        }
    }

    /// Carries an exchange out of the loop and back.
    // Sound: the exchange is used on the loop only.
    private struct Handle: @unchecked Sendable {
        let exchange: TargetExchange
        init(_ exchange: TargetExchange) { self.exchange = exchange }
    }
}
