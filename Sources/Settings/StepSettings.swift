/// What `millrace step …` is told, checked: one of the one-shot jobs that a migration is made of.
package enum StepSettings: Sendable {
    case snapshot(Snapshot)
    case metadata(Metadata)
    case validate(Validate)

    package enum Verb: String, Sendable, CaseIterable {
        case snapshot, metadata, validate
    }

    package enum Output: String, Sendable, CaseIterable {
        case text, json
    }

    /// What every step has.
    package struct Common: Sendable {
        /// The source for `snapshot`, else the target.
        package var cluster: ServiceURL
        package var authentication = ClusterAuthentication.none
        package var tls = ClientTLSSettings()
        package var output = Output.text
        /// The report as JSON goes here too, in one piece.
        package var reportFile: String?
        /// How long a cluster that does not answer, or answers that it is overloaded, is asked again.
        package var patience = Duration.seconds(300)
        package var requestTimeout = Duration.seconds(60)
        package var isCheckOnly = false
    }

    package struct Snapshot: Sendable {
        package var common: Common
        package var repositoryName = ""
        package var snapshotName = ""
        package var location: String?
        /// The source's own expressions.
        package var indices: [String] = []
        package var includesGlobalState = true
        package var rateLimitBytes: Int?
        package var isCompressed = true
        package var acceptsPartial = false
    }

    package struct Metadata: Sendable {
        package var common: Common
        package var repositoryPath = ""
        package var snapshotName = ""
        package var selection = IndexSelection()
        package var replicas: Int?
        package var isEvaluation = false
    }

    package struct Validate: Sendable {
        package var common: Common
        /// The backfill's report.
        package var expectedFile = ""
        package var tolerance = 0
        package var ignored: [String] = []
    }

    package var common: Common {
        switch self {
        case .snapshot(let step): step.common
        case .metadata(let step): step.common
        case .validate(let step): step.common
        }
    }
}

extension StepSettings {
    /// Reads arguments (after the verb) and the environment; throws every mistake at once.
    package static func load(
        _ verb: Verb, arguments: [String], environment: (String) -> String? = FlagParser.processEnvironment,
        readFile: @escaping (String) -> Result<[UInt8], ValueProblem> = SmallFile.read
    ) throws(SettingsError) -> RoleRequest<StepSettings> {
        let page = page(verb)
        let read = try page.read(arguments, environment, readFile) { reader in
            switch verb {
            case .snapshot: StepSettings.snapshot(Snapshot(&reader))
            case .metadata: StepSettings.metadata(Metadata(&reader))
            case .validate: StepSettings.validate(Validate(&reader))
            }
        }
        guard let read else { return .help(page.text) }
        return .run(read.settings)
    }

    static func page(_ verb: Verb) -> UsagePage {
        let introduction: String
        let flags: [FlagDeclaration]
        switch verb {
        case .snapshot: (introduction, flags) = (Snapshot.introduction, Snapshot.flags)
        case .metadata: (introduction, flags) = (Metadata.introduction, Metadata.flags)
        case .validate: (introduction, flags) = (Validate.introduction, Validate.flags)
        }
        return UsagePage(
            program: "millrace", role: "step \(verb.rawValue)", introduction: introduction, flags: flags,
            origin: (file: "StepSettings.swift", test: "StepSettingsTests"),
            exitStatus: [
                (.complete, "Done."),
                (.incomplete, "Done, but something is not as it should be; the report says what."),
                (.usage, "Wrong usage; nothing was done."),
                (.unreadable, "The repository or the report cannot be used, or the cluster refused."),
                (.unavailable, "The repository or the cluster is unavailable. The same command may run again."),
                (.interrupted, "Stopped by SIGINT. The same command may run again."),
                (.terminated, "Stopped by SIGTERM. The same command may run again."),
            ])
    }
}

extension StepSettings.Common {
    /// Which cluster a step works with.
    fileprivate enum Party: String {
        case source, target

        var url: String { "--\(rawValue)" }
        var tls: ClientTLSFlags { self == .source ? .source : .target }
        var authentication: AuthenticationFlags { AuthenticationFlags(group: "Access to the \(rawValue)") }
    }

    /// `what` are the step's own.
    fileprivate static func flags(_ party: Party, what: [FlagDeclaration]) -> [FlagDeclaration] {
        let url = FlagDeclaration(
            party.url, .value("URL"), group: "What",
            help: "The \(party.rawValue) cluster: http://… or https://…. Required.")
        return [url] + what + party.authentication.declarations + party.tls.declarations + [
            FlagDeclaration(
                "--patience", .value("TIME"), group: "Running", default: "5m",
                help: "How long a cluster that does not answer or is overloaded is asked again."),
            FlagDeclaration(
                "--request-timeout", .value("TIME"), group: "Running", default: "60s",
                help: "How long one answer may take."),
            FlagDeclaration(
                "--output", .value("text|json"), group: "Running", default: "text",
                help: "The report on standard output: for people, or for programs."),
            FlagDeclaration(
                "--report", .value("FILE"), group: "Running",
                help: "Writes the report as JSON there too; the file is there in one piece or not at all."),
            WatchingSettings.checkFlag(group: "Running"),
        ]
    }

    fileprivate init(_ reader: inout FlagReader, _ party: Party) {
        let given = reader.required(party.url, ServiceURL.parse)
        self.init(cluster: given ?? ServiceURL(isTLS: false, host: "", port: 1, pathPrefix: ""))
        authentication = party.authentication.read(&reader)
        tls = party.tls.read(&reader, isTLS: given?.isTLS)
        patience = reader.duration("--patience", within: .zero ... .seconds(7 * 86_400)) ?? patience
        requestTimeout = reader.duration("--request-timeout", within: .seconds(1) ... .seconds(3600)) ?? requestTimeout
        output = reader.choice("--output") ?? output
        reportFile = reader.value("--report", BackfillSettings.text)
        isCheckOnly = reader.truth(WatchingSettings.checkFlag(group: "").name)
    }
}

extension StepSettings.Snapshot {
    fileprivate static let introduction = """
        millrace step snapshot --source URL --repository-name NAME --snapshot NAME [flags]

        Takes a snapshot of the source by its own API and waits until it is whole. A snapshot of that name that is there
        or in work is taken over, so the same command may run again.

        """

    fileprivate static let flags = StepSettings.Common.flags(
        .source,
        what: [
            FlagDeclaration(
                "--repository-name", .value("NAME"), group: "What",
                help: "Snapshot repository as the source calls it. Required."),
            FlagDeclaration("--snapshot", .value("NAME"), group: "What", help: "Name of the snapshot. Required."),
            FlagDeclaration(
                "--location", .value("FOLDER"), group: "What",
                help: "Registers the repository as this folder of the source's nodes when there is none of that name; "
                    + "the folder lies under their path.repo."),
            FlagDeclaration(
                "--index", .repeatedValue("PATTERN"), group: "What",
                help: "Indices as the source reads them: logs-*, -logs-tmp. Without it: all."),
            FlagDeclaration(
                "--global-state", .value("true|false"), group: "What", default: "true",
                help: "Whether templates and other cluster metadata are in it."),
            FlagDeclaration(
                "--rate-limit", .value("SIZE"), group: "What",
                help: "Bytes a second and node, when the repository is registered. Without it: the source's default."),
            FlagDeclaration(
                "--compress", .value("true|false"), group: "What", default: "true",
                help: "Whether the repository's metadata is compressed, when it is registered."),
            FlagDeclaration(
                "--accept-partial", .switchedOn, group: "What", default: "false",
                help: "Takes a snapshot that lacks shards as it is."),
        ])

    fileprivate init(_ reader: inout FlagReader) {
        self.init(common: StepSettings.Common(&reader, .source))
        repositoryName = reader.required("--repository-name", BackfillSettings.text) ?? ""
        snapshotName = reader.required("--snapshot", BackfillSettings.text) ?? ""
        location = reader.value("--location", BackfillSettings.text)
        indices = reader.all("--index", BackfillSettings.text)
        includesGlobalState = reader.value("--global-state", TruthText.parse) ?? true
        isCompressed = reader.value("--compress", TruthText.parse) ?? true
        rateLimitBytes = reader.size("--rate-limit", within: 1024...(1 << 40))
        acceptsPartial = reader.truth("--accept-partial")
    }
}

extension StepSettings.Metadata {
    fileprivate static let introduction = """
        millrace step metadata --repository FOLDER --snapshot NAME --target URL [flags]

        Makes the snapshot's indices in the target with their settings, mappings and aliases, as far as the target takes
        them; what is left out is told. An index that is there stays as it is. Templates are not moved.

        """

    fileprivate static let flags = StepSettings.Common.flags(
        .target,
        what: [
            FlagDeclaration(
                "--repository", .value("FOLDER"), group: "What",
                help: "Folder of the snapshot repository, as a path or file:///FOLDER. Required."),
            FlagDeclaration("--snapshot", .value("NAME"), group: "What", help: "Name of the snapshot. Required."),
            FlagDeclaration(
                "--index", .repeatedValue("NAME|regex:PATTERN"), group: "What",
                help: "Indices to make: names, or regex: expressions. Without it: all but system indices."),
            FlagDeclaration(
                "--include-system-indices", .switchedOn, group: "What", default: "false",
                help: "Makes indices whose name begins with a dot, too."),
            FlagDeclaration(
                "--replicas", .value("N"), group: "What",
                help: "Replicas of the new indices. Without it: as many as in the source."),
            FlagDeclaration(
                "--evaluate", .switchedOn, group: "What", default: "false",
                help: "Says what would be made, and makes nothing."),
        ])

    fileprivate init(_ reader: inout FlagReader) {
        self.init(common: StepSettings.Common(&reader, .target))
        repositoryPath = reader.required("--repository", BackfillSettings.repositoryPath) ?? ""
        snapshotName = reader.required("--snapshot", BackfillSettings.text) ?? ""
        selection = IndexSelection(
            patterns: reader.all("--index", IndexSelection.parsePattern),
            includesSystemIndices: reader.truth("--include-system-indices"))
        replicas = reader.count("--replicas", within: 0...100)
        isEvaluation = reader.truth("--evaluate")
    }
}

extension StepSettings.Validate {
    fileprivate static let introduction = """
        millrace step validate --expected FILE --target URL [flags]

        Refreshes the target and compares how many documents each index has with how many a backfill read out of the
        snapshot.

        """

    fileprivate static let flags = StepSettings.Common.flags(
        .target,
        what: [
            FlagDeclaration(
                "--expected", .value("FILE"), group: "What",
                help: "The JSON report that millraced backfill printed. Required."),
            FlagDeclaration(
                "--tolerance", .value("N"), group: "What", default: "0",
                help: "By how many documents an index may differ, either way."),
            FlagDeclaration(
                "--ignore", .repeatedValue("PATTERN"), group: "What",
                help: "Indices that are not compared; * stands for any run of characters."),
        ])

    fileprivate init(_ reader: inout FlagReader) {
        self.init(common: StepSettings.Common(&reader, .target))
        expectedFile = reader.required("--expected", BackfillSettings.text) ?? ""
        tolerance = reader.count("--tolerance", within: 0...Int.max) ?? 0
        ignored = reader.all("--ignore", BackfillSettings.text)
    }
}
