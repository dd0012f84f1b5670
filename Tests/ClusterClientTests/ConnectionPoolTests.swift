import Dispatch
import EventIO
import Synchronization
import Testing

@testable import ClusterClient

@Suite struct ConnectionPoolTests {
    // MARK: - Kept connections that turn out to be closed

    /// What a server does with the second request on its first connection.
    enum Break: CaseIterable, Sendable {
        case endsInOrder, resets, endsAfterHalfAHead, resetsAfterHalfABody
    }

    /// The first connection answers one request and breaks on the second; later connections behave.
    private static func breaking(_ how: Break, _ peer: ScriptedServer.Peer) {
        guard peer.number == 1 else { return peer.serve { _ in peer.respond(200, "second") } }
        guard peer.readRequest() != nil else { return }
        peer.respond(200, "first")
        guard peer.readRequest() != nil else { return }
        switch how {
        case .endsInOrder: break
        case .resets: peer.resetOnReturn()
        case .endsAfterHalfAHead: peer.send("HTTP/1.1 200 OK\r\nConte")
        case .resetsAfterHalfABody:
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
            peer.resetOnReturn()
        }
    }

    @Test(arguments: Break.allCases) func aKeptConnectionBreaks(_ how: Break) throws {
        let isBeforeFirstByte = how == .endsInOrder || how == .resets
        let bulk = ClusterRequest("POST", "/_bulk", body: ClusterRequestBody(text: "{}\n"))
        var repeatable = bulk
        repeatable.isRepeatable = true
        for (request, isResent) in [
            (ClusterRequest("GET", "/"), true), (ClusterRequest("PUT", "/index"), true), (bulk, false),
            (repeatable, true),
        ] {
            try Harness.run { peer in
                Self.breaking(how, peer)
            } _: { harness in
                #expect(harness.send(request).text == "first")
                let result = harness.send(request)
                if isResent, isBeforeFirstByte {
                    #expect(result.text == "second")
                    #expect(harness.server.acceptedCount == 2)
                } else {
                    #expect(result.error?.code == .connectionLost)
                    #expect(result.error?.disposition == .retry)
                    #expect(result.error?.isNotSent == false)
                    #expect(harness.server.acceptedCount == 1)
                }
                #expect(harness.send(request).text == "second")
            }
        }
    }

    @Test func aFreshConnectionThatBreaksIsNotTriedAgain() throws {
        try Harness.run { peer in
            _ = peer.readRequest()
        } _: { harness in
            let error = harness.get().error
            #expect(error?.code == .connectionLost)
            #expect(error?.message.contains("https://") == true)
            #expect(harness.server.acceptedCount == 1)
        }
    }

    @Test func aRequestIsSentAgainOnlyOnce() throws {
        try Harness.run { peer in
            // Every connection but the first breaks at once.
            if peer.number == 1, peer.readRequest() != nil { peer.respond() }
            _ = peer.readRequest()
        } _: { harness in
            #expect(harness.get().status == 200)
            #expect(harness.get().error?.code == .connectionLost)
            #expect(harness.server.acceptedCount == 2)
        }
    }

    @Test func closeInTheMiddleOfAResponse() throws {
        for (wire, path) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123", "/length"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123", "/chunked"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n", "/between"),
            ("HTTP/1.1 20", "/head"),
        ] {
            try Harness.run { peer in
                _ = peer.readRequest()
                peer.send(wire)
            } _: { harness in
                let error = harness.get(path).error
                #expect(error?.code == .connectionLost)
                #expect(error?.message.contains("GET \(path) broke off") == true)
            }
        }
    }

    @Test func aConnectionThatTheServerClosedWhileIdleIsNotUsed() throws {
        let mayClose = DispatchSemaphore(value: 0)
        try Harness.run { peer in
            guard peer.readRequest() != nil else { return }
            peer.respond(200, "\(peer.number)")
            if peer.number == 1 { mayClose.wait() } else { _ = peer.readRequest() }
        } _: { harness in
            #expect(harness.get().text == "1")
            mayClose.signal()
            // Not repeatable: it would fail if it went out on the closed connection.
            while harness.client.connectionCount > 0 { harness.waitForLoops() }
            #expect(harness.send(ClusterRequest("POST", "/_bulk")).text == "2")
        }
    }

    @Test func bytesOnAnIdleConnectionEndIt() throws {
        let maySpeak = DispatchSemaphore(value: 0)
        try Harness.run { peer in
            guard peer.readRequest() != nil else { return }
            peer.respond(200, "\(peer.number)")
            if peer.number == 1 {
                maySpeak.wait()
                peer.respond(200, "nobody asked")
            }
            _ = peer.readRequest()
        } _: { harness in
            #expect(harness.get().text == "1")
            maySpeak.signal()
            while harness.client.connectionCount > 0 { harness.waitForLoops() }
            #expect(harness.get().text == "2")
        }
    }

    @Test func anIdleConnectionIsClosedAfterItsTime() throws {
        let ended = DispatchSemaphore(value: 0)
        try Harness.run {
            $0.idleTimeout = .milliseconds(30)
        } script: { peer in
            peer.serve { _ in peer.respond() }
            ended.signal()
        } _: { harness in
            #expect(harness.get().status == 200)
            #expect(ended.wait(timeout: .now() + 5) == .success)
        }
    }

    // MARK: - Many requests

    @Test(arguments: [1, 2, 10]) func theLimitHoldsUnderManyRequests(_ limit: Int) throws {
        try Harness.run {
            $0.connectionLimit = limit
        } script: { peer in
            peer.serve { request in peer.respond(200, request.target) }
        } _: { harness in
            let group = DispatchGroup()
            let wrong = Atomic<Int>(0)
            for thread in 0..<4 {
                let client = harness.client
                DispatchQueue.global().async(group: group) {
                    for number in 0..<25 {
                        group.enter()
                        let path = "/\(thread)/\(number)"
                        client.send(ClusterRequest("GET", path)) { result in
                            if result.text != path { wrong.wrappingAdd(1, ordering: .relaxed) }
                            group.leave()
                        }
                    }
                }
            }
            #expect(group.wait(timeout: .now() + 20) == .success)
            #expect(wrong.load(ordering: .relaxed) == 0)
            #expect(harness.server.requests.count == 100)
            #expect(harness.server.highestOpenCount <= limit)
            #expect(harness.server.acceptedCount <= limit)
            #expect(harness.client.connectionCount == harness.client.idleConnectionCount)
        }
    }

    @Test func requestsAreTakenInTheirOrder() throws {
        try Harness.run {
            $0.connectionLimit = 1
        } script: { peer in
            peer.serve { _ in peer.respond() }
        } _: { harness in
            let group = DispatchGroup()
            let expected = (0..<50).map { "/\($0)" }
            for path in expected {
                group.enter()
                harness.client.send(ClusterRequest("GET", path)) { _ in group.leave() }
            }
            #expect(group.wait(timeout: .now() + 20) == .success)
            #expect(harness.server.requests.map(\.target) == expected)
        }
    }

    @Test func connectionsThatBreakUnderLoadLoseNothing() throws {
        // Every connection serves three requests and ends without saying so.
        try Harness.run {
            $0.connectionLimit = 4
        } script: { peer in
            for _ in 0..<3 {
                guard let request = peer.readRequest() else { return }
                peer.respond(200, request.target)
            }
            _ = peer.readRequest()
        } _: { harness in
            let group = DispatchGroup()
            let answered = Atomic<Int>(0)
            let lost = Atomic<Int>(0)
            for number in 0..<200 {
                group.enter()
                harness.client.send(ClusterRequest("GET", "/\(number)")) { result in
                    switch result {
                    case .success: answered.wrappingAdd(1, ordering: .relaxed)
                    case .failure(let error):
                        if error.code == .connectionLost { lost.wrappingAdd(1, ordering: .relaxed) }
                    }
                    group.leave()
                }
            }
            #expect(group.wait(timeout: .now() + 20) == .success)
            // A request may meet two breaking connections, and is then given back to the caller.
            #expect(answered.load(ordering: .relaxed) + lost.load(ordering: .relaxed) == 200)
            #expect(answered.load(ordering: .relaxed) >= 150)
        }
    }

    @Test func tooManyWaitingRequestsAreRefused() throws {
        let mayAnswer = DispatchSemaphore(value: 0)
        try Harness.run {
            $0.connectionLimit = 1
            $0.waitingLimit = 3
        } script: { peer in
            peer.serve { _ in
                mayAnswer.wait()
                mayAnswer.signal()
                peer.respond()
            }
        } _: { harness in
            let group = DispatchGroup()
            let refused = Atomic<Int>(0)
            for _ in 0..<10 {
                group.enter()
                harness.client.send(ClusterRequest("GET", "/")) { result in
                    if result.error?.code == .queueFull { refused.wrappingAdd(1, ordering: .relaxed) }
                    group.leave()
                }
            }
            #expect(refused.load(ordering: .relaxed) == 6)
            mayAnswer.signal()
            #expect(group.wait(timeout: .now() + 20) == .success)
            #expect(harness.server.requests.count == 4)
        }
    }

    @Test func aCompletionMaySendTheNextRequest() throws {
        try Harness.run {
            $0.connectionLimit = 1
        } script: { peer in
            peer.serve { _ in peer.respond() }
        } _: { harness in
            let done = DispatchSemaphore(value: 0)
            @Sendable func step(_ left: Int) {
                harness.client.send(ClusterRequest("GET", "/\(left)")) { _ in
                    if left == 0 { done.signal() } else { step(left - 1) }
                }
            }
            step(500)
            #expect(done.wait(timeout: .now() + 20) == .success)
            #expect(harness.server.acceptedCount == 1)
        }
    }

    // MARK: - Addresses

    @Test func theNextAddressIsTriedWhenOneRefuses() throws {
        let closed = ScriptedServer { _ in }
        closed.stop()
        try Harness.run { peer in
            // Every exchange has a connection of its own, and each starts with another address.
            peer.serve { _ in peer.respond(200, "{}", fields: "Connection: close\r\n") }
        } _: { harness in
            let addresses = [closed.port, harness.server.port].map { SocketAddress.loopback(port: UInt16($0)) }
            let lookUps = Atomic<Int>(0)
            let settings = ClusterSettings(url: try ClusterURL("http://cluster.test"))
            let client = try ClusterClient(settings, loops: harness.loops) { (host, port) throws(IOError) in
                lookUps.wrappingAdd(1, ordering: .relaxed)
                guard host == "cluster.test", port == 80 else {
                    throw IOError(code: .resolveFailed, message: "asked for \(host):\(port)")
                }
                return addresses
            }
            for _ in 0..<4 {
                let response = try client.sendAndWait(ClusterRequest("GET", "/"))
                #expect(response.status == 200)
            }
            #expect(lookUps.load(ordering: .relaxed) == 1)
            client.shutdown()
            #expect(client.waitUntilClosed(within: .seconds(5)))
        }
    }

    @Test func aNameThatIsUnknown() throws {
        let loops = try EventLoopGroup(count: 1)
        defer { loops.stop() }
        let settings = ClusterSettings(url: try ClusterURL("http://cluster.test:9200"))
        let client = try ClusterClient(settings, loops: loops) { (host, _) throws(IOError) in
            throw IOError(code: .resolveFailed, message: "resolve \(host): name or service not known")
        }
        let error = Result { () throws(ClusterError) in try client.sendAndWait(ClusterRequest("GET", "/")) }.error
        #expect(error?.code == .resolveFailed)
        #expect(error?.disposition == .retry)
        #expect(error?.message.hasPrefix("target cluster.test:9200: resolve cluster.test: name") == true)
        #expect(client.connectionCount == 0)
    }

    @Test func anAddressGetsItsShareOfTheConnectTime() {
        #expect(ConnectionPool.attemptTimeout(left: .seconds(10), count: 1) == .seconds(10))
        #expect(ConnectionPool.attemptTimeout(left: .seconds(10), count: 5) == .seconds(2))
        #expect(ConnectionPool.attemptTimeout(left: .seconds(10), count: 50) == .seconds(1))
        #expect(ConnectionPool.attemptTimeout(left: .milliseconds(300), count: 3) == .milliseconds(300))
    }

    // MARK: - Shutting down

    @Test func shutdownLetsTheRunningExchangeFinish() throws {
        let isAsked = DispatchSemaphore(value: 0)
        let mayAnswer = DispatchSemaphore(value: 0)
        try Harness.run {
            $0.connectionLimit = 1
        } script: { peer in
            peer.serve { _ in
                isAsked.signal()
                mayAnswer.wait()
                peer.respond(200, "done")
            }
        } _: { harness in
            let group = DispatchGroup()
            let results = Mutex<[String]>([])
            for _ in 0..<2 {
                group.enter()
                harness.client.send(ClusterRequest("GET", "/")) { result in
                    results.withLock { $0.append(result.text ?? "\(result.error?.code ?? .badRequest)") }
                    group.leave()
                }
            }
            isAsked.wait()
            harness.client.shutdown()
            #expect(harness.get().error?.code == .shutDown)
            #expect(!harness.client.waitUntilClosed(within: .milliseconds(1)))
            mayAnswer.signal()
            #expect(group.wait(timeout: .now() + 5) == .success)
            #expect(results.withLock { $0.sorted() } == ["done", "shutDown"])
            #expect(harness.client.waitUntilClosed(within: .seconds(5)))
            #expect(harness.client.connectionCount == 0)
        }
    }

    @Test func loopsThatStopFailWhatRuns() throws {
        let isAsked = DispatchSemaphore(value: 0)
        let harness = try Harness { peer in
            peer.serve { _ in isAsked.signal() }
        }
        let failed = DispatchSemaphore(value: 0)
        harness.client.send(ClusterRequest("GET", "/")) { result in
            if result.error != nil { failed.signal() }
        }
        isAsked.wait()
        harness.loops.stop()
        #expect(failed.wait(timeout: .now() + 5) == .success)
        harness.client.send(ClusterRequest("GET", "/")) { result in
            if result.error?.code == .shutDown { failed.signal() }
        }
        #expect(failed.wait(timeout: .now() + 5) == .success)
        harness.server.stop()
    }
}

extension Harness {
    /// Returns when every loop has run what it had to do so far.
    func waitForLoops() {
        for loop in loops.loops {
            let done = DispatchSemaphore(value: 0)
            loop.execute { done.signal() }
            done.wait()
        }
    }
}
