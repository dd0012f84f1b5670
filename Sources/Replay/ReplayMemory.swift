/// How `--memory` is shared out.
///
/// | part | bytes |
/// |---|---|
/// | the program, its threads, the allocator's own | `programBytes` |
/// | records, exchanges, answers, tuples: `ByteBudget` | a third of the rest |
/// | log read ahead | a sixteenth of all |
/// | tuples that are packed and written, twice | `tupleGroupBytes` |
/// | answers on their way; what the allocator cannot give back (half of what is in use, small requests) | the rest |
package enum ReplayMemory {
    /// What is there before the first record is, and buffers of the connections; an estimate.
    static let programBytes = 40 << 20

    package static func readAheadBytes(of memoryBytes: Int) -> Int { memoryBytes / 16 }

    static func budgetBytes(of memoryBytes: Int) -> Int { (memoryBytes - programBytes) / 3 }

    /// Of tuples that go to the disk at once; the packer and the writer have as much each.
    static func tupleGroupBytes(of memoryBytes: Int) -> Int { memoryBytes / 64 }

    /// How many heaps glibc's allocator may make. What is freed in one is not used by the threads of another: with one
    /// heap a thread, 64 MiB became 115 MiB under bulks of 1 MiB.
    package static func heapCount(for memoryBytes: Int) -> Int { max(1, memoryBytes >> 27) }
}
