/// A pattern for names: literal text, and `*` for any run of bytes, which is captured. Matching takes the leftmost
/// place for each literal between two stars and is linear in pattern and name.
package struct NamePattern: Sendable, Equatable {
    package let text: String
    private let literals: [[UInt8]]

    package init(_ text: String) {
        self.text = text
        literals = text.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map(Array.init)
    }

    /// How many stars there are.
    package var captureCount: Int { literals.count - 1 }
    package var isLiteral: Bool { literals.count == 1 }
    var literalBytes: [UInt8] { literals[0] }

    /// What the stars stand for, in order; nil when the name does not match.
    package func match(_ name: some RandomAccessCollection<UInt8>) -> [[UInt8]]? {
        if isLiteral { return name.elementsEqual(literals[0]) ? [] : nil }
        let name = Array(name)
        let first = literals[0]
        let last = literals[literals.count - 1]
        guard name.count >= first.count + last.count, name.starts(with: first), name.suffix(last.count) == last[...]
        else { return nil }
        let end = name.count - last.count
        var captures: [[UInt8]] = []
        var position = first.count
        for literal in literals[1..<(literals.count - 1)] {
            guard let found = Self.find(literal, in: name, from: position, to: end) else { return nil }
            captures.append(Array(name[position..<found]))
            position = found + literal.count
        }
        captures.append(Array(name[position..<end]))
        return captures
    }

    package func matches(_ name: some RandomAccessCollection<UInt8>) -> Bool { match(name) != nil }

    private static func find(_ literal: [UInt8], in name: [UInt8], from start: Int, to end: Int) -> Int? {
        var place = start
        while place + literal.count <= end {
            if name[place..<(place + literal.count)].elementsEqual(literal) { return place }
            place += 1
        }
        return nil
    }
}

/// A text with `$1` to `$9` for captures and `$$` for a dollar sign.
package struct NameTemplate: Sendable, Equatable {
    package let text: String
    private enum Part: Sendable, Equatable {
        case literal([UInt8])
        case capture(Int)
    }
    private let parts: [Part]

    /// nil when a dollar sign is followed by something else, or by a number past `captureCount`.
    package init?(_ text: String, captureCount: Int) {
        self.text = text
        var parts: [Part] = []
        var literal: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "$") else {
                literal.append(byte)
                continue
            }
            guard let next = rest.popFirst() else { return nil }
            if next == UInt8(ascii: "$") {
                literal.append(next)
                continue
            }
            guard next > 0x30, next <= 0x39, Int(next) - 0x30 <= captureCount else { return nil }
            if !literal.isEmpty { parts.append(.literal(literal)) }
            literal = []
            parts.append(.capture(Int(next) - 0x31))
        }
        if !literal.isEmpty { parts.append(.literal(literal)) }
        self.parts = parts
    }

    /// The highest capture that it uses, counted from 1; 0 when it uses none.
    var highestCapture: Int {
        parts.reduce(0) { highest, part in
            if case .capture(let number) = part { return max(highest, number + 1) }
            return highest
        }
    }

    /// The literal text alone.
    var literalText: [UInt8] {
        parts.reduce(into: []) { text, part in if case .literal(let bytes) = part { text += bytes } }
    }

    func filled(_ captures: [[UInt8]]) -> [UInt8] {
        parts.reduce(into: []) { text, part in
            switch part {
            case .literal(let bytes): text += bytes
            case .capture(let number): text += captures[number]
            }
        }
    }
}
