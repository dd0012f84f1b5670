import Glibc
import Testing

@testable import Settings

@Suite struct BackfillSettingsTests {
    private static let least = [
        "--repository", "/repo", "--snapshot", "s", "--target", "https://t:9200", "--coordinator", "file:///c",
    ]

    private func load(
        _ arguments: [String], environment: [String: String] = [:], files: [String: String] = [:]
    ) throws(SettingsError) -> BackfillSettings {
        let request = try BackfillSettings.load(
            arguments: arguments, environment: { environment[$0] }, processorCount: 4,
            readFile: { path in
                files[path].map { .success(Array($0.utf8)) } ?? .failure(ValueProblem("\(path): no such file"))
            })
        guard case .run(let settings) = request else { preconditionFailure("help was asked for") }
        return settings
    }

    /// The mistakes, one a line.
    private func mistakes(
        _ arguments: [String], environment: [String: String] = [:], files: [String: String] = [:]
    ) -> [String] {
        do throws(SettingsError) {
            _ = try load(arguments, environment: environment, files: files)
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test func defaults() throws {
        let settings = try load(Self.least)
        #expect(settings.repositoryPath == "/repo")
        #expect(settings.snapshotName == "s")
        #expect(settings.target == .cluster(try ServiceURL.parse("https://t:9200")))
        #expect(settings.coordinatorPath == "/c")
        #expect(settings.deadLettersPath == "/c/dead-letters.jsonl")
        #expect(settings.indices == IndexSelection())
        #expect(settings.authentication == .none)
        #expect(settings.limits.workerCount == 4)
        #expect(settings.limits.connectionLimit == 10)
        #expect(settings.limits.bulkBytes == 5 << 20)
        #expect(settings.limits.memoryBudgetBytes == 64 << 20)
        #expect(settings.limits.retryDuration == .seconds(600))
        #expect(settings.limits.requestTimeout == .seconds(120))
        #expect(settings.watching.adminAddress == nil)
        #expect(settings.warnings.isEmpty)
    }

    /// The table's default texts and the values that apply are written in two places.
    @Test func theDocumentedDefaultsAreTheRealOnes() throws {
        let implied = try load(Self.least)
        let arguments = BackfillFlags.all.filter { $0.name != "--sigv4-service" }.compactMap { flag in
            flag.defaultText.map { "\(flag.name)=\($0)" }
        }
        let explicit = try load(Self.least + arguments)
        #expect(arguments.count >= 12)
        #expect(explicit.limits == implied.limits)
        #expect(explicit.tls == implied.tls)
        #expect(explicit.indices == implied.indices)
        #expect(explicit.isCompressed == implied.isCompressed && explicit.acceptsPartial == implied.acceptsPartial)
        #expect(
            explicit.watching.logLevel == implied.watching.logLevel
                && explicit.watching.logFormat == implied.watching.logFormat)
        #expect(explicit.progress == implied.progress)
    }

    @Test func everythingGiven() throws {
        let settings = try load(
            [
                "--repository=file:///r%20o", "--snapshot=s", "--target=https://t/p", "--coordinator=file:///c/",
                "--index", "a", "--index=regex:b.*", "--include-system-indices", "--accept-partial=true",
                "--username", "u", "--password-file", "/pw", "--ca-file", "/ca", "--client-certificate", "/cc",
                "--client-key", "/ck", "--compress", "--workers=2", "--connections=3", "--bulk-bytes=1MiB",
                "--bulk-documents=7", "--memory-budget=8MiB", "--retry-for=90s", "--request-timeout=1m",
                "--dead-letters=/d", "--admin=[::1]:9600", "--log-level=debug", "--log-format=json", "--progress=none",
            ], files: ["/pw": "hunter2\n"])
        #expect(settings.repositoryPath == "/r o")
        #expect(settings.indices.patterns.map(\.text) == ["a", "regex:b.*"])
        #expect(settings.indices.includesSystemIndices && settings.acceptsPartial && settings.isCompressed)
        #expect(settings.authentication == .basic(user: "u", password: Secret("hunter2")))
        #expect(settings.tls.caFile == "/ca" && settings.tls.clientCertificateFile == "/cc")
        #expect(settings.tls.clientKeyFile == "/ck")
        #expect(settings.limits.workerCount == 2 && settings.limits.connectionLimit == 3)
        #expect(settings.limits.bulkBytes == 1 << 20 && settings.limits.bulkDocumentCount == 7)
        #expect(settings.limits.memoryBudgetBytes == 8 << 20)
        #expect(settings.limits.retryDuration == .seconds(90) && settings.limits.requestTimeout == .seconds(60))
        #expect(settings.deadLettersPath == "/d")
        #expect(settings.watching.adminAddress == HostAndPort(host: "::1", port: 9600))
        #expect(settings.watching.logLevel == .debug && settings.watching.logFormat == .json)
        #expect(settings.progress == .none)
    }

    @Test func theEnvironmentFillsWhatTheArgumentsLeaveOut() throws {
        let settings = try load(
            ["--target", "http://argument", "--index", "a"],
            environment: [
                "MILLRACE_REPOSITORY": "/r", "MILLRACE_SNAPSHOT": "s", "MILLRACE_TARGET": "http://environment",
                "MILLRACE_COORDINATOR": "file:///c", "MILLRACE_INDEX": "b c", "MILLRACE_COMPRESS": "1",
                "MILLRACE_USERNAME": "u", "MILLRACE_PASSWORD": "p", "MILLRACE_ADMIN": "",
            ])
        #expect(settings.target == .cluster(try ServiceURL.parse("http://argument")))
        #expect(settings.indices.patterns == [.exact("a")])
        #expect(settings.isCompressed)
        #expect(settings.authentication == .basic(user: "u", password: Secret("p")))
        #expect(settings.warnings == ["credentials are sent to the target without TLS"])
        let many = try load(Self.least, environment: ["MILLRACE_INDEX": "b \n regex:c.*"])
        #expect(many.indices.patterns.map(\.text) == ["b", "regex:c.*"])
    }

    @Test func everyMistakeIsReportedAtOnce() {
        let found = mistakes(
            [
                "--snapshto", "s", "--target", "t:9200", "--index", "logs-*", "--index", "regex:(", "--workers", "many",
                "--bulk-bytes", "1GiB", "--retry-for", "5", "--password", "x", "--admin", "nowhere", "stray",
                "--log-level", "loud", "--insecure=maybe", "--request-timeout",
            ], environment: ["MILLRACE_CONNECTIONS": "0"])
        let expected = [
            "--snapshto: unknown flag; did you mean --snapshot?",
            "--password: a secret is not taken from the arguments; use --password-file or MILLRACE_PASSWORD",
            "unexpected argument \"stray\"; settings begin with --", "--request-timeout: needs a value",
            "--repository: required", "--snapshot: required", "--index: \"logs-*\" holds a wildcard",
            "--index: the expression \"(\" is wrong at character 1", "--target: is not a URL", "--insecure: \"maybe\"",
            "--workers: \"many\" is not a whole number", "MILLRACE_CONNECTIONS: 0 is outside 1 to 1000",
            "--bulk-bytes: 1GiB is outside 64KiB to 100MiB", "--retry-for: \"5\" is not a time",
            "--admin: \"nowhere\" is not an address", "--log-level: \"loud\" is none of debug, info, warning, error",
        ]
        for text in expected { #expect(found.contains { $0.hasPrefix(text) }, "\(text) in \(found)") }
        #expect(found.count == expected.count)
    }

    @Test(arguments: [
        (["--username", "u"], "belong together"), (["--password-file", "/pw"], "belong together"),
        (["--username", "u", "--password-file", "/pw", "--sigv4-region", "r"], "contradict"),
        (["--sigv4-service", "es"], "needs --sigv4-region"), (["--client-key", "/k"], "belong together"),
        (["--insecure", "--ca-file", "/ca"], "contradict"), (["--username", "a:b", "--password-file", "/pw"], "colon"),
        (["--memory-budget", "16MiB"], "could not be filled"),
        (["--retry-for", "5s", "--request-timeout", "10s"], "no request would be tried twice"),
        (["--snapshot", "again"], "given 2 times"), (["--username", "u", "--password-file", "/no"], "no such file"),
        (["--username", "u", "--password-file", "/empty"], "is empty"), (["-x"], "unexpected argument"),
        (["--index="], "needs a value"), (["--sigv4-region", "r", "--sigv4-service", "s3"], "none of es, aoss"),
        (["--zzzzzzzzzzzzzzzzzzzz"], "unknown flag"),
    ])
    func contradictionsAreMistakes(arguments: [String], message: String) {
        let found = mistakes(Self.least + arguments, files: ["/pw": "p", "/empty": "\n"])
        #expect(found.count == 1)
        #expect(found.first?.contains(message) == true, "\(found)")
    }

    @Test func placesThatComeLaterAreSaidSo() {
        for scheme in ["s3", "gs"] {
            let found = mistakes(["--repository", "\(scheme)://b/p"] + Self.least.dropFirst(2))
            #expect(found.count == 1 && found[0].contains("not supported yet"))
        }
        let found = mistakes(Self.least.dropLast() + ["https://t"])
        #expect(found.count == 1 && found[0].contains("not supported yet"))
        #expect(
            mistakes(Array(Self.least.dropLast(2))) == [
                "--coordinator: required: the folder for checkpoints, file:///FOLDER"
            ])
    }

    @Test func theNullTargetNeedsNoCoordinator() throws {
        let settings = try load(["--repository", "r", "--snapshot", "s", "--target", "null:"])
        #expect(settings.target == .null && settings.coordinatorPath == nil && settings.deadLettersPath == nil)
    }

    @Test func certificatesWithoutTLSAreAMistake() {
        let plain = ["--repository", "/r", "--snapshot", "s", "--target", "http://t", "--coordinator", "file:///c"]
        #expect(mistakes(plain + ["--insecure", "--client-key", "/k", "--client-certificate", "/c"]).count == 3)
    }

    @Test func derivedLimitsFollowWhatIsGiven() throws {
        #expect(try load(Self.least + ["--connections", "40"]).limits.memoryBudgetBytes == 200 << 20)
        #expect(try load(Self.least + ["--retry-for", "30s"]).limits.requestTimeout == .seconds(30))
    }

    @Test func noDescriptionShowsASecret() throws {
        let settings = try load(
            Self.least + ["--username", "u"], environment: ["MILLRACE_PASSWORD": "hunter2"])
        let shown = settings.describe()
        #expect(shown.contains { $0.name == "--password" && $0.value == "[redacted]" })
        #expect(shown.contains { $0.name == "--target" && $0.value == "https://t:9200" })
        var dumped = ""
        dump(settings, to: &dumped)
        for text in ["\(shown)", String(reflecting: settings.authentication), "\(settings.authentication)"] {
            #expect(!text.contains("hunter2"))
        }
        #expect(!dumped.contains("hunter2"))
    }

    @Test func helpGoesBeforeMistakes() throws {
        for flag in ["--help", "-h"] {
            let request = try BackfillSettings.load(arguments: ["--nonsense", flag], environment: { _ in nil })
            guard case .help(let text) = request else {
                Issue.record("no help")
                continue
            }
            #expect(text == BackfillUsage.text)
        }
    }

    @Test func filesAreReadAndMissingOnesNamed() throws {
        #expect(throws: Never.self) { try SmallFile.read("/proc/self/status").get() }
        let problem = #expect(throws: ValueProblem.self) { try SmallFile.read("/proc/none").get() }
        #expect(problem?.message == "/proc/none: No such file or directory")
        #expect(throws: ValueProblem.self) { try SmallFile.read("/dev/zero").get() }
    }
}

@Suite struct BackfillUsageTests {
    @Test func everyFlagAndStatusIsInTheUsageText() {
        let text = BackfillUsage.text
        for flag in BackfillFlags.all { #expect(text.contains(flag.isSecret ? flag.environmentName : flag.name)) }
        for status in ExitStatus.allCases { #expect(text.contains("\n  \(status.rawValue) ")) }
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 110 })
    }

    @Test func namesAreUniqueAndVariablesFollowThem() {
        #expect(Set(BackfillFlags.all.map(\.name)).count == BackfillFlags.all.count)
        #expect(BackfillFlags.all.first { $0.name == "--bulk-bytes" }?.environmentName == "MILLRACE_BULK_BYTES")
    }

    @Test func theReferencePageIsCurrent() throws {
        try UsageGolden.check(BackfillUsage.markdown, "Sources/Backfill/Backfill.docc/Flags.md")
    }

    @Test func theNearestNameIsFoundWithinReason() {
        #expect(FlagParser.nearest("--conections", in: ["--connections", "--compress"]) == "--connections")
        #expect(FlagParser.nearest("--frobnicate", in: ["--connections", "--compress"]) == nil)
        #expect(FlagParser.editDistance(Array("kitten".utf8), Array("sitting".utf8)) == 3)
        #expect(FlagParser.editDistance([], Array("abc".utf8)) == 3)
    }
}
