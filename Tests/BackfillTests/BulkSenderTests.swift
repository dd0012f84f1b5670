import EventIO
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Backfill

@Suite struct BulkSenderTests {
    @Test func fiftyBadDocumentsInOneBatchDoNotConvictAnIndexThatTakesTheOthers() throws {
        let stage = try SenderStage(
            ClosureTarget { ids in
                if ids.contains(where: { Int($0) ?? 0 >= 900 }) {
                    return .response(status: 400, body: Array(#"{"error":{"type":"t","reason":"bad id"}}"#.utf8))
                }
                return ClosureTarget.items(ids.map { _ in 201 })
            })
        let range = rangeWork(maxDoc: 1000)
        #expect(stage.sender?.submit(batch(of: 1000, in: range)) == true)
        #expect(stage.wait())
        #expect(stage.stops.withLock { $0 } == [])
        #expect(range.progress.tally.migrated == 900)
        #expect(range.progress.tally.rejected == 100)
        #expect(try stage.letters().count == 100)
    }

    @Test func anIndexThatTakesNothingEndsTheRun() throws {
        let stage = try SenderStage(
            ClosureTarget { _ in .response(status: 400, body: Array(#"{"error":{"type":"t","reason":"r"}}"#.utf8)) })
        #expect(stage.sender?.submit(batch(of: 1000, in: rangeWork(maxDoc: 1000))) == true)
        #expect(stage.wait())
        let stop = stage.stops.withLock { $0.first }
        #expect(stop?.code == .unavailable)
        #expect(stop?.message.contains("index logs: the target refuses every document (400 t: r)") == true)
    }

    /// A document that the target cannot digest (429 or 503 for whatever request holds it) must not stop the others.
    @Test func aDocumentThatIsPutOffForEverIsLeftOutAlone() throws {
        // With every refusal another document arrives: the target is alive.
        let other = Mutex<(@Sendable () -> Void)?>(nil)
        let stage = try SenderStage(
            ClosureTarget { ids in
                guard ids.contains("7") else { return ClosureTarget.items(ids.map { _ in 201 }) }
                other.withLock { $0 }?()
                return .response(status: 429, body: Array("busy".utf8))
            })
        let sender = try #require(stage.sender)
        other.withLock {
            $0 = { [unowned sender] in _ = sender.submit(batch(of: 1, in: rangeWork(segment: "_1", maxDoc: 1_000_000)))
            }
        }
        let range = rangeWork(maxDoc: 16)
        #expect(sender.submit(batch(of: 16, in: range)))
        #expect(stage.wait())
        #expect(stage.stops.withLock { $0 } == [])
        #expect(range.progress.tally.migrated == 15)
        let letters = try stage.letters()
        #expect(letters.count == 1)
        #expect(letters.first?.contains("\"reason\":\"retries_exhausted\"") == true)
        #expect(letters.first?.contains("\"doc\":7") == true)
    }

    @Test func aTargetThatPutsOffEverythingEndsTheRunAndLeavesNothingOut() throws {
        for whole in [true, false] {
            let stage = try SenderStage(
                ClosureTarget { ids in
                    whole
                        ? .failed(message: "connection refused", isRetryable: true)
                        : ClosureTarget.items(ids.map { _ in 429 })
                })
            #expect(stage.sender?.submit(batch(of: 1, in: rangeWork(maxDoc: 1))) == true)
            #expect(stage.wait())
            #expect(stage.stops.withLock { $0.first?.message }?.contains("gave up after 10 min 0 s of retries") == true)
            #expect(try stage.letters() == [])
        }
    }

    @Test func aMissingIndexNamesTheWayOut() throws {
        let stage = try SenderStage(ClosureTarget { ids in ClosureTarget.items(ids.map { _ in 404 }) })
        #expect(stage.sender?.submit(batch(of: 3, in: rangeWork(maxDoc: 3))) == true)
        #expect(stage.wait())
        let message = stage.stops.withLock { $0.first?.message }
        #expect(message?.contains("create the index, or allow its automatic creation, and start again") == true)
    }

    @Test func aWorkerThatWaitsForMemoryIsReleasedWhenTheRunEnds() throws {
        let budget = InFlightBudget(limitBytes: 100)
        #expect(budget.acquire(1000), "what is larger than the budget goes alone")
        let outcome = Mutex<Bool?>(nil)
        let waiter = WorkerThread(name: "waiter") {
            let isGiven = budget.acquire(1)
            outcome.withLock { $0 = isGiven }
        }
        budget.close()
        waiter.join()
        #expect(outcome.withLock { $0 } == false)
        budget.release(1000)
        #expect(budget.bytesInUse == 0)
    }

    @Test func aRefusedDocumentDoesNotMakeBatchesTinyForGood() {
        var pacing = BulkPacingPolicy(requestLimitMaximum: 4, batchBytesMaximum: 5 << 20)
        pacing.refusedAsTooLarge(byteCount: 90)
        #expect(pacing.batchBytes == BulkPacingPolicy.batchBytesMinimum)
    }
}
