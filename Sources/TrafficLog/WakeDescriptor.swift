import CSystem
import Glibc

/// An eventfd that librdkafka writes to when its event queue is no longer empty.
final class WakeDescriptor: Sendable {
    let descriptor = millrace_eventfd()

    init() { precondition(descriptor >= 0, "eventfd failed with \(errno)") }

    deinit { close(descriptor) }

    func signal() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, 8)
    }

    func clear() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
    }
}
