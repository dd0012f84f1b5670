import Glibc
import Testing

@testable import millrace_fuzz

/// Inputs that once broke a fuzz target (`.ci/fuzz` keeps them), of every target. A case that breaks it again traps.
@Suite struct FailCaseTests {
    private static let fixtures =
        #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 } + "/Fixtures"

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

    /// Runs every file of a folder of folders through the target that its folder names.
    private func replay(_ kind: String) throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for name in names(in: "\(Self.fixtures)/\(kind)") {
            let target = try #require(FuzzTargets.named(name), "no target \(name)")
            for file in names(in: "\(Self.fixtures)/\(kind)/\(name)") {
                let bytes = try #require(FuzzRun.contents(of: "\(Self.fixtures)/\(kind)/\(name)/\(file)"))
                bytes.withUnsafeBytes(target)
                counts[name, default: 0] += 1
            }
        }
        return counts
    }

    @Test func foundCasesStayMended() throws {
        #expect(try !replay("FailCases").isEmpty)
    }

    @Test func everyTargetHasSeedsThatItTakes() throws {
        let counts = try replay("FuzzSeeds")
        for target in FuzzTargets.all { #expect(counts[target.key, default: 0] > 0, "\(target.key)") }
    }

    /// Otherwise the fuzzer would start from shards that fail at once.
    @Test func packedShardsYieldDocuments() throws {
        let folder = "\(Self.fixtures)/FuzzSeeds/lucene-shard"
        for file in names(in: folder) {
            let bytes = try #require(FuzzRun.contents(of: "\(folder)/\(file)"))
            #expect(bytes.withUnsafeBytes { readPackedShard($0) } > 0, "\(file)")
        }
    }
}
