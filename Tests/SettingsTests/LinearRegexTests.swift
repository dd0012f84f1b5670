import Testing

@testable import Settings

@Suite struct LinearRegexTests {
    @Test func matchesTheWholeText() throws {
        let table: [(pattern: String, matching: [String], other: [String])] = [
            ("logs-.*", ["logs-", "logs-2024"], ["xlogs-", "logs", "log"]),
            ("^logs$", ["logs"], ["logs1", "alogs", ""]),
            ("a|bc|", ["a", "bc", ""], ["b", "abc"]),
            ("(a|b)+c?", ["a", "abba", "bc"], ["c", "", "acc"]),
            ("[a-c_]{2,3}", ["ab", "c_a"], ["a", "abca", "ad"]),
            ("[^0-9]+", ["abc", "ä€"], ["a1", ""]),
            ("\\d{4}\\.\\d{2}", ["2024.01"], ["2024-01", "202401"]),
            ("[\\w-]+", ["a-b_1"], ["a.b"]),
            ("[]a]+", ["]a"], ["b"]), ("[a-]+", ["-a"], ["b"]), ("x{0}", [""], ["x"]),
            ("x{2,}", ["xx", "xxxx"], ["x"]),
            ("(?:ab)*?", ["", "abab"], ["aba"]), ("\\*\\[\\\\", ["*[\\"], ["*["]),
            ("\\S\\D\\W", ["xa."], ["x1.", " a."]),
            ("[\\D]", ["a", "\u{1F600}"], ["1"]), ("(|a)*b", ["b", "aab"], ["a"]), ("a$b", [], ["ab", "a"]),
            ("(^a|b)*", ["", "a", "ab", "bb"], ["aa", "ba"]),
        ]
        for row in table {
            let expression = try LinearRegex(row.pattern)
            for text in row.matching { #expect(expression.matchesWhole(text), "\(row.pattern) should match \(text)") }
            for text in row.other { #expect(!expression.matchesWhole(text), "\(row.pattern) should not match \(text)") }
        }
    }

    @Test(arguments: [
        "(", ")", "a)", "[", "[a", "*", "a**", "a{", "a{2", "a{3,2}", "a{1001}", "{2}", "\\", "\\1", "\\b", "(?=a)",
        "(?i)a",
        "(?<n>a)", "[b-a]", "[\\d-z]", "[a[b]]", "[a&&b]", "a++", "+", "?", "a|*",
    ])
    func whatIsWrongOrUnsupportedIsSaidSo(pattern: String) {
        let problem = #expect(throws: ValueProblem.self) { try LinearRegex(pattern) }
        #expect(problem?.message.contains("at character") == true)
    }

    @Test func sizeIsBounded() {
        for pattern in [
            "((a{100}){100}){100}", String(repeating: "(", count: 60) + String(repeating: ")", count: 60),
            String(repeating: "a", count: 1001),
        ] {
            #expect(throws: ValueProblem.self) { try LinearRegex(pattern) }
        }
    }

    /// Each takes exponential time in an engine that goes back.
    @Test func hostilePatternsEndSoon() throws {
        let text = String(repeating: "a", count: 250)
        for pattern in [
            "(a*)*b", "(a|a)*b", "(a|aa)+b", "(.*)(.*)(.*)(.*)(.*)x", "((a?){30}){30}b", "(((){1000}){1000}){1000}b",
        ] {
            #expect(try !LinearRegex(pattern).matchesWhole(text))
        }
    }

    /// All patterns of a small grammar against all short texts; a model that tries everything decides.
    @Test func agreesWithAModelThatTriesEverything() throws {
        indirect enum Tree {
            case letter(Character), sequence(Tree, Tree), either(Tree, Tree), star(Tree), optional(Tree)

            var pattern: String {
                switch self {
                case .letter(let letter): "\(letter)"
                case .sequence(let left, let right): left.pattern + right.pattern
                case .either(let left, let right): "(\(left.pattern)|\(right.pattern))"
                case .star(let body): "(\(body.pattern))*"
                case .optional(let body): "(\(body.pattern))?"
                }
            }

            func matches(_ text: Substring) -> Bool {
                switch self {
                case .letter(let letter): return text == "\(letter)"
                case .sequence(let left, let right):
                    return text.indices.contains { left.matches(text[..<$0]) && right.matches(text[$0...]) }
                        || (left.matches(text) && right.matches(""))
                case .either(let left, let right): return left.matches(text) || right.matches(text)
                case .optional(let body): return text.isEmpty || body.matches(text)
                case .star(let body):
                    if text.isEmpty { return true }
                    return body.matches(text)
                        || text.indices.dropFirst().contains { body.matches(text[..<$0]) && matches(text[$0...]) }
                }
            }
        }
        var state: UInt64 = 7
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        func tree(_ depth: Int) -> Tree {
            guard depth > 0 else { return .letter(random(2) == 0 ? "a" : "b") }
            switch random(5) {
            case 0: return .letter("a")
            case 1: return .sequence(tree(depth - 1), tree(depth - 1))
            case 2: return .either(tree(depth - 1), tree(depth - 1))
            case 3: return .star(tree(depth - 1))
            default: return .optional(tree(depth - 1))
            }
        }
        var texts = [""]
        for length in 1...5 { texts += texts.filter { $0.count == length - 1 }.flatMap { [$0 + "a", $0 + "b"] } }
        var wrong: [String] = []
        for _ in 0..<150 {
            let tree = tree(3)
            let expression = try LinearRegex(tree.pattern)
            for text in texts where expression.matchesWhole(text) != tree.matches(text[...]) {
                wrong.append("\(tree.pattern) on \(text)")
            }
        }
        #expect(wrong.isEmpty)
    }
}

@Suite struct IndexSelectionTests {
    private let names = [".kibana_1", ".ds-logs-000001", "books", "logs-1", "logs-2", ".security-7"]

    private func selected(_ patterns: [String], system: Bool = false) throws -> [String] {
        let selection = IndexSelection(
            patterns: try patterns.map { try IndexSelection.parsePattern($0) }, includesSystemIndices: system)
        return names.filter(selection.selects)
    }

    @Test func whatIsSelected() throws {
        #expect(try selected([]) == [".ds-logs-000001", "books", "logs-1", "logs-2"])
        #expect(try selected([], system: true) == names)
        #expect(try selected(["books"]) == ["books"])
        #expect(try selected(["logs"]) == [])
        #expect(try selected([".kibana_1"]) == [".kibana_1"])
        #expect(try selected(["regex:logs-.*", "books"]) == ["books", "logs-1", "logs-2"])
        #expect(try selected(["regex:.*"]) == [".ds-logs-000001", "books", "logs-1", "logs-2"])
        #expect(try selected(["regex:.*"], system: true) == names)
    }

    @Test func patternsThatSelectNothingAreNamed() throws {
        let selection = IndexSelection(patterns: [
            .exact("books"), .exact("gone"), .expression(try LinearRegex("x.*")),
            .expression(try LinearRegex("\\.kib.*")),
        ])
        #expect(selection.unmatchedPatterns(in: names).map(\.text) == ["gone", "regex:x.*", "regex:\\.kib.*"])
    }

    @Test func namesThatCannotBeAreMistakes() {
        for text in ["", "logs-*", "a?", "a b", "a,b", "a/b", "regex:(", String(repeating: "x", count: 256)] {
            #expect(throws: ValueProblem.self) { try IndexSelection.parsePattern(text) }
        }
    }
}
