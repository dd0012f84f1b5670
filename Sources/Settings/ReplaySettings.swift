/// Everything `millraced replay` is told, checked.
package struct ReplaySettings: RoleSettings {
    package enum Start: Sendable, Equatable {
        case earliest, latest
        /// Since 1970.
        case time(milliseconds: Int64)
        case offsets([Int32: Int64])
    }

    package enum End: Sendable, Equatable {
        case never, end
        case time(milliseconds: Int64)
    }

    package enum Speed: Sendable, Equatable {
        case maximum
        case factor(Double)
    }

    package enum CapturedCredentials: String, Sendable, CaseIterable {
        case remove, keep
    }

    package enum GeneratedIDs: String, Sendable, CaseIterable {
        case source, target
    }

    package enum TupleCompression: String, Sendable, CaseIterable {
        case gzip, zstd, none
    }

    package struct Limits: Sendable, Equatable {
        package var workerCount = 1
        package var inFlightCount = 256
        package var memoryBytes = 256 << 20
        package var expiry = Duration.seconds(360)

        package init() {}
    }

    package struct Deadlines: Sendable, Equatable {
        /// nil: never.
        package var giveUpWrites: Duration?
        package var giveUpReads: Duration? = .seconds(60)
        package var connect = Duration.seconds(10)
        package var response = Duration.seconds(150)
        package var request = Duration.seconds(600)
        package var drain = Duration.seconds(20)

        package init() {}
    }

    package struct Tuples: Sendable, Equatable {
        /// nil: none are written.
        package var folder: String?
        package var compression = TupleCompression.gzip
        package var bodyBytes = 32 << 10
        package var fileBytes = 128 << 20
        package var fileAge = Duration.seconds(300)
        package var ignoredPaths: [String] = []

        package init() {}
    }

    package var log = TrafficLogSettings()
    package var start = Start.earliest
    package var resetsPosition = false
    package var end = End.never
    package var groupInstance: String?
    /// Content of the rule file, and its path for messages.
    package var rules: (path: String, content: [UInt8])?
    package var generatedIDs = GeneratedIDs.source
    package var target: ServiceURL
    package var authentication = ClusterAuthentication.none
    package var tls = ClientTLSSettings()
    package var capturedCredentials = CapturedCredentials.remove
    package var userAgentSuffix: String?
    package var speed = Speed.factor(1)
    package var lookAhead = Duration.seconds(30)
    package var longestGap: Duration?
    package var limits = Limits()
    package var deadlines = Deadlines()
    package var tuples = Tuples()
    package var deadLettersFolder = ""
    package var watching = WatchingSettings()
    /// What is allowed but deserves a warning in the log.
    package fileprivate(set) var warnings: [String] = []
    fileprivate var given: [(name: String, value: String)] = []

    /// Settings with every default; for tests and as the start of `load`.
    package init(target: ServiceURL) { self.target = target }
}

extension ReplaySettings {
    /// Reads arguments (after the role) and the environment; throws every mistake at once.
    package static func load(
        arguments: [String], environment: (String) -> String? = FlagParser.processEnvironment,
        processorCount: Int = ProcessorCount.available,
        readFile: @escaping (String) -> Result<[UInt8], ValueProblem> = SmallFile.read
    ) throws(SettingsError) -> RoleRequest<ReplaySettings> {
        let read = try ReplayUsage.page.read(arguments, environment, readFile) { reader in
            let target = reader.required("--target", Self.target)
            var settings = ReplaySettings(target: target ?? ServiceURL(isTLS: false, host: "", port: 1, pathPrefix: ""))
            settings.readWhat(&reader)
            settings.authentication = ReplayFlags.authentication.read(&reader)
            settings.tls = ReplayFlags.tls.read(&reader, isTLS: target?.isTLS)
            settings.readAccess(&reader)
            settings.readPace(&reader)
            settings.readLimits(&reader, processorCount: processorCount)
            settings.readDeadlines(&reader)
            settings.readOutput(&reader)
            settings.watching = WatchingSettings(&reader)
            return settings
        }
        guard let read else { return .help(ReplayUsage.text) }
        var settings = read.settings
        settings.warnings += settings.target.warnings(
            party: "target", tls: settings.tls, authentication: settings.authentication)
        settings.given = read.told
        return .run(settings)
    }

    /// The settings that were given, with the names of their flags, for the log of a start; no values that may be
    /// secret.
    package func describe() -> [(name: String, value: String)] { given }

    private mutating func readWhat(_ reader: inout FlagReader) {
        log = ReplayFlags.log.read(&reader)
        start = reader.value("--from", Self.start) ?? start
        end = reader.value("--until", Self.end) ?? end
        resetsPosition = reader.truth("--reset-position")
        groupInstance = reader.text("--group-instance")
        if groupInstance != nil, !log.address.hasPrefix("kafka:") {
            reader.note("--group-instance", "is given, but --log is not kafka://")
        }
        rules = reader.value("--rules") { (path, readFile) throws(ValueProblem) in
            (path, try readFile(path).get())
        }
        generatedIDs = reader.choice("--generated-ids") ?? generatedIDs
    }

    private mutating func readAccess(_ reader: inout FlagReader) {
        capturedCredentials = reader.choice("--captured-credentials") ?? capturedCredentials
        if capturedCredentials == .keep, authentication != .none {
            reader.note(
                "--captured-credentials", "keep contradicts the target's own credentials, which take their place")
        }
        userAgentSuffix = reader.value("--user-agent-suffix") { (text) throws(ValueProblem) in
            guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
                throw ValueProblem("holds other characters than printable ASCII")
            }
            return text
        }
    }

    private mutating func readPace(_ reader: inout FlagReader) {
        speed = reader.value("--speed", Self.speed) ?? speed
        lookAhead = reader.duration("--look-ahead", within: .seconds(1) ... .seconds(3600)) ?? lookAhead
        longestGap = reader.duration("--longest-gap", within: .zero ... .seconds(3600))
        if longestGap != nil, speed == .maximum {
            reader.note("--longest-gap", "has no meaning with --speed max, which waits for nothing")
        }
    }

    private mutating func readLimits(_ reader: inout FlagReader, processorCount: Int) {
        limits.workerCount = reader.workerCount(processorCount: processorCount)
        limits.inFlightCount = reader.count("--in-flight", within: 1...10_000) ?? limits.inFlightCount
        limits.memoryBytes = reader.size("--memory", within: 64 << 20...1 << 40) ?? limits.memoryBytes
        limits.expiry = reader.duration("--expire-after", within: .seconds(1) ... .seconds(86_400)) ?? limits.expiry
        // A loop without a request of its own would leave its connections' traffic lying.
        limits.workerCount = min(limits.workerCount, limits.inFlightCount)
    }

    private mutating func readDeadlines(_ reader: inout FlagReader) {
        let bounds = Duration.milliseconds(100) ... .seconds(86_400)
        deadlines.giveUpWrites = reader.value("--give-up-after", Self.patience) ?? nil
        if let reads = reader.value("--give-up-reads-after", Self.patience) { deadlines.giveUpReads = reads }
        deadlines.connect = reader.duration("--connect-timeout", within: bounds) ?? deadlines.connect
        deadlines.response = reader.duration("--response-timeout", within: bounds) ?? deadlines.response
        deadlines.request = reader.duration("--request-timeout", within: bounds) ?? deadlines.request
        deadlines.drain = reader.duration("--drain-timeout", within: bounds) ?? deadlines.drain
    }

    private mutating func readOutput(_ reader: inout FlagReader) {
        let folder = reader.required("--tuples") { (text) throws(ValueProblem) in
            guard !text.isEmpty else { throw ValueProblem("is empty") }
            return text
        }
        tuples.folder = folder == "none" ? nil : folder
        tuples.compression = reader.choice("--tuple-compression") ?? tuples.compression
        tuples.bodyBytes = reader.size("--tuple-body-bytes", within: 0...1 << 30) ?? tuples.bodyBytes
        tuples.fileBytes = reader.size("--tuple-file-bytes", within: 1 << 10...1 << 40) ?? tuples.fileBytes
        tuples.fileAge =
            reader.duration("--tuple-file-age", within: .seconds(1) ... .seconds(86_400)) ?? tuples.fileAge
        tuples.ignoredPaths = reader.all("--ignore") { (text) throws(ValueProblem) in
            guard !text.isEmpty, !text.hasPrefix("."), !text.hasSuffix("."), !text.contains("..") else {
                throw ValueProblem("\"\(text)\" is no path; write it as hits.hits.*._score")
            }
            return text
        }
        deadLettersFolder =
            reader.required("--dead-letters") { (text) throws(ValueProblem) in
                guard !text.isEmpty else { throw ValueProblem("is empty") }
                return text
            } ?? ""
        if let folder = tuples.folder, folder == deadLettersFolder {
            reader.note("--dead-letters", "is the folder of --tuples; give one of its own")
        }
    }
}

// What the texts mean.
extension ReplaySettings {
    private static func target(_ text: String) throws(ValueProblem) -> ServiceURL {
        let url = try ServiceURL.parse(text)
        guard url.pathPrefix.isEmpty else {
            throw ValueProblem("\"\(text)\" has a path; requests keep the paths that were captured")
        }
        return url
    }

    private static func speed(_ text: String) throws(ValueProblem) -> Speed {
        if text == "max" { return .maximum }
        guard let factor = Double(text), factor >= 0.1, factor <= 1000 else {
            throw ValueProblem("\"\(text)\" is neither max nor a factor from 0.1 to 1000")
        }
        return .factor(factor)
    }

    private static func patience(_ text: String) throws(ValueProblem) -> Duration? {
        if text == "never" { return nil }
        return try DurationText.parse(text)
    }

    private static func start(_ text: String) throws(ValueProblem) -> Start {
        switch text {
        case "earliest": return .earliest
        case "latest": return .latest
        default: break
        }
        if let time = UTCTimeText.milliseconds(text) { return .time(milliseconds: time) }
        var offsets: [Int32: Int64] = [:]
        for pair in text.split(separator: ",", omittingEmptySubsequences: false) {
            let numbers = pair.split(separator: ":", omittingEmptySubsequences: false)
            guard numbers.count == 2, let partition = Int32(numbers[0]), partition >= 0, let offset = Int64(numbers[1]),
                offset >= 0, offsets.updateValue(offset, forKey: partition) == nil
            else {
                throw ValueProblem(
                    "\"\(text)\" is neither earliest, latest, a time as 2026-11-25T08:00:00Z, nor PARTITION:OFFSET,…")
            }
        }
        return .offsets(offsets)
    }

    private static func end(_ text: String) throws(ValueProblem) -> End {
        if text == "end" { return .end }
        guard let time = UTCTimeText.milliseconds(text) else {
            throw ValueProblem("\"\(text)\" is neither end nor a time as 2026-11-25T08:00:00Z")
        }
        return .time(milliseconds: time)
    }
}

/// A moment as RFC 3339 writes it in UTC: `2026-11-25T08:00:00Z`, with up to three digits of a second's fraction.
package enum UTCTimeText {
    /// Since 1970; nil when the text is no such moment.
    package static func milliseconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z"), bytes[4] == 0x2D, bytes[7] == 0x2D,
            bytes[10] == UInt8(ascii: "T"), bytes[13] == 0x3A, bytes[16] == 0x3A,
            let year = number(bytes[0..<4]), let month = number(bytes[5..<7]), let day = number(bytes[8..<10]),
            let hour = number(bytes[11..<13]), let minute = number(bytes[14..<16]),
            let second = number(bytes[17..<19]), year >= 1970, (1...12).contains(month), hour < 24, minute < 60,
            second < 60
        else { return nil }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day >= 1, day <= lengths[month - 1] else { return nil }
        var fraction = 0
        if bytes.count > 20 {
            let digits = bytes[20..<bytes.count - 1]
            guard bytes[19] == UInt8(ascii: "."), (1...3).contains(digits.count), let value = number(digits) else {
                return nil
            }
            fraction = digits.count == 1 ? value * 100 : digits.count == 2 ? value * 10 : value
        }
        let before = year - 1
        var days = before * 365 + before / 4 - before / 100 + before / 400 - 719_162
        days += lengths[..<(month - 1)].reduce(0, +) + day - 1
        return Int64(((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + Int64(fraction)
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        var value = 0
        for digit in digits {
            guard digit >= 0x30, digit <= 0x39 else { return nil }
            value = value * 10 + Int(digit - 0x30)
        }
        return value
    }
}
