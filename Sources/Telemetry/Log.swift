/// Structured logging: a constant message, and what varies as metadata under declared keys.
///
///     Log.shared.warning("request failed", [.target: "\(url)", .attempt: 3, .error: LogValue(error)])
///
/// The metadata is evaluated only when the line is written; when its level is off, a call costs one atomic load and
/// allocates nothing.
package struct Log: Sendable {
    package let output: LogOutput
    /// Metadata that every line of this log carries.
    private let context: [LogLine.Pair]

    /// Logs to stderr.
    package static let shared = Log(.standardError)

    package init(_ output: LogOutput) {
        self.init(output, context: [])
    }

    private init(_ output: LogOutput, context: [LogLine.Pair]) {
        self.output = output
        self.context = context
    }

    /// The same log with metadata added to every line.
    package func with(_ metadata: KeyValuePairs<LogKey, LogValue>) -> Log {
        Log(output, context: context + metadata.map { ($0.key, $0.value) })
    }

    package func isEnabled(_ level: LogLevel) -> Bool { level >= output.level }

    package func debug(
        _ message: StaticString, _ metadata: @autoclosure () -> KeyValuePairs<LogKey, LogValue> = [:]
    ) {
        log(.debug, message, metadata())
    }

    package func info(
        _ message: StaticString, _ metadata: @autoclosure () -> KeyValuePairs<LogKey, LogValue> = [:]
    ) {
        log(.info, message, metadata())
    }

    package func warning(
        _ message: StaticString, _ metadata: @autoclosure () -> KeyValuePairs<LogKey, LogValue> = [:]
    ) {
        log(.warning, message, metadata())
    }

    package func error(
        _ message: StaticString, _ metadata: @autoclosure () -> KeyValuePairs<LogKey, LogValue> = [:]
    ) {
        log(.error, message, metadata())
    }

    package func log(
        _ level: LogLevel, _ message: StaticString,
        _ metadata: @autoclosure () -> KeyValuePairs<LogKey, LogValue> = [:], suppressedCount: Int = 0
    ) {
        guard level >= output.level else { return }
        output.write(
            level: level, message: message, context: context, metadata: metadata(), suppressedCount: suppressedCount)
    }
}
