import JSONBytes

/// The report for programs, one object on one line.
struct ReportJSON {
    private var json = JSONWriter()

    var bytes: [UInt8] { json.bytes + [0x0A] }

    init(_ report: TrafficReport) {
        let tally = report.tally
        json.beginObject()
        json.member("status", report.status == .incomplete ? "belowThreshold" : "reached")
        json.key("matchRate")
        number(tally.counts.rate)
        json.key("threshold")
        json.double(report.settings.threshold)
        json.key("ignored")
        json.beginArray()
        for path in report.settings.ignored { json.string(path) }
        json.endArray()
        json.member("statusRule", report.settings.rules.statusRule.rawValue)
        json.key("files")
        json.int(report.files.count)
        json.key("exchanges")
        json.int(tally.counts.total)
        counts(tally.counts)
        json.key("failedAtTarget")
        json.int(tally.failed)
        json.key("triedAgain")
        json.int(tally.retried)
        latency(tally.latency)
        statuses(tally)
        timeline(tally.timeline)
        endpoints(tally)
        differences(tally)
        json.key("notCompared")
        json.beginObject()
        for (reason, count) in tally.notCompared.sorted(by: { $0.key < $1.key }) { json.member(reason, Int64(count)) }
        json.endObject()
        json.key("unreadable")
        json.beginObject()
        json.key("count")
        json.int(report.problemCount)
        json.key("examples")
        json.beginArray()
        for problem in report.problems { json.string("\(problem.place): \(problem.message)") }
        json.endArray()
        json.endObject()
        json.endObject()
    }

    private mutating func number(_ value: Double?) {
        if let value { json.double(value) } else { json.null() }
    }

    private mutating func counts(_ counts: ReportTally.Counts) {
        json.key("counts")
        json.beginObject()
        json.member("compared", Int64(counts.compared))
        json.member("match", Int64(counts.match))
        json.member("statusDiffers", Int64(counts.statusDiffers))
        json.member("bodyDiffers", Int64(counts.bodyDiffers))
        json.member("targetMissing", Int64(counts.targetMissing))
        json.member("sourceMissing", Int64(counts.sourceMissing))
        json.member("notComparable", Int64(counts.notComparable))
        json.endObject()
    }

    private mutating func latency(_ latency: ReportTally.Latency) {
        json.key("latencyMilliseconds")
        json.beginObject()
        for (name, histogram) in [("source", latency.source), ("target", latency.target)] {
            json.key(name)
            json.beginObject()
            json.member("count", Int64(histogram.count))
            for (quantile, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
                json.key(quantile)
                if let value = histogram.quantile(share) { json.int(value) } else { json.null() }
            }
            json.endObject()
        }
        json.endObject()
    }

    private mutating func statuses(_ tally: ReportTally) {
        json.key("statuses")
        json.beginArray()
        for (pair, count) in tally.statuses.sorted(by: { $0.key < $1.key }) {
            json.beginObject()
            for (name, status) in [("source", pair.source), ("target", pair.target)] {
                json.key(name)
                if status > 0 { json.int(status) } else { json.null() }
            }
            json.member("count", Int64(count))
            json.endObject()
        }
        json.endArray()
        json.member("otherStatuses", Int64(tally.otherStatuses))
    }

    private mutating func timeline(_ timeline: ReportTimeline) {
        json.key("timeline")
        json.beginObject()
        json.member("stepSeconds", timeline.width)
        json.member("undated", Int64(timeline.undated))
        json.key("steps")
        json.beginArray()
        for (start, slice) in timeline.steps {
            json.beginObject()
            json.member("start", TimeText.full(start * 1000))
            json.key("matchRate")
            number(slice.counts.rate)
            counts(slice.counts)
            latency(slice.latency)
            json.endObject()
        }
        json.endArray()
        json.endObject()
    }

    private mutating func endpoints(_ tally: ReportTally) {
        json.key("endpoints")
        json.beginArray()
        for (endpoint, slice) in tally.busiest {
            json.beginObject()
            json.member("endpoint", endpoint)
            json.key("matchRate")
            number(slice.counts.rate)
            counts(slice.counts)
            latency(slice.latency)
            json.endObject()
        }
        json.endArray()
    }

    private mutating func differences(_ tally: ReportTally) {
        json.key("differences")
        json.beginArray()
        for (difference, group) in tally.worst {
            json.beginObject()
            json.member("endpoint", difference.endpoint)
            json.member("kind", difference.kind)
            json.member("path", difference.path)
            json.member("count", Int64(group.count))
            json.key("example")
            json.beginObject()
            json.member("request", group.example.request)
            json.member("source", group.example.source)
            json.member("target", group.example.target)
            json.member("curl", group.example.curl)
            json.endObject()
            json.endObject()
        }
        json.endArray()
        json.member("otherDifferences", Int64(tally.otherDifferences))
    }
}
