/// What `millrace snapshot list` and `millrace snapshot show` are told, checked.
package struct SnapshotToolSettings: Sendable {
    package enum Verb: String, Sendable, CaseIterable {
        case list, show
    }

    package enum Output: String, Sendable, CaseIterable {
        case text, json
    }

    package enum Request: Sendable {
        case run(SnapshotToolSettings)
        case help
    }

    package let verb: Verb
    /// Folder of the repository.
    package private(set) var repositoryPath = ""
    /// Given with `show` alone.
    package private(set) var snapshotName = ""
    package private(set) var output = Output.text

    private init(_ verb: Verb) { self.verb = verb }

    /// Reads arguments (after the verb) and the environment; throws every mistake at once.
    package static func load(
        _ verb: Verb, arguments: [String],
        environment: (String) -> String? = FlagParser.processEnvironment
    ) throws(SettingsError) -> Request {
        let (flags, problems) = FlagParser.parse(
            arguments.map(Self.spelledOut), environment: environment, declarations: Self.flags(verb))
        if flags.isHelpRequested { return .help }
        var reader = FlagReader(flags: flags, problems: problems, readFile: SmallFile.read)
        var settings = SnapshotToolSettings(verb)
        if let path = reader.required("--repository", BackfillSettings.repositoryPath) {
            settings.repositoryPath = path
        }
        if verb == .show, let name = reader.required("--snapshot", BackfillSettings.text) {
            settings.snapshotName = name
        }
        settings.output = reader.choice("--output") ?? settings.output
        guard reader.problems.isEmpty else { throw SettingsError(problems: reader.problems) }
        return .run(settings)
    }

    /// `-o` is what people type.
    private static func spelledOut(_ argument: String) -> String {
        if argument == "-o" { return "--output" }
        return argument.hasPrefix("-o=") ? "--output" + argument.dropFirst(2) : argument
    }

    private static func flags(_ verb: Verb) -> [FlagDeclaration] {
        let repository = FlagDeclaration(
            "--repository", .value("FOLDER"), group: "",
            help: "Folder of the snapshot repository, as a path or file:///FOLDER. Required.")
        let snapshot = FlagDeclaration("--snapshot", .value("NAME"), group: "", help: "Name of the snapshot. Required.")
        let output = FlagDeclaration(
            "--output", .value("text|json"), group: "", default: "text", help: "For people, or for programs.")
        return verb == .show ? [repository, snapshot, output] : [repository, output]
    }
}
