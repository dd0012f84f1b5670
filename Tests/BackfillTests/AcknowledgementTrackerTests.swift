import TestSupport
import Testing

@testable import Backfill

@Suite struct AcknowledgementTrackerTests {
    private func tally(_ count: Int) -> DocumentTally {
        var tally = DocumentTally()
        tally.migrated = count
        return tally
    }

    @Test func laterSpansWaitForTheFirst() {
        var tracker = AcknowledgementTracker(checkpoint: 0)
        let first = tracker.open(endDoc: 100)
        let second = tracker.open(endDoc: 200)
        let third = tracker.open(endDoc: 300)
        let thirdMoved = tracker.complete(sequence: third, tally: tally(100))
        #expect(!thirdMoved)
        #expect(tracker.checkpoint == 0)
        let firstMoved = tracker.complete(sequence: first, tally: tally(90))
        #expect(firstMoved)
        #expect(tracker.checkpoint == 100)
        #expect(tracker.tally.migrated == 90)
        let secondMoved = tracker.complete(sequence: second, tally: tally(100))
        #expect(secondMoved)
        #expect(tracker.checkpoint == 300)
        #expect(tracker.tally.migrated == 290)
        #expect(tracker.openCount == 0)
    }

    /// Property: whatever the order of acknowledgements, the checkpoint equals the end of the completed prefix of an
    /// obvious model, never retreats and never passes a span that is open.
    @Test(arguments: 0..<200) func checkpointIsTheContiguousAcknowledgedPrefix(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let start = Int(random.next() % 1000)
        var tracker = AcknowledgementTracker(checkpoint: start)
        var model: [(sequence: Int, end: Int, count: Int, isDone: Bool)] = []
        var end = start
        for _ in 0..<400 {
            let open = model.indices.filter { !model[$0].isDone }
            if open.isEmpty || random.next() % 2 == 0, open.count < 12 {
                let count = Int(random.next() % 50)
                end += count
                model.append((tracker.open(endDoc: end), end, count, false))
            } else {
                let index = open[Int(random.next() % UInt64(open.count))]
                let before = tracker.checkpoint
                let moved = tracker.complete(sequence: model[index].sequence, tally: tally(model[index].count))
                model[index].isDone = true
                let prefix = model.prefix { $0.isDone }
                #expect(tracker.checkpoint == prefix.last?.end ?? start, "seed \(seed)")
                #expect(tracker.tally.migrated == tracker.checkpoint - start)
                #expect(tracker.checkpoint >= before)
                #expect(moved == (model[..<index].allSatisfy(\.isDone)))
            }
            #expect(tracker.openCount >= model.filter { !$0.isDone }.count)
        }
    }
}

@Suite struct BulkPacingPolicyTests {
    @Test func growsFromSmallToTheLimitsAndHalvesUnderOverload() {
        var pacing = BulkPacingPolicy(requestLimitMaximum: 8, batchBytesMaximum: 4 << 20)
        #expect(pacing.requestLimit == 2)
        #expect(pacing.batchBytes == 256 << 10)
        for second in 0..<20 { pacing.answered(after: .milliseconds(50), now: .seconds(second)) }
        #expect(pacing.requestLimit == 8)
        #expect(pacing.batchBytes == 4 << 20)
        pacing.overloaded(now: .seconds(100))
        #expect(pacing.requestLimit == 4)
        pacing.overloaded(now: .milliseconds(100_200))
        #expect(pacing.requestLimit == 4, "answers of one overload count once")
        for second in 102..<120 { pacing.overloaded(now: .seconds(second)) }
        #expect(pacing.requestLimit == 1, "never below one request")
        pacing.answered(after: .milliseconds(50), now: .seconds(200))
        #expect(pacing.requestLimit == 2, "recovers by one a window")
    }

    @Test func slowAnswersShrinkBatchesAndA413BoundsThem() {
        var pacing = BulkPacingPolicy(requestLimitMaximum: 4, batchBytesMaximum: 4 << 20)
        for second in 0..<10 { pacing.answered(after: .milliseconds(1), now: .seconds(second)) }
        for second in 0..<40 { pacing.answered(after: .seconds(9), now: .seconds(100 + 2 * second)) }
        #expect(pacing.batchBytes == BulkPacingPolicy.batchBytesMinimum)
        pacing.refusedAsTooLarge(byteCount: 3 << 20)
        for second in 0..<100 { pacing.answered(after: .milliseconds(1), now: .seconds(1000 + second)) }
        #expect(pacing.batchBytes == 3 << 19)
    }
}

@Suite struct BulkOutcomePolicyTests {
    @Test func statusesDecide() {
        #expect(BulkOutcomePolicy.decide(requestStatus: 200) == .readItems)
        for status in [408, 429, 500, 502, 503, 504] {
            #expect(BulkOutcomePolicy.decide(requestStatus: status) == .retry)
        }
        for status in [401, 403, 404] { #expect(BulkOutcomePolicy.decide(requestStatus: status) == .stop) }
        #expect(BulkOutcomePolicy.decide(requestStatus: 413) == .split(isTooLarge: true))
        #expect(BulkOutcomePolicy.decide(requestStatus: 400) == .split(isTooLarge: false))
        #expect(BulkOutcomePolicy.decide(itemStatus: 201) == .accepted)
        #expect(BulkOutcomePolicy.decide(itemStatus: 400) == .reject)
        #expect(BulkOutcomePolicy.decide(itemStatus: 409) == .reject)
        #expect(BulkOutcomePolicy.decide(itemStatus: 429) == .retry)
        #expect(BulkOutcomePolicy.decide(itemStatus: 404) == .stop)
    }

    @Test func backoffGrowsAndIsBounded() {
        #expect(BulkOutcomePolicy.backoff(attempt: 1, random: 0) == .milliseconds(250))
        #expect(BulkOutcomePolicy.backoff(attempt: 3, random: 0) == .milliseconds(1000))
        #expect(BulkOutcomePolicy.backoff(attempt: 1000, random: 0) == .seconds(30))
        #expect(BulkOutcomePolicy.backoff(attempt: 1000, random: 0.999) >= .seconds(15))
    }
}
