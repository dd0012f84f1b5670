import EventIO
import Glibc
import Telemetry
import TestSupport
import Testing
import TrafficLog

@testable import Capture

/// The numbers that an operator watches, as they are served while the proxy runs.
@Suite struct MetricsTests {
    private let put = "PUT /i/_doc/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    private let get = "GET /i/_doc/1 HTTP/1.1\r\nHost: a\r\n\r\n"

    /// Values by name with labels, from `/metrics`.
    private static func scrape(_ admin: AdminServer) throws -> [String: Double] {
        let client = try RawClient(try SocketAddress.resolve(host: "127.0.0.1", port: admin.boundPort)[0])
        try client.send("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let lines = String(decoding: client.receiveAll(), as: UTF8.self).split(separator: "\n")
        var values: [String: Double] = [:]
        for line in lines where line.hasPrefix("capture_") {
            let parts = line.split(separator: " ")
            if parts.count == 2 { values[String(parts[0])] = Double(parts[1]) }
        }
        return values
    }

    @Test func aScrapeShowsWhatTheProxyDoes() throws {
        let log = MemoryTrafficLog(isAutomatic: false)
        let rig = try ProxyRig(log: log) {
            $0.suppression.path = try .init("/secret.*")
            $0.deadlines.flushAfter = .seconds(10)
        }
        let admin = try AdminServer(host: "127.0.0.1", port: 0, metrics: rig.metrics, readiness: { .ready })
        defer { admin.stop() }
        let reader = try rig.client()
        for request in [get, "GET /secret HTTP/1.1\r\nHost: a\r\n\r\n"] {
            try reader.send(request)
            _ = try reader.receiveResponse()
        }
        let writer = try rig.client()
        try writer.send(put)
        eventually("the write is held") { log.pendingCount == 1 }
        let held = try Self.scrape(admin)
        #expect(held["capture_connections_total"] == 2 && held["capture_open_connections"] == 2)
        #expect(held["capture_requests_total{class=\"read\"}"] == 2)
        #expect(held["capture_requests_total{class=\"mutating\"}"] == 1)
        #expect(held["capture_suppressed_requests_total"] == 1)
        #expect(held["capture_held_requests"] == 1)
        #expect(held["capture_held_bytes"] == Double(put.utf8.count))
        #expect(held["capture_unacknowledged_records"] == 1)
        #expect(held["capture_hold_seconds_count"] == 0 && held["capture_produce_seconds_count"] == 0)
        #expect(held["capture_gaps_total"] == 0 && held["capture_lost_records_total"] == 0)
        log.acknowledge()
        _ = try writer.receiveResponse()
        let released = try Self.scrape(admin)
        #expect(released["capture_held_requests"] == 0 && released["capture_held_bytes"] == 0)
        #expect(released["capture_hold_seconds_count"] == 1 && released["capture_produce_seconds_count"] == 1)
        #expect((released["capture_produce_seconds_sum"] ?? 0) > 0)
        #expect((released["capture_produce_seconds_sum"] ?? 0) >= (released["capture_hold_seconds_sum"] ?? 1))
        try writer.send(put)
        eventually("the second write is held") { log.pendingCount == 1 }
        log.fail(with: TrafficLogError(.unavailable, "memory: told to fail"))
        #expect(try writer.receiveResponse().hasPrefix("HTTP/1.1 503 "))
        let refused = try Self.scrape(admin)
        #expect(refused["capture_refused_requests_total"] == 1 && refused["capture_own_answers_total"] == 1)
        #expect(refused["capture_lost_records_total"] == 1 && refused["capture_gaps_total"] == 1)
        // Only what the log took counts as produced.
        #expect(refused["capture_produce_seconds_count"] == 1)
        log.isAutomatic = true
    }

    /// Every name of `Metrics.md` is served, and the figures of the log are the log's.
    @Test func theLogsFiguresAreServed() throws {
        let folder = try TemporaryFolder()
        let primary = MemoryTrafficLog(isAutomatic: false)
        let log = try SpoolingTrafficLog(primary: primary, spoolPath: folder.path)
        defer { log.close() }
        let registry = MetricsRegistry()
        _ = CaptureMetrics(registry, budget: InFlightBudget(limitBytes: 1), log: log)
        let admin = try AdminServer(host: "127.0.0.1", port: 0, metrics: registry, readiness: { .ready })
        defer { admin.stop() }
        #expect(try Self.scrape(admin)["capture_spooled_records"] == 0)
        let sink = NoSink()
        try log.append(RecordSegment(copying: Array("one".utf8)), key: ConnectionKey("c"), sink: sink)
        eventually("it grows old") {
            (try? Self.scrape(admin)["capture_oldest_unacknowledged_seconds"]) ?? 0 > 0
        }
        primary.beginOutage(reason: "ordered by the test")
        try log.append(RecordSegment(copying: Array("two".utf8)), key: ConnectionKey("c"), sink: sink)
        #expect(log.flush(within: .seconds(60)))
        let spooling = try Self.scrape(admin)
        #expect(spooling["capture_spooled_records"] == 2 && (spooling["capture_spooled_bytes"] ?? 0) > 0)
        #expect(spooling["capture_log_outage_info"] == 0, "the spool takes records")
        let page = String(
            decoding: try FileTree.read(
                #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }
                    + "/Sources/Capture/Capture.docc/Metrics.md"), as: UTF8.self)
        let names = page.split(separator: "`").map(String.init).filter { $0.hasPrefix("capture_") }
        #expect(names.count >= 25)
        for name in names {
            #expect(spooling.keys.contains { $0.hasPrefix(name) }, "\(name) is not served")
        }
    }

    private final class NoSink: TrafficLogSink {
        func recordsResolved(_ deliveries: [LogDelivery]) {}
    }
}
