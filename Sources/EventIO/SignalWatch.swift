import Dispatch
import Glibc

/// Reports SIGTERM and SIGINT, the second one too, so that a program can drain on the first and leave on the second.
// Sound: `count` is touched only on `queue`, which is serial.
package final class SignalWatch: @unchecked Sendable {
    private let queue = DispatchQueue(label: "millrace.signals")
    private var sources: [any DispatchSourceSignal] = []
    private var count = 0

    /// `received` is called on a queue of the watch's own with the signal's number and how many have come by then,
    /// from 1. From here on the signals no longer end the process.
    package init(signals: [Int32] = [SIGTERM, SIGINT], received: @escaping @Sendable (Int32, Int) -> Void) {
        let registered = DispatchGroup()
        for (index, number) in signals.enumerated() {
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { [weak self] in
                guard let self else { return }
                // Dispatch merges signals that come while its handler runs; its data is how many there were.
                for _ in 0..<max(1, sources[index].data) {
                    count += 1
                    received(number, count)
                }
            }
            // Dispatch installs a handler of its own on its manager thread, which `init` waits for. The signal is not
            // ignored besides, as is usual elsewhere: before, a signal that comes in between would be lost; after, it
            // would undo Dispatch's handler (seen with strace).
            registered.enter()
            source.setRegistrationHandler { registered.leave() }
            sources.append(source)
        }
        for source in sources { source.activate() }
        registered.wait()
    }

    /// Stops reporting.
    package func cancel() {
        for source in sources { source.cancel() }
    }

    deinit { cancel() }
}
