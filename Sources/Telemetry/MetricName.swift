/// What kind of metric it is, as the Prometheus text format names it.
package enum MetricKind: String, Sendable {
    case counter, gauge, histogram
}

/// The naming rule: `<flow>_<noun>_<unit>`, and counters end in `_total`.
///
/// A counter's unit may be left out where the noun is what is counted (`backfill_requests_total`).
package enum MetricName {
    /// Units in which gauges and histograms are given. Seconds and bytes are the base units Prometheus asks for.
    static let units: Set<String> = [
        "seconds", "bytes", "ratio", "info", "documents", "requests", "connections", "items", "batches", "segments",
        "shards", "indices", "workers", "records", "streams", "partitions", "fds",
    ]

    /// What is wrong with a name, or nil.
    static func problem(_ name: String, kind: MetricKind) -> String? {
        let parts = name.split(separator: "_", omittingEmptySubsequences: false)
        for part in parts where part.isEmpty || !part.utf8.allSatisfy(isLowercaseOrDigit) {
            return "metric name \"\(name)\" is not lowercase words joined by single underscores"
        }
        guard let first = name.utf8.first, first >= UInt8(ascii: "a") else {
            return "metric name \"\(name)\" does not begin with a letter"
        }
        guard parts.count >= 3 else { return "metric name \"\(name)\" is not <flow>_<noun>_<unit>" }
        let last = String(parts[parts.count - 1])
        switch kind {
        case .counter:
            guard last == "total" else { return "counter \"\(name)\" does not end in _total" }
        case .gauge, .histogram:
            guard units.contains(last) else { return "\(kind.rawValue) \"\(name)\" does not end in a known unit" }
        }
        return nil
    }

    /// What is wrong with a label's name, or nil. `le` belongs to histograms.
    static func labelProblem(_ name: String) -> String? {
        let isFitting =
            !name.isEmpty && name != "le" && name.utf8.allSatisfy { isLowercaseOrDigit($0) || $0 == UInt8(ascii: "_") }
            && name.utf8.first.map { $0 >= UInt8(ascii: "a") } == true
        return isFitting ? nil : "label name \"\(name)\" is not lowercase words joined by underscores, or is reserved"
    }

    private static func isLowercaseOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
