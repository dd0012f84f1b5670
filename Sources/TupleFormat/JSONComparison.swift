import Glibc

/// Compares JSON values structurally: members of objects in any order, array places in order, numbers by value, strings
/// by what their escapes mean. Finds the first difference that no rule ignores, in the order of the source.
///
/// Not recursive beyond `JSONTape.depthLimit`. Costs at most `stepLimit` steps, a step being an entry or a key looked
/// at, or 64 bytes compared.
struct JSONComparison {
    /// A scanned text.
    struct Side {
        let text: UnsafePointer<UInt8>
        let entries: UnsafePointer<JSONTape.Entry>

        func bytes(_ index: Int) -> UnsafeRawBufferPointer {
            let entry = entries[index]
            return UnsafeRawBufferPointer(start: text + Int(entry.start), count: Int(entry.end - entry.start))
        }

        func example(_ index: Int?) -> String {
            guard let index else { return "" }
            let bytes = bytes(index)
            let shown = String(decoding: bytes.prefix(BodyDifference.exampleBytes), as: UTF8.self)
            return bytes.count > BodyDifference.exampleBytes ? shown + "…" : shown
        }
    }

    struct Difference {
        let kind: BodyDifference.Kind
        let left: Int?
        let right: Int?
    }

    let left: Side
    let right: Side
    let rules: TupleRules
    private(set) var remainingSteps: Int
    /// Keys on the way to where the comparison is: entries of the left side, or of the right one below zero.
    private var path: ContiguousArray<Int> = []
    /// The path of the difference that is being handed up.
    private(set) var foundPath: String?

    private static let anyPlace = Int.max

    init(_ left: Side, _ right: Side, rules: TupleRules) {
        self.left = left
        self.right = right
        self.rules = rules
        remainingSteps = rules.stepLimit
    }

    var isExhausted: Bool { remainingSteps <= 0 }

    /// Nothing when the values are equal, or when the steps are used up.
    mutating func difference(_ one: Int, _ other: Int) -> Difference? {
        remainingSteps -= 1
        guard remainingSteps > 0 else { return nil }
        let (leftEntry, rightEntry) = (left.entries[one], right.entries[other])
        guard leftEntry.kind == rightEntry.kind else {
            let areBooleans = leftEntry.kind.isBoolean && rightEntry.kind.isBoolean
            return Difference(kind: areBooleans ? .value : .type, left: one, right: other)
        }
        let (leftBytes, rightBytes) = (left.bytes(one), right.bytes(other))
        if isSameText(leftBytes, rightBytes) { return nil }
        switch leftEntry.kind {
        case .object: return objects(one, other)
        case .array: return arrays(one, other)
        case .number:
            if JSONText.numbersAreEqual(leftBytes, rightBytes) { return nil }
        case .string:
            if leftEntry.hasEscapes || rightEntry.hasEscapes,
                JSONText.unescaped(leftBytes) == JSONText.unescaped(rightBytes)
            {
                return nil
            }
        case .yes, .no, .null: return nil
        }
        return Difference(kind: .value, left: one, right: other)
    }

    /// Sequences of values, such as a body of several documents.
    mutating func difference(_ roots: some Collection<Int>, _ others: some Collection<Int>) -> Difference? {
        guard roots.count == others.count else { return Difference(kind: .count, left: nil, right: nil) }
        for (one, other) in zip(roots, others) {
            if roots.count > 1 { path.append(Self.anyPlace) }
            if let found = difference(one, other) { return kept(found) }
            if roots.count > 1 { path.removeLast() }
        }
        return nil
    }

    private mutating func isSameText(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        guard one.count == other.count, let start = one.baseAddress, let otherStart = other.baseAddress else {
            return false
        }
        remainingSteps -= one.count / 64
        return memcmp(start, otherStart, one.count) == 0
    }

    private mutating func arrays(_ one: Int, _ other: Int) -> Difference? {
        guard count(left, one) == count(right, other) else {
            return Difference(kind: .count, left: one, right: other)
        }
        path.append(Self.anyPlace)
        defer { path.removeLast() }
        var (index, otherIndex) = (one + 1, other + 1)
        while index < Int(left.entries[one].next) {
            if let found = difference(index, otherIndex) { return kept(found) }
            guard remainingSteps > 0 else { return nil }
            index = Int(left.entries[index].next)
            otherIndex = Int(right.entries[otherIndex].next)
        }
        return nil
    }

    private mutating func count(_ side: Side, _ container: Int) -> Int {
        var count = 0
        var index = container + 1
        while index < Int(side.entries[container].next) {
            count += 1
            index = Int(side.entries[index].next)
        }
        remainingSteps -= count
        return count
    }

    private mutating func objects(_ one: Int, _ other: Int) -> Difference? {
        let end = Int(left.entries[one].next)
        let otherEnd = Int(right.entries[other].next)
        var key = one + 1
        var cursor = other + 1
        var isInOrder = true
        while key < end {
            guard remainingSteps > 0 else { return nil }
            let value = key + 1
            path.append(key)
            if cursor < otherEnd, isSameKey(left, key, right, cursor) {
                if let found = difference(value, cursor + 1), !isIgnored { return popped(kept(found)) }
                cursor = Int(right.entries[cursor + 1].next)
            } else {
                isInOrder = false
                if let place = find(left, key, in: right, other) {
                    if let found = difference(value, place + 1), !isIgnored { return popped(kept(found)) }
                    cursor = Int(right.entries[place + 1].next)
                } else if remainingSteps > 0, !isIgnored {
                    return popped(kept(Difference(kind: .missing, left: value, right: nil)))
                }
            }
            foundPath = nil
            path.removeLast()
            key = Int(left.entries[value].next)
        }
        if isInOrder, cursor == otherEnd { return nil }
        return added(one, other)
    }

    /// A member that the right side has alone.
    private mutating func added(_ one: Int, _ other: Int) -> Difference? {
        var key = other + 1
        while key < Int(right.entries[other].next) {
            guard remainingSteps > 0 else { return nil }
            if find(right, key, in: left, one) == nil, remainingSteps > 0 {
                path.append(-1 - key)
                if !isIgnored { return popped(kept(Difference(kind: .added, left: nil, right: key + 1))) }
                path.removeLast()
            }
            key = Int(right.entries[key + 1].next)
        }
        return nil
    }

    private mutating func find(_ side: Side, _ key: Int, in other: Side, _ container: Int) -> Int? {
        var place = container + 1
        while place < Int(other.entries[container].next) {
            remainingSteps -= 1
            guard remainingSteps > 0 else { return nil }
            if isSameKey(side, key, other, place) { return place }
            place = Int(other.entries[place + 1].next)
        }
        return nil
    }

    private func isSameKey(_ side: Side, _ key: Int, _ other: Side, _ otherKey: Int) -> Bool {
        let (bytes, otherBytes) = (side.bytes(key), other.bytes(otherKey))
        if bytes.count == otherBytes.count, let start = bytes.baseAddress, let otherStart = otherBytes.baseAddress,
            memcmp(start, otherStart, bytes.count) == 0
        {
            return true
        }
        guard side.entries[key].hasEscapes || other.entries[otherKey].hasEscapes else { return false }
        return JSONText.unescaped(bytes) == JSONText.unescaped(otherBytes)
    }

    // MARK: Where

    /// Notes the path when the difference is new, and hands it on.
    private mutating func kept(_ found: Difference) -> Difference {
        if foundPath == nil { foundPath = path.map(name).joined(separator: ".") }
        return found
    }

    private mutating func popped(_ found: Difference) -> Difference {
        path.removeLast()
        return found
    }

    private func name(_ component: Int) -> String {
        component == Self.anyPlace ? "*" : String(decoding: keyText(component), as: UTF8.self)
    }

    private func keyText(_ component: Int) -> [UInt8] {
        let side = component < 0 ? right : left
        return JSONText.unescaped(side.bytes(component < 0 ? -1 - component : component))
    }

    /// Whether the member at the end of the path is ignored.
    private var isIgnored: Bool {
        guard let last = path.last else { return false }
        if rules.names.contains(keyText(last)) { return true }
        return rules.paths.contains { pattern in
            pattern.count == path.count
                && zip(pattern, path).allSatisfy {
                    $0 == TupleRules.anyName || ($1 != Self.anyPlace && $0 == keyText($1))
                }
        }
    }
}

extension JSONTape.Kind {
    var isBoolean: Bool { self == .yes || self == .no }
}
