import TupleFormat

/// What the report counts, made tuple by tuple. Memory is bounded: classes, groups and examples beyond their limits are
/// counted together, and times are merged into wider steps.
struct ReportTally {
    static let endpointLimit = 200
    static let groupLimit = 500
    static let statusLimit = 200
    private static let otherEndpoints = "other endpoints"

    struct Counts: Equatable {
        var match = 0
        var statusDiffers = 0
        var bodyDiffers = 0
        var targetMissing = 0
        var sourceMissing = 0
        var notComparable = 0

        var total: Int { compared + sourceMissing + notComparable }
        /// A missing answer of the target counts as a difference.
        var compared: Int { match + statusDiffers + bodyDiffers + targetMissing }
        /// nil when nothing could be compared.
        var rate: Double? { compared > 0 ? Double(match) / Double(compared) : nil }

        mutating func add(_ verdict: TupleVerdict) {
            switch verdict {
            case .match: match += 1
            case .statusDiffers: statusDiffers += 1
            case .bodyDiffers: bodyDiffers += 1
            case .targetMissing: targetMissing += 1
            case .sourceMissing: sourceMissing += 1
            case .notComparable: notComparable += 1
            }
        }

        mutating func add(_ other: Counts) {
            match += other.match
            statusDiffers += other.statusDiffers
            bodyDiffers += other.bodyDiffers
            targetMissing += other.targetMissing
            sourceMissing += other.sourceMissing
            notComparable += other.notComparable
        }
    }

    struct Latency: Equatable {
        var source = LatencyHistogram()
        var target = LatencyHistogram()

        mutating func add(_ other: Latency) {
            source.add(other.source)
            target.add(other.target)
        }
    }

    struct Slice: Equatable {
        var counts = Counts()
        var latency = Latency()
    }

    struct Statuses: Hashable, Comparable {
        /// 0 for none.
        let source: Int
        let target: Int

        static func < (left: Self, right: Self) -> Bool {
            (left.source, left.target) < (right.source, right.target)
        }
    }

    struct Difference: Hashable {
        let endpoint: String
        /// `status`, `targetMissing`, or a kind of body difference.
        let kind: String
        let path: String
    }

    struct Example {
        let request: String
        let source: String
        let target: String
        let curl: String
    }

    struct Group {
        var count = 0
        var example: Example
    }

    private(set) var counts = Counts()
    private(set) var latency = Latency()
    private(set) var endpoints: [String: Slice] = [:]
    private(set) var statuses: [Statuses: Int] = [:]
    private(set) var otherStatuses = 0
    private(set) var groups: [Difference: Group] = [:]
    /// Differences of groups beyond the limit.
    private(set) var otherDifferences = 0
    private(set) var notCompared: [String: Int] = [:]
    private(set) var timeline = ReportTimeline()
    private(set) var retried = 0
    private(set) var failed = 0

    mutating func add(
        _ record: TupleRecord, _ verdict: TupleVerdict, fileTime: Int64?, example: () -> Example
    ) {
        counts.add(verdict)
        if record.numErrors > 0 || record.error != nil { failed += 1 }
        if record.targetResponses.count > 1 { retried += 1 }
        let request = record.sourceRequest ?? record.targetRequest
        var endpoint = EndpointClass.of(method: request?.method ?? "?", target: request?.target ?? "/")
        if endpoints[endpoint] == nil, endpoints.count >= Self.endpointLimit { endpoint = Self.otherEndpoints }
        let sourceTime = record.sourceResponse?.responseTimeMilliseconds
        let targetTime = record.targetResponses.last?.responseTimeMilliseconds
        let put = { (slice: inout Slice) in
            slice.counts.add(verdict)
            if let sourceTime { slice.latency.source.add(sourceTime) }
            if let targetTime { slice.latency.target.add(targetTime) }
        }
        put(&endpoints[endpoint, default: Slice()])
        if let time = record.sourceTimeMilliseconds ?? fileTime {
            timeline.add(time, put)
        } else {
            timeline.addUndated()
        }
        if let sourceTime { latency.source.add(sourceTime) }
        if let targetTime { latency.target.add(targetTime) }
        addStatuses(record)
        addDifference(verdict, endpoint, example)
    }

    private mutating func addStatuses(_ record: TupleRecord) {
        let pair = Statuses(
            source: record.sourceResponse?.status ?? 0, target: record.targetResponses.last?.status ?? 0)
        if statuses[pair] == nil, statuses.count >= Self.statusLimit {
            otherStatuses += 1
        } else {
            statuses[pair, default: 0] += 1
        }
    }

    private mutating func addDifference(_ verdict: TupleVerdict, _ endpoint: String, _ example: () -> Example) {
        let difference: Difference
        switch verdict {
        case .match: return
        case .sourceMissing:
            notCompared["sourceMissing", default: 0] += 1
            return
        case .notComparable(let reason):
            notCompared[reason.rawValue, default: 0] += 1
            return
        case .targetMissing: difference = Difference(endpoint: endpoint, kind: "targetMissing", path: "")
        case .statusDiffers(let source, let target):
            difference = Difference(endpoint: endpoint, kind: "status", path: "\(source) → \(target)")
        case .bodyDiffers(let found):
            difference = Difference(endpoint: endpoint, kind: found.kind.rawValue, path: found.path)
        }
        if groups[difference] != nil {
            groups[difference]?.count += 1
        } else if groups.count < Self.groupLimit {
            groups[difference] = Group(count: 1, example: example())
        } else {
            otherDifferences += 1
        }
    }

    /// Most frequent first.
    var worst: [(difference: Difference, group: Group)] {
        groups.map { ($0.key, $0.value) }.sorted { left, right in
            if left.1.count != right.1.count { return left.1.count > right.1.count }
            return (left.0.endpoint, left.0.kind, left.0.path) < (right.0.endpoint, right.0.kind, right.0.path)
        }
    }

    /// Most requests first.
    var busiest: [(endpoint: String, slice: Slice)] {
        endpoints.map { ($0.key, $0.value) }.sorted { left, right in
            let (one, other) = (left.1.counts.total, right.1.counts.total)
            return one != other ? one > other : left.0 < right.0
        }
    }
}

/// Counts by time, in steps of one width. When there are too many, the width grows to the next that the old one
/// divides.
struct ReportTimeline {
    static let stepLimit = 120
    /// Seconds.
    private static let widths: [Int64] = [
        1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_419_200, 29_030_400,
        290_304_000, 2_903_040_000,
    ]

    private(set) var width: Int64 = 1
    private var slices: [Int64: ReportTally.Slice] = [:]
    /// Tuples that do not say when their request was made, nor does their file.
    private(set) var undated = 0

    mutating func add(_ milliseconds: Int64, _ put: (inout ReportTally.Slice) -> Void) {
        let step = Self.step(milliseconds / 1000, width)
        let isNew = slices[step] == nil
        put(&slices[step, default: ReportTally.Slice()])
        while isNew, isTooLong, let wider = Self.widths.first(where: { $0 > width }) { widen(wider) }
    }

    mutating func addUndated() { undated += 1 }

    private var isTooLong: Bool {
        guard slices.count > 1, let first = slices.keys.min(), let last = slices.keys.max() else { return false }
        return last - first >= Int64(Self.stepLimit)
    }

    private mutating func widen(_ wider: Int64) {
        var merged: [Int64: ReportTally.Slice] = [:]
        for (step, slice) in slices {
            let place = Self.step(step * width, wider)
            merged[place, default: ReportTally.Slice()].counts.add(slice.counts)
            merged[place]?.latency.add(slice.latency)
        }
        (slices, width) = (merged, wider)
    }

    private static func step(_ seconds: Int64, _ width: Int64) -> Int64 {
        seconds >= 0 ? seconds / width : -((-seconds + width - 1) / width)
    }

    /// In order, with the seconds since 1970 at which each begins. Steps without tuples are left out.
    var steps: [(start: Int64, slice: ReportTally.Slice)] {
        slices.keys.sorted().map { ($0 * width, slices[$0] ?? ReportTally.Slice()) }
    }
}
