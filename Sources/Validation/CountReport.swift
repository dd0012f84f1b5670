import JSONBytes

/// The comparison of counts, for a person (`text`) and for a machine (`json`).
package struct CountReport: Sendable, Equatable {
    package enum Verdict: String, Sendable, CaseIterable {
        case equal
        case tooFew = "too_few"
        case tooMany = "too_many"
        /// The target has no such index.
        case missing
        /// The target did not tell a whole count.
        case unknown
        /// The backfill did not read all of it, so nobody knows how many there should be.
        case leftOut = "left_out"
        case ignored

        package var passes: Bool { self == .equal || self == .ignored }
    }

    package struct Item: Sendable, Equatable {
        package let name: String
        package let verdict: Verdict
        /// nil when it is not known.
        package let expected: Int?
        /// nil when it is not known.
        package let actual: Int?
        package let message: String?
    }

    package var items: [Item] = []

    package init() {}

    /// Nothing to compare proves nothing, so an empty report does not pass.
    package var passes: Bool { items.contains { $0.verdict == .equal } && items.allSatisfy(\.verdict.passes) }
    /// 3 when a count differs.
    package var exitCode: Int32 { passes ? 0 : 3 }

    package var text: String {
        let width = min(40, items.map(\.name.count).max() ?? 0)
        var lines = [headline]
        for item in items {
            let name = item.name + String(repeating: " ", count: max(0, width - item.name.count))
            let (actual, expected) = (item.actual.map(String.init) ?? "?", item.expected.map(String.init) ?? "?")
            let verdict = item.verdict == .equal ? "equal" : item.verdict == .ignored ? "ignored" : "DIFFERS"
            lines.append(
                "  \(name)  \(actual) of \(expected)  \(verdict)" + (item.message.map { ": \($0)" } ?? ""))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var headline: String {
        if items.isEmpty { return "nothing was compared: there is no index to count" }
        let failed = items.filter { !$0.verdict.passes }.count
        let compared = items.filter { $0.verdict != .ignored }.count
        if failed > 0 { return "counts differ in \(failed) of \(compared) indices" }
        return compared == 0
            ? "nothing was compared: every index is ignored" : "counts are equal in \(compared) indices"
    }

    /// One object on one line.
    package var json: String {
        var out = JSONWriter()
        out.beginObject()
        out.member("passes", passes)
        out.key("indices")
        out.beginArray()
        for item in items {
            out.beginObject()
            out.member("name", item.name)
            out.member("verdict", item.verdict.rawValue)
            if let expected = item.expected { out.member("expected", expected) }
            if let actual = item.actual { out.member("actual", actual) }
            if let message = item.message { out.member("message", message) }
            out.endObject()
        }
        out.endArray()
        out.endObject()
        return String(decoding: out.bytes, as: UTF8.self)
    }
}
