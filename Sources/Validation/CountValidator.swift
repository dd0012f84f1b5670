import ClusterClient
import JSONBytes

/// Compares how many documents each index should have with how many the target has.
///
/// | stage | file | in | out |
/// |---|---|---|---|
/// | expected state | `ExpectedCounts` | a backfill's report, or counts asked of a source | count by index |
/// | compare | here | count by index, target | `CountReport` |
/// | report | `CountReport` | | text, JSON, exit status |
///
/// Root documents are counted (`_count`), as people count them: nested ones are parts of theirs. The target is
/// refreshed first, for documents that no search sees yet are not counted.
package struct CountValidator {
    /// How a cluster is asked; a stand-in in tests.
    package typealias Send = (ClusterRequest) throws(ClusterError) -> ClusterResponse

    /// What makes an index pass.
    package struct Rule: Sendable, Equatable {
        /// By how many documents the counts may differ, either way.
        package var tolerance: Int = 0
        /// Names that are not compared; `*` stands for any run of characters.
        package var ignored: [String] = []

        package init(tolerance: Int = 0, ignored: [String] = []) {
            self.tolerance = tolerance
            self.ignored = ignored
        }
    }

    private let rule: Rule
    private let send: Send

    package init(_ rule: Rule, send: @escaping Send) {
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
            CountReport.Item(
                name: index.name, verdict: verdict, expected: index.count, actual: actual, message: message)
        }
        if rule.ignored.contains(where: { Self.matches(index.name, pattern: $0) }) { return item(.ignored) }
        // Without it a shard's last documents are not seen. A closed or missing index is told by the count.
        let refresh = try send(ClusterRequest("POST", PercentEncoding.path(index.name, "_refresh"), isRepeatable: true))
        if refresh.status == 404 { return item(.missing, nil, "the target has no such index") }
        let answer = try send(ClusterRequest("GET", PercentEncoding.path(index.name, "_count")))
        let value = try? JSONValue.parse(answer.body)
        guard answer.status == 200, let value, let count = value["count"]?.intValue else {
            let reason = value?["error"]?["reason"]?.stringValue
            return item(.unknown, nil, "the target answered \(answer.status)" + (reason.map { ": \($0)" } ?? ""))
        }
        if let failed = value["_shards"]?["failed"]?.intValue, failed > 0 {
            return item(.unknown, Int(count), "\(failed) of its shards did not answer: the count is not whole")
        }
        let difference = Int(count) - index.count
        if abs(difference) <= rule.tolerance { return item(.equal, Int(count)) }
        return difference < 0
            ? item(.tooFew, Int(count), "\(-difference) are missing")
            : item(.tooMany, Int(count), "\(difference) more than expected")
    }

    /// Greedy from the left with one place to come back to: linear for one star, at most the product of the lengths.
    static func matches(_ name: String, pattern: String) -> Bool {
        let (text, pattern) = (Array(name.utf8), Array(pattern.utf8))
        var (position, place) = (0, 0)
        var star: (position: Int, place: Int)?
        while position < text.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                star = (position, place + 1)
                place += 1
            } else if place < pattern.count, pattern[place] == text[position] {
                position += 1
                place += 1
            } else if let last = star {
                star = (last.position + 1, last.place)
                position = last.position + 1
                place = last.place
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
