import TestSupport
import Testing

@testable import TrafficLog

/// Which records wait for others on their way, without a library behind.
@Suite struct HandOverGateTests {
    /// A gate with what it let go.
    private struct Rig {
        var gate: HandOverGate
        var released: [RecordSegment] = []
        var tokens: [UInt64] { released.map(\.token) }

        init(partitionCount: Int) { gate = HandOverGate(partitionCount: partitionCount) }

        mutating func append(_ tokens: [UInt64], partition: Int32) {
            for token in tokens {
                let segment = RecordSegment(token, "")
                segment.partition = partition
                gate.append(segment)
            }
        }

        /// Lets go what may go at `now`, the oldest unresolved record being from 0.
        mutating func release(now: UInt64 = 0, room: Int = .max) {
            guard gate.isOpen(oldestTime: 0, now: now) else { return }
            var taken: [RecordSegment] = []
            gate.release { segment in
                guard taken.count < room else { return .full }
                taken.append(segment)
                return .handed
            }
            released += taken
        }

        mutating func resolve(_ tokens: [UInt64]) {
            for segment in released where tokens.contains(segment.token) {
                gate.resolved(partition: segment.partition)
            }
        }
    }

    @Test func whatComesMeanwhileGoesAsOneGroup() {
        var rig = Rig(partitionCount: 2)
        rig.append([1], partition: 0)
        rig.release()
        rig.append([2], partition: 0)
        rig.release()
        #expect(rig.tokens == [1, 2])
        rig.append([3, 5], partition: 0)
        rig.append([4, 6], partition: 1)
        rig.release()
        #expect(rig.tokens == [1, 2])
        #expect(rig.gate.waitingCount == 4)
        rig.resolve([1])
        rig.release()
        // Each partition's together; the second one's could go first.
        #expect(rig.tokens == [1, 2, 4, 6, 3, 5])
        #expect(rig.gate.waitingCount == 0)
        #expect(rig.gate.handedCount == 5)
    }

    @Test func otherPartitionsDoNotWaitForABrokerThatHangs() {
        var rig = Rig(partitionCount: 2)
        rig.append([1, 2, 3], partition: 0)
        rig.release()
        rig.append([4], partition: 0)
        rig.append([5], partition: 1)
        rig.release(now: HandOverGate.longestNanoseconds - 1)
        #expect(rig.tokens == [1, 2, 3])
        rig.release(now: HandOverGate.longestNanoseconds)
        #expect(rig.tokens == [1, 2, 3, 5])
        // Never: the library would poll without a pause.
        rig.release(now: .max)
        #expect(rig.tokens == [1, 2, 3, 5])
        rig.resolve([1, 2, 3])
        rig.release()
        #expect(rig.tokens == [1, 2, 3, 5, 4])
    }

    @Test func unknownPartitionsWaitNoLongerThanTheTick() {
        var rig = Rig(partitionCount: 0)
        rig.append([1, 2, 3], partition: -1)
        rig.release()
        rig.append([4], partition: -1)
        rig.release(now: HandOverGate.longestNanoseconds - 1)
        #expect(rig.tokens == [1, 2, 3])
        rig.release(now: HandOverGate.longestNanoseconds)
        #expect(rig.tokens == [1, 2, 3, 4])
    }

    @Test func orderIsKeptWhereTheLibraryHasNoRoom() {
        var rig = Rig(partitionCount: 2)
        rig.append([1, 2, 3], partition: 0)
        rig.append([4], partition: 1)
        rig.release(room: 2)
        #expect(rig.tokens == [1, 2])
        rig.append([5], partition: 0)
        rig.resolve([1, 2])
        rig.release(room: 1)
        rig.release()
        rig.resolve([3])
        rig.release()
        #expect(rig.tokens.filter { $0 != 4 } == [1, 2, 3, 5])
        #expect(rig.tokens.sorted() == [1, 2, 3, 4, 5])
    }

    @Test func refusedRecordsAreNotOnTheirWay() {
        var gate = HandOverGate(partitionCount: 1)
        let segment = RecordSegment(1, "")
        segment.partition = 0
        segment.isHandedOver = true
        gate.append(segment)
        gate.release { _ in .refused }
        #expect(!segment.isHandedOver)
        #expect(gate.handedCount == 0 && gate.waitingCount == 0)
        let isOpen = gate.isOpen(oldestTime: nil, now: 0)
        #expect(!isOpen)
    }

    @Test func whatWaitsIsGivenUpOnce() {
        var rig = Rig(partitionCount: 3)
        rig.append([1, 2], partition: 0)
        rig.release()
        rig.append([3], partition: 0)
        rig.append([4], partition: 2)
        let given = rig.gate.removeAll().map(\.token)
        #expect(given == [3, 4])
        let rest = rig.gate.removeAll()
        #expect(rest.isEmpty)
        let isOpen = rig.gate.isOpen(oldestTime: 0, now: .max)
        #expect(!isOpen)
    }

    /// Any order of events: nothing is lost, nothing goes twice, and a partition keeps its order.
    @Test(arguments: 0..<50) func everyRecordGoesOnceAndInOrder(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var rig = Rig(partitionCount: 3)
        var open: [RecordSegment] = []
        var appendedCount: UInt64 = 0
        for _ in 0..<400 {
            switch random.below(4) {
            case 0, 1:
                rig.append([appendedCount], partition: Int32(random.below(4)) - 1)
                appendedCount += 1
            case 2:
                let before = rig.released.count
                rig.release(now: random.below(5) == 0 ? .max : 0, room: random.below(4) == 0 ? 2 : .max)
                open += rig.released[before...]
            default:
                guard !open.isEmpty else { continue }
                let segment = open.remove(at: random.below(open.count))
                rig.gate.resolved(partition: segment.partition)
            }
            #expect(rig.gate.waitingCount + rig.released.count == Int(appendedCount))
            #expect(rig.gate.handedCount == open.count)
        }
        while rig.released.count < Int(appendedCount) {
            for segment in open { rig.gate.resolved(partition: segment.partition) }
            let before = rig.released.count
            rig.release()
            open = Array(rig.released[before...])
            guard !open.isEmpty else {
                Issue.record("\(rig.gate.waitingCount) records wait although none is on its way")
                return
            }
        }
        #expect(rig.tokens.sorted() == Array(0..<appendedCount))
        for partition in Int32(-1)..<3 {
            let tokens = rig.released.filter { $0.partition == partition }.map(\.token)
            #expect(tokens == tokens.sorted())
        }
    }
}
