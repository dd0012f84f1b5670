import Glibc
import JSONBytes
import Testing

/// The unpacked fixture repositories: one folder an engine, in it one a variant with `repo/` and `about.json`.
enum FixtureRepositories {
    struct Variant: Sendable, CustomTestStringConvertible {
        let engine: String
        let name: String
        let path: String
        var repository: String { path + "/repo" }
        var testDescription: String { "\(engine)/\(name)" }

        /// Whether the data blobs are there, not only the metadata.
        var isWhole: Bool {
            !path.hasPrefix(committedRoot) || committedWhole.contains("\(engine)/\(name)")
        }

        /// Elasticsearch 1.x and 2.x.
        var isTooOld: Bool { engine.hasPrefix("elasticsearch-1.") || engine.hasPrefix("elasticsearch-2.") }

        func about() throws -> JSONValue { try JSONValue.parse(try fileBytes(path + "/about.json")) }
    }

    /// `MILLRACE_FIXTURES`, else `millrace-fixtures` in the cache folder.
    static let root: String = {
        func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        if let given = environment("MILLRACE_FIXTURES") { return given }
        let cache = environment("XDG_CACHE_HOME") ?? (environment("HOME") ?? "") + "/.cache"
        return cache + "/millrace-fixtures"
    }()

    /// Empty when the fixtures are not unpacked.
    static let all: [Variant] = folders(root).sorted().flatMap { engine in
        folders("\(root)/\(engine)").sorted()
            .map { Variant(engine: engine, name: $0, path: "\(root)/\(engine)/\($0)") }
            .filter { access($0.path + "/about.json", R_OK) == 0 }
    }

    static var isPresent: Bool { !all.isEmpty }

    /// Committed beside the tests (see the README there). Only these hold their data blobs as well.
    static let committedRoot =
        #filePath.split(separator: "/").dropLast(2).reduce("") { "\($0)/\($1)" } + "/Fixtures/snapshot"
    static let committed: [Variant] = folders(committedRoot).sorted().flatMap { engine in
        folders("\(committedRoot)/\(engine)").sorted()
            .map { Variant(engine: engine, name: $0, path: "\(committedRoot)/\(engine)/\($0)") }
    }
    static let committedWhole: Set<String> = [
        "elasticsearch-7.10.2/partial", "elasticsearch-9.1.0/synthetic", "opensearch-2.19.1/hashed-prefix",
    ]

    private static func folders(_ path: String) -> [String] {
        guard let stream = opendir(path) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix("."), Int(entry.pointee.d_type) == Int(DT_DIR) { names.append(name) }
        }
        return names
    }
}

struct FileFailure: Error { let path: String }

func fileBytes(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "r") else { throw FileFailure(path: path) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&block, 1, block.count, file)
        if count == 0 { return bytes }
        bytes += block[..<count]
    }
}
