import Testing

@testable import Replay

@Suite struct ReplayPolicyTests {
    private func verdict(
        _ answer: OutcomePolicy.Answer, source: Int? = 200, isMutating: Bool = true, attempts: Int = 1,
        seconds: Int64 = 0, generatedIDs: Bool = false, patience: OutcomePolicy.Patience = .init()
    ) -> OutcomePolicy.Verdict {
        OutcomePolicy.decide(
            .init(
                isMutating: isMutating, hasGeneratedIDs: generatedIDs, sourceStatus: source, attemptCount: attempts,
                elapsed: seconds * 1_000_000_000, answer: answer), patience)
    }

    @Test func whatTheTargetMayTakeLaterIsTriedAgain() {
        let passing: [(OutcomePolicy.Answer, OutcomePolicy.RetryReason)] = [
            (.status(429), .tooManyRequests), (.status(408), .timeout), (.status(500), .serverError),
            (.status(502), .serverError), (.status(503), .serverError), (.status(504), .serverError),
            (.status(401), .unauthorized), (.blocked, .blocked), (.failure(.connect), .connect),
            (.failure(.tls), .tls), (.failure(.connectionLost), .connectionLost), (.failure(.timeout), .timeout),
            (.failure(.malformed), .malformed), (.failure(.other), .other),
        ]
        for (answer, reason) in passing {
            for source in [200, 201, 302, nil] { #expect(verdict(answer, source: source) == .retry(reason)) }
            // A year of it changes nothing for a write.
            #expect(verdict(answer, attempts: 1_000_000, seconds: 31_536_000) == .retry(reason))
        }
    }

    @Test func whatStaysAsItIsEnds() {
        for status in [400, 403, 404, 409, 413, 501, 505] {
            #expect(verdict(.status(status)) == .end(.different))
        }
        for status in [200, 201, 204, 304] { #expect(verdict(.status(status)) == .end(.done)) }
    }

    @Test func whatTheSourceRefusedIsSentOnce() {
        for answer in [OutcomePolicy.Answer.status(503), .status(200), .status(404), .failure(.connect), .blocked] {
            #expect(verdict(answer, source: 404) == .end(.refusedBySource))
        }
        #expect(verdict(.bulk(retryableItems: 3, failedItems: 0), source: 429) == .end(.refusedBySource))
    }

    @Test func aSecondSendingThatFindsTheFirstIsDone() {
        #expect(verdict(.status(409), attempts: 2) == .end(.done))
        #expect(verdict(.status(404), attempts: 2) == .end(.done))
        #expect(verdict(.status(409), generatedIDs: true) == .end(.done))
    }

    @Test func onlyItemsThatMayGoThroughAreSentAgain() {
        #expect(verdict(.bulk(retryableItems: 1, failedItems: 7)) == .resendItems)
        #expect(verdict(.bulk(retryableItems: 0, failedItems: 7)) == .end(.different))
        #expect(verdict(.bulk(retryableItems: 0, failedItems: 0)) == .end(.done))
    }

    @Test func patienceEndsWhereItIsSetTo() {
        let patience = OutcomePolicy.Patience(mutating: 10_000_000_000, reading: 5_000_000_000)
        #expect(verdict(.status(503), seconds: 9, patience: patience) == .retry(.serverError))
        #expect(verdict(.status(503), seconds: 10, patience: patience) == .end(.gaveUp("serverError")))
        #expect(
            verdict(.status(503), isMutating: false, seconds: 5, patience: patience) == .end(.gaveUp("serverError")))
        #expect(verdict(.status(503), isMutating: false, seconds: 61) == .end(.gaveUp("serverError")))
    }

    @Test func delaysDoubleUpToTheLongestAndAreSpread() {
        let policy = BackoffPolicy()
        for attempts in 1...40 {
            let middle = min(30_000_000_000, 100_000_000 << Int64(min(attempts - 1, 20)))
            for random in [0, UInt64.max / 3, .max] {
                let delay = policy.delay(attempts: attempts, random: random)
                #expect(delay >= middle / 4 * 3 && delay <= middle / 4 * 5 + 1, "attempt \(attempts)")
            }
        }
    }

    @Test func dueTimesFollowTheSpeed() {
        let origin = TimeOrigin(source: 1000, wall: 50_000)
        #expect(ReplaySchedule(speed: .factor(1), origin: origin).due(1600) == 50_600)
        #expect(ReplaySchedule(speed: .factor(10), origin: origin).due(1600) == 50_060)
        #expect(ReplaySchedule(speed: .factor(0.5), origin: origin).due(1600) == 51_200)
        #expect(ReplaySchedule(speed: .factor(2), origin: origin).due(0) == 49_500)
        #expect(ReplaySchedule(speed: .maximum, origin: origin).due(1600) == .min)
        #expect(ReplaySchedule(speed: .factor(1)).due(1600) == .min)
        #expect(ReplaySchedule(speed: .factor(0.1), origin: origin).due(.max) == .max)
    }

    @Test func theEarliestOriginHolds() {
        let shared = SharedOrigin()
        #expect(shared.adopt(source: 5, wall: 100) == TimeOrigin(source: 5, wall: 100))
        #expect(shared.adopt(source: 6, wall: 200) == TimeOrigin(source: 5, wall: 100))
        #expect(!shared.merge(TimeOrigin(source: 1, wall: 101)))
        #expect(shared.merge(TimeOrigin(source: 9, wall: 99)))
        shared.bringForward(by: 10)
        #expect(shared.current == TimeOrigin(source: 9, wall: 89))
    }

    @Test func theHeapGivesWhatIsDueFirst() {
        var heap = DueHeap<Int>()
        var random = SplitMix(seed: 7)
        var expected: [[Int64]] = []
        for element in 0..<500 {
            let notBefore = Int64(random.next() % 40)
            let order = Int64(random.next() % 1000)
            heap.insert(.init(notBefore: notBefore, order: order, element: element))
            expected.append([notBefore, order])
        }
        expected.sort { ($0[0], $0[1]) < ($1[0], $1[1]) }
        for pair in expected {
            let entry = heap.removeFirst()
            #expect([entry.notBefore, entry.order] == pair)
        }
        #expect(heap.count == 0)
    }
}
