import Synchronization

/// How many bytes the delivered records of a reader keep alive.
final class HeldBytes: Sendable {
    private let total = Atomic<Int>(0)

    var count: Int { total.load(ordering: .relaxed) }
    func add(_ count: Int) { total.add(count, ordering: .relaxed) }
}

/// Memory of some small records, copied out of what they were read into.
///
/// A record that is held for long would otherwise pin that whole: librdkafka's fetch buffer, or a batch of a file. One
/// that was copied pins `limitBytes` at the most, or itself when it is larger.
// Sound: the memory is filled by `RecordCopier` before any record of it is delivered and never changed afterwards.
final class RecordCopies: @unchecked Sendable {
    /// Small enough that one held record costs little, large enough that allocating costs next to nothing.
    static let limitBytes = 64 << 10
    /// Larger values stay where they are: copying them costs more than the memory around them.
    static let valueLimitBytes = 256 << 10

    fileprivate let bytes: UnsafeMutableRawBufferPointer
    private let held: HeldBytes

    fileprivate init(byteCount: Int, held: HeldBytes) {
        bytes = .allocate(byteCount: max(1, byteCount), alignment: 16)
        self.held = held
        held.add(bytes.count)
    }

    deinit {
        held.add(-bytes.count)
        bytes.deallocate()
    }
}

/// Copies records into `RecordCopies`, several to one. The memory is as large as the records that were announced with
/// `expect`.
struct RecordCopier {
    private let held: HeldBytes
    private var copies: RecordCopies?
    private var used = 0

    init(held: HeldBytes) { self.held = held }

    /// Whether `byteCount` more fit what was announced last.
    func hasRoom(_ byteCount: Int) -> Bool { (copies?.bytes.count ?? 0) - used >= byteCount }

    /// Takes memory for the next records.
    mutating func expect(byteCount: Int) {
        copies = RecordCopies(byteCount: byteCount, held: held)
        used = 0
    }

    /// `hasRoom` for key and value together must hold.
    mutating func copy(
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer, position: LogPosition, timestampMilliseconds: Int64
    ) -> LoggedRecord {
        guard let copies else { preconditionFailure("no memory was announced") }
        let keyCopy = key.map { put($0, copies) }
        return LoggedRecord(
            key: keyCopy, value: put(value, copies), position: position, timestampMilliseconds: timestampMilliseconds,
            owner: copies)
    }

    private mutating func put(_ source: UnsafeRawBufferPointer, _ copies: RecordCopies) -> UnsafeRawBufferPointer {
        let place = UnsafeMutableRawBufferPointer(rebasing: copies.bytes[used..<used + source.count])
        place.copyMemory(from: source)
        used += source.count
        return UnsafeRawBufferPointer(place)
    }
}
