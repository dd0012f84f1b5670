import Glibc
import Synchronization
import TestSupport
import Testing

@testable import EventIO

@Suite struct OutputQueueTests {
    /// Random appends and consumes against an array; owners live exactly as long as their bytes.
    @Test(arguments: 1...10) func behavesLikeAnArrayAndReleasesOwnersInTime(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var queue = OutputQueue()
        var model: [UInt8] = []
        var ends: [(end: Int, released: Released)] = []
        var appended = 0
        var consumed = 0
        let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: OutputQueue.vectorLimit)
        defer { vectors.deallocate() }
        for _ in 0..<4000 {
            if Bool.random(using: &generator) {
                let bytes = generator.bytes(Int.random(in: 0...40, using: &generator))
                let released = Released()
                let owned = OwnedBytes(bytes) { released.flag.store(true, ordering: .relaxed) }
                queue.append(owned.bytes, owner: owned)
                model += bytes
                appended += bytes.count
                ends.append((appended, released))
            } else {
                let count = Int.random(in: 0...min(model.count, 60), using: &generator)
                queue.consume(count)
                model.removeFirst(count)
                consumed += count
            }
            #expect(queue.byteCount == model.count)
            if let first = queue.first { #expect(Array(first) == Array(model[..<first.count])) }
            let filled = queue.fill(vectors)
            let gathered = (0..<filled.count).flatMap { index in
                Array(UnsafeRawBufferPointer(start: vectors[index].iov_base, count: vectors[index].iov_len))
            }
            #expect(gathered == Array(model[..<filled.byteCount]))
            var copy = [UInt8](repeating: 0, count: 100)
            let copied = copy.withUnsafeMutableBytes { bytes in
                bytes.baseAddress.map { queue.copyFront(to: $0, limit: 100) } ?? 0
            }
            #expect(Array(copy[..<copied]) == Array(model.prefix(100)))
            for entry in ends where entry.end > consumed { #expect(!entry.released.isSet) }
        }
        queue.consume(queue.byteCount)
        #expect(ends.allSatisfy { $0.released.isSet })
    }

    @Test func severalOwnersOfOneSliceAreAllKept() {
        var queue = OutputQueue()
        let bytes = OwnedBytes([1, 2, 3])
        let flags = [Released(), Released(), Released()]
        queue.append(bytes.bytes, owner: nil)
        for flag in flags {
            queue.appendOwner(OwnedBytes([]) { flag.flag.store(true, ordering: .relaxed) })
        }
        #expect(flags.allSatisfy { !$0.isSet })
        queue.consume(3)
        #expect(flags.allSatisfy { $0.isSet })
    }

    private final class Released: Sendable {
        let flag = Atomic<Bool>(false)

        var isSet: Bool { flag.load(ordering: .relaxed) }
    }
}
