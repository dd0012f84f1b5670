import EventIO
import Glibc
import Settings
import Synchronization
import Testing
import TrafficLog

@testable import Capture

/// Peers that send a little at a time, or do not read: each costs little, and all together no more than the budget.
@Suite struct SlowPeerTests {
    private let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    private func inFlight(_ rig: ProxyRig) -> Int { Int(rig.metric("capture_in_flight_bytes") ?? "") ?? .max }

    private static func response(bytes: Int) -> SourceAnswer {
        SourceAnswer(
            Array("HTTP/1.1 200 OK\r\nContent-Length: \(bytes)\r\n\r\n".utf8) + [UInt8](repeating: 7, count: bytes))
    }

    @Test func aHeadDribbledByteByByteEndsAtItsDeadline() throws {
        let rig = try ProxyRig { $0.deadlines.head = .milliseconds(300) }
        let client = try rig.client()
        let start = MonotonicInstant.now()
        // Every byte is activity; the deadline counts from the first one all the same.
        for byte in Array("GET /".utf8) + [UInt8](repeating: UInt8(ascii: "a"), count: 2000) {
            if client.isReadable(within: 5) { break }
            try client.send([byte])
        }
        #expect(String(decoding: client.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 408 "))
        let took = MonotonicInstant.now() - start
        #expect(took >= .milliseconds(300) && took < .seconds(8), "took \(took)")
        #expect(rig.source.connectionCount == 0)
    }

    @Test(arguments: [false, true])
    func aClientThatNeverReadsHoldsAFixedNumberOfBytes(isRecorded: Bool) throws {
        let size = 50 << 20
        let rig = try ProxyRig(log: isRecorded ? MemoryTrafficLog() : nil, answer: { _ in Self.response(bytes: size) })
        let client = try RawClient(rig.proxy.localAddress, receiveBufferBytes: 64 << 10)
        try client.send(get)
        eventually("the response has begun") { client.isReadable(within: 0) }
        var taken = -1
        eventually("nothing moves any more") {
            let before = taken
            usleep(200_000)
            taken = size - rig.source.unsentBytes
            return taken == before
        }
        // What the source is rid of is with us, and in the kernel's buffers of four sockets of 4 to 6 MB at the most.
        #expect(taken < 25 << 20, "\(taken) of \(size) bytes are gone")
        eventually("the records are resolved") { inFlight(rig) <= 512 << 10 }
        #expect(inFlight(rig) > 0)
    }

    @Test(arguments: [false, true])
    func manyClientsThatDoNotReadStayWithinTheBudget(isRecorded: Bool) throws {
        let budget = 1 << 20
        // More than the kernel's buffers of the four sockets hold.
        let answer = Self.response(bytes: 12 << 20)
        let rig = try ProxyRig(log: isRecorded ? MemoryTrafficLog() : nil, answer: { _ in answer }) {
            $0.limits.inFlightBytes = budget
        }
        let clients = try (0..<32).map { _ in try RawClient(rig.proxy.localAddress, receiveBufferBytes: 4 << 10) }
        for client in clients { try client.send(get) }
        var most = 0
        for client in clients {
            eventually("the response has begun") {
                most = max(most, inFlight(rig))
                return client.isReadable(within: 0)
            }
        }
        var last = -1
        eventually("nothing moves any more") {
            let before = last
            usleep(200_000)
            last = rig.source.unsentBytes
            most = max(most, inFlight(rig))
            return last == before
        }
        #expect(last > 0, "the responses fit into the kernel's buffers")
        // Records may have taken all of the budget before the first client turned out to be slow.
        #expect(most <= (isRecorded ? budget + budget / 2 : budget), "\(most) bytes wait")
        // Who does read is served in between.
        let reader = try rig.client()
        try reader.send(get)
        #expect(try reader.receive(count: 1 << 20).last == 7)
    }

    @Test func manyHeadsThatDoNotEndStayWithinTheBudget() throws {
        let rig = try ProxyRig(log: nil) { $0.limits.inFlightBytes = 64 << 10 }
        let clients = try (0..<40).map { _ in try rig.client() }
        let part = "GET / HTTP/1.1\r\nX-Long: " + String(repeating: "a", count: 8000)
        for client in clients { try client.send(part) }
        eventually("some are turned away") { clients.filter { $0.isReadable(within: 0) }.count >= 30 }
        #expect(inFlight(rig) <= (64 + 2 * 10) << 10)
        let refused = try #require(clients.first { $0.isReadable(within: 0) })
        #expect(String(decoding: refused.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 503 "))
        // A small head in pieces still passes, and so does one in one piece.
        let client = try rig.client()
        try client.send("GET / HTTP/1.1\r\nHo")
        usleep(20_000)
        try client.send("st: a\r\n\r\n")
        #expect(try client.receiveResponse().hasSuffix("ok"))
        for client in clients { client.endWriting() }
        eventually("nothing waits any more") { inFlight(rig) == 0 }
    }
}
