import Synchronization

/// Bytes of records, answers and tuples that are kept in memory, over all loops. The reader stops above the limit.
package final class ByteBudget: Sendable {
    package let limitBytes: Int
    private let used = Atomic<Int>(0)

    package init(limitBytes: Int) { self.limitBytes = limitBytes }

    package var usedBytes: Int { used.load(ordering: .relaxed) }

    package func take(_ count: Int) { used.add(count, ordering: .relaxed) }

    package func release(_ count: Int) {
        let before = used.subtract(count, ordering: .relaxed).oldValue
        precondition(before >= count, "released \(count) of \(before) bytes")
    }
}
