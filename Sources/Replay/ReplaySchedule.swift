/// The pair of moments that the replay's clock hangs on: what happened at the source at one is sent at the other.
/// Nanoseconds since 1970.
package struct TimeOrigin: Sendable, Equatable {
    package let source: Int64
    package let wall: Int64

    package init(source: Int64, wall: Int64) {
        self.source = source
        self.wall = wall
    }

    /// Of several origins in one group the earliest holds, so that all instances come to the same one.
    package func isBefore(_ other: TimeOrigin) -> Bool { (wall, source) < (other.wall, other.source) }
}

/// When a captured moment is due at the target.
package struct ReplaySchedule: Sendable {
    package enum Speed: Sendable, Equatable {
        /// As fast as the target takes it, in the order of the source's time.
        case maximum
        /// 1 is the source's own pace; 0.1 to 1000.
        case factor(Double)
    }

    package let speed: Speed
    package var origin: TimeOrigin?

    package init(speed: Speed, origin: TimeOrigin? = nil) {
        self.speed = speed
        self.origin = origin
    }

    /// Nanoseconds since 1970; `Int64.min` when at once. Without an origin everything is due at once: the first request
    /// makes one.
    package func due(_ source: Int64) -> Int64 {
        guard case .factor(let factor) = speed, let origin else { return .min }
        let distance = Double(source.subtractingSaturating(origin.source)) / factor
        return origin.wall.addingSaturating(Int64(saturating: distance))
    }
}

extension Int64 {
    fileprivate init(saturating value: Double) {
        self = value >= 9.2e18 ? .max : value <= -9.2e18 ? .min : Int64(value)
    }

    func addingSaturating(_ other: Int64) -> Int64 {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? (other < 0 ? .min : .max) : sum
    }

    func multipliedSaturating(by other: Int64) -> Int64 {
        let (product, overflows) = multipliedReportingOverflow(by: other)
        return overflows ? ((self < 0) == (other < 0) ? .max : .min) : product
    }

    func subtractingSaturating(_ other: Int64) -> Int64 {
        let (difference, overflows) = subtractingReportingOverflow(other)
        return overflows ? (other > 0 ? .min : .max) : difference
    }
}
