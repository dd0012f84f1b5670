import Dispatch
import EventIO
import Glibc
import Synchronization

/// SIGTERM or SIGINT while a step runs: a pause ends at once, and the step when it next asks. A second one ends the
/// program at once; the same command may run again either way.
final class StepStop: Sendable {
    private let number = Atomic<Int32>(0)
    private let semaphore = DispatchSemaphore(value: 0)

    /// The signal that came; nil when none did.
    var signal: Int32? {
        let number = number.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    func watch() -> SignalWatch {
        SignalWatch { [self] number, count in
            if count > 1 { _exit(128 + number) }
            self.number.store(number, ordering: .relaxed)
            semaphore.signal()
        }
    }

    /// Waits so long, or until a signal comes.
    func pause(_ seconds: Double) {
        guard signal == nil else { return }
        if semaphore.wait(timeout: .now() + seconds) == .success { semaphore.signal() }
    }
}
