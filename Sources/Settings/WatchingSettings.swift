/// How a role that runs is watched: its log and its admin server. The same flags for every role.
package struct WatchingSettings: Sendable, Equatable {
    package enum LogFormat: String, Sendable, CaseIterable {
        /// `auto` is chosen by what stderr is.
        case json, text, auto
    }

    package enum LogLevel: String, Sendable, CaseIterable {
        case debug, info, warning, error
    }

    /// nil: there is no admin server.
    package var adminAddress: HostAndPort?
    package var logLevel = LogLevel.info
    package var logFormat = LogFormat.auto
    /// Only the settings are read: the program says whether they can be used, and ends.
    package var isCheckOnly = false

    package init() {}

    static let flags = [
        FlagDeclaration(
            "--admin", .value("HOST:PORT"), group: "Watching",
            help: "Serves /metrics, /healthz and /readyz there, e.g. 127.0.0.1:9600 or [::1]:9600. Without it: not at "
                + "all."),
        FlagDeclaration(
            "--log-level", .value("LEVEL"), group: "Watching", default: "info",
            help: "Least level that is logged: debug, info, warning or error."),
        FlagDeclaration(
            "--log-format", .value("FORMAT"), group: "Watching", default: "auto",
            help: "json, text, or auto: text on a terminal, else json."),
        checkFlag(group: "Watching"),
    ]

    /// Of one-shot jobs as well.
    static func checkFlag(group: String) -> FlagDeclaration {
        FlagDeclaration(
            "--check-settings", .switchedOn, group: group, default: "false",
            help: "Reads flags and environment, says what is wrong with them, and ends: nothing is opened or started.")
    }

    init(_ reader: inout FlagReader) {
        adminAddress = reader.value("--admin", HostAndPort.parse)
        logLevel = reader.choice("--log-level") ?? logLevel
        logFormat = reader.choice("--log-format") ?? logFormat
        isCheckOnly = reader.truth(Self.checkFlag(group: "").name)
    }
}
