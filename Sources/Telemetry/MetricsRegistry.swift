import Synchronization

/// The metrics of a process: registered once at start, updated without locks, written as Prometheus text.
///
/// Names, labels and label values are fixed at registration; a wrong or repeated one is a mistake of ours and traps
/// there, not at the first scrape.
package final class MetricsRegistry: Sendable {
    package typealias Labels = KeyValuePairs<String, String>

    private enum Source: Sendable {
        case counter(Counter)
        case gauge(Gauge)
        case histogram(Histogram)
        case sampled(@Sendable () -> Double)
    }

    private struct Series: Sendable {
        /// `key="value",…` without braces; empty when there are no labels.
        let labels: String
        let source: Source
    }

    private struct Family: Sendable {
        let name: String
        let kind: MetricKind
        let help: String
        let labelNames: [String]
        var series: [Series] = []
    }

    private struct State: Sendable {
        /// In the order of registration.
        var families: [Family] = []
        var indexByName: [String: Int] = [:]
    }

    private let state = Mutex(State())

    /// The media type of `exposition`.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    package init() {}

    package func counter(_ name: String, help: String, labels: Labels = [:]) -> Counter {
        let counter = Counter()
        register(name, .counter, help, labels, .counter(counter))
        return counter
    }

    /// A counter that is kept elsewhere; `value` runs at each scrape, quickly, and never goes back.
    package func counter(_ name: String, help: String, labels: Labels = [:], value: @escaping @Sendable () -> Double) {
        register(name, .counter, help, labels, .sampled(value))
    }

    package func gauge(_ name: String, help: String, labels: Labels = [:]) -> Gauge {
        let gauge = Gauge()
        register(name, .gauge, help, labels, .gauge(gauge))
        return gauge
    }

    /// A gauge that is kept elsewhere; `value` runs at each scrape, quickly.
    package func gauge(_ name: String, help: String, labels: Labels = [:], value: @escaping @Sendable () -> Double) {
        register(name, .gauge, help, labels, .sampled(value))
    }

    /// `bounds` are the buckets' inclusive upper bounds, ascending and finite; +Inf is added.
    package func histogram(_ name: String, help: String, labels: Labels = [:], bounds: [Double]) -> Histogram {
        precondition(!bounds.isEmpty && bounds.allSatisfy(\.isFinite), "histogram \(name) without finite bounds")
        precondition(zip(bounds, bounds.dropFirst()).allSatisfy(<), "bounds of histogram \(name) do not ascend")
        let histogram = Histogram(bounds: bounds)
        register(name, .histogram, help, labels, .histogram(histogram))
        return histogram
    }

    /// Names with their kind and help, in the order of registration.
    package var declarations: [(name: String, kind: MetricKind, help: String)] {
        state.withLock { $0.families.map { ($0.name, $0.kind, $0.help) } }
    }

    private func register(_ name: String, _ kind: MetricKind, _ help: String, _ labels: Labels, _ source: Source) {
        if let problem = MetricName.problem(name, kind: kind) { preconditionFailure(problem) }
        for (label, _) in labels {
            if let problem = MetricName.labelProblem(label) { preconditionFailure("\(name): \(problem)") }
        }
        precondition(!help.isEmpty, "metric \(name) is not documented")
        let text = labels.map { "\($0.key)=\"\(MetricsText.escapedLabel($0.value))\"" }.joined(separator: ",")
        let labelNames = labels.map(\.key)
        precondition(Set(labelNames).count == labelNames.count, "metric \(name) repeats a label")
        state.withLock { state in
            if let index = state.indexByName[name] {
                let family = state.families[index]
                precondition(
                    family.kind == kind && family.help == help && family.labelNames == labelNames,
                    "metric \(name) is registered twice with different kind, help or labels")
                precondition(!family.series.contains { $0.labels == text }, "metric \(name){\(text)} exists already")
                state.families[index].series.append(Series(labels: text, source: source))
            } else {
                state.indexByName[name] = state.families.count
                state.families.append(
                    Family(
                        name: name, kind: kind, help: help, labelNames: labelNames,
                        series: [Series(labels: text, source: source)]))
            }
        }
    }

    /// All metrics in Prometheus' text format, version 0.0.4.
    package func exposition() -> [UInt8] {
        // The closures run outside the lock: they may take locks of their own.
        let families = state.withLock { $0.families }
        var text = MetricsText()
        for family in families {
            text.header(name: family.name, kind: family.kind, help: family.help)
            for series in family.series {
                switch series.source {
                case .counter(let counter): text.sample(family.name, series.labels, String(counter.value))
                case .gauge(let gauge): text.sample(family.name, series.labels, String(gauge.value))
                case .sampled(let value): text.sample(family.name, series.labels, MetricsText.number(value()))
                case .histogram(let histogram): text.histogram(family.name, series.labels, histogram)
                }
            }
        }
        return text.bytes
    }
}

/// Prometheus' text format: `# HELP`, `# TYPE`, then `name{labels} value` lines.
struct MetricsText {
    private(set) var bytes: [UInt8] = []

    mutating func header(name: String, kind: MetricKind, help: String) {
        bytes += "# HELP \(name) \(Self.escapedHelp(help))\n# TYPE \(name) \(kind.rawValue)\n".utf8
    }

    mutating func sample(_ name: String, _ labels: String, _ value: String) {
        bytes += name.utf8
        if !labels.isEmpty { bytes += "{\(labels)}".utf8 }
        bytes.append(UInt8(ascii: " "))
        bytes += value.utf8
        bytes.append(0x0A)
    }

    mutating func histogram(_ name: String, _ labels: String, _ histogram: Histogram) {
        let figures = histogram.figures
        let prefix = labels.isEmpty ? "" : labels + ","
        for (index, count) in figures.cumulativeCounts.enumerated() {
            let bound = index < histogram.bounds.count ? Self.number(histogram.bounds[index]) : "+Inf"
            sample("\(name)_bucket", "\(prefix)le=\"\(bound)\"", String(count))
        }
        sample("\(name)_sum", labels, Self.number(figures.sum))
        sample("\(name)_count", labels, String(figures.count))
    }

    /// As Go's ParseFloat reads it; whole numbers without a fraction.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        // Up to 2^53 every whole number is exact.
        if value == value.rounded(), abs(value) <= 9_007_199_254_740_992 { return String(Int64(value)) }
        return value.description
    }

    static func escapedHelp(_ text: String) -> String { escaped(text, quotes: false) }

    static func escapedLabel(_ text: String) -> String { escaped(text, quotes: true) }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
