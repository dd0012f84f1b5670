import ClusterClient
import JSONBytes
import Transform

/// Compares how many documents each index should have with how many the target has.
///
/// | stage | file | in | out |
/// |---|---|---|---|
/// | expected state | `ExpectedCounts` | a backfill's report | count by index |
/// | compare | here | count by index, target | `CountReport` |
/// | report | `CountReport` | | text, JSON, exit status |
///
/// Root documents are counted (`_count`), as people count them: nested ones are parts of theirs. The target is
/// refreshed first, for documents that no search sees yet are not counted.
package struct CountValidator {
    /// What makes an index pass.
    package struct Rule: Sendable, Equatable {
        /// By how many documents the counts may differ, either way.
        package var tolerance: Int = 0
        /// Names that are not compared; `*` stands for any run of characters.
        package var ignored: [NamePattern] = []

        package init(tolerance: Int = 0, ignored: [NamePattern] = []) {
            self.tolerance = tolerance
            self.ignored = ignored
        }
    }

    private let rule: Rule
    private let send: ClusterClient.Send

    package init(_ rule: Rule, send: @escaping ClusterClient.Send) {
        self.rule = rule
        self.send = send
    }

    /// In the order of `expected`. Throws when the target cannot be asked.
    package func run(_ expected: ExpectedCounts) throws(ClusterError) -> CountReport {
        var report = CountReport()
        for index in expected.indices {
            report.items.append(try compare(index))
        }
        return report
    }

    private func compare(_ index: ExpectedCounts.Index) throws(ClusterError) -> CountReport.Item {
        func item(_ verdict: CountReport.Verdict, _ actual: Int? = nil, _ message: String? = nil) -> CountReport.Item {
            let expected = verdict == .leftOut ? nil : index.count
            return CountReport.Item(
                name: index.name, verdict: verdict, expected: expected, actual: actual, message: message)
        }
        if rule.ignored.contains(where: { $0.matches(Array(index.name.utf8)) }) { return item(.ignored) }
        if let why = index.leftOut { return item(.leftOut, nil, "the backfill did not read all of it: \(why)") }
        // Without it a shard's last documents are not seen. A closed or missing index is told by the count.
        let refresh = try send(ClusterRequest("POST", PercentEncoding.path(index.name, "_refresh"), isRepeatable: true))
        if refresh.status == 404 { return item(.missing, nil, "the target has no such index") }
        let answer = try send(ClusterRequest("GET", PercentEncoding.path(index.name, "_count")))
        guard answer.status == 200, let value = try? JSONValue.parse(answer.body), let count = value["count"]?.intValue
        else {
            return item(.unknown, nil, "the target answered \(answer.status)\(answer.explanation)")
        }
        if let failed = value["_shards"]?["failed"]?.intValue, failed > 0 {
            return item(.unknown, Int(count), "\(failed) of its shards did not answer: the count is not whole")
        }
        let difference = Int(count) - index.count
        if abs(difference) <= rule.tolerance { return item(.equal, Int(count)) }
        return difference < 0
            ? item(.tooFew, Int(count), "\(-difference) fewer than expected")
            : item(.tooMany, Int(count), "\(difference) more than expected")
    }
}
