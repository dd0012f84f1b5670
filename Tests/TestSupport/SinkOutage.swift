import Glibc
import Synchronization

/// A time in which a sink misbehaves towards every request but those to `/_sink/`.
package struct SinkOutage: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// Requests are read and answered with this status.
        case status(Int)
        /// The connection ends without an answer once a request's head has come.
        case drop
        /// Requests are never answered, also after the outage.
        case hang
    }

    package var kind: Kind
    /// CLOCK_MONOTONIC; nil: no end.
    var endNanoseconds: Int?
    /// Requests it is still for; nil: all.
    var remainingCount: Int?

    package init(_ kind: Kind, seconds: Double? = nil, count: Int? = nil) {
        self.kind = kind
        endNanoseconds = seconds.map { monotonicNanoseconds() + Int($0 * 1e9) }
        remainingCount = count
    }

    /// The query of `/_sink/outage`: `kind=drop|hang|STATUS`, and `seconds=` or `count=` to bound it. nil when there is
    /// no such kind.
    init?(query: String) {
        var values: [String: String] = [:]
        for member in query.split(separator: "&") {
            let parts = member.split(separator: "=", maxSplits: 1).map(String.init)
            if parts.count == 2 { values[parts[0]] = parts[1] }
        }
        let kind: Kind
        switch values["kind"] {
        case "drop": kind = .drop
        case "hang": kind = .hang
        case let text?:
            guard let status = Int(text), (200...599).contains(status) else { return nil }
            kind = .status(status)
        case nil: return nil
        }
        self.init(kind, seconds: values["seconds"].flatMap { Double($0) }, count: values["count"].flatMap { Int($0) })
    }

    /// What becomes of a request that comes now; the outage is nil once it is over.
    static func next(_ outage: inout SinkOutage?) -> Kind? {
        guard var current = outage else { return nil }
        if let end = current.endNanoseconds, monotonicNanoseconds() >= end {
            outage = nil
            return nil
        }
        if let count = current.remainingCount {
            current.remainingCount = count - 1
            outage = count > 1 ? current : nil
            if count <= 0 { return nil }
        }
        return current.kind
    }
}
