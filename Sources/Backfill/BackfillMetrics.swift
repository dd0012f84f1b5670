import Telemetry

/// The flow's figures for Prometheus. All are read from the counters when a scrape asks.
enum BackfillMetrics {
    static func register(
        in metrics: MetricsRegistry, counters: BackfillCounters, budget: InFlightBudget,
        look: @escaping @Sendable () -> ProgressReporter.Snapshot?
    ) {
        metrics.counter(
            "backfill_documents_migrated_total", help: "Documents that the target acknowledged.",
            value: { Double(counters.figures.migrated) })
        metrics.counter(
            "backfill_source_bytes_total", help: "Bytes of _source of the acknowledged documents.",
            value: { Double(counters.figures.sourceBytes) })
        metrics.counter(
            "backfill_documents_read_total", help: "Lucene documents decoded, deleted and nested ones included.",
            value: { Double(counters.figures.read) })
        metrics.counter(
            "backfill_documents_rejected_total", help: "Documents that the target refused for good.",
            value: { Double(counters.figures.rejected) })
        metrics.counter(
            "backfill_documents_omitted_total",
            help: "Live documents that cannot be sent: no stored source, or not JSON.",
            value: { Double(counters.figures.omitted) })
        metrics.counter(
            "backfill_documents_retried_total", help: "Documents that were sent again.",
            value: { Double(counters.figures.retried) })
        metrics.counter(
            "backfill_bulk_requests_total", help: "Bulk requests sent.", value: { Double(counters.figures.requests) })
        metrics.counter(
            "backfill_bulk_request_bytes_total", help: "Bytes of the bulk requests' bodies before compression.",
            value: { Double(counters.figures.requestBytes) })
        metrics.counter(
            "backfill_bulk_answer_seconds_total", help: "Time until answers, summed over all bulk requests.",
            value: { counters.figures.answerTime.seconds })
        metrics.gauge(
            "backfill_active_requests", help: "Bulk requests that wait for their answer.",
            value: { Double(counters.figures.activeRequests) })
        metrics.gauge(
            "backfill_waiting_requests", help: "Bulk requests that wait to be sent, or to be sent again.",
            value: { Double(counters.figures.waitingRequests) })
        metrics.gauge(
            "backfill_in_flight_bytes", help: "Decompressed bytes held until their documents are acknowledged.",
            value: { Double(budget.bytesInUse) })
        metrics.gauge(
            "backfill_selected_shards", help: "Shards of the selected indices.",
            value: { Double(look()?.shardCount ?? 0) })
        metrics.gauge(
            "backfill_progress_ratio", help: "Share of the selected shards that is done, 0 to 1.",
            value: { look().map { $0.shardCount == 0 ? 1 : $0.shardsDone / Double($0.shardCount) } ?? 0 })
    }
}
