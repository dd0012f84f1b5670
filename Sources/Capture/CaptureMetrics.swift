import Telemetry
import TrafficLog

/// The numbers of the capture flow; documented in `Capture.docc/Metrics.md`.
final class CaptureMetrics: Sendable {
    let openConnections: Gauge
    let connections: Counter
    let reads: Counter
    let mutations: Counter
    let suppressed: Counter
    let heldRequests: Gauge
    let heldBytes: Gauge
    let holdSeconds: Histogram
    let produceSeconds: Histogram
    let records: Counter
    let recordBytes: Counter
    let lostRecords: Counter
    let gaps: Counter
    let refusedRequests: Counter
    let unheldRequests: Counter
    let answers: Counter
    let clientFailures: Counter
    let sourceFailures: Counter
    let handshakeFailures: Counter
    let tlsReloads: Counter
    let tlsReloadFailures: Counter
    let tlsReloadTime: Gauge

    /// Bounds from 50 µs to the longest hold.
    private static let holdBounds: [Double] = [
        0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
        60,
    ]

    init(_ registry: MetricsRegistry, budget: InFlightBudget, log: (any TrafficLogWriter)?) {
        openConnections = registry.gauge("capture_open_connections", help: "Client connections that are open.")
        connections = registry.counter("capture_connections_total", help: "Client connections accepted.")
        let requests = "Requests whose head was complete, by class."
        reads = registry.counter("capture_requests_total", help: requests, labels: ["class": "read"])
        mutations = registry.counter("capture_requests_total", help: requests, labels: ["class": "mutating"])
        suppressed = registry.counter(
            "capture_suppressed_requests_total", help: "Requests that were not recorded by configuration.")
        heldRequests = registry.gauge("capture_held_requests", help: "Requests that wait for the log.")
        heldBytes = registry.gauge("capture_held_bytes", help: "Bytes of requests that wait for the log.")
        holdSeconds = registry.histogram(
            "capture_hold_seconds", help: "How long the last bytes of requests waited for the log.",
            bounds: Self.holdBounds)
        produceSeconds = registry.histogram(
            "capture_produce_seconds", help: "From handing a record to the log to its acknowledgement.",
            bounds: Self.holdBounds)
        records = registry.counter("capture_records_total", help: "Records handed to the log.")
        recordBytes = registry.counter("capture_record_bytes_total", help: "Bytes of records handed to the log.")
        lostRecords = registry.counter("capture_lost_records_total", help: "Records that the log did not take.")
        gaps = registry.counter(
            "capture_gaps_total", help: "Stretches of a connection that were forwarded and not recorded.")
        refusedRequests = registry.counter(
            "capture_refused_requests_total", help: "Writing requests answered with 503 for want of the log.")
        unheldRequests = registry.counter(
            "capture_unrecorded_writes_total", help: "Writing requests forwarded without an acknowledged record.")
        answers = registry.counter("capture_own_answers_total", help: "Answers given in place of the source.")
        clientFailures = registry.counter(
            "capture_client_failures_total", help: "Client connections that ended with an error.")
        sourceFailures = registry.counter(
            "capture_source_failures_total", help: "Connections to the source that failed or ended early.")
        handshakeFailures = registry.counter(
            "capture_tls_handshake_failures_total", help: "TLS handshakes with clients that failed.")
        tlsReloads = registry.counter("capture_tls_reloads_total", help: "Certificates read again.")
        tlsReloadFailures = registry.counter(
            "capture_tls_reload_failures_total", help: "Changed certificate files that could not be used.")
        tlsReloadTime = registry.gauge(
            "capture_tls_reload_time_seconds", help: "Unix time when the certificate was last read.")
        registry.gauge(
            "capture_in_flight_bytes", help: "Record buffers in use, and bytes that wait for slow peers.",
            value: { Double(budget.usedBytes) })
        guard let log else { return }
        registry.gauge(
            "capture_unacknowledged_records", help: "Records the log has not acknowledged.",
            value: { Double(log.statistics.unacknowledgedCount) })
        registry.gauge(
            "capture_oldest_unacknowledged_seconds", help: "Age of the oldest record that is not acknowledged.",
            value: { Double(log.statistics.oldestUnacknowledgedNanoseconds) / 1e9 })
        registry.gauge(
            "capture_spooled_records", help: "Records in the spool that the log does not have yet.",
            value: { Double(log.statistics.spooledCount) })
        registry.gauge(
            "capture_spooled_bytes", help: "Size of the spool.", value: { Double(log.statistics.spooledBytes) })
        registry.gauge(
            "capture_log_outage_info", help: "1 while the log takes no records.",
            value: { log.state.takesRecords ? 0 : 1 })
    }

    /// What an outage changes.
    var outageFigures: OutageReport.Figures {
        OutageReport.Figures(
            refusedRequests: refusedRequests.value, unrecordedWrites: unheldRequests.value, gaps: gaps.value,
            records: records.value)
    }
}
