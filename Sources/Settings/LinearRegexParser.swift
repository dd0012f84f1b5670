/// Recursive descent over a pattern. Errors name the character they are about, counted from 1.
struct LinearRegexParser {
    private let scalars: [Unicode.Scalar]
    private var position = 0
    private var depth = 0

    private static let depthLimit = 50
    private static let repetitionLimit = 1000

    init(_ pattern: String) { scalars = Array(pattern.unicodeScalars) }

    mutating func parse() throws(ValueProblem) -> LinearRegexNode {
        let tree = try parseAlternatives()
        guard position == scalars.count else { throw problem("\")\" without \"(\"", at: position) }
        return tree
    }

    private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard next == scalar else { return false }
        position += 1
        return true
    }

    private func problem(_ message: String, at place: Int) -> ValueProblem {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars.prefix(200))
        return ValueProblem("the expression \"\(String(text))\" is wrong at character \(place + 1): \(message)")
    }

    private mutating func parseAlternatives() throws(ValueProblem) -> LinearRegexNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw problem("more than \(Self.depthLimit) groups deep", at: position) }
        var alternatives = [try parseSequence()]
        while take("|") { alternatives.append(try parseSequence()) }
        return alternatives.count == 1 ? alternatives[0] : .alternatives(alternatives)
    }

    private mutating func parseSequence() throws(ValueProblem) -> LinearRegexNode {
        var nodes: [LinearRegexNode] = []
        while let scalar = next, scalar != "|", scalar != ")" {
            let atom = try parseAtom()
            nodes.append(try parseQuantifier(of: atom))
        }
        return nodes.isEmpty ? .empty : .sequence(nodes)
    }

    private mutating func parseAtom() throws(ValueProblem) -> LinearRegexNode {
        let start = position
        let scalar = scalars[position]
        position += 1
        switch scalar {
        case ".": return .set(.any)
        case "^": return .textStart
        case "$": return .textEnd
        case "[": return .set(try parseClass(openedAt: start))
        case "\\": return .set(try parseEscape(startedAt: start))
        case "(":
            if take("?"), !take(":") {
                throw problem("look-around, options and named groups are not supported", at: start)
            }
            let group = try parseAlternatives()
            guard take(")") else { throw problem("\"(\" without \")\"", at: start) }
            return group
        case "*", "+", "?": throw problem("\"\(scalar)\" repeats nothing", at: start)
        case "{": throw problem("\"{\" repeats nothing; write \\{ for the character", at: start)
        default: return .set(ScalarSet(ranges: [scalar.value...scalar.value]))
        }
    }

    private mutating func parseQuantifier(of atom: LinearRegexNode) throws(ValueProblem) -> LinearRegexNode {
        let start = position
        var least = 0
        var most: Int?
        if take("*") {
        } else if take("+") {
            least = 1
        } else if take("?") {
            most = 1
        } else if take("{") {
            (least, most) = try parseBounds(openedAt: start)
        } else {
            return atom
        }
        // Lazy or greedy is the same for a match of the whole text.
        if !take("?"), next == "+" { throw problem("possessive repetition is not supported", at: position) }
        if let next, next == "*" || next == "+" || next == "{" || next == "?" {
            throw problem("a repetition of a repetition; put the first in a group", at: position)
        }
        return .repetition(atom, least: least, most: most)
    }

    /// `n}`, `n,}` or `n,m}`.
    private mutating func parseBounds(openedAt start: Int) throws(ValueProblem) -> (least: Int, most: Int?) {
        let wrong = problem("write {n}, {n,} or {n,m} with numbers up to \(Self.repetitionLimit)", at: start)
        guard let least = takeNumber() else { throw wrong }
        var most: Int? = least
        if take(",") { most = takeNumber() }
        guard take("}"), least <= Self.repetitionLimit, most ?? 0 <= Self.repetitionLimit, most ?? least >= least else {
            throw wrong
        }
        return (least, most)
    }

    private mutating func takeNumber() -> Int? {
        var number: Int?
        while let digit = next?.value, (0x30...0x39).contains(digit) {
            // Past the limit the exact value does not matter.
            number = min((number ?? 0) * 10 + Int(digit - 0x30), 1_000_000)
            position += 1
        }
        return number
    }

    /// After the backslash.
    private mutating func parseEscape(startedAt start: Int) throws(ValueProblem) -> ScalarSet {
        guard let scalar = next else { throw problem("nothing follows the backslash", at: start) }
        position += 1
        func negated(_ set: ScalarSet) -> ScalarSet { ScalarSet(ranges: set.ranges, isNegated: true) }
        switch scalar {
        case "d": return .digits
        case "D": return negated(.digits)
        case "w": return .wordCharacters
        case "W": return negated(.wordCharacters)
        case "s": return .spaces
        case "S": return negated(.spaces)
        case "0"..."9": throw problem("back-references are not supported", at: start)
        case "a"..."z", "A"..."Z": throw problem("\"\\\(scalar)\" is not supported", at: start)
        default: return ScalarSet(ranges: [scalar.value...scalar.value])
        }
    }

    /// After the opening bracket.
    private mutating func parseClass(openedAt start: Int) throws(ValueProblem) -> ScalarSet {
        var set = ScalarSet(isNegated: take("^"))
        var isFirst = true
        while let scalar = next, scalar != "]" || isFirst {
            isFirst = false
            let lower = try parseClassMember(scalar)
            let isRange = next == "-" && position + 1 < scalars.count && scalars[position + 1] != "]"
            guard isRange else {
                set.ranges += lower.positiveRanges
                continue
            }
            let hyphen = position
            position += 1
            let upper = try parseClassMember(scalars[position])
            guard let first = lower.single, let last = upper.single, first <= last else {
                throw problem("a range that does not go from a character to a later one", at: hyphen)
            }
            set.ranges.append(first...last)
        }
        guard take("]") else { throw problem("\"[\" without \"]\"", at: start) }
        return set
    }

    private mutating func parseClassMember(_ scalar: Unicode.Scalar) throws(ValueProblem) -> ScalarSet {
        let start = position
        position += 1
        switch scalar {
        case "\\": return try parseEscape(startedAt: start)
        case "[": throw problem("a class in a class is not supported; write \\[ for the character", at: start)
        case "&" where next == "&": throw problem("\"&&\" is not supported; write \\& for the character", at: start)
        default: return ScalarSet(ranges: [scalar.value...scalar.value])
        }
    }
}

extension ScalarSet {
    /// The only member, when it is one.
    fileprivate var single: UInt32? {
        guard !isNegated, ranges.count == 1, ranges[0].lowerBound == ranges[0].upperBound else { return nil }
        return ranges[0].lowerBound
    }
}
