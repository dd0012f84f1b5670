import CapturedTraffic
import EventIO
import Settings
import Testing
import TrafficLog

@testable import Capture

/// A writing request reaches the source only when its record is durable.
@Suite struct HoldTests {
    private let put = "PUT /i/_doc/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    private let get = "GET /i/_doc/1 HTTP/1.1\r\nHost: a\r\n\r\n"
    private let search = "POST /i/_search HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"

    @Test func writesWaitForTheLogAndReadsDoNot() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log) { $0.deadlines.flushAfter = .seconds(10) }
        let writer = try rig.client()
        try writer.send(put)
        eventually("the record is in the log") { log.pendingCount == 1 }
        let reader = try rig.client()
        for request in [get, search, get] {
            try reader.send(request)
            #expect(try reader.receiveResponse().hasSuffix("ok"))
        }
        #expect(!writer.isReadable(within: 50))
        #expect(rig.source.requests.count == 3, "the write is not among them")
        #expect(rig.metric("capture_held_requests") == "1")
        log.acknowledge()
        #expect(try writer.receiveResponse().hasSuffix("ok"))
        #expect(rig.source.requests.last == Array(put.utf8))
        #expect(rig.metric("capture_held_requests") == "0")
        #expect(rig.metric("capture_held_bytes") == "0")
        log.isAutomatic = true
    }

    @Test func threePipelinedWritesInOneSegmentAreThreeMessagesEachHeldOnItsOwn() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log) { $0.deadlines.flushAfter = .seconds(10) }
        let client = try rig.client()
        try client.send(put + put + put)
        for number in 1...3 {
            eventually("write \(number) is in the log") { log.pendingCount == 1 }
            #expect(rig.source.requests.count == number - 1)
            log.acknowledge()
            #expect(try client.receiveResponse().hasSuffix("ok"))
            eventually("write \(number) is at the source") { rig.source.requests.count == number }
        }
        log.isAutomatic = true
        rig.stop()
        #expect(try rig.observations().filter { $0 == "end" }.count == 3)
        #expect(try rig.exchanges().map(\.request) == Array(repeating: Array(put.utf8), count: 3))
    }

    @Test func aReadBehindAHeldWriteKeepsItsPlace() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log)
        let client = try rig.client()
        try client.send(put + get)
        eventually("the write is in the log") { log.pendingCount == 1 }
        #expect(rig.source.requests.isEmpty)
        log.isAutomatic = true
        _ = try client.receiveResponse()
        eventually("both are at the source") { rig.source.requests == [Array(self.put.utf8), Array(self.get.utf8)] }
    }

    /// Elasticsearch from 8.16 on executes the items of a `_bulk` as they come.
    @Test func noByteOfAWriteIsAtTheSourceBeforeItsRecordIsDurable() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log) { $0.limits.recordBytes = 64 << 10 }
        let client = try rig.client()
        let body = [UInt8](repeating: 0x61, count: 3_000_000)
        let head = Array("POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n".utf8)
        try client.send(head + body)
        eventually("all of it waits") { rig.metric("capture_held_bytes") == "\(head.count + body.count)" }
        #expect(rig.source.connectionCount == 0)
        var atSource = 0
        while log.pendingCount > 1 {
            log.acknowledge(1)
            let durable = try rig.recordedRequestBytes()
            #expect(durable > atSource)
            eventually("what is durable is at the source") {
                rig.source.received.first?.count ?? 0 == durable
            }
            atSource = durable
            #expect(rig.source.requests.isEmpty)
        }
        log.isAutomatic = true
        _ = try client.receiveResponse()
        #expect(rig.source.requests == [head + body])
        #expect(rig.metric("capture_held_bytes") == "0")
        #expect(rig.metric("capture_held_requests") == "0")
        #expect(rig.metric("capture_hold_seconds_count") == "1")
    }

    /// More than may be held at a time, with a log that answers at once: nothing waits for a timer.
    @Test func aBigWriteDoesNotWaitForTheFlushOfAnIdleRecord() throws {
        let rig = try ProxyRig {
            $0.limits.recordBytes = 8 << 20
            $0.deadlines.flushAfter = .seconds(3600)
        }
        let client = try rig.client()
        let body = [UInt8](repeating: 0x61, count: 5 * ProxyConnection.heldLimitBytes)
        let head = Array("POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n".utf8)
        try client.send(head + body)
        _ = try client.receiveResponse()
        #expect(rig.source.requests == [head + body])
    }

    /// The deadline is of the bytes that wait, not of the request that they belong to.
    @Test func aSlowUploadIsNotRefusedWhileTheLogAnswers() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let hold = Duration.milliseconds(500)
        let rig = try ProxyRig(log: log) {
            $0.deadlines.hold = hold
            $0.deadlines.flushAfter = .milliseconds(10)
        }
        let client = try rig.client()
        let bodyBytes = 10_000
        try client.send("PUT /i/_doc/1 HTTP/1.1\r\nHost: a\r\nContent-Length: \(bodyBytes)\r\n\r\n")
        eventually("the head waits") { log.pendingCount == 1 }
        let end = MonotonicInstant.now().advanced(by: hold * 3)
        var sentBytes = 0
        // Something waits at every moment, none of it for longer than a round.
        while MonotonicInstant.now() < end, sentBytes < bodyBytes - 1 {
            try client.send("a")
            sentBytes += 1
            eventually("the next byte waits too") { log.pendingCount == 2 }
            log.acknowledge(1)
        }
        try client.send(String(repeating: "a", count: bodyBytes - sentBytes))
        log.isAutomatic = true
        #expect(try client.receiveResponse().hasSuffix("ok"))
    }

    @Test func strictModeHoldsSearchesToo() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log) { $0.isStrict = true }
        let client = try rig.client()
        try client.send("POST /_search HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        eventually("the first part is in the log") { log.pendingCount == 1 }
        #expect(rig.source.connectionCount == 0)
        log.acknowledge()
        eventually("the first part is at the source") { rig.source.received.first?.last == 0x62 }
        try client.send("cd")
        eventually("the second part is in the log") { log.pendingCount == 1 }
        #expect(rig.source.requests.isEmpty)
        log.isAutomatic = true
        _ = try client.receiveResponse()
    }

    @Test func aHeldWriteWhoseClientIsGoneStillReachesTheSource() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log)
        do {
            let client = try rig.client()
            try client.send(put)
            eventually("the record is in the log") { log.pendingCount == 1 }
        }
        log.isAutomatic = true
        eventually("the write is at the source") { rig.source.requests == [Array(self.put.utf8)] }
        rig.stop()
        #expect(try rig.exchanges().first?.responseEnding == .complete)
    }

    /// Reads go unrecorded when the budget is spent, nothing of a write does.
    @Test func aSpentBudgetLeavesReadsOutAndWritesWhole() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + String(repeating: "r", count: 100_000)
        let rig = try ProxyRig(log: log, answer: { _ in SourceAnswer(answer) }) {
            $0.limits.inFlightBytes = 1 << 20
            $0.deadlines.flushAfter = .seconds(10)
        }
        let first = try rig.client()
        try first.send(put)
        eventually("it waits for the log") { log.pendingCount == 1 }
        let big = try rig.client()
        let body = [UInt8](repeating: 0x61, count: 3 << 20)
        try big.send(Array("PUT /i/_doc/2 HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
        eventually("the budget is spent") {
            Double(rig.metric("capture_in_flight_bytes") ?? "") ?? 0 > Double(1 << 20 - 256 << 10)
        }
        let reader = try rig.client()
        for _ in 0..<3 {
            try reader.send(get)
            #expect(try reader.receive(count: answer.utf8.count) == Array(answer.utf8))
        }
        log.acknowledge(1)
        #expect(try first.receive(count: answer.utf8.count) == Array(answer.utf8))
        log.isAutomatic = true
        #expect(try big.receive(count: answer.utf8.count) == Array(answer.utf8))
        rig.stop()
        let writes = try rig.exchanges().filter { $0.request.starts(with: Array("PUT".utf8)) }
        #expect(writes.count == 2)
        #expect(writes.allSatisfy { $0.requestEnding == .complete && $0.responseEnding == .complete })
        #expect(writes.map(\.response) == [Array(answer.utf8), Array(answer.utf8)])
        #expect(writes.map(\.request).contains { $0.suffix(body.count) == body[...] })
        #expect(rig.metric("capture_unrecorded_writes_total") == "0")
        // The reads' is the only one.
        #expect(rig.metric("capture_gaps_total") == "1")
        #expect(try rig.observations().filter { $0 == CaptureMark.gap }.count == 1)
    }

    // MARK: Outages

    private let broken = TrafficLogError(.unavailable, "memory: told to fail")

    @Test func refuseAnswers503AndTheConnectionLivesOn() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log)
        let client = try rig.client()
        try client.send(put)
        eventually("the record is in the log") { log.pendingCount == 1 }
        log.fail(with: broken)
        var answer = try client.receiveResponse()
        #expect(answer.hasPrefix("HTTP/1.1 503 ") && answer.contains("retry-after: 5\r\n"))
        log.beginOutage(reason: "test")
        log.isAutomatic = true
        eventually("the proxy knows") { rig.metric("capture_log_outage_info") == "1" }
        try client.send(get)
        #expect(try client.receiveResponse().hasSuffix("ok"))
        try client.send(put)
        answer = try client.receiveResponse()
        #expect(answer.hasPrefix("HTTP/1.1 503 "))
        #expect(rig.source.requests == [Array(get.utf8)])
        log.endOutage()
        eventually("the write passes") {
            guard (try? client.send(put)) != nil, let answer = try? client.receiveResponse() else { return false }
            return answer.hasSuffix("ok")
        }
        rig.stop()
        #expect(try rig.observations().contains(CaptureMark.gap))
        #expect(try rig.exchanges().last?.request == Array(put.utf8))
    }

    @Test func aHoldThatLastsTooLongIsRefused() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log) { $0.deadlines.hold = .milliseconds(100) }
        let client = try rig.client()
        try client.send(put)
        #expect(try client.receiveResponse().hasPrefix("HTTP/1.1 503 "))
        #expect(rig.source.requests.isEmpty)
        log.isAutomatic = true
    }

    @Test func forwardPassesWritesOnAndMarksTheGap() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log) { $0.outagePolicy = .forward }
        let client = try rig.client()
        try client.send(put)
        eventually("the record is in the log") { log.pendingCount == 1 }
        log.beginOutage(reason: "test")
        #expect(try client.receiveResponse().hasSuffix("ok"))
        try client.send(put)
        #expect(try client.receiveResponse().hasSuffix("ok"))
        log.fail(with: broken)
        log.endOutage()
        log.isAutomatic = true
        eventually("the log is back") { rig.metric("capture_log_outage_info") == "0" }
        try client.send(put)
        #expect(try client.receiveResponse().hasSuffix("ok"))
        rig.stop()
        #expect(rig.source.requests.count == 3)
        #expect(try rig.observations().contains(CaptureMark.gap))
        #expect(rig.metric("capture_unrecorded_writes_total") != "0")
    }

    @Test func aFullLogSlowsTheClientDown() throws {
        let log = MemoryTrafficLog(isAutomatic: false, pendingLimitCount: 1)
        let rig = try ProxyRig(log: log)
        let first = try rig.client()
        try first.send(put)
        eventually("the log is full") { log.pendingCount == 1 }
        let second = try rig.client()
        try second.send(put)
        eventually("the second one was refused") { log.statistics.refusedCount > 0 }
        #expect(rig.source.requests.isEmpty)
        log.acknowledge()
        #expect(try first.receiveResponse().hasSuffix("ok"))
        eventually("the second one is in the log") { log.pendingCount >= 1 }
        log.isAutomatic = true
        #expect(try second.receiveResponse().hasSuffix("ok"))
    }

    @Test func theBudgetParksWritesAndNotReads() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log) {
            $0.limits.recordBytes = 16 << 10
            $0.limits.inFlightBytes = 64 << 10
        }
        var writers: [RawClient] = []
        for _ in 0..<6 {
            let client = try rig.client()
            try client.send(put)
            writers.append(client)
        }
        eventually("the budget is spent") { log.pendingCount >= 3 }
        let reader = try rig.client()
        try reader.send(get)
        #expect(try reader.receiveResponse().hasSuffix("ok"))
        log.isAutomatic = true
        for client in writers { #expect(try client.receiveResponse().hasSuffix("ok")) }
        rig.stop()
        let writes = try rig.exchanges().filter { $0.request == Array(put.utf8) }
        #expect(writes.count == 6)
    }
}
