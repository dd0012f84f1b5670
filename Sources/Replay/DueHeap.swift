/// What is to be sent next: a binary heap by the moment before which it must not go, then by the source's time.
struct DueHeap<Element> {
    struct Entry {
        /// Nanoseconds since 1970.
        var notBefore: Int64
        /// Among those that may go: the moment at the source.
        var order: Int64
        var element: Element
    }

    private var entries: [Entry] = []

    var count: Int { entries.count }
    var first: Entry? { entries.first }

    mutating func insert(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Self.precedes(entries[child], entries[parent]) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() -> Entry {
        let first = entries[0]
        let last = entries.removeLast()
        guard !entries.isEmpty else { return first }
        entries[0] = last
        var parent = 0
        while true {
            var least = parent
            let left = 2 * parent + 1
            if left < entries.count, Self.precedes(entries[left], entries[least]) { least = left }
            if left + 1 < entries.count, Self.precedes(entries[left + 1], entries[least]) { least = left + 1 }
            guard least != parent else { return first }
            entries.swapAt(parent, least)
            parent = least
        }
    }

    private static func precedes(_ left: Entry, _ right: Entry) -> Bool {
        (left.notBefore, left.order) < (right.notBefore, right.order)
    }
}
