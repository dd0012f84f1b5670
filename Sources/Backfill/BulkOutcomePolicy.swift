/// What to do about the status of a bulk request or of one of its items. Engines name their errors differently
/// (`rejected_execution_exception`, `es_rejected_execution_exception`), so the status decides.
package enum BulkOutcomePolicy {
    package enum RequestDecision: Equatable, Sendable {
        /// Items carry the outcomes.
        case readItems
        /// The same request again, later.
        case retry
        /// Halve the batch; a batch of one document is rejected.
        case split(isTooLarge: Bool)
        /// No document can get through: credentials, a path that does not exist.
        case stop
    }

    package enum ItemDecision: Equatable, Sendable {
        case accepted
        case retry
        /// The document is at fault: record it and go on.
        case reject
        /// The index or the credentials are at fault: every document would follow.
        case stop
    }

    package static func decide(requestStatus status: Int) -> RequestDecision {
        switch status {
        case 200..<300: .readItems
        case 408, 425, 429, 500...599: .retry
        case 413: .split(isTooLarge: true)
        case 401, 403, 404, 405, 300..<400: .stop
        default: .split(isTooLarge: false)
        }
    }

    package static func decide(itemStatus status: Int) -> ItemDecision {
        switch status {
        case 200..<300: .accepted
        case 0, 408, 425, 429, 500...599: .retry
        case 401, 403, 404: .stop
        default: .reject
        }
    }

    /// Wait before attempt `attempt` (from 1): 250 ms doubling up to 30 s, less up to half by `random` in 0..<1 so that
    /// batches that failed together do not return together.
    package static func backoff(attempt: Int, random: Double) -> Duration {
        let full = min(30_000, 250 * (1 << min(max(attempt, 1) - 1, 10)))
        return .milliseconds(Int(Double(full) * (1 - random / 2)))
    }
}
