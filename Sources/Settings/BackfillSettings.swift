/// Everything `millraced backfill` is told, checked.
package struct BackfillSettings: RoleSettings {
    package enum Target: Sendable, Equatable {
        case cluster(ServiceURL)
        /// Everything is read, nothing is sent.
        case null
    }

    /// Bounds of a run; see the flags of the same names.
    package struct Limits: Sendable, Equatable {
        package var workerCount = 1
        package var connectionLimit = 10
        package var bulkBytes = 5 << 20
        package var bulkDocumentCount = 10_000
        package var memoryBudgetBytes = 64 << 20
        package var retryDuration = Duration.seconds(600)
        package var requestTimeout = Duration.seconds(120)

        package init() {}
    }

    package enum ProgressForm: String, Sendable, CaseIterable {
        case auto, line, json, none
    }

    /// Folder of the repository.
    package var repositoryPath = ""
    package var snapshotName = ""
    package var indices = IndexSelection()
    package var acceptsPartial = false
    package var target = Target.null
    /// Folder for checkpoints; nil only with the null target.
    package var coordinatorPath: String?
    /// nil only where neither it nor a coordinator is given.
    package var deadLettersPath: String?
    package var authentication = ClusterAuthentication.none
    package var tls = ClientTLSSettings()
    package var isCompressed = false
    package var limits = Limits()
    package var watching = WatchingSettings()
    package var progress = ProgressForm.auto
    /// What is allowed but deserves a warning in the log.
    package fileprivate(set) var warnings: [String] = []
    /// What was given, for `describe`; a secret's text is not kept here.
    fileprivate var given: [(name: String, value: String)] = []

    package init() {}
}

extension BackfillSettings {
    /// Reads arguments (after the role) and the environment; throws every mistake at once.
    package static func load(
        arguments: [String], environment: (String) -> String? = FlagParser.processEnvironment,
        processorCount: Int = ProcessorCount.available,
        readFile: @escaping (String) -> Result<[UInt8], ValueProblem> = SmallFile.read
    ) throws(SettingsError) -> RoleRequest<BackfillSettings> {
        let read = try BackfillUsage.page.read(arguments, environment, readFile) { reader in
            var settings = BackfillSettings()
            settings.readWhat(&reader)
            settings.readWhereto(&reader)
            settings.authentication = BackfillFlags.authentication.read(&reader)
            settings.tls = ClientTLSFlags.target.read(&reader, isTLS: settings.targetURL?.isTLS)
            settings.isCompressed = reader.truth("--compress")
            settings.readLimits(&reader, processorCount: processorCount)
            settings.watching = WatchingSettings(&reader)
            settings.progress = reader.choice("--progress") ?? settings.progress
            return settings
        }
        guard let read else { return .help(BackfillUsage.text) }
        var settings = read.settings
        settings.noteWarnings()
        settings.given = read.told
        return .run(settings)
    }

    /// The settings that were given, with the names of their flags, for the log of a start. Secrets are replaced;
    /// what was not given has its default and is left out.
    package func describe() -> [(name: String, value: String)] { given }

    private mutating func readWhat(_ reader: inout FlagReader) {
        if let path = reader.required("--repository", Self.repositoryPath) { repositoryPath = path }
        if let name = reader.required("--snapshot", Self.text) { snapshotName = name }
        indices.patterns = reader.all("--index", IndexSelection.parsePattern)
        indices.includesSystemIndices = reader.truth("--include-system-indices")
        acceptsPartial = reader.truth("--accept-partial")
    }

    private mutating func readWhereto(_ reader: inout FlagReader) {
        let target = reader.required("--target", Self.target)
        if let target { self.target = target }
        coordinatorPath = reader.value("--coordinator", Self.coordinatorPath)
        if !reader.isGiven("--coordinator"), case .cluster = target {
            reader.note("--coordinator", "required: the folder for checkpoints, file:///FOLDER")
        }
        deadLettersPath = reader.text("--dead-letters") ?? coordinatorPath.map(Self.deadLetters)
    }

    private mutating func readLimits(_ reader: inout FlagReader, processorCount: Int) {
        var limits = Limits()
        limits.workerCount = reader.workerCount(processorCount: processorCount)
        limits.connectionLimit = reader.count("--connections", within: 1...1000) ?? limits.connectionLimit
        limits.bulkBytes = reader.size("--bulk-bytes", within: 64 << 10...100 << 20) ?? limits.bulkBytes
        limits.bulkDocumentCount = reader.count("--bulk-documents", within: 1...100_000) ?? limits.bulkDocumentCount
        limits.retryDuration =
            reader.duration("--retry-for", within: .seconds(1) ... .seconds(604_800)) ?? limits.retryDuration
        limits.requestTimeout =
            reader.duration("--request-timeout", within: .seconds(1) ... .seconds(3600))
            ?? min(limits.requestTimeout, limits.retryDuration)
        if limits.requestTimeout > limits.retryDuration {
            reader.note(
                nil,
                "--request-timeout \(DurationText.text(limits.requestTimeout)) is longer than --retry-for "
                    + "\(DurationText.text(limits.retryDuration)): no request would be tried twice")
        }
        let needed = limits.connectionLimit * limits.bulkBytes
        let budget = reader.size("--memory-budget", within: 1 << 20...1 << 40)
        limits.memoryBudgetBytes = budget ?? max(limits.memoryBudgetBytes, needed)
        if let budget, budget < needed {
            reader.note(
                nil,
                "--memory-budget \(ByteSize.text(Int64(budget))) is less than "
                    + "--connections \(limits.connectionLimit) × "
                    + "--bulk-bytes \(ByteSize.text(Int64(limits.bulkBytes))) "
                    + "= \(ByteSize.text(Int64(needed))): the connections could not be filled")
        }
        self.limits = limits
    }

    private var targetURL: ServiceURL? {
        if case .cluster(let url) = target { url } else { nil }
    }

    private mutating func noteWarnings() {
        warnings += targetURL?.warnings(party: "target", tls: tls, authentication: authentication) ?? []
    }
}

// What the texts mean.
extension BackfillSettings {
    static func text(_ text: String) throws(ValueProblem) -> String { text }

    private static func deadLetters(inFolder path: String) -> String {
        path.hasSuffix("/") ? "\(path)dead-letters.jsonl" : "\(path)/dead-letters.jsonl"
    }

    static func repositoryPath(_ text: String) throws(ValueProblem) -> String {
        switch FileLocation.scheme(text) {
        case nil: return text
        case "file": return try FileLocation.path(ofURL: text)
        case "s3", "gs":
            throw ValueProblem("\"\(text)\": object stores are not supported yet; give the folder of a file repository")
        default: throw ValueProblem("\"\(text)\" is neither a path nor a file:/// URL")
        }
    }

    private static func target(_ text: String) throws(ValueProblem) -> Target {
        text == "null:" ? .null : .cluster(try ServiceURL.parse(text))
    }

    private static func coordinatorPath(_ text: String) throws(ValueProblem) -> String {
        switch FileLocation.scheme(text) {
        case "file": return try FileLocation.path(ofURL: text)
        case "http", "https":
            throw ValueProblem("a cluster as coordinator is not supported yet; write file:///FOLDER")
        default: throw ValueProblem("\"\(text)\" is not a file:///FOLDER")
        }
    }
}
