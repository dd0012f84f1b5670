/// What a program's exit status tells. 64 to 70 are those of BSD's `sysexits.h`.
package enum ExitStatus: Int32, Sendable, CaseIterable {
    case complete = 0
    case incomplete = 3
    case usage = 64
    case unreadable = 65
    case unavailable = 69
    case fault = 70
    case interrupted = 130
    case terminated = 143

    /// For the usage text and the documents.
    package var meaning: String {
        switch self {
        case .complete: "everything is migrated"
        case .incomplete:
            "finished, but documents or indices were left out; the report and the dead-letter file name each"
        case .usage: "wrong usage; nothing was done"
        case .unreadable: "the snapshot cannot be read, or it is PARTIAL and --accept-partial was not given"
        case .unavailable: "the repository, the target or the coordinator is unavailable"
        case .fault: "a fault of this program"
        case .interrupted: "stopped by SIGINT; the same command resumes"
        case .terminated: "stopped by SIGTERM; the same command resumes"
        }
    }
}
