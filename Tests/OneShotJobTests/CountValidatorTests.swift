import JSONBytes
import Testing
import Transform

@testable import Validation

@Suite struct CountValidatorTests {
    private func verdict(
        expected: Int, _ answer: ScriptedCluster.Answer?, tolerance: Int = 0, ignored: [NamePattern] = []
    ) throws -> CountReport {
        let cluster = ScriptedCluster()
        if let answer {
            cluster.on("POST /a/_refresh", .init(200, "{}"))
            cluster.on("GET /a/_count", answer)
        }
        let validator = CountValidator(.init(tolerance: tolerance, ignored: ignored), send: cluster.send)
        return try validator.run(ExpectedCounts(indices: [.init(name: "a", count: expected)]))
    }

    @Test(arguments: [
        (10, 10, 0, CountReport.Verdict.equal), (10, 9, 0, .tooFew), (10, 11, 0, .tooMany), (10, 9, 1, .equal),
        (10, 12, 1, .tooMany), (0, 0, 0, .equal),
    ])
    func countsAreCompared(expected: Int, actual: Int, tolerance: Int, verdict: CountReport.Verdict) throws {
        let report = try self.verdict(
            expected: expected, .init(200, #"{"count":\#(actual),"_shards":{"failed":0}}"#), tolerance: tolerance)
        #expect(report.items.map(\.verdict) == [verdict])
        #expect(report.passes == (verdict == .equal))
    }

    @Test func theTargetIsRefreshedBeforeItIsCounted() throws {
        let cluster = ScriptedCluster()
        cluster.on("POST /a/_refresh", .init(200, "{}"))
        cluster.on("GET /a/_count", .init(200, #"{"count":1}"#))
        _ = try CountValidator(.init(), send: cluster.send).run(
            ExpectedCounts(indices: [.init(name: "a", count: 1)]))
        #expect(cluster.requests == ["POST /a/_refresh", "GET /a/_count"])
    }

    @Test func anIndexThatIsNotThereIsMissing() throws {
        #expect(try verdict(expected: 1, nil).items.map(\.verdict) == [.missing])
    }

    @Test func aCountOfSomeShardsProvesNothing() throws {
        let report = try verdict(expected: 1, .init(200, #"{"count":1,"_shards":{"failed":2}}"#))
        #expect(report.items.map(\.verdict) == [.unknown])
        #expect(!report.passes)
    }

    @Test func ignoredIndicesAreNotAskedFor() throws {
        let report = try verdict(expected: 1, nil, ignored: [NamePattern("*")])
        #expect(report.items.map(\.verdict) == [.ignored])
        #expect(!report.passes, "nothing was compared")
    }

    /// What the backfill could not read is not among the counts, so that equal counts would prove nothing of it.
    @Test func indicesThatTheBackfillLeftOutDoNotPass() throws {
        let text = """
            {"outcome":"left_out","indices":[{"name":"a","documents":{"migrated":5,"rejected":0,"omitted":0}}],
             "leftOut":[{"index":"a","shard":1,"reason":"damaged","detail":"its checksum differs"},
                        {"index":"b","reason":"source_disabled","detail":"no _source"}]}
            """
        let cluster = ScriptedCluster()
        cluster.on("POST /a/_refresh", .init(200, "{}"))
        cluster.on("GET /a/_count", .init(200, #"{"count":5}"#))
        let report = try CountValidator(.init(), send: cluster.send).run(
            ExpectedCounts(backfillReport: Array(text.utf8), name: "report.json"))
        #expect(report.items.map(\.verdict) == [.leftOut, .leftOut])
        #expect(report.items.map(\.name) == ["a", "b"])
        #expect(report.items[0].message == "the backfill did not read all of it: shard 1: its checksum differs")
        #expect(report.exitCode == 3)
    }

    @Test func expectationsComeFromABackfillsReport() throws {
        let text = """
            {"outcome":"left_out","indices":[
              {"name":"b","documents":{"migrated":5,"rejected":1,"omitted":2,"nested":9,"deleted":9}},
              {"name":"a","documents":{"migrated":0,"rejected":0,"omitted":0}}]}
            """
        let counts = try ExpectedCounts(backfillReport: Array(text.utf8), name: "report.json")
        #expect(counts.indices == [.init(name: "a", count: 0), .init(name: "b", count: 8)])
    }

    @Test(arguments: [
        ("{", "report.json is no JSON"), ("{}", "report.json is no report of a backfill"),
        (#"{"outcome":"stopped","indices":[]}"#, "did not finish"),
        (#"{"outcome":"complete","indices":[{"name":"a"}]}"#, "without a name and its counts"),
    ])
    func reportsThatCountNothingAreErrors(text: String, message: String) {
        do {
            _ = try ExpectedCounts(backfillReport: Array(text.utf8), name: "report.json")
            Issue.record("it was read")
        } catch {
            #expect(error.message.contains(message))
        }
    }
}
