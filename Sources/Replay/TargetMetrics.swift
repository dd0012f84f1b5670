import EventIO
import Synchronization
import Telemetry
import Transform
import TupleFormat

/// What the target does with replayed requests, in numbers; documented in `Replay.docc/Metrics.md`.
final class TargetMetrics: Sendable {
    let latency: Histogram
    let wholeResends: Counter
    private let comparisons: [Counter]
    private let idsAdded: Counter
    private let idsUnknown: Counter
    private let pathsChanged: Counter
    private let namesRenamed: Counter
    private let typesRemoved: Counter
    private let itemsDropped: Counter
    private let fieldsChanged: Counter
    private let lastComplaint = Atomic<UInt64>(0)

    private static let verdicts = [
        "match", "status_differs", "body_differs", "target_missing", "source_missing", "not_comparable",
    ]

    init(_ registry: MetricsRegistry) {
        latency = registry.histogram(
            "replay_target_latency_seconds", help: "From the first byte sent to the last of the answer.",
            bounds: Histogram.latencySecondsBounds)
        wholeResends = registry.counter(
            "replay_whole_bulk_resends_total",
            help: "Bulks that were sent again whole, because their items could not be told apart.")
        comparisons = Self.verdicts.map {
            registry.counter(
                "replay_comparisons_total", help: "Exchanges by what the comparison of the two answers found.",
                labels: ["result": $0])
        }
        let changes = "Changes made to requests, by kind."
        func change(_ kind: String) -> Counter {
            registry.counter("replay_changes_total", help: changes, labels: ["kind": kind])
        }
        idsAdded = change("id_added")
        idsUnknown = change("id_unknown")
        pathsChanged = change("path_changed")
        namesRenamed = change("index_renamed")
        typesRemoved = change("type_removed")
        itemsDropped = change("item_dropped")
        fieldsChanged = change("field_changed")
    }

    func count(_ verdict: TupleVerdict) {
        let index =
            switch verdict {
            case .match: 0
            case .statusDiffers: 1
            case .bodyDiffers: 2
            case .targetMissing: 3
            case .sourceMissing: 4
            case .notComparable: 5
            }
        comparisons[index].increment()
    }

    func count(_ changes: TransformChanges) {
        idsAdded.add(changes.idsAdded)
        idsUnknown.add(changes.idsUnknown)
        pathsChanged.add(changes.pathsChanged)
        namesRenamed.add(changes.indexNamesRenamed)
        typesRemoved.add(changes.typesRemoved)
        itemsDropped.add(changes.itemsDropped + changes.refusedItemsDropped)
        fieldsChanged.add(changes.fieldsRenamed + changes.fieldsDropped)
    }

    /// One line every ten seconds while requests are sent again; the retries are counted anyway.
    func tellOfRetry(_ reason: String, log: Log) {
        let now = MonotonicInstant.now().nanoseconds
        let last = lastComplaint.load(ordering: .relaxed)
        guard last == 0 || now - last > 10_000_000_000,
            lastComplaint.compareExchange(expected: last, desired: now, ordering: .relaxed).exchanged
        else { return }
        log.warning("the target did not take a request; it is sent again", [.reason: .text(reason)])
    }
}
