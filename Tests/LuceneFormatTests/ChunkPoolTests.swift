import TestSupport
import Testing

@testable import LuceneFormat

@Suite struct ChunkPoolTests {
    /// Every class holds what it was made for, is not much larger, and is a class of itself.
    @Test func classesHoldTheirBytes() {
        var random = SeededGenerator(seed: 11)
        var sizes = (16..<40).flatMap { exponent in [-1, 0, 1].map { 1 << exponent + $0 } }
        for _ in 0..<10_000 {
            sizes.append(Int.random(in: 1...(1 << Int.random(in: 1...40, using: &random)), using: &random))
        }
        for size in sizes {
            let capacity = ChunkSizeClass(byteCount: size).capacityBytes
            #expect(capacity >= size, "\(size)")
            #expect(capacity <= max(1 << 16, size + size / 8), "\(size)")
            #expect(ChunkSizeClass(byteCount: capacity).capacityBytes == capacity, "\(size)")
        }
    }

    /// Classes are in the order of their capacities, and each next one begins right behind the one before.
    @Test func classesLeaveNoGap() {
        let first = ChunkSizeClass(byteCount: 1)
        #expect(first.capacityBytes == 1 << 16)
        for index in first.index..<(40 << 3) {
            let capacity = ChunkSizeClass(index: index).capacityBytes
            #expect(ChunkSizeClass(byteCount: capacity).index == index)
            #expect(ChunkSizeClass(byteCount: capacity + 1).index == index + 1)
        }
    }

    @Test func aChunkOfLuceneTakesLittleMoreThanItsBytes() throws {
        let pool = ChunkPool(retainedBytesLimit: 1 << 20)
        let chunk = try #require(pool.take(byteCount: 82_000, slackBytes: 64))
        #expect(chunk.bytes.count == 82_000)
        #expect(chunk.capacityBytes == 88 << 10)
    }

    @Test func buffersComeBackAndAreUsedAgain() throws {
        let pool = ChunkPool(retainedBytesLimit: 1 << 20)
        var chunk = pool.take(byteCount: 82_000, slackBytes: 64)
        let address = try #require(chunk?.bytes.baseAddress)
        #expect(pool.retainedBytes == 0)
        chunk = nil
        #expect(pool.retainedBytes == 88 << 10)
        // Another size of the same class takes the same buffer; one of another class does not.
        let other = try #require(pool.take(byteCount: 200_000, slackBytes: 64))
        #expect(other.bytes.baseAddress != address)
        let again = try #require(pool.take(byteCount: 85_000, slackBytes: 64))
        #expect(again.bytes.baseAddress == address)
        withExtendedLifetime((other, again)) { #expect(pool.retainedBytes == 0) }
    }

    /// What another format left behind makes way for what is wanted now, and the limit holds.
    @Test func otherClassesMakeWay() throws {
        let pool = ChunkPool(retainedBytesLimit: 400 << 10)
        var chunks = (0..<6).map { _ in pool.take(byteCount: 82_000, slackBytes: 64) }
        chunks.removeAll()
        #expect(pool.retainedBytes == 4 * 88 << 10)
        do {
            let large = try #require(pool.take(byteCount: 300 << 10, slackBytes: 64))
            #expect(large.bytes.count == 300 << 10)
        }
        #expect(pool.retainedBytes == 320 << 10)
        // One that exceeds the limit alone pushes nothing out.
        pool.take(byteCount: 1 << 20, slackBytes: 64).map { #expect($0.bytes.count == 1 << 20) }
        #expect(pool.retainedBytes == 320 << 10)
    }
}
