import TestSupport
import Testing

@testable import Replay

@Suite struct ReplayPositionTests {
    @Test func aNoteIsReadAsItWasWritten() {
        var position = ReplayPosition(offset: 17, ends: 40, origin: TimeOrigin(source: -5, wall: 1_764_000_000))
        position.leaveOpen([.init(hash: 0xFEED_0000_0000_0001, number: 3, endOffset: 30)])
        #expect(position.note == "v1 ends=40 origin=-5:1764000000 open=feed000000000001:3")
        #expect(ReplayPosition(offset: 17, note: position.note) == position)
    }

    @Test func foreignNotesSayNothing() {
        for note in [nil, "", "v2 ends=40", "ends=40", "whatever", "v1 ends=x origin=1 open=zz:1,5,:", "v1 ends=3"] {
            let position = ReplayPosition(offset: 17, note: note)
            #expect(position.offset == 17 && position.ends == 17 && position.origin == nil && position.open.isEmpty)
        }
    }

    @Test func whatDoesNotFitBringsTheEndBack() {
        let connections = (0..<40).map {
            ReplayPosition.OpenConnection(hash: .max - UInt64($0), number: 100_000_000, endOffset: Int64(1000 - $0))
        }
        var position = ReplayPosition(
            offset: 5, ends: 2000, origin: TimeOrigin(source: .max, wall: .max))
        position.leaveOpen(connections.shuffled())
        #expect(position.open.count == ReplayPosition.openLimit)
        #expect(position.ends == 961)
        #expect(position.note.utf8.count <= 512, "\(position.note.utf8.count) bytes")
    }

    @Test func theWatermarkIsTheLowestThatIsOpen() {
        for seed in 1...200 as ClosedRange<UInt64> {
            var random = SeededGenerator(seed: seed)
            var tracker = WatermarkTracker(start: 10)
            var open: Set<Int64> = []
            var next: Int64 = 10
            for _ in 0..<300 {
                if open.isEmpty || random.below(2) == 0 {
                    next += Int64(random.below(3))
                    tracker.open(next, time: next * 7)
                    open.insert(next)
                    next += 1
                } else if let offset = open.randomElement(using: &random) {
                    tracker.settle(offset)
                    open.remove(offset)
                }
                #expect(tracker.watermark == open.min() ?? next)
                #expect(tracker.watermarkTime == open.min().map { $0 * 7 })
                #expect(tracker.isEmpty == open.isEmpty)
            }
        }
    }

    @Test func aRequestUnderWayHoldsTheOffsetBackAndNotTheEnds() {
        var ledger = PartitionLedger(ReplayPosition(offset: 0, ends: 0), epoch: 1)
        for offset in 0..<4 { ledger.received(Int64(offset)) }
        for offset in [0, 1, 3] as [Int64] { ledger.endsResolved(offset) }
        for offset in [0, 2, 3] as [Int64] { ledger.released(offset) }
        #expect(ledger.position(origin: nil) == ReplayPosition(offset: 1, ends: 2))
        ledger.endsResolved(2)
        #expect(ledger.position(origin: nil) == ReplayPosition(offset: 1, ends: 4))
        #expect(ledger.isResolved(below: 4) && !ledger.isSettled)
        ledger.released(1)
        #expect(ledger.position(origin: nil) == ReplayPosition(offset: 4, ends: 4))
        #expect(ledger.isSettled)
    }

    @Test func aPositionNeverFallsBehindTheOneItBeganWith() {
        var start = ReplayPosition(offset: 2, ends: 9)
        start.leaveOpen([.init(hash: 1, number: 4, endOffset: 5), .init(hash: 2, number: 8, endOffset: 6)])
        var ledger = PartitionLedger(start, epoch: 1)
        #expect(ledger.position(origin: nil) == start)
        ledger.received(2)
        ledger.received(3)
        ledger.endsResolved(2)
        ledger.released(2)
        ledger.leaveOpen([.init(hash: 1, number: 6)])
        let left = ledger.position(origin: nil)
        #expect(left.offset == 3 && left.ends == 9)
        #expect(Set(left.open.map { "\($0.hash):\($0.number)" }) == ["1:6", "2:8"])
    }

    @Test func lagCountsWhatIsNotResolved() {
        var ledger = PartitionLedger(ReplayPosition(offset: 0, ends: 0), epoch: 1)
        ledger.received(0, time: 1000, byteCount: 100)
        ledger.received(1, time: 3000, byteCount: 300)
        #expect(ledger.lag(end: 10, now: 5000) == PartitionLag(records: 10, bytes: 2000, seconds: 4))
        ledger.endsResolved(0)
        #expect(ledger.lag(end: 10, now: 5000) == PartitionLag(records: 9, bytes: 1800, seconds: 2))
        ledger.endsResolved(1)
        #expect(ledger.lag(end: 2, now: 5000) == PartitionLag())
    }
}
