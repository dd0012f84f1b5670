import CapturedTraffic
import TestSupport
import TrafficLog

/// Records that a proxy could have written: several connections, requests and responses cut over records at random, with
/// the accidents that happen to real ones. Everything that has to arrive at the target is known.
struct SimulatedTraffic {
    struct Request {
        let connection: Int
        let number: Int
        let partition: Int32
        /// Offsets of the records that its first and its last byte lie in.
        var firstOffset: Int64
        var endOffset: Int64
        let time: Int64
    }

    /// By partition, in order of the offset.
    private(set) var partitions: [[LoggedRecord]]
    /// Those that were whole and not taken back.
    private(set) var requests: [Request] = []
    private(set) var poisonCount = 0
    private(set) var incompleteCount = 0
    private(set) var lastTime: Int64 = 0

    static let startTime: Int64 = 1_700_000_000_000_000_000

    private struct Connection {
        let index: Int
        let partition: Int32
        var record = ProtobufRecord()
        var recordNumber: Int32 = 1
        var ends: Int32 = 0
        var isInRequest = false
        var requestsLeft: Int
        var request: Int = 0
        /// Requests that end in the record that is being filled.
        var unplaced: [Int] = []
    }

    init(seed: UInt64, partitionCount: Int, connectionCount: Int, requestCount: Int, withAccidents: Bool) {
        var random = SeededGenerator(seed: seed)
        partitions = Array(repeating: [], count: partitionCount)
        var time = Self.startTime
        var connections = (0..<connectionCount).map { index in
            Connection(
                index: index, partition: Int32(random.below(partitionCount)),
                requestsLeft: 1 + random.below(max(1, requestCount)))
        }
        while let index = connections.indices.filter({ connections[$0].requestsLeft > 0 }).randomElement(using: &random)
        {
            time += Int64(random.below(40_000_000))
            step(&connections[index], time, &random, withAccidents)
            if withAccidents, random.below(60) == 0 { poison(&random) }
        }
        for index in connections.indices { flush(&connections[index], isLast: random.below(3) > 0, time) }
        lastTime = time
    }

    /// One request with its response, in pieces.
    private mutating func step(
        _ connection: inout Connection, _ time: Int64, _ random: inout SeededGenerator, _ withAccidents: Bool
    ) {
        connection.requestsLeft -= 1
        let number = connection.request
        let accident = withAccidents ? random.below(20) : 20
        // What must never arrive has a name that gives it away.
        let name = (accident < 2 ? "never" : "c") + "\(connection.index)-\(number)"
        let text = Array("PUT /k/\(name) HTTP/1.1\r\nHost: s\r\nContent-Length: 4\r\n\r\nbody".utf8)
        var first: Int64?
        let cut = 1 + random.below(text.count - 1)
        for part in [text[..<cut], text[cut...]] {
            connection.record.read(Array(part), time)
            connection.isInRequest = true
            guard random.below(4) == 0 else { continue }
            // Records of other connections may come in between: the record gets its offset when it is flushed.
            if first == nil { first = Int64(partitions[Int(connection.partition)].count) }
            flush(&connection, isLast: false, time)
        }
        if accident == 0 {
            connection.record.dropped(time)
            connection.isInRequest = false
            return
        }
        if accident == 1 {
            // The client went away in the middle; the proxy goes on with a new request of the same connection.
            connection.record.exception("client gone", time)
            connection.isInRequest = false
            incompleteCount += 1
            return
        }
        connection.record.end(time)
        connection.isInRequest = false
        connection.ends += 1
        // The offsets that are missing are those of the record that is being filled; `flush` sets them.
        connection.unplaced.append(requests.count)
        requests.append(
            Request(
                connection: connection.index, number: number, partition: connection.partition,
                firstOffset: first ?? -1, endOffset: -1, time: time))
        connection.request += 1
        if random.below(4) == 0 { flush(&connection, isLast: false, time) }
        let answer = Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".utf8)
        // Now and then the response is lost with the proxy.
        guard accident != 2 else { return }
        let half = 1 + random.below(answer.count - 1)
        connection.record.write(Array(answer[..<half]), time + 1_000_000)
        if random.below(5) == 0 { flush(&connection, isLast: false, time) }
        connection.record.write(Array(answer[half...]), time + 2_000_000)
    }

    private mutating func flush(_ connection: inout Connection, isLast: Bool, _ time: Int64) {
        if isLast { connection.record.close(time) }
        guard !connection.record.isEmpty else { return }
        let value = connection.record.value(
            connection: "c\(connection.index)", number: connection.recordNumber, isLast: isLast)
        append(value, key: Array("c\(connection.index)".utf8), connection.partition, time)
        let offset = Int64(partitions[Int(connection.partition)].count - 1)
        for index in connection.unplaced {
            requests[index].endOffset = offset
            if requests[index].firstOffset < 0 { requests[index].firstOffset = offset }
        }
        connection.unplaced.removeAll()
        connection.recordNumber += 1
        connection.record = ProtobufRecord(priorRequests: connection.ends, isReadUnterminated: connection.isInRequest)
    }

    private mutating func poison(_ random: inout SeededGenerator) {
        poisonCount += 1
        let partition = Int32(random.below(partitions.count))
        let value: [UInt8] =
            switch random.below(3) {
            case 0: random.bytes(30).map { $0 | 0x80 }
            case 1: []
            default: ProtobufRecord().value(connection: "empty", number: 1, isLast: false)
            }
        append(value, key: [], partition, lastTime)
    }

    private mutating func append(_ value: [UInt8], key: [UInt8], _ partition: Int32, _ time: Int64) {
        let owner = OwnedRecord(value: value, key: key)
        let offset = Int64(partitions[Int(partition)].count)
        partitions[Int(partition)].append(
            LoggedRecord(
                key: owner.key, value: owner.value, position: LogPosition(partition: partition, offset: offset),
                timestampMilliseconds: time / 1_000_000, owner: owner))
    }
}

/// The bytes of a record in one block.
// Sound: written by its maker before anybody else sees it, only read afterwards.
final class OwnedRecord: @unchecked Sendable {
    private let memory: UnsafeMutableRawBufferPointer
    let key: UnsafeRawBufferPointer
    let value: UnsafeRawBufferPointer

    init(value: [UInt8], key: [UInt8]) {
        memory = .allocate(byteCount: max(1, value.count + key.count), alignment: 8)
        memory.copyBytes(from: value + key)
        self.value = UnsafeRawBufferPointer(rebasing: memory[..<value.count])
        self.key = UnsafeRawBufferPointer(rebasing: memory[value.count..<value.count + key.count])
    }

    deinit { memory.deallocate() }
}
