import Synchronization

/// What a run has done so far, for progress, metrics and the report. Written from workers and the sender, read from
/// anywhere.
final class BackfillCounters: Sendable {
    private let readDocumentCount = Atomic<Int>(0)
    private let migratedCount = Atomic<Int>(0)
    private let sourceByteCount = Atomic<Int>(0)
    private let rejectedCount = Atomic<Int>(0)
    private let omittedCount = Atomic<Int>(0)
    private let requestCount = Atomic<Int>(0)
    private let requestByteCount = Atomic<Int>(0)
    private let retriedDocumentCount = Atomic<Int>(0)
    private let activeRequestCount = Atomic<Int>(0)
    private let waitingRequestCount = Atomic<Int>(0)
    private let answerNanoseconds = Atomic<Int>(0)
    private let doneDocumentCount = Atomic<Int>(0)
    private let leftOutByReason = Mutex<[DeadLetter.Reason: Int]>([:])
    private let lastProblem = Mutex<String?>(nil)

    /// A copy of all figures at one moment.
    struct Figures: Sendable {
        var read = 0
        var migrated = 0
        var sourceBytes = 0
        var rejected = 0
        var omitted = 0
        /// Resolved documents, deleted and nested ones included.
        var done = 0
        var requests = 0
        var requestBytes = 0
        var retried = 0
        var activeRequests = 0
        var waitingRequests = 0
        var answerTime = Duration.zero
        var leftOut: [DeadLetter.Reason: Int] = [:]
        var lastProblem: String?
    }

    var figures: Figures {
        Figures(
            read: readDocumentCount.load(ordering: .relaxed), migrated: migratedCount.load(ordering: .relaxed),
            sourceBytes: sourceByteCount.load(ordering: .relaxed), rejected: rejectedCount.load(ordering: .relaxed),
            omitted: omittedCount.load(ordering: .relaxed), done: doneDocumentCount.load(ordering: .relaxed),
            requests: requestCount.load(ordering: .relaxed), requestBytes: requestByteCount.load(ordering: .relaxed),
            retried: retriedDocumentCount.load(ordering: .relaxed),
            activeRequests: activeRequestCount.load(ordering: .relaxed),
            waitingRequests: waitingRequestCount.load(ordering: .relaxed),
            answerTime: .nanoseconds(answerNanoseconds.load(ordering: .relaxed)),
            leftOut: leftOutByReason.withLock { $0 }, lastProblem: lastProblem.withLock { $0 })
    }

    func documentsRead(_ count: Int) { readDocumentCount.add(count, ordering: .relaxed) }

    func resolved(_ tally: DocumentTally) {
        migratedCount.add(tally.migrated, ordering: .relaxed)
        sourceByteCount.add(Int(tally.sourceBytes), ordering: .relaxed)
        rejectedCount.add(tally.rejected, ordering: .relaxed)
        omittedCount.add(tally.omitted, ordering: .relaxed)
        doneDocumentCount.add(tally.documentCount, ordering: .relaxed)
    }

    func requestSent(bytes: Int) {
        requestCount.add(1, ordering: .relaxed)
        requestByteCount.add(bytes, ordering: .relaxed)
    }

    func answered(after latency: Duration) {
        let (seconds, attoseconds) = latency.components
        answerNanoseconds.add(Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000), ordering: .relaxed)
    }

    func retried(documents: Int) { retriedDocumentCount.add(documents, ordering: .relaxed) }

    func leftOut(_ reason: DeadLetter.Reason) {
        leftOutByReason.withLock { $0[reason, default: 0] += 1 }
    }

    func setQueue(active: Int, waiting: Int) {
        activeRequestCount.store(active, ordering: .relaxed)
        waitingRequestCount.store(waiting, ordering: .relaxed)
    }

    /// What holds the run up at the moment, for the progress line.
    func noteProblem(_ message: String) { lastProblem.withLock { $0 = message } }
}
