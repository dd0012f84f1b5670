import HTTPMessage
import TestSupport
import Testing

@testable import TupleFormat

@Suite struct TupleComparatorTests {
    private func compare(_ source: String, _ target: String, _ rules: TupleRules = TupleRules()) -> TupleVerdict {
        var tuple = SampleTuple()
        tuple.sourceResponse = SampleMessage("HTTP/1.1 200 OK\r\n\r\n", source, framed: false)
        tuple.targetResponses = [SampleMessage("HTTP/1.1 200 OK\r\n\r\n", target, framed: false)]
        let verdict = tuple.verdict(rules)
        // Read back from its line, a tuple is judged alike.
        let line = Array(tuple.line().utf8)
        let again = line.withUnsafeBytes { line -> TupleVerdict? in
            let reader = TupleReader()
            return (try? reader.read(line)).map { reader.verdict($0, rules) }
        }
        #expect(again == verdict, "\(source) and \(target)")
        return verdict
    }

    @Test(arguments: [
        ("", ""), ("{}", "{ }"), ("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}"), ("[1.0,10]", "[1,1e1]"),
        ("{\"a\":100}", "{\"a\":1.00E+2}"), ("[0.5,-0]", "[5e-1,0.0]"), ("\"caf\\u00e9\"", "\"café\""),
        ("{\"\\u0061\":1}", "{\"a\":1}"), ("{\"a\":{\"took\":1}}", "{\"a\":{\"took\":99,\"_version\":3}}"),
        ("{\"_shards\":{\"total\":1}}", "{}"), ("{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}\n{ \"b\":2.0 }"),
        ("{\"took\":{\"x\":[1]},\"z\":0}", "{\"z\":0,\"took\":[{}]}"), ("plain", "plain"),
        ("{\"a\":\"\\ud83d\\ude00\"}", "{\"a\":\"\u{1F600}\"}"),
        ("[12345678901234567890.0]", "[12345678901234567890]"), ("\"a\\/b\"", "\"a/b\""),
    ])
    func theseAreEqual(source: String, target: String) { #expect(compare(source, target) == .match) }

    @Test(arguments: [
        ("{\"a\":1}", "{\"a\":2}", "a", BodyDifference.Kind.value, "1", "2"),
        ("{\"a\":1}", "{\"a\":\"1\"}", "a", .type, "1", "\"1\""),
        ("{\"a\":true}", "{\"a\":false}", "a", .value, "true", "false"),
        ("{\"a\":{\"b\":[{\"c\":1},{\"c\":2}]}}", "{\"a\":{\"b\":[{\"c\":1},{\"c\":3}]}}", "a.b.*.c", .value, "2", "3"),
        ("{\"a\":[1,2]}", "{\"a\":[1]}", "a", .count, "[1,2]", "[1]"),
        ("{\"a\":[1,2]}", "{\"a\":[2,1]}", "a.*", .value, "1", "2"),
        ("{\"a\":1,\"b\":{\"c\":7}}", "{\"a\":1,\"b\":{}}", "b.c", .missing, "7", ""),
        ("{\"a\":1}", "{\"new\":null,\"a\":1}", "new", .added, "", "null"),
        ("{\"took\":1,\"x\":1}", "{\"took\":2,\"x\":2}", "x", .value, "1", "2"),
        (
            "[12345678901234567890]", "[12345678901234567891]", "*", .value, "12345678901234567890",
            "12345678901234567891"
        ),
        ("1", "2", "", .value, "1", "2"), ("[1e2]", "[1e-2]", "*", .value, "1e2", "1e-2"),
        ("{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}\n{\"b\":3}", "*.b", .value, "2", "3"),
        ("{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}", "", .count, "", ""), ("no", "nay", "", .text, "no", "nay"),
        ("{\"a\":[1,1]}", "{\"a\":{}}", "a", .type, "[1,1]", "{}"), ("[-1]", "[1]", "*", .value, "-1", "1"),
        ("[10]", "[100]", "*", .value, "10", "100"), ("[\"\\n\"]", "[\"n\"]", "*", .value, "\"\\n\"", "\"n\""),
    ])
    func theFirstDifferenceIsNamed(
        source: String, target: String, path: String, kind: BodyDifference.Kind, left: String, right: String
    ) {
        let expected = BodyDifference(path: path, kind: kind, source: left, target: right)
        #expect(compare(source, target) == .bodyDiffers(expected))
    }

    @Test func pathsCanBeIgnored() {
        let source = "{\"hits\":{\"hits\":[{\"_score\":1.5,\"_id\":\"a\"}],\"max_score\":1.5}}"
        let target = "{\"hits\":{\"hits\":[{\"_score\":2.5,\"_id\":\"a\"}],\"max_score\":2.5}}"
        guard case .bodyDiffers(let first) = compare(source, target) else { Issue.record("equal"); return }
        #expect(first.path == "hits.hits.*._score")
        let one = TupleRules(ignoring: ["hits.hits.*._score"])
        guard case .bodyDiffers(let second) = compare(source, target, one) else { Issue.record("equal"); return }
        #expect(second.path == "hits.max_score")
        #expect(compare(source, target, TupleRules(ignoring: ["hits.hits.*._score", "hits.max_score"])) == .match)
        #expect(compare(source, target, TupleRules(ignoring: ["_score", "max_score"])) == .match)
        // A path holds from the top only, and a star stands for one component.
        #expect(compare(source, target, TupleRules(ignoring: ["hits._score", "*.max_score"])) != .match)
        // The defaults are ignored only when they are asked for.
        #expect(compare("{\"took\":1}", "{\"took\":2}", TupleRules(ignoring: [])) != .match)
        #expect(compare("{\"a\":{\"b\":1}}", "{\"a\":{\"c\":2}}", TupleRules(ignoring: ["a.*"])) == .match)
    }

    @Test func errorsAreComparedByTypeNotByWording() {
        func error(_ type: String, _ reason: String, _ index: String) -> String {
            let members = [("type", type), ("reason", reason), ("index_uuid", index), ("shard", "\(index.count)")]
            let cause = "{" + members.map { "\"\($0)\":\"\($1)\"" }.joined(separator: ",")
            return cause + ",\"root_cause\":[\(cause)}]}"
        }
        let source = error("document_missing_exception", "[_doc][1]: document missing", "aa")
        let target = error("document_missing_exception", "[1]: document missing", "b")
        let other = error("index_not_found_exception", "[1]: document missing", "b")
        let bulk = ["{\"items\":[{\"create\":{\"status\":409,\"error\":", "}}]}"]
        for (start, end) in [("{\"status\":404,\"error\":", "}"), (bulk[0], bulk[1])] {
            #expect(compare(start + source + end, start + target + end) == .match)
            #expect(compare(start + source + end, start + other + end) != .match)
        }
        // A document may have such members too.
        #expect(compare("{\"_source\":{\"reason\":1}}", "{\"_source\":{\"reason\":2}}") != .match)
    }

    @Test func statusGoesFirst() {
        var tuple = SampleTuple()
        #expect(tuple.verdict() == .targetMissing)
        tuple.targetResponses = [
            SampleMessage("HTTP/1.1 503 No\r\n\r\n"), SampleMessage("HTTP/1.1 201 Created\r\n\r\n", "{\"a\":1}"),
        ]
        #expect(tuple.verdict() == .sourceMissing)
        tuple.sourceResponse = SampleMessage("HTTP/1.1 200 OK\r\n\r\n", "{\"a\":1}")
        #expect(tuple.verdict() == .statusDiffers(source: 200, target: 201))
        var rules = TupleRules()
        rules.statusRule = .class
        #expect(tuple.verdict(rules) == .match)
        tuple.sourceResponse = SampleMessage("HTTP/1.1 404 Not Found\r\n\r\n", "{\"a\":1}")
        #expect(tuple.verdict(rules) == .statusDiffers(source: 404, target: 201))
        tuple.sourceResponse = SampleMessage("HTTP/1.1 201 Created\r\ncontent-length: 9\r\n\r\n", "{\"a\":1}")
        #expect(tuple.verdict() == .notComparable(.unreadable))
        tuple.sourceResponse = SampleMessage("nonsense\r\n\r\n")
        #expect(tuple.verdict() == .notComparable(.unreadable))
    }

    @Test func framingAndCodingDoNotCount() {
        let body = Array("{\"took\":1,\"a\":\"\(String(repeating: "x", count: 99))\"}".utf8)
        var tuple = SampleTuple()
        tuple.sourceRequest = SampleMessage("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        tuple.sourceResponse = SampleMessage(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            Array("\(String(body.count, radix: 16))\r\n".utf8) + body + Array("\r\n0\r\n\r\n".utf8))
        tuple.targetResponses = [
            SampleMessage("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", gzipped(body), framed: false)
        ]
        #expect(tuple.verdict() == .match)
        tuple.targetResponses[0].head = "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\n"
        #expect(tuple.verdict() == .notComparable(.unknownCoding))
        // An answer to HEAD has no body, whatever its length says.
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n"
        tuple.sourceRequest = SampleMessage("HEAD /i HTTP/1.1\r\nHost: h\r\n\r\n")
        tuple.sourceResponse = SampleMessage(head)
        tuple.targetResponses = [SampleMessage(head)]
        #expect(tuple.verdict() == .match)
    }

    @Test func costIsBounded() {
        var rules = TupleRules()
        rules.bodyBytesLimit = 40
        let long = String(repeating: "a", count: 50)
        var tuple = SampleTuple()
        tuple.sourceResponse = SampleMessage("HTTP/1.1 200 OK\r\n\r\n", long)
        tuple.targetResponses = [SampleMessage("HTTP/1.1 200 OK\r\n\r\n", long)]
        #expect(tuple.verdict(rules) == .match)
        tuple.targetResponses = [SampleMessage("HTTP/1.1 200 OK\r\n\r\n", long + "b")]
        #expect(tuple.verdict(rules) == .notComparable(.bodyTooLarge))
        // Keys in the opposite order make the search quadratic; it is given up instead.
        let keys = (0..<3000).map { "\"k\($0)\":\($0)" }
        let forth = "{\(keys.joined(separator: ","))}"
        let back = "{\(keys.reversed().joined(separator: ","))}"
        #expect(compare(forth, back) == .notComparable(.tooManySteps))
        var patient = TupleRules()
        patient.stepLimit = 20_000_000
        #expect(compare(forth, back, patient) == .match)
    }

    @Test func cutBodiesAreJudgedByWhatIsLeft() throws {
        let body = "{\"took\":1,\"a\":\"\(String(repeating: "x", count: 2000))\"}"
        var tuple = SampleTuple()
        tuple.sourceResponse = SampleMessage("HTTP/1.1 200 OK\r\n\r\n", body)
        tuple.targetResponses = [SampleMessage("HTTP/1.1 200 OK\r\n\r\n", body)]
        let read = { (tuple: SampleTuple) throws -> TupleVerdict in
            try Array(tuple.line(.limit(100)).utf8).withUnsafeBytes { line in
                let reader = TupleReader()
                return reader.verdict(try reader.read(line), TupleRules())
            }
        }
        #expect(try read(tuple) == .match)
        tuple.targetResponses = [SampleMessage("HTTP/1.1 200 OK\r\n\r\n", body + " ")]
        #expect(try read(tuple) == .notComparable(.bodyCut))
        let verdicts: [TupleVerdict] = [
            .match, .sourceMissing, .targetMissing, .notComparable(.bodyTooLarge), .statusDiffers(source: 1, target: 2),
            .bodyDiffers(BodyDifference(path: "a.*", kind: .added, source: "", target: "\"\\\"")),
        ]
        for verdict in verdicts {
            tuple.verdict = verdict
            #expect(try read(tuple) == verdict)
        }
    }

    /// Whatever the shape, a value equals itself with its members in another order and differs when one leaf changes.
    @Test func seededValuesAgainstTheirVariants() {
        for seed in 0..<500 {
            var random = SeededGenerator(seed: UInt64(seed))
            var leaves = 0
            let shape = Shape.make(&random, depth: 4, &leaves)
            #expect(
                compare(shape.text(nil, reversed: false), shape.text(nil, reversed: true)) == .match, "seed \(seed)")
            guard leaves > 0 else { continue }
            let changed = random.below(leaves)
            guard
                case .bodyDiffers(let found) = compare(
                    shape.text(nil, reversed: false), shape.text(changed, reversed: true))
            else {
                Issue.record("seed \(seed): no difference at leaf \(changed)")
                continue
            }
            #expect(found.kind == .value && found.source == "\(changed)" && found.target == "-1", "seed \(seed)")
        }
    }

    private indirect enum Shape {
        case leaf(Int)
        case array([Shape])
        case object([Shape])

        static func make(_ random: inout SeededGenerator, depth: Int, _ leaves: inout Int) -> Shape {
            if depth == 0 || random.below(3) == 0 {
                leaves += 1
                return .leaf(leaves - 1)
            }
            var parts: [Shape] = []
            for _ in 0..<random.below(5) { parts.append(make(&random, depth: depth - 1, &leaves)) }
            return random.below(2) == 0 ? .array(parts) : .object(parts)
        }

        func text(_ changed: Int?, reversed: Bool) -> String {
            switch self {
            case .leaf(let number): return number == changed ? "-1" : "\(number)"
            case .array(let parts):
                return "[" + parts.map { $0.text(changed, reversed: reversed) }.joined(separator: ",") + "]"
            case .object(let parts):
                var members = parts.enumerated().map { "\"k\($0)\" : \($1.text(changed, reversed: reversed))" }
                if reversed { members.reverse() }
                return "{" + members.joined(separator: ",") + "}"
            }
        }
    }

    @Test func linesThatAreNoTuplesAreRefused() {
        for (text, offset) in [
            ("", 0), ("[]", 0), ("{\"a\":1}", 0), ("{\"targetResponses\":[]", 21), ("{\"a\":tru}", 8),
        ] {
            let reader = TupleReader()
            let error = Array(text.utf8).withUnsafeBytes { line -> TupleError? in
                do throws(TupleError) {
                    _ = try reader.read(line)
                    return nil
                } catch { return error }
            }
            #expect(error?.offset == offset, "\(text): \(error?.description ?? "taken")")
        }
    }
}
