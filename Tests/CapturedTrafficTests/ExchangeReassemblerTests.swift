import CapturedTraffic
import TestSupport
import Testing

private func get(_ path: String) -> String { "GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n" }
private func ok(_ body: String) -> String { "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)" }
private func later(prior: Int32, isReadUnterminated: Bool, number: Int32 = 5) -> TrafficStreamPosition {
    var position = TrafficStreamPosition()
    position.number = number
    position.priorRequests = prior
    position.isReadUnterminated = isReadUnterminated
    return position
}

@Suite struct ExchangeReassemblerTests {
    @Test("begun within a request that is taken back: numbers are those of a reader who saw it whole")
    func numbersAfterTheRestOfARequest() throws {
        var position = TrafficStreamPosition()
        position.number = 4
        position.priorRequests = 3
        position.isReadUnterminated = true
        let next: [CapturedConnection.Step] = [.read("GET / HTTP/1.1\r\n\r\n"), .end]
        for (ending, number) in [
            (CapturedConnection.Step.dropped, 3), (.exception("the client is gone"), 3), (.end, 4),
        ] {
            let connection = CapturedConnection([.read("the rest"), ending] + next, from: position)
            #expect(try connection.reassembled().exchanges.map(\.number) == [number], "\(ending)")
        }
    }

    @Test func keepAliveExchangesComeInOrder() throws {
        let found = try CapturedConnection([
            .read(get("/1")), .end, .write(ok("one")), .read(get("/2")), .end, .cut, .write(ok("two")), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.number) == [0, 1])
        #expect(found.exchanges.map(\.requestText) == [get("/1"), get("/2")])
        #expect(found.exchanges.map(\.responseText) == [ok("one"), ok("two")])
        #expect(found.exchanges.allSatisfy { $0.requestEnding == .complete && $0.responseEnding == .complete })
        #expect(found.reassembler.isClosed && found.outcomes == [.inOrder, .inOrder])
        let first = found.exchanges[0]
        #expect(first.requestTime?.seconds == 1_795_466_600 && first.requestEndTime?.seconds == 1_795_466_601)
        #expect(first.responseTime?.seconds == 1_795_466_602 && first.responseEndTime?.seconds == 1_795_466_602)
    }

    @Test func aRequestOverManyRecordsIsOneRequest() throws {
        let body = String(repeating: "x", count: 3000)
        let head = "POST /i/_bulk HTTP/1.1\r\nContent-Length: 9000\r\n\r\n"
        let found = try CapturedConnection([
            .read(head), .cut, .readSegment(body), .cut, .readSegment(body), .segmentEnd, .cut, .read(body), .end, .cut,
            .writeSegment("HTTP/1.1 200 OK\r\nContent-Le"), .cut, .writeSegment("ngth: 4\r\n\r\nab"), .segmentEnd, .cut,
            .write("cd"), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.requestText) == [head + body + body + body])
        #expect(found.exchanges.map(\.responseText) == [ok("abcd")])
        #expect(found.exchanges[0].responseEnding == .complete && found.reassembler.strayByteCount == 0)
    }

    @Test(arguments: 0..<12)
    func pipelinedResponsesGoToTheirRequestsHoweverTheyAreCut(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
        let responses = [ok(""), chunked, ok("HTTP/1.1 500 no\r\n\r\n"), "HTTP/1.1 204 No Content\r\n\r\n", ok("end")]
        var steps: [CapturedConnection.Step] = []
        for number in 0..<responses.count { steps += [.read(get("/\(number)")), .end] }
        var stream = Substring(responses.joined())
        while !stream.isEmpty {
            let count = 1 + random.below(40)
            steps.append(.write(String(stream.prefix(count))))
            if random.below(4) == 0 { steps.append(.cut) }
            stream = stream.dropFirst(count)
        }
        let found = try CapturedConnection(steps + [.close]).reassembled()
        #expect(found.exchanges.map(\.number) == Array(0..<responses.count))
        #expect(found.exchanges.map(\.responseText) == responses)
        #expect(found.exchanges.allSatisfy { $0.responseEnding == .complete })
    }

    @Test func aRequestThatOverlapsAResponseDoesNotEndIt() throws {
        let whole = ok("0123456789")
        let found = try CapturedConnection([
            .read(get("/1")), .end, .write(String(whole.prefix(45))), .read(get("/2")),
            .write(String(whole.dropFirst(45))),
            .end, .write(ok("two")), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.responseText) == [whole, ok("two")])
    }

    @Test func continueIsNotTheResponse() throws {
        let found = try CapturedConnection([
            .read("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
            .write("HTTP/1.1 100 Continue\r\n\r\n"), .read("ab"), .end,
            .write("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.responseText) == ["HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"])
        #expect(found.exchanges[0].interimResponseCount == 2 && found.exchanges[0].requestText.hasSuffix("\r\n\r\nab"))
    }

    @Test func aResponseToHeadHasNoBody() throws {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"
        let found = try CapturedConnection([
            .read("HE"), .read("AD / HTTP/1.1\r\nHost: a\r\n\r\n"), .end, .read(get("/2")), .end,
            .write(head + ok("two")), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.responseText) == [head, ok("two")])
    }

    @Test func anEarlyRefusalEndsTheResponseAndTheRequestGoesOn() throws {
        let refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
        let found = try CapturedConnection([
            .read("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"), .write(refusal), .read("cd"), .end,
            .read(get("/2")), .end,
            .write(ok("two")), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.responseText) == [refusal, ok("two")])
        #expect(found.exchanges.map(\.number) == [0, 1] && found.exchanges[0].requestEnding == .complete)
    }

    @Test func aResponseUntilCloseEndsWithIt() throws {
        let found = try CapturedConnection([
            .read(get("/")), .end, .write("HTTP/1.1 200 OK\r\n\r\nab"), .write("cd"), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.responseText) == ["HTTP/1.1 200 OK\r\n\r\nabcd"])
        #expect(found.exchanges[0].responseEnding == .complete)
    }

    /// As many header fields as the proxy lets through.
    @Test func aResponseWithAThousandWarningsIsFramed() throws {
        let warnings = String(repeating: "Warning: 299 engine \"deprecated\"\r\n", count: 1000)
        let loud = "HTTP/1.1 200 OK\r\n\(warnings)Content-Length: 3\r\n\r\none"
        let found = try CapturedConnection([
            .read(get("/1")), .end, .read(get("/2")), .end, .write(loud + ok("two")), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.responseText) == [loud, ok("two")])
        #expect(found.exchanges.allSatisfy { $0.responseEnding == .complete })
    }

    @Test func whatIsNotQuiteHTTPEndsWithTheNextRequest() throws {
        let loose = "HTTP/1.1 200 OK\nContent-Length: 1\n\nabc"
        let found = try CapturedConnection([
            .read(get("/1")), .end, .write(loose), .write("more"), .read(get("/2")), .end, .write(ok("two")), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.responseText) == [loose + "more", ok("two")])
        #expect(found.exchanges.map(\.responseEnding) == [.nextRequest, .complete])
    }

    @Test func aCloseInTheMiddleLeavesThemIncomplete() throws {
        let inRequest = try CapturedConnection([.read("POST / HT"), .close]).reassembled().exchanges
        #expect(inRequest.map(\.requestEnding) == [.closed] && inRequest[0].responseEnding == .closed)
        #expect(inRequest[0].responseByteCount == 0 && inRequest[0].responseTime == nil)
        let inResponse = try CapturedConnection([
            .read(get("/")), .end, .write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), .close,
        ])
        .reassembled().exchanges
        #expect(inResponse.map(\.requestEnding) == [.complete] && inResponse[0].responseEnding == .closed)
        let atEndOfLog = try CapturedConnection([.read(get("/")), .end]).reassembled().exchanges
        #expect(atEndOfLog.map(\.responseEnding) == [.endOfLog])
        let failed = try CapturedConnection([
            .read("POST /"), .exception("reset"), .read(get("/2")), .end, .write(ok("")), .close,
        ])
        .reassembled().exchanges
        #expect(failed.map(\.requestEnding) == [.exception, .complete])
    }

    @Test func droppedRequestsAreGone() throws {
        let found = try CapturedConnection([
            .read("GET /secret"), .dropped, .read(get("/2")), .end, .write(ok("two")), .read("a"), .cut, .read("b"),
            .dropped, .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.requestText) == [get("/2")] && found.exchanges[0].number == 0)
        #expect(found.reassembler.droppedRequestCount == 2)
    }

    @Test func aReaderThatStartsInTheMiddleIgnoresTheTail() throws {
        let found = try CapturedConnection(
            [.read("tail"), .end, .write(ok("three")), .read(get("/4")), .end, .write(ok("four")), .close],
            from: later(prior: 3, isReadUnterminated: true)
        ).reassembled()
        #expect(found.exchanges.map(\.number) == [4] && found.exchanges[0].responseText == ok("four"))
        #expect(found.reassembler.strayByteCount == 4 + ok("three").utf8.count)
        let between = try CapturedConnection(
            [.write("rest of two"), .read(get("/3")), .end, .write(ok("three"))],
            from: later(prior: 3, isReadUnterminated: false)
        ).reassembled()
        #expect(between.exchanges.map(\.number) == [3] && between.reassembler.strayByteCount == 11)
    }

    @Test func recordsThatComeTwiceAreDropped() throws {
        let connection = CapturedConnection([
            .read(get("/1")), .end, .cut, .write(ok("one")), .cut, .read(get("/2")), .end, .write(ok("two")), .close,
        ])
        let once = try connection.reassembled()
        let twice = try connection.reassembled([0, 0, 1, 0, 1, 2, 2])
        #expect(twice.exchanges == once.exchanges && twice.reassembler.duplicateRecordCount == 4)
        #expect(twice.outcomes == [.inOrder, .duplicate, .inOrder, .duplicate, .duplicate, .inOrder, .duplicate])
    }

    @Test func missingRecordsAreNoticed() throws {
        let connection = CapturedConnection([
            .read("POST /1 HTTP/1.1\r\n"), .cut, .read("\r\n"), .end, .cut, .write(ok("one")), .read("PUT"), .cut,
            .read(" /2"), .end,
            .write(ok("two")), .read(get("/3")), .end, .write(ok("three")), .close,
        ])
        let found = try connection.reassembled([0, 3])
        #expect(found.outcomes == [.inOrder, .gap(count: 2)] && found.reassembler.missingRecordCount == 2)
        #expect(found.exchanges.map(\.requestEnding) == [.gap, .complete])
        #expect(found.exchanges.map(\.number) == [0, 2] && found.exchanges[1].responseText == ok("three"))
    }

    @Test func aBrokenRecordIsAGap() throws {
        let connection = CapturedConnection([
            .read(get("/1")), .cut, .end, .read(get("/2")), .end, .write(ok("two")), .close,
        ])
        var broken = connection.records[0]
        broken.insert(contentsOf: [0x12, 0x02, 0x22, 0x05], at: broken.count - 6)
        var reassembler = ExchangeReassembler()
        var collector = ExchangeCollector()
        broken.withUnsafeBytes { bytes in
            do {
                _ = try reassembler.receive(TrafficStreamReader(bytes), into: &collector)
                Issue.record("a broken record was taken")
            } catch {
                #expect((error as? TrafficStreamError)?.code == .truncated)
            }
        }
        try connection.records[1].withUnsafeBytes { bytes in
            let outcome = try reassembler.receive(TrafficStreamReader(bytes), into: &collector)
            #expect(outcome == .inOrder)
        }
        let exchanges = collector.takeFinished()
        #expect(exchanges.map(\.requestEnding) == [.gap, .complete] && exchanges.map(\.number) == [0, 1])
        #expect(exchanges.last?.responseText == ok("two"))
    }

    @Test func afterAnUpgradeTheConnectionIsOpaque() throws {
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        let found = try CapturedConnection([
            .read("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), .end,
            .write(upgrade + "\u{1}hello"),
            .exception(CaptureMark.upgraded), .read("frame"), .cut, .write("frame"), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.responseText) == [upgrade] && found.exchanges[0].responseEnding == .upgraded)
        #expect(found.reassembler.isOpaque && found.reassembler.opaqueByteCount == 16)
    }

    @Test func aGapMarkEndsWhatIsOpen() throws {
        let found = try CapturedConnection([
            .read(get("/1")), .end, .exception(CaptureMark.gap), .read(get("/2")), .end, .write(ok("two")), .close,
        ]).reassembled()
        #expect(found.exchanges.map(\.responseEnding) == [.gap, .complete] && found.exchanges.map(\.number) == [0, 1])
    }

    @Test func messagesAreCutAtTheLimitAndCounted() throws {
        let connection = CapturedConnection([.read(get("/")), .end, .write(ok("0123456789")), .close])
        var reassembler = ExchangeReassembler()
        var collector = ExchangeCollector(messageBytesLimit: 12)
        try connection.records[0].withUnsafeBytes { bytes in
            _ = try reassembler.receive(TrafficStreamReader(bytes), into: &collector)
        }
        let exchange = try #require(collector.takeFinished().first)
        #expect(exchange.request.count == 12 && exchange.requestByteCount == get("/").utf8.count)
        #expect(exchange.response.count == 12 && exchange.responseByteCount == ok("0123456789").utf8.count)
    }

    /// Whatever the order of events: each request that was reported ends once, and nothing is left open.
    @Test(arguments: 0..<200)
    func anyOrderOfEventsEndsEverything(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let steps = (0..<60).map { _ -> CapturedConnection.Step in
            switch random.below(14) {
            case 0...2: .read(get("/x"))
            case 3, 4: .end
            case 5, 6: .write(ok("abc"))
            case 7: .write("HTTP/1.1 100 Continue\r\n\r\n")
            case 8: .write("garbage")
            case 9: .dropped
            case 10: .exception(random.below(2) == 0 ? "reset" : CaptureMark.gap)
            case 11: .cut
            case 12: .read("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            default: random.below(20) == 0 ? .close : .writeSegment("HTTP/1.1 200 OK\r\nConte")
            }
        }
        let connection = CapturedConnection(steps)
        var indices = Array(connection.records.indices)
        if indices.count > 2, random.below(2) == 0 { indices.remove(at: random.below(indices.count)) }
        var reassembler = ExchangeReassembler()
        var events = EventCounter()
        for index in indices {
            try connection.records[index].withUnsafeBytes { bytes in
                _ = try reassembler.receive(TrafficStreamReader(bytes), into: &events)
            }
        }
        reassembler.finish(into: &events)
        #expect(events.open.isEmpty && events.violations == [])
    }
}

/// Checks the promises of `ExchangeReceiver`.
private struct EventCounter: ExchangeReceiver {
    struct Open { var isEnded = false, isAnswered = false }
    var open: [(number: Int, state: Open)] = []
    var violations: [String] = []

    private mutating func change(_ number: Int, _ what: String, _ body: (inout Open) -> Bool) {
        guard let index = open.firstIndex(where: { $0.number == number }) else {
            violations.append("\(what) of \(number), which is not open")
            return
        }
        if !body(&open[index].state) { violations.append("\(what) of \(number) a second time") }
        if open[index].state.isEnded && open[index].state.isAnswered { open.remove(at: index) }
    }

    mutating func requestBytes(_ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp) {
        if open.last?.number != request {
            if let last = open.last, last.number > request { violations.append("\(request) after \(last.number)") }
            open.append((request, Open()))
        }
        if open.last?.state.isEnded == true { violations.append("bytes of \(request) after its end") }
    }
    mutating func requestEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp) {
        change(request, "end") { state in
            defer { state.isEnded = true }
            return !state.isEnded
        }
    }
    mutating func requestDropped(_ request: Int) {
        guard let index = open.lastIndex(where: { $0.number == request }) else {
            violations.append("drop of \(request), which is not open")
            return
        }
        open.remove(at: index)
    }
    mutating func responseBytes(_ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp) {
        change(request, "response bytes") { !$0.isAnswered }
        if open.first?.number != request { violations.append("response of \(request) out of turn") }
    }
    mutating func interimResponseEnded(_ request: Int) { change(request, "interim end") { !$0.isAnswered } }
    mutating func responseEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp) {
        change(request, "response end") { state in
            defer { state.isAnswered = true }
            return !state.isAnswered
        }
    }
}
