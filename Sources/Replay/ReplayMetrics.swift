import CapturedTraffic
import Telemetry

/// The numbers of the replay flow; documented in `Replay.docc/Metrics.md`.
package final class ReplayMetrics: Sendable {
    let requests: Counter
    let resolvedBefore: Counter
    let droppedRequests: Counter
    let duplicateRecords: Counter
    let missingRecords: Counter
    let poisonRecords: Counter
    let expiredConnections: Counter
    let attemptsAgain: Counter
    let inFlight: Gauge
    let lateness: Histogram
    private let incomplete: [Counter]
    private let retryReasons: [Counter]
    private let outcomeCounters: [Counter]

    private static let endings = ["next_request", "upgraded", "closed", "exception", "gap", "end_of_log"]
    private static let outcomes = [
        "done", "different", "refused_by_source", "filtered", "untransformable", "gave_up", "never_executed",
    ]

    package init(_ registry: MetricsRegistry) {
        requests = registry.counter("replay_requests_total", help: "Captured requests that were whole.")
        resolvedBefore = registry.counter(
            "replay_resolved_before_total", help: "Requests read again that an earlier run had resolved; not sent.")
        droppedRequests = registry.counter(
            "replay_suppressed_requests_total", help: "Requests whose recording the proxy took back.")
        duplicateRecords = registry.counter("replay_duplicate_records_total", help: "Records that were there before.")
        missingRecords = registry.counter(
            "replay_missing_records_total", help: "Records of a connection that the log does not hold.")
        poisonRecords = registry.counter(
            "replay_poison_records_total", help: "Records that cannot be read; they are in the dead letters.")
        expiredConnections = registry.counter(
            "replay_expired_connections_total", help: "Connections that fell silent with something under way.")
        attemptsAgain = registry.counter("replay_attempts_again_total", help: "Attempts after the first one.")
        inFlight = registry.gauge("replay_in_flight_requests", help: "Requests that are at the target.")
        lateness = registry.histogram(
            "replay_lateness_seconds", help: "How long after its time a request was sent first.",
            bounds: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800, 7200])
        incomplete = Self.endings.map {
            registry.counter(
                "replay_incomplete_requests_total", help: "Requests without an end, by what ended them; not sent.",
                labels: ["ending": $0])
        }
        retryReasons = OutcomePolicy.RetryReason.allCases.map {
            registry.counter(
                "replay_retries_total", help: "Attempts that are made again, by reason.",
                labels: ["reason": Self.snakeCase($0.rawValue)])
        }
        outcomeCounters = Self.outcomes.map {
            registry.counter(
                "replay_outcomes_total", help: "Requests that came to an end at the target, by how.",
                labels: ["outcome": $0])
        }
    }

    func incompleteRequests(_ ending: MessageEnding) -> Counter {
        switch ending {
        case .complete: preconditionFailure("a complete request is not incomplete")
        case .nextRequest: incomplete[0]
        case .upgraded: incomplete[1]
        case .closed: incomplete[2]
        case .exception: incomplete[3]
        case .gap: incomplete[4]
        case .endOfLog: incomplete[5]
        }
    }

    func retries(_ reason: OutcomePolicy.RetryReason) -> Counter {
        guard let index = OutcomePolicy.RetryReason.allCases.firstIndex(of: reason) else {
            preconditionFailure("\(reason) is no case")
        }
        return retryReasons[index]
    }

    func outcomes(_ outcome: ReplayOutcome) -> Counter {
        switch outcome {
        case .done: outcomeCounters[0]
        case .different: outcomeCounters[1]
        case .refusedBySource: outcomeCounters[2]
        case .filtered: outcomeCounters[3]
        case .untransformable: outcomeCounters[4]
        case .gaveUp: outcomeCounters[5]
        case .neverExecuted: outcomeCounters[6]
        }
    }

    private static func snakeCase(_ text: String) -> String {
        var result = ""
        for character in text {
            if character.isUppercase { result += "_" }
            result += character.lowercased()
        }
        return result
    }
}
