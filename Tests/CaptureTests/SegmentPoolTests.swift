import Testing
import TrafficLog

@testable import Capture

@Suite struct SegmentPoolTests {
    /// Of 100 small segments, 1,600 KiB, 512 KiB keep their memory in any case: 32 of them.
    @Test(arguments: [(0, 68), (10, 68), (80, 20), (100, 0)])
    func whatNothingUsedGivesItsMemoryBack(used: Int, emptied: Int) {
        let pool = SegmentPool(recordBytes: 1 << 20, budget: InFlightBudget(limitBytes: 64 << 20))
        func take(_ count: Int) -> [RecordSegment] {
            (0..<count).compactMap { _ in pool.take(isLarge: false, force: false) }
        }
        #expect(!pool.isTrimmable)
        let first = take(100)
        for segment in first {
            segment.bytes[0] = 1
            pool.give(segment)
        }
        #expect(pool.isTrimmable)
        // All were in use since the call before, which never was.
        pool.trim()
        for segment in take(used) { pool.give(segment) }
        pool.trim()
        // Pages that were given back read as zero.
        let again = take(100)
        #expect(again.filter { $0.bytes[0] == 0 }.count == emptied)
        #expect(Set(again.map(ObjectIdentifier.init)) == Set(first.map(ObjectIdentifier.init)))
        for segment in again { pool.give(segment) }
        pool.trim()
        pool.trim()
        #expect(!pool.isTrimmable)
    }

    @Test func largeOnesGiveTheirMemoryBackToo() throws {
        let pool = SegmentPool(recordBytes: 1 << 20, budget: InFlightBudget(limitBytes: 64 << 20))
        let segment = try #require(pool.take(isLarge: true, force: false))
        segment.bytes[0] = 1
        pool.give(segment)
        pool.trim()
        #expect(segment.bytes[0] == 1)
        pool.trim()
        #expect(segment.bytes[0] == 0)
        #expect(!pool.isTrimmable)
    }
}
