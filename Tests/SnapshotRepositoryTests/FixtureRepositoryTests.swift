import BlobStore
import JSONBytes
import SnapshotFormat
import SnapshotRepository
import Testing

/// Every fixture repository against what its engine said about it.
@Suite("Fixture repositories")
struct FixtureRepositoryTests {
    private static let skipNote: Comment = "SKIPPED: no unpacked fixtures (set MILLRACE_FIXTURES to their folder)"

    @Test(
        "The engine's own description holds", .enabled(if: FixtureRepositories.isPresent, skipNote),
        arguments: FixtureRepositories.all)
    func unpackedMatchesDescription(_ variant: FixtureRepositories.Variant) throws {
        try matchesDescription(variant)
    }

    @Test("The engine's own description holds, committed ones", arguments: FixtureRepositories.committed)
    func committedMatchesDescription(_ variant: FixtureRepositories.Variant) throws {
        try matchesDescription(variant)
    }

    @Test("Twelve repositories are committed")
    func committedCount() { #expect(FixtureRepositories.committed.count == 12) }

    private func matchesDescription(_ variant: FixtureRepositories.Variant) throws {
        let reader = RepositoryReader(store: try FileBlobStore(path: variant.repository), cancellation: .never)
        let about = try variant.about()
        let described = try #require(about["snapshots"]?.arrayValue)
        if variant.isTooOld {
            let error = #expect(throws: RepositoryError.self) { try reader.snapshotNames() }
            #expect(error?.code == .unsupported)
            let age = variant.engine.hasPrefix("elasticsearch-1.") ? "Elasticsearch 1.x" : "Elasticsearch 2.x"
            #expect(error?.message.contains(age) == true, "\(error?.message ?? "")")
            return
        }
        #expect(try reader.snapshotNames() == described.compactMap { $0["name"]?.stringValue }.sorted())
        for entry in described {
            let name = try #require(entry["name"]?.stringValue)
            let snapshot = try reader.open(snapshot: name)
            try check(snapshot, entry, about, variant, reader)
        }
    }

    private func check(
        _ snapshot: SnapshotDescription, _ entry: JSONValue, _ about: JSONValue, _ variant: FixtureRepositories.Variant,
        _ reader: RepositoryReader
    ) throws {
        let expectedState = try #require(entry["state"]?.stringValue)
        #expect("\(snapshot.state)".uppercased() == expectedState)
        if let uuid = entry["uuid"]?.stringValue { #expect(snapshot.uuid == uuid) }
        if let version = entry["version"]?.stringValue {
            #expect(snapshot.engineVersionText == "Elasticsearch \(version)")
        }
        let names = entry["indices"]?.arrayValue?.compactMap(\.stringValue) ?? entry["indices"]?.objectValue?.map(\.key)
        #expect(snapshot.indices.map(\.name) == names?.sorted())
        let failures = try #require(entry["failures"]?.arrayValue)
        let found = Set(snapshot.failures.map { "\($0.index)/\($0.shard ?? -1)" })
        #expect(found == Set(failures.map(Self.failedShard)))
        for index in snapshot.indices {
            let description = entry["indices"]?[index.name] ?? about["indices"]?[index.name]
            try check(index, try #require(description), found, variant, reader)
        }
        if variant.name == "metadata", snapshot.includesGlobalState == true {
            #expect(try reader.globalMetadata(snapshot)?["meta-data"] != nil)
        }
    }

    private static func failedShard(_ failure: JSONValue) -> String {
        let shard = failure["shard_id"] ?? failure["shard"]
        return "\(failure["index"]?.stringValue ?? "")/\(shard?.intValue ?? -1)"
    }

    private func check(
        _ index: SnapshotIndex, _ description: JSONValue, _ failed: Set<String>, _ variant: FixtureRepositories.Variant,
        _ reader: RepositoryReader
    ) throws {
        if let shards = description["shards_in"]?[index.snapshotName]?.objectValue {
            // `shards` of the newer form is about the last snapshot; an index may have been made anew in between.
            let presentCount = shards.count { $0.value["path"] != nil }
            #expect(index.shardCount == presentCount + failed.count { $0.hasPrefix("\(index.name)/") })
        } else {
            #expect(Int64(index.shardCount) == description["shards"]?.intValue)
        }
        // In the newer form `uuid` is the folder, in the older one the index's own.
        if let uuid = description["uuid"]?.stringValue {
            let own = IndexMetadata.settingText(index.settings, "index.uuid")
            #expect(description["settings"] == nil ? index.id == uuid : own == uuid)
        }
        #expect(index.sourceMode == Self.sourceMode(index, description, variant), "\(index.name)")
        for shard in 0..<index.shardCount {
            if failed.contains("\(index.name)/\(shard)") {
                let error = #expect(throws: RepositoryError.self) { try reader.directory(index, shard: shard) }
                #expect(error?.code == .unreadable)
                #expect(error?.message.contains("snap-\(index.snapshotUUID).dat") == true)
                continue
            }
            let directory = try reader.directory(index, shard: shard)
            if variant.isWhole { try checkFiles(directory) }
            if let expected = description["shards_in"]?[index.snapshotName]?["\(shard)"] {
                #expect(directory.folder == expected["path"]?.stringValue)
                #expect(Int64(directory.files.count) == expected["files"]?.intValue)
                #expect(Int64(directory.files.filter(\.isVirtual).count) == expected["virtual_files"]?.intValue)
                #expect(directory.totalBytes == expected["bytes"]?.intValue)
                let segmentsFile = try #require(expected["segments_file"]?.stringValue)
                #expect(directory.fileNames.contains(segmentsFile))
                for segment in expected["segments"]?.arrayValue ?? [] { try checkSegment(directory, segment) }
            } else {
                for segment in description["segments"]?.arrayValue ?? []
                where segment["shard"]?.intValue == Int64(shard) {
                    let name = try #require(segment["segment"]?.stringValue)
                    // `about.json` lists segments of the commit before the snapshot: a merge may have come since.
                    if let length = directory.length(of: "\(name).si") { #expect(length > 0) }
                }
                #expect(directory.fileNames.filter { $0.hasPrefix("segments_") }.count == 1)
            }
        }
    }

    /// The newer descriptions list a segment's files.
    private func checkSegment(_ directory: ShardDirectory, _ segment: JSONValue) throws {
        guard let list = segment["files"]?.stringValue else { return }
        for name in list.dropFirst().dropLast().split(separator: ",") {
            let file = String(name.drop { $0 == " " })
            #expect(directory.length(of: file) != nil, "\(file)")
        }
    }

    /// Every blob is as long as the list says, and every file ends with the checksum that the list gives.
    private func checkFiles(_ directory: ShardDirectory) throws {
        try directory.checkSizes()
        for file in directory.files {
            let length = try #require(directory.length(of: file.physicalName))
            try #require(length >= 16)
            var footer = [UInt8](repeating: 0, count: 16)
            try footer.withUnsafeMutableBytes { try directory.read(file.physicalName, at: length - 16, into: $0) }
            #expect(Array(footer[..<4]) == [0xC0, 0x28, 0x93, 0xE8], "\(directory.location)/\(file.physicalName)")
            let checksum = footer[8...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            #expect(String(checksum, radix: 36) == file.checksumText)
        }
    }

    private static func sourceMode(
        _ index: SnapshotIndex, _ description: JSONValue, _ variant: FixtureRepositories.Variant
    ) -> SourceMode {
        // Elasticsearch before 8.7 stores the source of time series indices; the description goes by the variant.
        if variant.engine == "elasticsearch-8.5.3", index.name == "tsdb" { return .stored }
        switch description["source"]?.stringValue {
        case "none": return .disabled
        case "filtered": return .filtered
        case "synthetic": return .synthetic
        default: break
        }
        guard variant.name == "stored" else { return .stored }
        if index.name.hasPrefix("nosource") { return .disabled }
        return index.name.hasPrefix("excl") || index.name.hasPrefix("incl") ? .filtered : .stored
    }
}
