import CSystem

/// Looks for a bulk action that leaves its id to the engine, over content in pieces. One pass that reads action lines
/// and skips source lines by their line feeds; it copies only an action line that two pieces share.
struct BulkIDScan {
    /// The start of an action line, from the end of a piece.
    private var carried: [UInt8] = []
    private var inSource: Int32 = 0
    private(set) var isFound = false

    /// Longer action lines count as found: whoever reads them whole decides.
    private static let lineLimitBytes = 64 * 1024

    /// Returns false when nothing more needs to be looked at.
    mutating func take(_ piece: UnsafeRawBufferPointer) -> Bool {
        guard !isFound, let base = piece.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return !isFound }
        var at = 0
        if !carried.isEmpty {
            let end = millrace_find_byte(base, piece.count, 0x0A)
            carried.append(contentsOf: UnsafeRawBufferPointer(rebasing: piece[..<end]))
            at = min(end + 1, piece.count)
            guard carried.count <= Self.lineLimitBytes else { return found() }
            guard end < piece.count else { return true }
            carried.append(0x0A)
            var consumed = 0
            let outcome = carried.withUnsafeBufferPointer {
                millrace_bulk_lacks_id($0.baseAddress, $0.count, &inSource, &consumed)
            }
            carried.removeAll(keepingCapacity: true)
            if outcome != 0 { return found() }
        }
        var consumed = 0
        if millrace_bulk_lacks_id(base + at, piece.count - at, &inSource, &consumed) != 0 { return found() }
        // What is left of a source line needs no keeping: its end is all that matters.
        if inSource == 0 { carried.append(contentsOf: UnsafeRawBufferPointer(rebasing: piece[(at + consumed)...])) }
        return true
    }

    /// The body is over; its last line may lack a line feed.
    mutating func finish() {
        guard !isFound, !carried.isEmpty else { return }
        let action = Int32(carried.withUnsafeBufferPointer { millrace_bulk_action($0.baseAddress, $0.count) })
        let operation = action & Int32(MILLRACE_BULK_OPERATION)
        let isCreate = operation == Int32(MILLRACE_BULK_INDEX) || operation == Int32(MILLRACE_BULK_CREATE)
        isFound = isCreate && action & Int32(MILLRACE_BULK_HAS_ID) == 0
        carried = []
    }

    private mutating func found() -> Bool {
        isFound = true
        return false
    }
}
