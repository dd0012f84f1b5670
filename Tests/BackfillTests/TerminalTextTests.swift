import Testing

@testable import Backfill

/// What a person sees at a terminal.
@Suite struct TerminalTextTests {
    @Test("the live line ends before the last column, and is never longer than 100")
    func liveLine() {
        let line = String(repeating: "x", count: 300)
        for columns in [1, 2, 40, 80, 100, 101, 500] {
            let shown = ProgressReporter.cut(line, to: columns).count
            #expect(shown == max(1, min(columns - 1, 100)), "\(columns)")
        }
        #expect(ProgressReporter.cut(line, to: nil).count < 100)
        #expect(ProgressReporter.cut("short", to: 80) == "short")
    }

    @Test("facts of the summary wrap at 100 columns under their label; the headline is whole")
    func summary() {
        var report = BackfillReport()
        report.snapshot = "nightly"
        report.target = "https://new.example:9200"
        var index = BackfillReport.Index(name: "logs", shardCount: 3)
        index.tally.migrated = 1_234_567
        index.tally.rejected = 2
        index.tally.nested = 5
        report.indices = [index]
        report.leftOut = [
            .init(
                index: "metrics", shard: nil, reason: "index_without_source",
                detail: String(repeating: "why it was left out ", count: 12))
        ]
        report.deadLetters = "/var/lib/millrace/dead-letters.jsonl"
        let lines = report.text.split(separator: "\n").map(String.init)
        #expect(lines.first == "backfill finished, but not everything came along: snapshot nightly to \(report.target)")
        #expect(lines.dropFirst().allSatisfy { $0.count <= 100 && !$0.hasSuffix(" ") })
        #expect(lines.contains("  migrated     1 234 567 documents of 1 index, 0 B of _source"))
        #expect(lines.contains("  LEFT OUT     2 documents that the target rejected"))
        #expect(lines.contains("  reasons      one by one in /var/lib/millrace/dead-letters.jsonl"))
        #expect(lines.filter { $0.contains("why it was left out") }.count >= 3)

        report.stop = RunStop(code: .unavailable, message: String(repeating: "long ", count: 40))
        #expect(report.text.split(separator: "\n").first?.count ?? 0 > 200)
    }
}
