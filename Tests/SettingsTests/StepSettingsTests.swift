import Testing

@testable import Settings

@Suite struct StepSettingsTests {
    private func load(_ verb: StepSettings.Verb, _ arguments: String...) throws(SettingsError) -> StepSettings {
        let request = try StepSettings.load(verb, arguments: arguments, environment: { _ in nil })
        guard case .run(let settings) = request else { preconditionFailure("help") }
        return settings
    }

    private func problems(_ verb: StepSettings.Verb, _ arguments: String...) -> [String] {
        do throws(SettingsError) {
            _ = try StepSettings.load(verb, arguments: arguments, environment: { _ in nil })
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test func aSnapshotIsOrdered() throws {
        let settings = try load(
            .snapshot, "--source", "http://old:9200", "--repository-name", "r", "--snapshot", "s", "--index", "a-*",
            "--index", "-a-tmp", "--global-state", "false", "--rate-limit", "10MB")
        guard case .snapshot(let step) = settings else { preconditionFailure("another step") }
        #expect(step.indices == ["a-*", "-a-tmp"])
        #expect(!step.includesGlobalState && step.isCompressed && !step.acceptsPartial)
        #expect(step.rateLimitBytes == 10_000_000)
        #expect(step.location == nil)
    }

    @Test func metadataIsSelected() throws {
        let settings = try load(
            .metadata, "--repository", "file:///r", "--snapshot", "s", "--target", "http://new", "--index",
            "regex:a.*", "--replicas", "0", "--evaluate")
        guard case .metadata(let step) = settings else { preconditionFailure("another step") }
        #expect(step.repositoryPath == "/r")
        #expect(step.selection.selects("ab") && !step.selection.selects("b"))
        #expect(step.replicas == 0 && step.isEvaluation)
        #expect(step.common.cluster.description == "http://new:80")
    }

    @Test func everyMistakeIsToldAtOnce() {
        let found = problems(.validate, "--target", "ftp://x", "--tolerance", "-1", "--output", "xml")
        #expect(found.count == 4)
        #expect(found.contains("--expected: required"))
    }

    @Test func theReferencePageIsCurrent() throws {
        let pages = StepSettings.Verb.allCases.map { StepSettings.page($0).markdown }
        try UsageGolden.check(pages.joined(separator: "\n"), "Sources/Metadata/Metadata.docc/Steps.md")
    }
}
