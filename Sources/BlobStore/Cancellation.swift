import Synchronization

/// A flag that asks running reads to end soon. It is raised once and stays raised.
package final class Cancellation: Sendable {
    private let flag = Atomic<Bool>(false)
    private let isPermanent: Bool

    /// For callers that never stop; `cancel()` does nothing to it.
    package static let never = Cancellation(isPermanent: true)

    package init() { isPermanent = false }

    private init(isPermanent: Bool) { self.isPermanent = isPermanent }

    package func cancel() {
        if !isPermanent { flag.store(true, ordering: .releasing) }
    }

    package var isCancelled: Bool { flag.load(ordering: .acquiring) }
}
