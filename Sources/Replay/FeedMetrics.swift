import Synchronization
import Telemetry

/// The numbers of the feed; documented in `Replay.docc/Metrics.md`.
package final class FeedMetrics: Sendable {
    let partitions: Gauge
    let records: Counter
    let recordBytes: Counter
    let missingOffsets: Counter
    let commits: Counter
    let budgetPauses: Counter
    let budgetOverruns: Counter
    let skippedGaps: Counter
    let abandonedPartitions: Counter

    private let registry: MetricsRegistry
    private let lags = Mutex<[Int32: PartitionLag]>([:])

    package init(_ registry: MetricsRegistry, budget: ByteBudget) {
        self.registry = registry
        partitions = registry.gauge("replay_assigned_partitions", help: "Partitions that this instance reads.")
        records = registry.counter("replay_records_total", help: "Records read from the log.")
        recordBytes = registry.counter("replay_record_bytes_total", help: "Bytes of records read from the log.")
        missingOffsets = registry.counter(
            "replay_missing_offsets_total", help: "Records that were deleted from the log before they were read.")
        commits = registry.counter("replay_commits_total", help: "Positions committed.")
        budgetPauses = registry.counter(
            "replay_budget_pauses_total", help: "Times that reading stopped because the memory budget was used up.")
        budgetOverruns = registry.counter(
            "replay_budget_overruns_total",
            help: "Times that reading went on above the budget, because all that was held waited for what follows.")
        skippedGaps = registry.counter("replay_skipped_gaps_total", help: "Idle stretches that were cut short.")
        abandonedPartitions = registry.counter(
            "replay_abandoned_partitions_total",
            help: "Partitions left with requests that had begun and did not finish in time.")
        registry.gauge(
            "replay_budget_bytes", help: "Bytes of records, answers and tuples in memory.",
            value: { Double(budget.usedBytes) })
    }

    /// Shows how far a partition is behind; its series appear the first time.
    func show(_ lag: PartitionLag, of partition: Int32) {
        guard lags.withLock({ $0.updateValue(lag, forKey: partition) }) == nil else { return }
        func gauge(_ name: String, _ help: String, _ value: @escaping @Sendable (PartitionLag) -> Double) {
            registry.gauge(name, help: help, labels: ["partition": "\(partition)"]) { [self] in
                lags.withLock { value($0[partition] ?? PartitionLag()) }
            }
        }
        gauge("replay_lag_records", "Records of a partition that are not resolved, read or not.") { Double($0.records) }
        gauge("replay_lag_bytes", "Their bytes, estimated by the mean of the records read.") { $0.bytes }
        gauge("replay_lag_seconds", "Age of a partition's oldest record that is not resolved.") { $0.seconds }
    }
}
