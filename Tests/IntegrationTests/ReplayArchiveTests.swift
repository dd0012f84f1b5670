import Foundation
import JSONBytes
import TestSupport
import Testing

/// Records that the reference project's proxy wrote, replayed: what its clients sent arrives byte for byte, but for the
/// Host line. What is to arrive is listed by an independent decoder (see the fixtures' README).
@Suite("Replay of the reference project's records", .enabled(if: TestEnvironment.hasCapture))
struct ReplayArchiveTests {
    private struct Expected {
        let connection: String
        let request: Int64
        let isComplete: Bool
        let digest: String
    }

    @Test(
        "every complete request arrives once, in order of its connection, and no other",
        .enabled(if: TestEnvironment.trafficFixtures != nil, "needs ../shared/fixtures/traffic"),
        arguments: ["reference-small", "reference-bulk"])
    func byteExact(name: String) throws {
        let scratch = try TemporaryFolder("replay-archive")
        let folder = try #require(TestEnvironment.trafficFixtures)
        let expected = try lines("\(folder)/\(name).expected.ndjson.gz").map { line in
            let exchange = try JSONValue.parse(line)
            return Expected(
                connection: (exchange["node"]?.stringValue ?? "") + "/" + (exchange["connection"]?.stringValue ?? ""),
                request: exchange["request"]?.intValue ?? -1, isComplete: exchange["complete"]?.boolValue ?? false,
                digest: exchange["requestSha256"]?.stringValue ?? "")
        }
        let complete = expected.filter(\.isComplete)
        #expect(complete.count > 70 && Set(complete.map(\.digest)).count == complete.count)

        let target = try ReplayTarget()
        defer { target.stop() }
        let archive = "\(folder)/\(name).ndjson.gz"
        let run = try ReplayRun(log: "archive://" + archive, target: target.url, scratch: scratch)
        #expect(run.process.wait() == .exited(0), "\(run.process.errorText)")

        let host = try capturedHost(archive)
        var places: [String: Int] = [:]
        let arrivals = target.arrivals
        for (place, arrival) in arrivals.enumerated() {
            let digest = sha256Hex(try withHost(host, arrival.bytes, port: target.port))
            #expect(places.updateValue(place, forKey: digest) == nil, "\(arrival.firstLine) arrived twice")
        }
        #expect(arrivals.count == complete.count)
        var last: [String: Int] = [:]
        for exchange in complete {
            guard let place = places[exchange.digest] else {
                Issue.record("request \(exchange.request) of \(exchange.connection) did not arrive as it was sent")
                continue
            }
            #expect(place > last[exchange.connection] ?? -1, "\(exchange.connection) \(exchange.request): too early")
            last[exchange.connection] = place
        }
        #expect(try run.deadLetters().isEmpty)
        let report = try run.report(scratch: scratch)
        #expect(report.json["exchanges"]?.intValue == Int64(complete.count), "\(report.text)")
    }

    private func lines(_ path: String) throws -> [[UInt8]] {
        try #require(gunzip(FileTree.read(path)), "\(path)").split(separator: 0x0A).map(Array.init)
    }

    /// All of an archive's clients talked to one address.
    private func capturedHost(_ archive: String) throws -> [UInt8] {
        var found: Set<[UInt8]> = []
        for line in try lines(archive) {
            let value = try JSONValue.parse(line)["value"]?.stringValue
            let record = try [UInt8](#require(value.flatMap { Data(base64Encoded: $0) }))
            guard let range = record.firstRange(of: Array("\r\nHost: ".utf8)) else { continue }
            found.insert(Array(record[range.upperBound...].prefix { $0 != 0x0D }))
        }
        return try #require(found.count == 1 ? found.first : nil)
    }

    /// The request as it was captured.
    private func withHost(_ host: [UInt8], _ request: [UInt8], port: Int) throws -> [UInt8] {
        let line = Array("\r\nHost: 127.0.0.1:\(port)\r\n".utf8)
        let range = try #require(request.firstRange(of: line), "the Host line is the target's")
        var captured = request
        captured.replaceSubrange((range.lowerBound + 8)..<(range.upperBound - 2), with: host)
        return captured
    }
}
