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

    @Test func aBigWriteIsStreamedButForItsLastBytes() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log)
        let client = try rig.client()
        let body = [UInt8](repeating: 0x61, count: 3_000_000)
        let head = Array("POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n".utf8)
        try client.send(head + body)
        eventually("most is at the source") { (rig.source.received.first?.count ?? 0) > 2_500_000 }
        #expect(rig.source.requests.isEmpty)
        log.isAutomatic = true
        _ = try client.receiveResponse()
        #expect(rig.source.requests == [head + body])
    }

    @Test func strictModeHoldsEveryByteAndSearchesToo() throws {
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
