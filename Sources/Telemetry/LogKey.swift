/// The keys of log metadata, all of them, so that one thing has one name in every line.
///
/// `time`, `level` and `message` are the line's own and never stand here. Units come last; what has no unit in its name
/// is text, a count or a truth value.
package enum LogKey: String, Sendable, CaseIterable {
    // Where
    case address, alias, coordinator, file, folder, host, index, path, port, repository, shard, segment, snapshot
    case target, docID, documentID, worker, loop, connection, component, template, group, partition, offset
    // What happened
    case action, attempt, cause, code, error, operation, reason, setting, signal, state, status, suppressed, warning
    // How much
    case batchCount, byteCount, connectionCount, deletedCount, documentCount, indexCount, itemCount, leftOutCount
    case gapCount, limitBytes, limitCount, migratedCount, nestedCount, recordCount, rejectedCount, requestCount
    case retriedCount, segmentCount, shardCount, workerCount, fraction, bytesPerSecond, documentsPerSecond
    // When and how long
    case delaySeconds, durationSeconds, remainingSeconds, since, timeoutSeconds
    // Who and which version
    case build, cluster, distribution, engine, format, name, process, user, version
}

/// How much a line matters.
package enum LogLevel: UInt8, Sendable, Comparable, CaseIterable {
    /// For someone who follows the code.
    case debug = 0
    /// Facts of a healthy run.
    case info = 1
    /// Something needs a look, the run goes on.
    case warning = 2
    /// Something is lost or the run ends.
    case error = 3

    /// As it is written in settings and in JSON lines.
    package var name: String {
        switch self {
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        }
    }

    /// The level with this name, or nil.
    package init?(name: some StringProtocol) {
        guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = level
    }

    package static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// How lines look.
package enum LogFormat: String, Sendable, CaseIterable {
    /// One JSON object a line.
    case json
    /// For a person at a terminal.
    case text
}
