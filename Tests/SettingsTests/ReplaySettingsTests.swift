import TestSupport
import Testing

@testable import Settings

@Suite struct ReplaySettingsTests {
    private static let least = [
        "--log", "file:///log?group=g", "--target", "http://t:9200", "--tuples", "/t", "--dead-letters", "/d",
    ]

    private func load(_ more: [String] = [], least: [String] = Self.least) throws -> ReplaySettings {
        let request = try ReplaySettings.load(
            arguments: least + more, environment: { _ in nil }, processorCount: 4,
            readFile: { _ in .success(Array("{}".utf8)) })
        guard case .run(let settings) = request else { throw SettingsError(problems: []) }
        return settings
    }

    private func problems(_ arguments: [String], least: [String] = Self.least) -> [String] {
        do {
            _ = try load(arguments, least: least)
            return []
        } catch {
            return (error as? SettingsError)?.problems.map(\.description) ?? ["\(error)"]
        }
    }

    @Test func theLeastIsEnough() throws {
        let settings = try load()
        #expect(settings.speed == .factor(1) && settings.start == .earliest && settings.end == .never)
        #expect(settings.limits.workerCount == 4 && settings.limits.inFlightCount == 256)
        #expect(settings.deadlines.giveUpWrites == nil && settings.deadlines.giveUpReads == .seconds(60))
        #expect(settings.tuples.folder == "/t" && settings.deadLettersFolder == "/d")
        #expect(settings.capturedCredentials == .remove && settings.generatedIDs == .source)
    }

    @Test func everyMistakeIsToldAtOnce() {
        let told = problems(
            ["--speed", "fast", "--until", "tomorrow", "--in-flight", "0", "--from", "0:x"], least: ["--log", "mock:x"])
        #expect(told.count == 8, "\(told)")
        for name in ["--log", "--target", "--tuples", "--dead-letters", "--speed", "--until", "--in-flight", "--from"] {
            #expect(told.contains { $0.hasPrefix("\(name):") }, "\(name) is missing in \(told)")
        }
    }

    @Test(arguments: [
        (["--captured-credentials", "keep", "--username", "u", "--password-file", "/p"], "--captured-credentials"),
        (["--group-instance", "a"], "--group-instance"),
        (["--speed", "max", "--longest-gap", "1s"], "--longest-gap"),
        (["--speed", "0.05"], "--speed"),
        (["--memory", "1MiB"], "--memory"),
        (["--dead-letters", "/t"], "--dead-letters"),
        (["--ca-file", "/ca"], "--ca-file"),
    ])
    func contradictionsAreRefused(_ arguments: [String], _ name: String) {
        let least = name == "--dead-letters" ? Array(Self.least.dropLast(2)) : Self.least
        let told = problems(arguments, least: least)
        #expect(told.count == 1 && told[0].hasPrefix("\(name):"), "\(told)")
    }

    @Test func placesAreRead() throws {
        #expect(try load(["--from", "0:5,3:900"]).start == .offsets([0: 5, 3: 900]))
        #expect(try load(["--from", "latest"]).start == .latest)
        #expect(try load(["--until", "end"]).end == .end)
        #expect(try load(["--until", "2026-11-25T08:00:00.5Z"]).end == .time(milliseconds: 1_795_593_600_500))
        #expect(try load(["--give-up-after", "never", "--give-up-reads-after", "never"]).deadlines.giveUpReads == nil)
        #expect(try load(["--give-up-after", "2h"]).deadlines.giveUpWrites == .seconds(7200))
    }

    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59.999Z", 951_868_799_999),
            ("2024-12-31T00:00:00Z", 1_735_603_200_000), ("2100-03-01T00:00:00Z", 4_107_542_400_000),
            ("2100-02-29T00:00:00Z", nil), ("2026-13-01T00:00:00Z", nil), ("2026-11-25T08:00:00", nil),
            ("2026-11-25 08:00:00Z", nil), ("2026-11-25T08:00:00.Z", nil), ("2026-11-25T24:00:00Z", nil), ("", nil),
        ] as [(String, Int64?)])
    func timesAreRead(_ text: String, _ milliseconds: Int64?) {
        #expect(UTCTimeText.milliseconds(text) == milliseconds)
    }
}

@Suite struct ReplayUsageTests {
    @Test func theReferencePageIsCurrent() throws {
        try UsageGolden.check(ReplayUsage.markdown, "Sources/Replay/Replay.docc/Flags.md")
    }
}
