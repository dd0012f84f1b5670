import Testing

@testable import Transform

@Suite struct RuleFileTests {
    private func problems(_ text: String) -> String {
        do {
            _ = try RuleSet(json: Array(text.utf8), file: "r.json")
            return ""
        } catch {
            return error.description
        }
    }

    @Test func everyProblemAtOnceWithItsPlace() {
        let text = """
            {
              "rules": [
                {"rule": "rename-index", "from": "a-*", "to": "b-$2"},
                {"rule": "rename-index", "from": "a", "to": "B"},
                {"rule": "rename-idx"},
                {"rule": "map-type", "index": "a"},
                {"rule": "set-header", "name": "Host", "value": "x"},
                {"rule": "rename-field", "from": "a.b", "to": "c.b"},
                {"rule": "drop-field", "field": 3},
                {"rule": "skip-request"},
                {"rule": "remove-types", "index": "a"},
                7
              ],
              "more": 1
            }
            """
        let lines = problems(text).split(separator: "\n")
        let expected = [
            "r.json:3:51: rules[0].to: a wrong reference; $1 to $1 exist, and $$ is a dollar sign",
            "r.json:4:49: rules[1].to: an index name cannot contain \"B\"",
            "r.json:5:14: rules[2].rule: no rule \"rename-idx\";",
            "r.json:6:5: rules[3].type: missing",
            "r.json:6:5: rules[3].to: missing",
            "r.json:7:36: rules[4].name: Host is set by the replayer itself",
            "r.json:8:51: rules[5].to: a field can be renamed within its object only",
            "r.json:9:37: rules[6].field: a string expected",
            "r.json:10:5: rules[7]: a path or a method is needed",
            "r.json:11:39: rules[8].index: remove-types has no such member",
            "r.json:12:5: rules[9]: an object expected",
            "r.json:14:3: more: unknown",
        ]
        #expect(lines.count == expected.count)
        for (line, start) in zip(lines, expected) { #expect(line.hasPrefix(start), "\(line)") }
    }

    @Test func syntaxErrorsHaveAPlace() {
        #expect(problems("{\"rules\": [\n  {\"rule\": }\n]}") == "r.json:2:12: a value expected")
        #expect(problems("[]").hasPrefix("r.json:1:1: an object"))
        #expect(problems("{}").hasPrefix("r.json:1:1: rules: missing"))
        #expect(problems("{\"rules\":[]}").isEmpty)
    }

    @Test func patternsCaptureTheLeftmostPlace() throws {
        let texts = { (captures: [[UInt8]]?) in captures?.map { String(decoding: $0, as: UTF8.self) } }
        let match = { (pattern: String, name: String) in texts(NamePattern(pattern).match(Array(name.utf8))) }
        #expect(match("a", "a") == [])
        #expect(match("a", "ab") == nil)
        #expect(match("*", "") == [""])
        #expect(match("a-*-b-*", "a-1-b-2-b-3") == ["1", "2-b-3"])
        #expect(match("*b*b", "abbb") == ["a", "b"])
        #expect(match("ab*ba", "aba") == nil)
        #expect(match("**", "xy") == ["", "xy"])
        #expect(NameTemplate("$1$$-$2", captureCount: 2)?.filled([[65], [66]]) == Array("A$-B".utf8))
        #expect(NameTemplate("$3", captureCount: 2) == nil)
        #expect(NameTemplate("$", captureCount: 2) == nil)
    }

    @Test func targetsOfNames() throws {
        let rules = try RuleSet(
            json: Array(
                """
                {"rules":[{"rule":"rename-index","from":"same","to":"same"},{"rule":"drop-index","index":"t*"},
                {"rule":"rename-index","from":"*","to":"x-$1"}]}
                """.utf8), file: "r")
        #expect(rules.target(of: Array("same".utf8)) == .same)
        #expect(rules.target(of: Array("tmp".utf8)) == .dropped)
        #expect(rules.target(of: Array("a".utf8)) == .renamed(Array("x-a".utf8)))
    }
}
