import Glibc
import Synchronization

/// Where log lines go: a file descriptor, usually that of stderr, with the level and the format.
///
/// A line is one `write(2)`. Lines of different processes that share a pipe stay whole up to PIPE_BUF (4096 bytes,
/// POSIX `write`); lines of this process always do, because every write happens under a lock: a longer line may need
/// several writes, and a short one must not land between them. The lock costs nothing beside the system call. It is
/// pthread's: `Mutex` is invisible to the thread sanitizer when threads contend, and here they do.
// Sound: `isInsideLine` is used only while `lock` is held, which lives as long as the object; the rest is atomic or
// never changes.
package final class LogOutput: @unchecked Sendable {
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    /// The last write left the descriptor in the middle of a line.
    private var isInsideLine = false
    private let descriptor: Int32
    private let levelCode: Atomic<UInt8>
    private let formatIsText: Atomic<Bool>
    private let now: @Sendable () -> LogTime
    /// A terminal may show a live line where this line is to stand.
    private let isTerminal: Bool
    private let dropped = Atomic<Int>(0)

    /// A reader that takes nothing for this long loses the line: a stuck terminal must not stop a migration for good.
    private static let stalledWriteMilliseconds: Int32 = 1000

    /// The descriptor is not owned. `format` nil means: text on a terminal, JSON otherwise.
    package init(
        descriptor: Int32, level: LogLevel = .info, format: LogFormat? = nil,
        now: @escaping @Sendable () -> LogTime = { LogTime.now }
    ) {
        self.descriptor = descriptor
        self.now = now
        isTerminal = isatty(descriptor) == 1
        levelCode = Atomic(level.rawValue)
        formatIsText = Atomic((format ?? Self.fittingFormat(descriptor)) == .text)
        pthread_mutex_init(lock, nil)
    }

    deinit {
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    /// stderr; configured once by the program.
    package static let standardError = LogOutput(descriptor: STDERR_FILENO)

    /// Lines below this level are not written.
    package var level: LogLevel {
        get { LogLevel(rawValue: levelCode.load(ordering: .relaxed)) ?? .info }
        set { levelCode.store(newValue.rawValue, ordering: .relaxed) }
    }

    package var format: LogFormat { formatIsText.load(ordering: .relaxed) ? .text : .json }

    /// nil: text on a terminal, JSON otherwise.
    package func setFormat(_ format: LogFormat?) {
        formatIsText.store((format ?? Self.fittingFormat(descriptor)) == .text, ordering: .relaxed)
    }

    /// Lines that could not be written.
    package var droppedLineCount: Int { dropped.load(ordering: .relaxed) }

    /// To the first column, and erase what stands there.
    private static let lineStart: [UInt8] = [0x0D, 0x1B] + Array("[K".utf8)

    private static func fittingFormat(_ descriptor: Int32) -> LogFormat { isatty(descriptor) == 1 ? .text : .json }

    func write(
        level: LogLevel, message: StaticString, context: [LogLine.Pair], metadata: KeyValuePairs<LogKey, LogValue>,
        suppressedCount: Int = 0
    ) {
        let line = LogLine(
            time: now(), level: level, message: message, context: context, metadata: metadata,
            suppressedCount: suppressedCount, format: format)
        write(line.bytes)
    }

    private func write(_ line: [UInt8]) {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        let bytes = isInsideLine ? [0x0A] + line : isTerminal ? Self.lineStart + line : line
        let written = bytes.withUnsafeBytes { writeAll($0) }
        if written > 0 { isInsideLine = written < bytes.count }
        if written < bytes.count { dropped.add(1, ordering: .relaxed) }
    }

    /// Bytes written; fewer than all when the descriptor fails or takes nothing for too long.
    private func writeAll(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let start = bytes.baseAddress else { return 0 }
        var written = 0
        while written < bytes.count {
            let count = Glibc.write(descriptor, start + written, bytes.count - written)
            if count > 0 {
                written += count
            } else if count < 0, errno == EINTR {
                continue
            } else if count < 0, errno == EAGAIN {
                var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&waiting, 1, Self.stalledWriteMilliseconds) > 0 else { return written }
            } else {
                return written
            }
        }
        return written
    }
}
