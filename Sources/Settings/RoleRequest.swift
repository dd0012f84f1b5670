/// What the settings of every role have in common.
package protocol RoleSettings: Sendable {
    var watching: WatchingSettings { get }
    /// What is allowed but deserves a warning.
    var warnings: [String] { get }
}

/// What the arguments of a role ask for.
package enum RoleRequest<Settings: Sendable>: Sendable {
    case run(Settings)
    /// The usage text, for stdout.
    case help(String)
}

extension UsagePage {
    /// What was given for the page's flags, with their names, for the log of a start; no values that may be secret.
    typealias Told = [(name: String, value: String)]

    /// Reads arguments (after the role) and the environment; throws every mistake at once. nil: help is asked for.
    func read<Settings>(
        _ arguments: [String], _ environment: (String) -> String?,
        _ readFile: @escaping (String) -> Result<[UInt8], ValueProblem>, _ read: (inout FlagReader) -> Settings
    ) throws(SettingsError) -> (settings: Settings, told: Told)? {
        let (given, problems) = FlagParser.parse(arguments, environment: environment, declarations: flags)
        if given.isHelpRequested { return nil }
        var reader = FlagReader(flags: given, problems: problems, readFile: readFile)
        let settings = read(&reader)
        guard reader.problems.isEmpty else { throw SettingsError(problems: reader.problems) }
        return (settings, given.told(flags))
    }
}
