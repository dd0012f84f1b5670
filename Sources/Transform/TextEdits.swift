/// Replacements in a text, made in one pass and applied in one copy. Ranges ascend and do not overlap.
struct TextEdits {
    private struct Edit {
        var range: Range<Int>
        /// In `inserted`.
        var replacement: Range<Int>
    }

    private var edits: [Edit] = []
    private var inserted: [UInt8] = []
    /// Bytes by which the text grows.
    private var growthBytes = 0

    var isEmpty: Bool { edits.isEmpty }

    /// A place to come back to with `undo`.
    var mark: (Int, Int, Int) { (edits.count, inserted.count, growthBytes) }

    /// Forgets what was noted since `mark`.
    mutating func undo(to mark: (Int, Int, Int)) {
        edits.removeSubrange(mark.0...)
        inserted.removeSubrange(mark.1...)
        growthBytes = mark.2
    }

    mutating func delete(_ range: Range<Int>) { replace(range, with: EmptyCollection()) }

    mutating func replace(_ range: Range<Int>, with bytes: some Collection<UInt8>) {
        assert(edits.last.map { $0.range.upperBound <= range.lowerBound } ?? true, "edits out of order")
        let start = inserted.count
        inserted.append(contentsOf: bytes)
        edits.append(Edit(range: range, replacement: start..<inserted.count))
        growthBytes += inserted.count - start - range.count
    }

    /// The same for a text in parts.
    mutating func replace(_ range: Range<Int>, parts: [[UInt8]]) { replace(range, with: Array(parts.joined())) }

    func applied(to text: UnsafeRawBufferPointer) -> [UInt8] {
        let count = text.count + growthBytes
        return [UInt8](unsafeUninitializedCapacity: count) { output, written in
            guard let start = output.baseAddress else { return }
            var end = UnsafeMutableRawPointer(start)
            var position = 0
            func copy(_ source: UnsafeRawBufferPointer) {
                guard let base = source.baseAddress else { return }
                end.copyMemory(from: base, byteCount: source.count)
                end += source.count
            }
            inserted.withUnsafeBytes { inserted in
                for edit in edits {
                    copy(UnsafeRawBufferPointer(rebasing: text[position..<edit.range.lowerBound]))
                    copy(UnsafeRawBufferPointer(rebasing: inserted[edit.replacement]))
                    position = edit.range.upperBound
                }
            }
            copy(UnsafeRawBufferPointer(rebasing: text[position...]))
            written = end - UnsafeMutableRawPointer(start)
        }
    }
}

/// Notes changes to the members of one JSON object while it is walked, with the commas between them right: members are
/// kept or dropped in order, and added behind the last.
struct ObjectEdit {
    private var keptCount = 0
    /// End of the value of the last member seen.
    private var previousEnd = 0
    /// Start of members dropped before any was kept, whose comma follows them.
    private var openDrop: Int?

    /// The next member's key begins at `start` (its quotation mark).
    mutating func memberStarts(at start: Int, _ edits: inout TextEdits) {
        if let open = openDrop {
            edits.delete(open..<start)
            openDrop = nil
        }
    }

    mutating func keep(valueEnd: Int) {
        keptCount += 1
        previousEnd = valueEnd
    }

    mutating func drop(memberStart: Int, valueEnd: Int, _ edits: inout TextEdits) {
        if keptCount == 0 {
            openDrop = memberStart
        } else {
            edits.delete(previousEnd..<valueEnd)
        }
        previousEnd = valueEnd
    }

    /// The closing brace stands at `brace`. `members` (`"key":value`, comma separated) is added; it may be empty.
    mutating func end(brace: Int, adding members: [UInt8], _ edits: inout TextEdits) {
        if let open = openDrop { edits.delete(open..<previousEnd) }
        guard !members.isEmpty else { return }
        edits.replace(brace..<brace, with: (keptCount > 0 ? [UInt8(ascii: ",")] : []) + members)
    }
}
