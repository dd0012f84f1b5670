import Testing

@testable import Settings

@Suite struct SnapshotToolSettingsTests {
    private func load(
        _ verb: SnapshotToolSettings.Verb, _ arguments: [String], _ environment: [String: String] = [:]
    ) throws(SettingsError) -> SnapshotToolSettings.Request {
        try SnapshotToolSettings.load(verb, arguments: arguments, environment: { environment[$0] })
    }

    @Test("flags, their short form and the environment")
    func given() throws {
        let cases: [[String]] = [
            ["-o", "json"], ["-o=json"], ["--output", "json"], ["--output=json"],
        ]
        for form in cases {
            guard case .run(let settings) = try load(.show, ["--snapshot", "a"] + form, ["MILLRACE_REPOSITORY": "/r"])
            else {
                Issue.record("help was not asked for")
                continue
            }
            #expect(settings.repositoryPath == "/r" && settings.snapshotName == "a" && settings.output == .json)
        }
        guard case .run(let settings) = try load(.list, ["--repository", "file:///a%20b"]) else { return }
        #expect(settings.repositoryPath == "/a b" && settings.output == .text)
        guard case .help = try load(.list, ["-h"]) else {
            Issue.record("help was asked for")
            return
        }
    }

    @Test("every mistake at once")
    func mistakes() {
        let error = #expect(throws: SettingsError.self) { try load(.show, ["-o", "xml", "--repositry", "x"]) }
        let settings = error?.problems.map { $0.setting ?? "" } ?? []
        #expect(Set(settings) == ["--repositry", "--repository", "--snapshot", "--output"])
        let surplus = #expect(throws: SettingsError.self) { try load(.list, ["--repository", "x", "--snapshot", "y"]) }
        #expect(surplus?.problems.map(\.setting) == ["--snapshot"])
    }
}
