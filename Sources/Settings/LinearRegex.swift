/// A regular expression that matches whole texts in time proportional to pattern times text, whatever the pattern:
/// Thompson's simulation of an automaton. The standard library's `Regex` and back-references in POSIX' `regexec` go
/// back over the text, and take exponential time for some patterns.
///
/// Supported: literals, `.`, classes `[a-z]` and `[^…]`, `\d \w \s` and their capitals (ASCII), escaped punctuation,
/// groups `(…)` and `(?:…)`, `|`, `* + ?` and `{n}`, `{n,}`, `{n,m}`, each lazily too (the same for whole matches), `^`
/// and `$`. Not supported, and said so: look-around, back-references, inline options.
package struct LinearRegex: Sendable, Equatable {
    /// As it was given.
    package let pattern: String
    private let program: [LinearRegexInstruction]

    /// Bounds of the pattern and of the compiled program. With names of at most 255 bytes, a match looks at no more
    /// than 2.6 million instructions.
    static let patternLimitBytes = 1000
    static let instructionLimit = 10_000

    package init(_ pattern: String) throws(ValueProblem) {
        self.pattern = pattern
        guard pattern.utf8.count <= Self.patternLimitBytes else {
            throw ValueProblem("the expression is longer than \(Self.patternLimitBytes) bytes")
        }
        var parser = LinearRegexParser(pattern)
        let tree = try parser.parse()
        var compiler = LinearRegexCompiler()
        try compiler.compile(tree, pattern: pattern)
        program = compiler.program + [.match]
    }

    package static func == (left: LinearRegex, right: LinearRegex) -> Bool { left.pattern == right.pattern }

    package func matchesWhole(_ text: String) -> Bool {
        var current = StateSet(capacity: program.count)
        var next = StateSet(capacity: program.count)
        let scalars = Array(text.unicodeScalars)
        follow(0, at: 0, of: scalars.count, into: &current)
        for (position, scalar) in scalars.enumerated() {
            guard !current.states.isEmpty else { return false }
            next.removeAll()
            for state in current.states {
                if case .scalar(let set) = program[state], set.contains(scalar.value) {
                    follow(state + 1, at: position + 1, of: scalars.count, into: &next)
                }
            }
            swap(&current, &next)
        }
        return current.contains(program.count - 1)
    }

    /// Adds every state that is reached from `start` without reading.
    private func follow(_ start: Int, at position: Int, of count: Int, into set: inout StateSet) {
        var waiting = [start]
        while let state = waiting.popLast() {
            guard set.insert(state) else { continue }
            switch program[state] {
            case .jump(let target): waiting.append(target)
            case .split(let target):
                waiting.append(target)
                waiting.append(state + 1)
            case .textStart: if position == 0 { waiting.append(state + 1) }
            case .textEnd: if position == count { waiting.append(state + 1) }
            case .scalar, .match: break
            }
        }
    }

    /// States in the order of insertion, each once.
    private struct StateSet {
        private(set) var states: [Int] = []
        private var isMember: [Bool]

        init(capacity: Int) { isMember = Array(repeating: false, count: capacity) }

        func contains(_ state: Int) -> Bool { isMember[state] }

        mutating func insert(_ state: Int) -> Bool {
            guard !isMember[state] else { return false }
            isMember[state] = true
            states.append(state)
            return true
        }

        mutating func removeAll() {
            for state in states { isMember[state] = false }
            states.removeAll(keepingCapacity: true)
        }
    }
}

enum LinearRegexInstruction: Sendable {
    /// Reads a character of the set and goes on with the next instruction.
    case scalar(ScalarSet)
    case jump(Int)
    /// Goes on with the next instruction and with the target.
    case split(Int)
    case textStart
    case textEnd
    case match
}

/// A set of Unicode scalars as ranges.
struct ScalarSet: Sendable, Equatable {
    var ranges: [ClosedRange<UInt32>] = []
    var isNegated = false

    func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } != isNegated }

    static let any = ScalarSet(isNegated: true)
    static let digits = ScalarSet(ranges: [0x30...0x39])
    static let wordCharacters = ScalarSet(ranges: [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    static let spaces = ScalarSet(ranges: [0x09...0x0D, 0x20...0x20])

    /// The set without the negation flag, as ranges.
    var positiveRanges: [ClosedRange<UInt32>] {
        guard isNegated else { return ranges }
        var result: [ClosedRange<UInt32>] = []
        var start: UInt32 = 0
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if range.lowerBound > start { result.append(start...(range.lowerBound - 1)) }
            start = max(start, range.upperBound + 1)
        }
        if start <= 0x10FFFF { result.append(start...0x10FFFF) }
        return result
    }
}

indirect enum LinearRegexNode {
    case empty
    case set(ScalarSet)
    case textStart
    case textEnd
    case sequence([LinearRegexNode])
    case alternatives([LinearRegexNode])
    /// `most` nil: without bound.
    case repetition(LinearRegexNode, least: Int, most: Int?)
}

/// Turns the tree into instructions; a repetition's body is written out as often as it may occur.
struct LinearRegexCompiler {
    private(set) var program: [LinearRegexInstruction] = []

    mutating func compile(_ tree: LinearRegexNode, pattern: String) throws(ValueProblem) {
        guard emit(tree) else {
            throw ValueProblem("the expression \"\(pattern.prefix(80))\" is too large; its repetitions multiply")
        }
    }

    /// False when the program grows beyond its bound.
    private mutating func emit(_ node: LinearRegexNode) -> Bool {
        guard program.count < LinearRegex.instructionLimit else { return false }
        switch node {
        case .empty: break
        case .set(let set): program.append(.scalar(set))
        case .textStart: program.append(.textStart)
        case .textEnd: program.append(.textEnd)
        case .sequence(let nodes):
            for node in nodes where !emit(node) { return false }
        case .alternatives(let nodes): return emitAlternatives(nodes)
        case .repetition(let body, let least, let most): return emitRepetition(body, least: least, most: most)
        }
        return true
    }

    private mutating func emitAlternatives(_ nodes: [LinearRegexNode]) -> Bool {
        var jumps: [Int] = []
        for (index, node) in nodes.enumerated() {
            let split = program.count
            let isLast = index == nodes.count - 1
            if !isLast { program.append(.split(0)) }
            guard emit(node) else { return false }
            guard !isLast else { break }
            jumps.append(program.count)
            program.append(.jump(0))
            program[split] = .split(program.count)
        }
        for jump in jumps { program[jump] = .jump(program.count) }
        return true
    }

    private mutating func emitRepetition(_ body: LinearRegexNode, least: Int, most: Int?) -> Bool {
        for _ in 0..<least {
            let start = program.count
            guard emit(body) else { return false }
            // An empty body stays empty however often it is written; nested, the bound on size would not end this.
            if program.count == start { break }
        }
        guard let most else {
            let split = program.count
            program.append(.split(0))
            guard emit(body) else { return false }
            program.append(.jump(split))
            program[split] = .split(program.count)
            return true
        }
        var splits: [Int] = []
        for _ in least..<most {
            splits.append(program.count)
            program.append(.split(0))
            guard emit(body) else { return false }
        }
        for split in splits { program[split] = .split(program.count) }
        return true
    }
}
