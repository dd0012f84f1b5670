import Glibc
import Testing

@testable import millrace_fuzz

/// Inputs that once broke a fuzz target (`.ci/fuzz` keeps them), of every target. A case that breaks it again traps.
@Suite struct FailCaseTests {
    private static let folder =
        #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 }
        + "/Fixtures/FailCases"

    private func names(in folder: String) -> [String] {
        guard let entries = opendir(folder) else { return [] }
        defer { closedir(entries) }
        var names: [String] = []
        while let entry = readdir(entries) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    @Test func foundCasesStayMended() throws {
        var count = 0
        for name in names(in: Self.folder) {
            let target = try #require(FuzzTargets.named(name), "no target \(name)")
            for file in names(in: "\(Self.folder)/\(name)") {
                let bytes = try #require(FuzzRun.contents(of: "\(Self.folder)/\(name)/\(file)"))
                bytes.withUnsafeBytes(target)
                count += 1
            }
        }
        #expect(count > 0)
    }
}
