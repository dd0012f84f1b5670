import CapturedTraffic
import Glibc
import JSONBytes
import TestSupport
import Testing

/// Records that the reference project's proxy wrote, against what an independent decoder finds in them
/// (Tests/Fixtures/traffic/renew.py).
@Suite struct ReferenceTrafficTests {
    /// `renew.py excerpt reference-small.ndjson.gz 4 10`
    @Test func theExcerptGivesItsExchanges() throws {
        let folder = TrafficFixtures.folder
        try Self.compare(
            folder + "/reference-excerpt.ndjson", folder + "/reference-excerpt.expected.ndjson", leastCount: 62)
    }

    @Test(.enabled(if: TrafficFixtures.sharedFolder != nil), arguments: [("small", 23_958), ("bulk", 77)])
    func wholeTopicsGiveTheirExchanges(name: String, count: Int) throws {
        let folder = try #require(TrafficFixtures.sharedFolder)
        try Self.compare(
            "\(folder)/reference-\(name).ndjson.gz", "\(folder)/reference-\(name).expected.ndjson.gz", leastCount: count
        )
    }

    private static func compare(_ records: String, _ expected: String, leastCount: Int) throws {
        let found = try exchanges(records)
        let lines = try TrafficFixtures.lines(expected)
        #expect(found.count == lines.count && lines.count >= leastCount)
        var differences = 0
        for (found, line) in zip(found, lines) where try found != JSONValue.parse(line) {
            differences += 1
            if differences <= 3 {
                Issue.record("\(String(decoding: found.serialized(), as: UTF8.self)) is not expected")
            }
        }
        #expect(differences == 0)
    }

    /// In order of the connections' first records.
    private static func exchanges(_ path: String) throws -> [JSONValue] {
        struct Connection {
            let node: String
            let id: String
            var reassembler = ExchangeReassembler()
            var collector = ExchangeCollector()
            var found: [JSONValue] = []

            mutating func take(_ record: TrafficStreamReader) throws -> ExchangeReassembler.RecordOutcome {
                try reassembler.receive(record, into: &collector)
            }
            mutating func finish() { reassembler.finish(into: &collector) }
        }
        var connections: [Connection] = []
        var places: [String: Int] = [:]
        for line in try TrafficFixtures.lines(path) {
            guard let record = try line.withUnsafeBytes({ try TrafficArchiveLine.parse($0) }) else { continue }
            try record.value.withUnsafeBytes { bytes in
                let reader = try TrafficStreamReader(bytes)
                let id = String(decoding: reader.header.connectionID, as: UTF8.self)
                let node = String(decoding: reader.header.nodeID, as: UTF8.self)
                #expect(record.key == Array(id.utf8))
                let place = places[node + "/" + id] ?? connections.count
                if place == connections.count { connections.append(Connection(node: node, id: id)) }
                places[node + "/" + id] = place
                let outcome = try connections[place].take(reader)
                #expect(outcome == .inOrder)
            }
        }
        for place in connections.indices {
            connections[place].finish()
            let connection = connections[place]
            #expect(connection.reassembler.strayByteCount == 0 && connection.reassembler.duplicateRecordCount == 0)
            for exchange in connections[place].collector.takeFinished() {
                connections[place].found.append(describe(exchange, connection.node, connection.id))
            }
        }
        return connections.flatMap(\.found)
    }

    private static func describe(_ exchange: CapturedExchange, _ node: String, _ id: String) -> JSONValue {
        let request = CapturedMessage(exchange.request)
        let hasResponse = exchange.responseByteCount > 0
        let status = hasResponse ? CapturedMessage(exchange.response).status : nil
        return RecordDescription.object([
            ("node", .string(node)), ("connection", .string(id)), ("request", .number(String(exchange.number))),
            ("method", .string(request.method ?? "")), ("target", .string(request.target ?? "")),
            ("complete", .bool(exchange.requestEnding == .complete)),
            ("requestLength", .number(String(exchange.requestByteCount))),
            ("requestSha256", .string(sha256Hex(exchange.request))),
            ("status", status.map { .number(String($0)) } ?? .null),
            ("responseLength", .number(String(exchange.responseByteCount))),
            ("responseSha256", hasResponse ? .string(sha256Hex(exchange.response)) : .null),
        ])
    }
}
