import TupleFormat

/// The report as one HTML page that needs nothing else: no network, no fonts, charts as inline SVG.
struct ReportPage {
    static let endpointsShown = 40
    static let differencesShown = 50

    private let report: TrafficReport
    private var html = ""

    var bytes: [UInt8] { Array(html.utf8) }

    init(_ report: TrafficReport) {
        self.report = report
        head()
        summary()
        matchRate()
        latency()
        endpoints()
        statuses()
        differences()
        notCompared()
        foot()
    }

    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case "\n", "\t": escaped.unicodeScalars.append(scalar)
            default:
                // Control characters and marks that turn the direction of text around would mislead a reader.
                let isHidden =
                    scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value)
                    || (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
                if isHidden { escaped += "\u{FFFD}" } else { escaped.unicodeScalars.append(scalar) }
            }
        }
        return escaped
    }

    private var counts: ReportTally.Counts { report.tally.counts }

    private mutating func head() {
        html += """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>Replay report</title>
            <style>\(ReportStyle.css)</style></head><body><main>

            """
    }

    private mutating func foot() {
        let ignored = report.settings.ignored.map { "<code>\(Self.escaped($0))</code>" }.joined(separator: ", ")
        html += """
            <footer><p>Ignored in bodies: \(ignored). Statuses are compared by \
            \(report.settings.rules.statusRule.rawValue). Latencies are counted in bins of at most 6 %. \
            Credentials are not shown.</p>
            <p>Written by <code>millrace traffic report</code>; the same as JSON: <code>-o json</code>.</p></footer>
            </main><script>\(ReportStyle.script)</script></body></html>

            """
    }

    private mutating func section(_ title: String, _ explanation: String, _ body: String) {
        html += "<section><h2>\(title)</h2>"
        if !explanation.isEmpty { html += "<p class=\"note\">\(explanation)</p>" }
        html += body + "</section>\n"
    }

    // MARK: What it says at once

    private mutating func summary() {
        let threshold = ReportText.rate(report.settings.threshold)
        let (verdict, kind): (String, String)
        switch counts.rate {
        case nil: (verdict, kind) = ("Nothing could be compared", "bad")
        case let rate? where rate >= report.settings.threshold:
            (verdict, kind) = ("Source and target agree: the threshold of \(threshold) is reached", "good")
        default: (verdict, kind) = ("Below the threshold of \(threshold)", "bad")
        }
        let steps = report.tally.timeline.steps
        var span = "\(report.files.count) \(report.files.count == 1 ? "file" : "files")"
        if let first = steps.first, let last = steps.last {
            let end = last.start + report.tally.timeline.width
            span += " · requests of \(ReportChart.time(first.start)) to \(ReportChart.time(end)) UTC"
        }
        html += """
            <header><h1>Replay report</h1><p class="note">\(span)</p></header>
            <section class="verdict \(kind)"><p class="rate">\(counts.rate.map(ReportText.rate) ?? "–")</p>
            <div><p class="says"><span class="mark">\(kind == "good" ? "✓" : "✕")</span> \(verdict)</p>
            <p>\(ReportText.count(counts.match)) of \(ReportText.count(counts.compared)) compared exchanges match.</p>
            </div></section>
            <section class="tiles">

            """
        let different = counts.statusDiffers + counts.bodyDiffers
        tile("Exchanges", counts.total, "read from the tuples")
        tile("Match", counts.match, "same status, same body", share: true)
        tile(
            "Differ", different,
            "status \(ReportText.count(counts.statusDiffers)), body \(ReportText.count(counts.bodyDiffers))",
            share: true)
        tile("No answer", counts.targetMissing, "the target gave none; counts as a difference", share: true)
        tile("Not compared", counts.sourceMissing + counts.notComparable, "reasons are below")
        tile("Tried again", report.tally.retried, "the target was asked more than once")
        html += "</section>\n"
        guard report.problemCount > 0 else { return }
        let list = report.problems.map {
            "<li><code>\(Self.escaped($0.place))</code>: \(Self.escaped($0.message))</li>"
        }
        let more = report.problemCount - report.problems.count
        html += """
            <section class="warning"><h2>\(ReportText.count(report.problemCount)) places could not be read</h2>
            <ul>\(list.joined())\(more > 0 ? "<li>and \(ReportText.count(more)) more</li>" : "")</ul></section>

            """
    }

    private mutating func tile(_ name: String, _ count: Int, _ says: String, share: Bool = false) {
        var percent = ""
        if share, counts.compared > 0 {
            percent = " <small>\(ReportText.rate(Double(count) / Double(counts.compared)))</small>"
        }
        html += """
            <div class="tile"><p class="name">\(name)</p><p class="count">\(ReportText.count(count))\(percent)</p>\
            <p class="note">\(says)</p></div>

            """
    }

    // MARK: Over time

    private var undatedNote: String {
        let undated = report.tally.timeline.undated
        guard undated > 0 else { return "" }
        return " \(ReportText.count(undated)) exchanges have no time and are not in the charts."
    }

    private mutating func matchRate() {
        let timeline = report.tally.timeline
        let points = timeline.steps.compactMap { step in
            step.slice.counts.rate.map {
                ReportChart.Point(
                    start: step.start, value: $0 * 100,
                    says: "\(ReportText.rate($0)) of \(ReportText.count(step.slice.counts.compared)) compared")
            }
        }
        let chart = ReportChart(
            unit: "%", width: timeline.width, height: 220,
            series: [ReportChart.Series(name: "match rate", style: "match", points: points)],
            reference: (report.settings.threshold * 100, "threshold"), isShare: true)
        section(
            "Match rate over time",
            "Share of compared exchanges that match, by the time of the source's request (UTC), a point a "
                + "\(ReportText.duration(timeline.width)).\(undatedNote)",
            points.isEmpty ? empty("No exchange that could be compared tells its time.") : chart.svg)
    }

    private func empty(_ text: String) -> String { "<p class=\"empty\">\(text)</p>" }

    private mutating func latency() {
        let timeline = report.tally.timeline
        let total = report.tally.latency
        guard total.source.count + total.target.count > 0 else {
            return section("Latency", "", empty("No tuple has response times."))
        }
        var charts = "<div class=\"charts\">"
        for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let points = { (histogram: KeyPath<ReportTally.Latency, LatencyHistogram>) in
                timeline.steps.compactMap { step -> ReportChart.Point? in
                    let values = step.slice.latency[keyPath: histogram]
                    return values.quantile(share).map {
                        ReportChart.Point(
                            start: step.start, value: Double($0),
                            says: "\(ReportText.milliseconds($0)) of \(ReportText.count(values.count)) responses")
                    }
                }
            }
            let series = [
                ReportChart.Series(name: "source", style: "source", points: points(\.source)),
                ReportChart.Series(name: "target", style: "target", points: points(\.target)),
            ]
            let says =
                "source \(ReportText.milliseconds(total.source.quantile(share))), "
                + "target \(ReportText.milliseconds(total.target.quantile(share))) overall"
            charts += "<figure><figcaption><b>\(name)</b> \(says)</figcaption>"
            let hasPoints = series.contains { !$0.points.isEmpty }
            let chart = ReportChart(unit: "ms", width: timeline.width, height: 200, isNarrow: true, series: series)
            charts += hasPoints ? chart.svg : empty("No response time has a date.")
            charts += "</figure>"
        }
        section(
            "Latency over time",
            "<span class=\"key source\"></span>source <span class=\"key target\"></span>target. "
                + "The source's time is from "
                + "the request's last byte to the response's last, as captured; the target's is the replayer's, of the "
                + "last attempt.\(undatedNote)",
            charts + "</div>")
    }

    // MARK: By endpoint

    private mutating func endpoints() {
        let rows = report.tally.busiest
        guard !rows.isEmpty else { return section("Endpoints", "", empty("No exchange was read.")) }
        let slowest =
            rows.prefix(Self.endpointsShown).flatMap { row in
                [row.slice.latency.source.quantile(0.95) ?? 0, row.slice.latency.target.quantile(0.95) ?? 0]
            }.max() ?? 0
        var table = """
            <div class="scroll"><table><thead><tr><th>Endpoint</th><th class="n">Exchanges</th>\
            <th class="n">Match rate</th><th class="n">p50</th><th class="n">p95</th><th class="n">p99</th>\
            <th class="bars">p95, 0 to \(ReportText.milliseconds(slowest))</th></tr></thead><tbody>

            """
        for (endpoint, slice) in rows.prefix(Self.endpointsShown) {
            let rate = slice.counts.rate
            let isBad = rate.map { $0 < report.settings.threshold } ?? false
            table += "<tr><td><code>\(Self.escaped(endpoint))</code></td>"
            table += "<td class=\"n\">\(ReportText.count(slice.counts.total))</td>"
            table += "<td class=\"n\(isBad ? " bad" : "")\">\(rate.map(ReportText.rate) ?? "not compared")</td>"
            for share in [0.5, 0.95, 0.99] {
                let (source, target) = (slice.latency.source.quantile(share), slice.latency.target.quantile(share))
                table += "<td class=\"n\"><span class=\"source\">\(ReportText.milliseconds(source))</span>"
                table += "<br><span class=\"target\">\(ReportText.milliseconds(target))</span></td>"
            }
            table += "<td class=\"bars\">"
            table += bar(slice.latency.source.quantile(0.95), of: slowest, "source")
            table += bar(slice.latency.target.quantile(0.95), of: slowest, "target") + "</td></tr>\n"
        }
        table += "</tbody></table></div>"
        let left = rows.count - Self.endpointsShown
        if left > 0 { table += "<p class=\"note\">\(left) more endpoints are in the JSON report.</p>" }
        section(
            "Latency and match rate by endpoint",
            "<span class=\"key source\"></span>source above, <span class=\"key target\"></span>target below. "
                + "Names and ids "
                + "in paths are taken together.", table)
    }

    private func bar(_ value: Int?, of most: Int, _ style: String) -> String {
        guard let value, most > 0 else { return "<i class=\"\(style)\" style=\"width:0\"></i>" }
        let percent = max(1, value * 100 / most)
        let text = ReportText.milliseconds(value)
        return
            "<i class=\"\(style)\" style=\"width:\(percent)%\" title=\"\(style) \(text)\"></i>"
    }

    // MARK: Statuses

    private mutating func statuses() {
        let statuses = report.tally.statuses
        guard !statuses.isEmpty else { return section("Statuses", "", empty("No exchange was read.")) }
        let rows = Set(statuses.keys.map(\.source)).sorted()
        let columns = Set(statuses.keys.map(\.target)).sorted()
        let name = { (status: Int) in status == 0 ? "none" : "\(status)" }
        var table =
            "<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th class=\"corner\">source ↓ target →</th>"
        table += columns.map { "<th class=\"n\">\(name($0))</th>" }.joined() + "</tr></thead><tbody>\n"
        for row in rows {
            table += "<tr><th class=\"n\">\(name(row))</th>"
            for column in columns {
                let count = statuses[ReportTally.Statuses(source: row, target: column)] ?? 0
                let isSame = row == column && row > 0
                let style = count == 0 ? "zero" : isSame ? "same" : row == 0 ? "unknown" : "other"
                let share = Double(count) / Double(max(1, counts.total))
                let title = "\(name(row)) → \(name(column)): \(ReportText.rate(share)) of all exchanges"
                table +=
                    "<td class=\"n \(style)\" title=\"\(title)\">\(count == 0 ? "·" : ReportText.count(count))</td>"
            }
            table += "</tr>\n"
        }
        table += "</tbody></table></div>"
        if report.tally.otherStatuses > 0 {
            table += "<p class=\"note\">\(ReportText.count(report.tally.otherStatuses)) exchanges have rarer pairs.</p>"
        }
        section("Statuses", "How often the source answered with one status and the target with another.", table)
    }

    // MARK: Differences

    private mutating func differences() {
        let worst = report.tally.worst
        guard !worst.isEmpty else {
            let text = counts.compared > 0 ? "No difference was found." : "Nothing could be compared."
            return section("Worst differences", "", empty(text))
        }
        let total = counts.compared - counts.match
        var list = ""
        for (index, (difference, group)) in worst.prefix(Self.differencesShown).enumerated() {
            let share = ReportText.rate(Double(group.count) / Double(max(1, total)))
            let example = group.example
            list += "<details class=\"difference\"\(index == 0 ? " open" : "")><summary>"
            list += "<span class=\"count\">\(ReportText.count(group.count))</span>"
            list += "<span class=\"what\"><code>\(Self.escaped(difference.endpoint))</code>"
            list += "<br>\(Self.what(difference))</span><span class=\"note\">\(share)</span></summary>"
            list += "<dl><dt class=\"source\">Source</dt><dd><pre>\(shown(example.source))</pre></dd>"
            list += "<dt class=\"target\">Target</dt><dd><pre>\(shown(example.target))</pre></dd>"
            list += "<dt>Request</dt><dd class=\"copy\"><button type=\"button\">Copy</button>"
            list += "<pre>\(shown(example.curl))</pre></dd>"
            list += "<dt>Tuple</dt><dd><code>\(Self.escaped(example.request))</code></dd></dl></details>\n"
        }
        let left = worst.count - Self.differencesShown
        if left > 0 { list += "<p class=\"note\">\(left) more kinds of difference are in the JSON report.</p>" }
        if report.tally.otherDifferences > 0 {
            list +=
                "<p class=\"note\">\(ReportText.count(report.tally.otherDifferences)) differences are of kinds beyond "
            list += "the \(ReportTally.groupLimit) that are kept.</p>"
        }
        section(
            "Worst differences",
            "By endpoint and the first place in the body that differs, most frequent first, with the share of all "
                + "differences. One example each; <code>$TARGET</code> and <code>$AUTH</code> stand for the address "
                + "and "
                + "the credentials.", list)
    }

    private func shown(_ text: String) -> String { text.isEmpty ? "<i>nothing</i>" : Self.escaped(text) }

    private static func what(_ difference: ReportTally.Difference) -> String {
        let path = difference.path.isEmpty ? "the whole body" : "<code>\(escaped(difference.path))</code>"
        switch difference.kind {
        case "status": return "status \(escaped(difference.path))"
        case "targetMissing": return "no answer from the target"
        case "missing": return "\(path) is missing at the target"
        case "added": return "\(path) is at the target only"
        case "type": return "\(path) has another type"
        case "count": return "\(path) has another number of elements"
        case "text": return "the bodies are not both JSON, and their text differs"
        default: return "\(path) has another value"
        }
    }

    private mutating func notCompared() {
        let reasons = report.tally.notCompared.sorted { ($0.value, $1.key) > ($1.value, $0.key) }
        guard !reasons.isEmpty else {
            return section("Not compared", "", empty("Every exchange was compared."))
        }
        var table = "<table><thead><tr><th class=\"n\">Exchanges</th><th>Why</th></tr></thead><tbody>"
        for (reason, count) in reasons {
            table += "<tr><td class=\"n\">\(ReportText.count(count))</td><td>\(ReportText.verdict(reason))</td></tr>"
        }
        section("Not compared", "These are in no match rate.", table + "</tbody></table>")
    }
}
