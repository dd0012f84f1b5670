import EventIO

/// Bounds the memory of batches between decompression and acknowledgement. Workers wait when it is used up.
// Sound: every field is used only while `monitor` is held.
final class InFlightBudget: @unchecked Sendable {
    private let limitBytes: Int
    private var usedBytes = 0
    private var isClosed = false
    private let monitor = Monitor()

    init(limitBytes: Int) {
        self.limitBytes = limitBytes
    }

    /// Waits until `byteCount` fits, or nothing else is in flight (one batch may be larger than the whole budget).
    /// Returns false when the budget was closed.
    func acquire(_ byteCount: Int) -> Bool {
        monitor.locked {
            while !isClosed, usedBytes > 0, usedBytes + byteCount > limitBytes { monitor.wait() }
            guard !isClosed else { return false }
            usedBytes += byteCount
            return true
        }
    }

    func release(_ byteCount: Int) {
        monitor.locked {
            usedBytes -= byteCount
            precondition(usedBytes >= 0, "released \(byteCount) bytes more than were acquired")
            monitor.signalAll()
        }
    }

    /// Wakes every waiter; nothing is given out any more.
    func close() {
        monitor.locked {
            isClosed = true
            monitor.signalAll()
        }
    }

    var bytesInUse: Int { monitor.locked { usedBytes } }
}
