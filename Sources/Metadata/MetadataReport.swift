import JSONBytes

/// What became of each index, for a person (`text`) and for a machine (`json`).
package struct MetadataReport: Sendable, Equatable {
    package enum Outcome: String, Sendable, CaseIterable {
        case created
        /// An evaluation would have made it.
        case wouldCreate = "would_create"
        /// It was there before, and stays as it is.
        case present
        case failed
    }

    package struct Item: Sendable, Equatable {
        package let name: String
        package let outcome: Outcome
        package let changes: [MetadataChange]
        /// Why it failed, or what deserves a look.
        package var message: String?

        package init(_ name: String, _ outcome: Outcome, changes: [MetadataChange] = [], message: String? = nil) {
            self.name = name
            self.outcome = outcome
            self.changes = changes
            self.message = message
        }
    }

    package let isEvaluation: Bool
    package var items: [Item] = []

    package init(isEvaluation: Bool) { self.isEvaluation = isEvaluation }

    package func count(_ outcome: Outcome) -> Int { items.filter { $0.outcome == outcome }.count }

    /// 3 when an index could not be made, as the backfill has it for what was left out.
    package var exitCode: Int32 { count(.failed) == 0 ? 0 : 3 }

    /// A line an index, its changes below it, but for what every index is given anew.
    package var text: String {
        var lines = [headline]
        let width = min(40, items.map(\.name.count).max() ?? 0)
        for item in items {
            let name = item.name.count < width ? item.name + spaces(width - item.name.count) : item.name
            lines.append("  \(name)  \(word(item.outcome))" + (item.message.map { ": \($0)" } ?? ""))
            for change in item.changes where change.kind != .renewed {
                lines.append("  \(spaces(width))    \(change.kind.rawValue) \(change.place): \(change.reason)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var headline: String {
        let failed = count(.failed)
        let words = [
            (isEvaluation ? "to be made" : "made", isEvaluation ? count(.wouldCreate) : count(.created)),
            ("there before", count(.present)), ("FAILED", failed),
        ]
        let counts = words.filter { $0.1 > 0 }.map { "\($0.1) \($0.0)" }.joined(separator: ", ")
        return "indices in the target: \(counts.isEmpty ? "none was selected" : counts)"
    }

    private func word(_ outcome: Outcome) -> String {
        switch outcome {
        case .created: "made"
        case .wouldCreate: "to be made"
        case .present: "there before, left as it is"
        case .failed: "FAILED"
        }
    }

    private func spaces(_ count: Int) -> String { String(repeating: " ", count: count) }

    /// One object on one line.
    package var json: String {
        var out = JSONWriter()
        out.beginObject()
        out.member("evaluation", isEvaluation)
        out.key("counts")
        out.beginObject()
        for outcome in Outcome.allCases { out.member(outcome.rawValue, count(outcome)) }
        out.endObject()
        out.key("indices")
        out.beginArray()
        for item in items { out.item(item) }
        out.endArray()
        out.endObject()
        return String(decoding: out.bytes, as: UTF8.self)
    }
}

extension JSONWriter {
    fileprivate mutating func item(_ item: MetadataReport.Item) {
        beginObject()
        member("name", item.name)
        member("outcome", item.outcome.rawValue)
        if let message = item.message { member("message", message) }
        key("changes")
        beginArray()
        for change in item.changes {
            beginObject()
            member("kind", change.kind.rawValue)
            member("place", change.place)
            member("reason", change.reason)
            endObject()
        }
        endArray()
        endObject()
    }
}
