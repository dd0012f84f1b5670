/// Decides after each attempt: done, again, or given up.
package enum OutcomePolicy {
    package struct Facts: Sendable {
        package var isMutating: Bool
        package var hasGeneratedIDs: Bool
        /// nil while it is not known.
        package var sourceStatus: Int?
        /// This one included.
        package var attemptCount: Int
        /// Since the first attempt began, nanoseconds.
        package var elapsed: Int64
        package var answer: Answer

        package init(
            isMutating: Bool, hasGeneratedIDs: Bool = false, sourceStatus: Int?, attemptCount: Int, elapsed: Int64,
            answer: Answer
        ) {
            self.isMutating = isMutating
            self.hasGeneratedIDs = hasGeneratedIDs
            self.sourceStatus = sourceStatus
            self.attemptCount = attemptCount
            self.elapsed = elapsed
            self.answer = answer
        }
    }

    package enum Answer: Sendable, Equatable {
        case failure(AttemptFailure.Reason)
        case status(Int)
        /// 200 to a bulk request: how many items would go through later, and how many never will.
        case bulk(retryableItems: Int, failedItems: Int)
        /// 403 because of a block that somebody lifts (disk full, read-only for a while).
        case blocked
    }

    package enum Verdict: Sendable, Equatable {
        case end(ReplayOutcome)
        case retry(RetryReason)
        /// Only the items of the bulk that may go through.
        case resendItems
    }

    package enum RetryReason: String, Sendable, CaseIterable {
        case connect, tls, connectionLost, timeout, malformed, other, tooManyRequests, serverError, unauthorized
        case blocked, bulkItems, cancelled
    }

    /// Nanoseconds after which a request is given up; nil for never.
    package struct Patience: Sendable {
        package var mutating: Int64?
        package var reading: Int64?

        package init(mutating: Int64? = nil, reading: Int64? = 60_000_000_000) {
            self.mutating = mutating
            self.reading = reading
        }
    }

    package static func decide(_ facts: Facts, _ patience: Patience) -> Verdict {
        // What the source itself refused has no effect to bring about: one attempt shows what the target says to it.
        let isRefused = facts.sourceStatus.map { $0 >= 400 } ?? false
        guard let reason = retryReason(facts) else {
            if isRefused { return .end(.refusedBySource) }
            return .end(isTaken(facts) ? .done : .different)
        }
        if isRefused { return .end(.refusedBySource) }
        if let limit = facts.isMutating ? patience.mutating : patience.reading, facts.elapsed >= limit {
            return .end(.gaveUp(reason.rawValue))
        }
        return reason == .bulkItems ? .resendItems : .retry(reason)
    }

    private static func isTaken(_ facts: Facts) -> Bool {
        switch facts.answer {
        case .status(let status):
            if status < 400 { return true }
            // A second attempt, or an id that an earlier run sent: the document is there.
            if status == 409, facts.attemptCount > 1 || facts.hasGeneratedIDs { return true }
            // The source found nothing either, or a deletion went through at an earlier attempt.
            return status == 404 && facts.attemptCount > 1
        case .bulk(_, let failedItems): return failedItems == 0
        case .failure, .blocked: return false
        }
    }

    private static func retryReason(_ facts: Facts) -> RetryReason? {
        switch facts.answer {
        case .failure(let reason): RetryReason(rawValue: reason.rawValue)
        case .blocked: .blocked
        case .bulk(let retryableItems, _): retryableItems > 0 ? .bulkItems : nil
        case .status(let status):
            switch status {
            case 401: .unauthorized
            case 408: .timeout
            case 429: .tooManyRequests
            // 501 and 505 say that it will never be understood.
            case 501, 505: nil
            case 500...: .serverError
            default: nil
            }
        }
    }
}
