import CISAL
import Foundation
import JSONBytes
import Testing

/// Snapshots that real engines wrote, with the documents that each must yield.
///
/// All of them when `../shared/fixtures` lies beside the project (or `MILLRACE_FIXTURES` names the unpacked folder),
/// otherwise the selection under `Tests/Fixtures/repositories`.
struct FixtureCatalog {
    /// `<engine>-<version>/<variant>`.
    struct Fixture: Sendable, CustomTestStringConvertible {
        let name: String
        let folder: URL

        var repository: String { folder.appendingPathComponent("repo").path }
        var engine: String { String(name.prefix { $0 != "/" }) }
        var testDescription: String { name }

        /// Elasticsearch 7.0–9.x and OpenSearch 1–3.
        var isInScope: Bool {
            ["elasticsearch-7.", "elasticsearch-8.", "elasticsearch-9.", "opensearch-"].contains { name.hasPrefix($0) }
        }

        func about() throws -> JSONValue {
            try JSONValue.parse([UInt8](Data(contentsOf: folder.appendingPathComponent("about.json"))))
        }

        func snapshotNames() throws -> [String] {
            (try about()["snapshots"]?.arrayValue ?? []).compactMap {
                $0.stringValue ?? $0["name"]?.stringValue ?? $0["snapshot"]?.stringValue
            }
        }

        /// One row a live root document of `snapshot`.
        func expected(snapshot: String) throws -> [ExpectedDocument] {
            let packed = try [UInt8](Data(contentsOf: folder.appendingPathComponent("expected.ndjson.gz")))
            var count = 0
            guard let memory = millrace_gunzip(packed, packed.count, 1 << 30, &count) else { throw Unreadable() }
            defer { free(memory) }
            let bytes = UnsafeRawBufferPointer(start: memory, count: count)
            var rows: [ExpectedDocument] = []
            for line in bytes.split(separator: 0x0A) {
                let row = try JSONValue.parse(UnsafeRawBufferPointer(rebasing: line))
                if let name = row["snapshot"]?.stringValue, name != snapshot { continue }
                rows.append(ExpectedDocument(row))
            }
            return rows
        }
    }

    struct Unreadable: Error {}

    struct ExpectedDocument {
        let index: String
        let id: String
        let routing: String?
        /// Nil where no source is stored.
        let sha256: String?
        let length: Int64?

        init(_ row: JSONValue) {
            index = row["index"]?.stringValue ?? ""
            id = row["id"]?.stringValue ?? ""
            routing = row["routing"]?.stringValue ?? row["parent"]?.stringValue
            sha256 = row["sha256"]?.stringValue
            length = row["length"]?.intValue
        }
    }

    static let projectFolder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static let all: [Fixture] = {
        let folder = unpackedFolder()
        var found: [Fixture] = []
        for engine in names(in: folder) {
            for variant in names(in: folder.appendingPathComponent(engine)) {
                let place = folder.appendingPathComponent(engine).appendingPathComponent(variant)
                guard FileManager.default.fileExists(atPath: place.appendingPathComponent("about.json").path) else {
                    continue
                }
                found.append(Fixture(name: "\(engine)/\(variant)", folder: place))
            }
        }
        return found
    }()

    static var inScope: [Fixture] { all.filter(\.isInScope) }

    private static func names(in folder: URL) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).filter { !$0.hasPrefix(".") }
            .sorted()
    }

    private static func unpackedFolder() -> URL {
        if let folder = ProcessInfo.processInfo.environment["MILLRACE_FIXTURES"] { return URL(fileURLWithPath: folder) }
        let script = projectFolder.appendingPathComponent("../shared/fixtures/unpack.sh").standardizedFileURL
        if FileManager.default.fileExists(atPath: script.path),
            let folder = try? run("/bin/bash", [script.path]).split(separator: "\n").last
        {
            return URL(fileURLWithPath: String(folder))
        }
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("millrace-fixtures-\(getpid())")
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let archives = projectFolder.appendingPathComponent("Tests/Fixtures/repositories")
        for name in names(in: archives) where name.hasSuffix(".tar.xz") {
            _ = try? run("/bin/tar", ["-xJf", archives.appendingPathComponent(name).path, "-C", folder.path])
        }
        return folder
    }

    private static func run(_ program: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Unreadable() }
        return String(decoding: data, as: UTF8.self)
    }
}
