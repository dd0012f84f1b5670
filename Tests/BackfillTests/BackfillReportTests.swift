import JSONBytes
import Testing

@testable import Backfill

@Suite struct BackfillReportTests {
    private func report() -> BackfillReport {
        var report = BackfillReport()
        report.snapshot = "nightly"
        report.target = "http://target:9200"
        var index = BackfillReport.Index(name: "logs", shardCount: 1, finishedShardCount: 1)
        index.tally.migrated = 1_234_567
        index.tally.sourceBytes = 2_500_000_000
        report.indices = [index]
        return report
    }

    private func leftOut() -> BackfillReport {
        var report = report()
        report.leftOut = [
            .init(index: "old", shard: 3, reason: "missing_shard", detail: "the snapshot lacks it\u{1B}[2J")
        ]
        return report
    }

    /// The words, however they are wrapped and aligned.
    private func flat(_ text: String) -> String {
        text.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
    }

    @Test func exitCodesSayHowItEnded() {
        #expect(report().exitCode == 0)
        #expect(leftOut().exitCode == 3)
        var rejected = report()
        rejected.indices[0].tally.rejected = 1
        #expect(rejected.exitCode == 3)
        let codes: [(RunStop.Code, Int32)] = [
            (.unreadable, 65), (.unavailable, 69), (.ourFault, 70), (.signal(2), 130), (.signal(15), 143),
        ]
        for (code, number) in codes {
            var stopped = leftOut()
            stopped.stop = RunStop(code: code, message: "m")
            #expect(stopped.exitCode == number)
            #expect(stopped.outcome == "stopped")
        }
    }

    @Test func aWholeMigrationNeedsNoNextStep() {
        let text = report().text
        #expect(text.hasPrefix("backfill complete: snapshot nightly is in http://target:9200\n"))
        #expect(flat(text).contains("migrated 1 234 567 documents of 1 index, 2.5 GB of _source"))
        #expect(!text.contains("next"))
    }

    @Test func readingIntoNothingIsNotCalledAMigration() {
        var report = report()
        report.target = "null:"
        #expect(report.text.hasPrefix("backfill complete: snapshot nightly was read\n"))
    }

    @Test func everyOtherEndSaysWhatToDoNext() {
        #expect(flat(leftOut().text).contains("next bring what is left out above over in another way"))
        var rejected = report()
        rejected.indices[0].tally.rejected = 2
        rejected.deadLetters = "/state/dead-letters.jsonl"
        #expect(flat(rejected.text).contains("LEFT OUT 2 documents that the target rejected"))
        #expect(flat(rejected.text).contains("reasons one by one in /state/dead-letters.jsonl"))
        #expect(flat(rejected.text).contains("next look at the dead-letter file"))
        let words: [(RunStop.Code, String)] = [
            (.unreadable, "give a repository in which the snapshot is whole"), (.unavailable, "same command again"),
            (.ourFault, "defect of ours"), (.signal(2), "start the same command again"),
        ]
        for (code, advice) in words {
            var stopped = report()
            stopped.stop = RunStop(code: code, message: "why")
            #expect(flat(stopped.text).contains(advice), "\(stopped.text)")
        }
    }

    @Test func aForeignMessageCannotDriveTheTerminal() {
        #expect(!leftOut().text.contains("\u{1B}"))
        #expect(flat(leftOut().text).contains("LEFT OUT index old, shard 3: the snapshot lacks it [2J"))
    }

    @Test func longListsAreCounted() {
        var report = report()
        report.leftOut = (0..<25).map { .init(index: "i\($0)", shard: nil, reason: "r", detail: "d") }
        #expect(flat(report.text).contains("and 5 more"))
    }

    @Test func theJSONHoldsEveryFigure() throws {
        let value = try JSONValue.parse(Array(leftOut().json.utf8))
        #expect(value["outcome"]?.stringValue == "left_out")
        #expect(value["exitCode"]?.intValue == 3)
        #expect(value["total"]?["migrated"]?.intValue == 1_234_567)
        #expect(value["leftOut"]?.arrayValue?.first?["shard"]?.intValue == 3)
    }

    @Test func theProgressLineNamesWhatHoldsItUp() {
        var now = ProgressReporter.Snapshot()
        now.shardCount = 8
        now.shardsDone = 2.5
        now.figures.migrated = 12345
        now.figures.sourceBytes = 5_000_000
        now.figures.rejected = 1
        now.figures.retried = 7
        now.figures.waitingRequests = 1
        now.figures.lastProblem = "the target answered 503:\nbusy"
        now.waitsForOthers = true
        let rates = ProgressReporter.Rates(bytesPerSecond: 2_500_000, fraction: 0.3125, remaining: .seconds(75))
        #expect(
            ProgressReporter.line(now, rates)
                == "31%  shards 2/8  12 345 docs  5.0 MB  2.5 MB/s  ETA 75 s  1 left out  7 sent again  "
                + "waiting for shards of other processes  the target answered 503: busy")
    }
}
