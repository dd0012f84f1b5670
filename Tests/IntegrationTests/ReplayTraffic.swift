import TestSupport
import Testing
import TrafficLog

/// Numbered requests, each with an answer of the source, as a proxy would have recorded them: number N belongs to
/// connection N modulo `connectionCount`, and its target has `k=N`, which a sink's journal notes.
struct ReplayTraffic {
    var requestCount: Int
    var connectionCount = 16
    /// Bytes that are added to each request's body; incompressible.
    var paddingBytes = 0
    /// One request in so many only reads.
    var readEvery = Int.max

    static let startTime: Int64 = 1_700_000_000_000_000_000

    var all: Set<Int> { Set(0..<requestCount) }

    func isRead(_ number: Int) -> Bool { number % readEvery == readEvery - 1 }

    /// The key of a request's records.
    func connection(of number: Int) -> String { "c\(number % connectionCount)" }

    /// Appends the records to a log, `first` at its head; returns when all are durable.
    func write(to log: String, first: [(key: String, value: [UInt8])] = []) throws {
        let writer = try TrafficLogAddress.parse(log).openWriter()
        defer { writer.close() }
        for record in first { try append(record.value, record.key, writer) }
        try #require(writer.flush(within: .seconds(60)))
        var random = SeededGenerator(seed: 1)
        // A block of which each request has a part: making random bytes is slow.
        let block = random.bytes(paddingBytes == 0 ? 0 : paddingBytes + 4096)
        for number in 0..<requestCount {
            try append(record(number, block), connection(of: number), writer)
        }
        try #require(writer.flush(within: .seconds(120)))
        #expect(writer.statistics.failedCount == 0)
    }

    /// The record of one whole exchange.
    func record(_ number: Int, _ block: [UInt8] = []) -> [UInt8] {
        let ordinal = number / connectionCount
        var record = ProtobufRecord(priorRequests: Int32(ordinal))
        let time = Self.startTime + Int64(number) * 1_000_000
        let start = block.isEmpty ? 0 : number * 37 % 4096
        let body =
            isRead(number)
            ? [] : Array("{\"number\":\(number)}".utf8) + block[start..<start + (block.isEmpty ? 0 : paddingBytes)]
        let line = isRead(number) ? "GET /i/_search?k=\(number)" : "PUT /i/_doc/\(number)?k=\(number)"
        record.read(
            Array("\(line) HTTP/1.1\r\nHost: s\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body, time)
        record.end(time)
        record.write(
            Array("HTTP/1.1 \(isRead(number) ? 200 : 201) OK\r\nContent-Length: 2\r\n\r\n{}".utf8), time + 1_000_000)
        return record.value(connection: connection(of: number), number: Int32(ordinal + 1), isLast: false)
    }

    private func append(_ value: [UInt8], _ key: String, _ writer: any TrafficLogWriter) throws {
        let segment = RecordSegment(copying: value)
        while true {
            do throws(TrafficLogError) {
                return try writer.append(segment, key: ConnectionKey(key), sink: Self.sink)
            } catch {
                guard error.code == .full else { throw error }
                writer.handOver()
                _ = writer.flush(within: .seconds(1))
            }
        }
    }

    /// Nobody needs single deliveries here: the writer's own counts say what failed.
    private static let sink = Ignoring()

    private final class Ignoring: TrafficLogSink {
        func recordsResolved(_ deliveries: [LogDelivery]) {}
    }
}

/// What a sink answered, in order.
struct ReplayJournal {
    struct Entry {
        let number: Int
        let status: Int
        var isTaken: Bool { status < 300 }
    }

    let entries: [Entry]

    init(_ path: String) throws {
        entries = String(decoding: try FileTree.read(path), as: UTF8.self).split(separator: "\n").compactMap { line in
            let parts = line.split(separator: "\t")
            guard parts.count == 2, let number = Int(parts[0]), let status = Int(parts[1]) else { return nil }
            return Entry(number: number, status: status)
        }
    }

    var taken: Set<Int> { Set(entries.filter(\.isTaken).map(\.number)) }

    /// Numbers that were taken more than once.
    var repeated: Set<Int> {
        var seen: Set<Int> = []
        return Set(entries.filter { $0.isTaken && !seen.insert($0.number).inserted }.map(\.number))
    }

    /// Requests that were taken before one that precedes them on their connection.
    func early(_ traffic: ReplayTraffic) -> [Int] {
        var seen: Set<Int> = []
        var early: [Int] = []
        for entry in entries where entry.isTaken {
            let previous = entry.number - traffic.connectionCount
            if previous >= 0, !seen.contains(previous) { early.append(entry.number) }
            seen.insert(entry.number)
        }
        return early
    }

    /// Nothing lost and order kept.
    func check(_ traffic: ReplayTraffic, _ comment: String = "") {
        let missing = traffic.all.subtracting(taken)
        #expect(missing.isEmpty, "\(comment): \(missing.count) lost: \(missing.sorted().prefix(20))")
        let early = early(traffic)
        #expect(early.isEmpty, "\(comment): \(early.count) before those in front of them: \(early.prefix(20))")
    }
}
