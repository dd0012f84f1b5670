import Synchronization

/// The time origin that all loops of this instance, and by way of the log all instances of the group, go by.
package final class SharedOrigin: Sendable {
    private let state: Mutex<TimeOrigin?>

    package init(_ origin: TimeOrigin? = nil) { state = Mutex(origin) }

    package var current: TimeOrigin? { state.withLock { $0 } }

    /// The origin; the given pair when there is none yet.
    func adopt(source: Int64, wall: Int64) -> TimeOrigin {
        state.withLock { origin in
            if let origin { return origin }
            let made = TimeOrigin(source: source, wall: wall)
            origin = made
            return made
        }
    }

    /// Takes over another instance's origin when it is earlier. True when that changed something.
    package func merge(_ other: TimeOrigin) -> Bool {
        state.withLock { origin in
            if let own = origin, !other.isBefore(own) { return false }
            origin = other
            return true
        }
    }

    /// Everything is due earlier by `nanoseconds`: an idle stretch is passed over.
    package func bringForward(by nanoseconds: Int64) {
        state.withLock { origin in
            guard let own = origin else { return }
            origin = TimeOrigin(source: own.source, wall: own.wall.subtractingSaturating(nanoseconds))
        }
    }
}
