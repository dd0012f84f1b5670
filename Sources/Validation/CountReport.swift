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
        case ignored

        package var passes: Bool { self == .equal || self == .ignored }
    }

    package struct Item: Sendable, Equatable {
        package let name: String
        package let verdict: Verdict
        package let expected: Int
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
            let actual = item.actual.map(String.init) ?? "?"
            let verdict = item.verdict == .equal ? "equal" : item.verdict == .ignored ? "ignored" : "DIFFERS"
            lines.append(
                "  \(name)  \(actual) of \(item.expected)  \(verdict)" + (item.message.map { ": \($0)" } ?? ""))
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
        out.key("passes")
        out.bool(passes)
        out.key("indices")
        out.beginArray()
        for item in items {
            out.beginObject()
            out.key("name")
            out.string(item.name)
            out.key("verdict")
            out.string(item.verdict.rawValue)
            out.key("expected")
            out.int(item.expected)
            if let actual = item.actual {
                out.key("actual")
                out.int(actual)
            }
            if let message = item.message {
                out.key("message")
                out.string(message)
            }
            out.endObject()
        }
        out.endArray()
        out.endObject()
        return String(decoding: out.bytes, as: UTF8.self)
    }
}
