import Settings
import Telemetry

/// What every role does before it runs: says every mistake in its settings, and puts the log into the form asked for.
enum RoleStart {
    /// Prints the mistakes; returns the exit status.
    static func refuse(_ error: SettingsError, role: String) -> Int32 {
        let problems = error.problems.map { "  \($0.description)\n" }.joined()
        Console.error("millraced \(role): wrong usage:\n\(problems)")
        Console.error("millraced \(role) --help lists the flags.\n")
        return ExitStatus.usage.rawValue
    }

    /// `level` and `format` by their names in the flags; `auto` chooses by what stderr is.
    static func log(level: String, format: String, warnings: [String]) -> Log {
        let log = Log.shared
        log.output.level = LogLevel(name: level) ?? .info
        log.output.setFormat(LogFormat(rawValue: format))
        for warning in warnings { log.warning("settings", [.warning: .text(warning)]) }
        return log
    }
}
