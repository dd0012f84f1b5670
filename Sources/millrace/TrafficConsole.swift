import Glibc

/// Data on standard output, messages on standard error.
enum TrafficConsole {
    static func output(_ text: String) { write(STDOUT_FILENO, Array(text.utf8)) }
    static func error(_ text: String) { write(STDERR_FILENO, Array(text.utf8)) }

    /// A reader that is gone ends the program by SIGPIPE, as pipes are used to.
    static func write(_ descriptor: Int32, _ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            var start = 0
            while let base = bytes.baseAddress, start < bytes.count {
                let count = Glibc.write(descriptor, base + start, bytes.count - start)
                if count > 0 { start += count } else if errno != EINTR { return }
            }
        }
    }
}

/// Standard output in pieces of 256 KiB.
struct TrafficOutput {
    private static let pieceBytes = 256 << 10
    private var pending: [UInt8] = []

    mutating func append(_ bytes: some Sequence<UInt8>) {
        pending.append(contentsOf: bytes)
        if pending.count >= Self.pieceBytes { flush() }
    }

    mutating func flush() {
        TrafficConsole.write(STDOUT_FILENO, pending)
        pending.removeAll(keepingCapacity: true)
    }
}
