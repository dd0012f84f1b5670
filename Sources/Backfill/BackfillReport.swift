import JSONBytes

/// What a run did, for a person (`text`) and for a machine (`json`), and the exit code that says it in one number.
package struct BackfillReport: Sendable {
    /// What became of one index. Counts include earlier runs with the same coordinator.
    package struct Index: Sendable {
        package let name: String
        package let shardCount: Int
        package var finishedShardCount = 0
        package var tally = DocumentTally()
    }

    /// An index or a shard that did not come along.
    package struct LeftOut: Sendable {
        package let index: String
        package let shard: Int?
        package let reason: String
        package let detail: String
    }

    package var repository = ""
    package var snapshot = ""
    package var target = ""
    package var indices: [Index] = []
    package var leftOut: [LeftOut] = []
    package var notes: [String] = []
    /// Why the run ended before its work was done.
    package var stop: RunStop?
    package var deadLetters: String?
    /// True when an earlier run with the same coordinator had left nothing to do.
    package var wasFinishedBefore = false
    package var elapsed = Duration.zero
    package var processorTime = Duration.zero
    /// Of this run alone.
    package var sentSourceBytes: Int = 0
    package var sentDocumentCount: Int = 0
    package var retriedDocumentCount: Int = 0

    package init() {}

    package var total: DocumentTally {
        indices.reduce(into: DocumentTally()) { $0 += $1.tally }
    }

    /// Documents that did not come along.
    package var leftOutDocumentCount: Int { total.rejected + total.omitted }

    /// sysexits.h where it has a word for it; 3 for a finished run that left something out; 128 + n for signal n.
    package var exitCode: Int32 {
        switch stop?.code {
        case .unreadable: 65
        case .unavailable: 69
        case .ourFault: 70
        case .signal(let number): 128 + number
        case nil: leftOut.isEmpty && leftOutDocumentCount == 0 ? 0 : 3
        }
    }

    /// `complete`, `left_out` or `stopped`.
    package var outcome: String {
        switch exitCode {
        case 0: "complete"
        case 3: "left_out"
        default: "stopped"
        }
    }

    // MARK: - For a person

    /// At most so many lines of one kind; the rest is counted, and stands in the dead-letter file.
    private static let lineLimit = 20

    /// A headline, then facts under a label each. The headline and messages are whole, however long: people search for
    /// them. Everything else fits 100 columns.
    package var text: String {
        var lines = [headline]
        func add(_ label: String, _ text: String) {
            var label = label
            for line in Self.wrapped(text) {
                lines.append("  \(label)\(String(repeating: " ", count: Self.labelColumns - label.count))\(line)")
                label = ""
            }
        }
        let total = total
        if stop == nil || total.documentCount > 0 {
            add(
                "migrated",
                "\(Self.counted(total.migrated, "document")) of \(Self.counted(indices.count, "index", "indices")), "
                    + "\(ByteText.of(total.sourceBytes)) of _source")
            if total.deleted + total.nested > 0 {
                add(
                    "passed over",
                    "\(Self.grouped(total.deleted)) deleted and \(Self.grouped(total.nested)) nested Lucene documents")
            }
        }
        if sentDocumentCount > 0 { add("this run", speed) }
        if wasFinishedBefore { add("this run", "nothing: an earlier run had finished") }
        if retriedDocumentCount > 0 { add("", "\(Self.counted(retriedDocumentCount, "document")) sent again") }
        if total.rejected > 0 {
            add("LEFT OUT", "\(Self.counted(total.rejected, "document")) that the target rejected")
        }
        if total.omitted > 0 {
            add("LEFT OUT", "\(Self.counted(total.omitted, "document")) that cannot be sent as JSON")
        }
        for line in Self.limited(leftOutCounts) { add("", line) }
        for line in Self.limited(leftOut.map(Self.line)) { add("LEFT OUT", line) }
        for line in Self.limited(notes) { add("note", line) }
        if let deadLetters, leftOutDocumentCount > 0 || !leftOut.isEmpty {
            add("reasons", "one by one in \(deadLetters)")
        }
        if let advice { add("next", advice) }
        return lines.joined(separator: "\n") + "\n"
    }

    private static let labelColumns = 13
    private static let columns = 100

    /// In lines that fit beside the label; a word that is longer than a line stays whole.
    private static func wrapped(_ text: String) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= columns - labelColumns - 2 {
                lines[lines.count - 1] = "\(last) \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }

    /// Of each index that documents of were left out.
    private var leftOutCounts: [String] {
        indices.filter { $0.tally.rejected + $0.tally.omitted > 0 }.map { index in
            "\(index.name): \(Self.grouped(index.tally.rejected)) rejected, "
                + "\(Self.grouped(index.tally.omitted)) not sendable"
        }
    }

    private static func line(_ item: LeftOut) -> String {
        "index \(PlainText.of(item.index))\(item.shard.map { ", shard \($0)" } ?? ""): \(PlainText.of(item.detail))"
    }

    private var headline: String {
        switch stop?.code {
        case nil:
            exitCode == 0
                ? "backfill complete: snapshot \(snapshot) \(target == "null:" ? "was read" : "is in \(target)")"
                : "backfill finished, but not everything came along: snapshot \(snapshot) to \(target)"
        case .signal: "backfill \(stop?.message ?? "stopped")"
        default: "backfill failed: \(PlainText.of(stop?.message ?? ""))"
        }
    }

    private var speed: String {
        let seconds = max(elapsed.seconds, 0.001)
        let processorSeconds = max(processorTime.seconds, 0.001)
        let megabytes = Double(sentSourceBytes) / 1e6
        return "\(Self.counted(sentDocumentCount, "document")), \(ByteText.of(Int64(sentSourceBytes))) in "
            + "\(DurationText.of(elapsed)): \(ByteText.fixed(megabytes / seconds)) MB/s, "
            + "\(ByteText.fixed(megabytes / processorSeconds)) MB per CPU-second"
    }

    private var advice: String? {
        switch stop?.code {
        case .signal: "start the same command again; it goes on where this one stopped"
        case .unavailable:
            "mend what the message says and start the same command again; it goes on where this one stopped"
        case .unreadable:
            "correct the command, or give a repository in which the snapshot is whole; what was migrated so far stays "
                + "and is not read again"
        case .ourFault: "this is a defect of ours: please report it with the message above"
        case nil where leftOutDocumentCount > 0 && !leftOut.isEmpty:
            "look at the dead-letter file and at what is left out above; mend the target or the documents and send "
                + "those again; bring the indices and shards over in another way, such as a reindex from the source"
        case nil where leftOutDocumentCount > 0:
            "look at the dead-letter file; mend the target or the documents, and send those again"
        case nil where !leftOut.isEmpty:
            "bring what is left out above over in another way, such as a reindex from the source cluster"
        case nil: nil
        }
    }

    private static func limited(_ lines: [String]) -> [String] {
        guard lines.count > lineLimit else { return lines }
        return lines.prefix(lineLimit) + ["and \(lines.count - lineLimit) more"]
    }

    private static func counted(_ number: Int, _ one: String, _ many: String? = nil) -> String {
        "\(grouped(number)) \(number == 1 ? one : many ?? one + "s")"
    }

    static func grouped(_ number: Int) -> String {
        var text = ""
        for (position, digit) in String(abs(number)).reversed().enumerated() {
            if position > 0, position % 3 == 0 { text.append(" ") }
            text.append(digit)
        }
        return (number < 0 ? "-" : "") + String(text.reversed())
    }

    // MARK: - For a machine

    /// One JSON object on one line.
    package var json: String {
        var out = JSONWriter()
        out.beginObject()
        out.member("outcome", outcome)
        out.key("exitCode")
        out.int(exitCode)
        out.member("repository", repository)
        out.member("snapshot", snapshot)
        out.member("target", target)
        if let stop { out.member("message", stop.message) }
        out.key("elapsedSeconds")
        out.double(elapsed.seconds)
        out.key("processorSeconds")
        out.double(processorTime.seconds)
        out.member("sentDocuments", sentDocumentCount)
        out.member("sentSourceBytes", sentSourceBytes)
        out.member("retriedDocuments", retriedDocumentCount)
        out.key("total")
        out.tally(total)
        out.key("indices")
        out.beginArray()
        for index in indices {
            out.beginObject()
            out.member("name", index.name)
            out.member("shards", index.shardCount)
            out.member("finishedShards", index.finishedShardCount)
            out.key("documents")
            out.tally(index.tally)
            out.endObject()
        }
        out.endArray()
        out.key("leftOut")
        out.beginArray()
        for item in leftOut {
            out.beginObject()
            out.member("index", item.index)
            if let shard = item.shard { out.member("shard", shard) }
            out.member("reason", item.reason)
            out.member("detail", item.detail)
            out.endObject()
        }
        out.endArray()
        out.key("notes")
        out.beginArray()
        for note in notes { out.string(note) }
        out.endArray()
        if let deadLetters { out.member("deadLetters", deadLetters) }
        out.endObject()
        return String(decoding: out.bytes, as: UTF8.self)
    }
}

extension JSONWriter {
    fileprivate mutating func tally(_ tally: DocumentTally) {
        beginObject()
        member("migrated", tally.migrated)
        member("rejected", tally.rejected)
        member("omitted", tally.omitted)
        member("nested", tally.nested)
        member("deleted", tally.deleted)
        key("sourceBytes")
        int(tally.sourceBytes)
        endObject()
    }
}

/// A target's or a repository's words on a terminal: what could break the line or drive the terminal is a space.
enum PlainText {
    static func of(_ text: String) -> String {
        var plain = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
            plain.append(isControl ? " " : scalar)
        }
        return String(plain)
    }
}

/// Sizes for people, in powers of ten as network and disk vendors count.
enum ByteText {
    static func of(_ bytes: Int64) -> String {
        let value = Double(bytes)
        if value < 1e4 { return "\(bytes) B" }
        if value < 1e6 { return fixed(value / 1e3) + " kB" }
        if value < 1e9 { return fixed(value / 1e6) + " MB" }
        if value < 1e12 { return fixed(value / 1e9) + " GB" }
        return fixed(value / 1e12) + " TB"
    }

    /// One digit after the point below 100, none above.
    static func fixed(_ value: Double) -> String {
        guard value < 100 else { return String(Int64(value.rounded())) }
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}

/// Durations for people.
enum DurationText {
    static func of(_ duration: Duration) -> String {
        let seconds = duration.seconds
        if seconds < 10 { return ByteText.fixed(seconds) + " s" }
        let whole = Int(seconds.rounded())
        if whole < 120 { return "\(whole) s" }
        if whole < 7200 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }
}

extension Duration {
    var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
