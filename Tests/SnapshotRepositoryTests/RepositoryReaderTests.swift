import BlobStore
import JSONBytes
import LuceneFormat
import SnapshotFormat
import Testing

@testable import SnapshotRepository

/// A framed blob with a JSON body.
private func framed(_ json: String, codec: String = "snapshot") -> [UInt8] {
    let bytes: [UInt8] =
        [0x3F, 0xD7, 0x6C, 0x17, UInt8(codec.utf8.count)] + Array(codec.utf8) + [0, 0, 0, 1] + Array(json.utf8)
        + [0xC0, 0x28, 0x93, 0xE8, 0, 0, 0, 0]
    let crc = ~bytes.reduce(~UInt32(0)) { crc, byte in
        (0..<8).reduce(crc ^ UInt32(byte)) { value, _ in value & 1 != 0 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
    }
    return bytes + [0, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: crc >> UInt32(24 - 8 * $0)) }
}

/// A repository with one snapshot `s` (uuid `su`) of one index `i` (folder `ii`), two shards.
private func smallRepository(
    base: String = "", pathType: Int = 0, files: String = "[]", state: String = "SUCCESS"
) -> [String: [UInt8]] {
    let list =
        #"{"snapshots":[{"name":"s","uuid":"su","state":1,"index_metadata_lookup":{"ii":"key"}}],"#
        + #""indices":{"i":{"id":"ii","snapshots":["su"],"shard_path_type":\#(pathType)}},"#
        + #""index_metadata_identifiers":{"key":"mu"}}"#
    return [
        "\(base)index-3": Array(list.utf8), "\(base)index.latest": [0, 0, 0, 0, 0, 0, 0, 3],
        "\(base)snap-su.dat": framed(
            #"{"snapshot":{"name":"s","uuid":"su","version_id":136407927,"indices":["i"],"#
                + #""state":"\#(state)","failures":[]}}"#
        ),
        "\(base)indices/ii/meta-mu.dat": framed(
            #"{"i":{"settings":{"index.number_of_shards":"2","index.version.created":"136407927"},"#
                + #""mappings":[],"aliases":{}}}"#,
            codec: "index-metadata"),
        "\(base)indices/ii/0/snap-su.dat": framed(#"{"name":"s","files":\#(files)}"#),
    ]
}

private func error(_ body: () throws -> Void) -> RepositoryError? {
    do {
        try body()
        return nil
    } catch { return error as? RepositoryError }
}

@Suite("RepositoryReader")
struct RepositoryReaderTests {
    private func reader(_ store: MemoryBlobStore, base: String = "") -> RepositoryReader {
        RepositoryReader(store: store, basePath: base, cancellation: .never)
    }

    @Test("A small repository, at the root and under a base path", arguments: ["", "a/b/"])
    func small(_ base: String) throws {
        let store = MemoryBlobStore(smallRepository(base: base))
        let reader = reader(store, base: base.isEmpty ? "" : "/a/b/")
        #expect(try reader.snapshotNames() == ["s"])
        let snapshot = try reader.open(snapshot: "s")
        #expect(snapshot.state == .success)
        #expect(snapshot.engineVersionText == "OpenSearch 2.19.1")
        #expect(snapshot.indices.map(\.name) == ["i"])
        let index = try #require(snapshot.indices.first)
        #expect(index.id == "ii")
        #expect(index.shardCount == 2)
        #expect(try reader.directory(index, shard: 0).fileNames == [])
        let missing = error { _ = try reader.directory(index, shard: 1) }
        #expect(missing?.code == .unreadable)
        #expect(missing?.message.contains("memory://repo/\(base)indices/ii/1/snap-su.dat") == true)
    }

    @Test("An unknown snapshot lists those there are")
    func unknown() {
        let store = MemoryBlobStore(smallRepository())
        let failure = error { _ = try reader(store).open(snapshot: "t") }
        #expect(failure?.code == .unreadable)
        #expect(failure?.message == "memory://repo: no snapshot 't'; there are 's'")
        store.set("incompatible-snapshots", Array(#"{"incompatible-snapshots":[{"name":"t","uuid":"x"}]}"#.utf8))
        #expect(error { _ = try reader(store).open(snapshot: "t") }?.code == .unsupported)
    }

    @Test("A newer list that is cut off does not matter, nor a pointer that leads nowhere")
    func generations() throws {
        let store = MemoryBlobStore(smallRepository())
        store.set("index-4", Array(#"{"snapshots":[{"na"#.utf8))
        #expect(try reader(store).snapshotNames() == ["s"])
        // Without the pointer the highest valid one counts.
        store.set("index.latest", nil)
        #expect(try reader(store).snapshotNames() == ["s"])
        store.set("index-10", Array(#"{"snapshots":[{"name":"new","uuid":"nu"}],"indices":{}}"#.utf8))
        #expect(try reader(store).snapshotNames() == ["new"])
        // The pointer decides, also against a higher valid list.
        store.set("index.latest", [0, 0, 0, 0, 0, 0, 0, 3])
        #expect(try reader(store).snapshotNames() == ["s"])
        for pointer: [UInt8] in [[0, 0, 0, 0, 0, 0, 0, 9], [0, 0, 0, 0, 0, 0, 0, 4], [1, 2, 3], []] {
            store.set("index.latest", pointer)
            #expect(try reader(store).snapshotNames() == ["new"])
        }
    }

    @Test("Nothing valid names the first failure; trouble with the store is not taken for a damaged list")
    func noGeneration() {
        let store = MemoryBlobStore(smallRepository())
        store.set("index-3", [])
        let failure = error { _ = try reader(store).snapshotNames() }
        #expect(failure?.code == .unreadable)
        #expect(failure?.message.hasPrefix("memory://repo/index-3 at byte 0") == true)
        store.set("index-2", Array(#"{"snapshots":[],"indices":{}}"#.utf8))
        store.fail("index-3", .unavailable)
        #expect(error { _ = try reader(store).snapshotNames() }?.code == .unavailable)
        #expect(error { _ = try reader(store).snapshotNames() }?.isRetryable == true)
        store.fail("index-3", .denied)
        #expect(error { _ = try reader(store).snapshotNames() }?.isRetryable == false)
        store.fail("index.latest", .cancelled)
        #expect(error { _ = try reader(store).snapshotNames() }?.code == .cancelled)
        let empty = error { _ = try reader(MemoryBlobStore([:])).snapshotNames() }
        #expect(empty?.code == .unreadable)
        #expect(empty?.message.contains("no snapshot repository") == true)
    }

    @Test("Repositories of 1.x and 2.x are refused by age")
    func legacy() {
        let cases: [([String: [UInt8]], String)] = [
            (["index": [0x5A, 0x56, 0, 0, 1], "snapshot-a": [], "metadata-a": []], "Elasticsearch 1.x "),
            (["index": Array(#"{"snapshots":["a"]}"#.utf8), "snap-a.dat": []], "Elasticsearch 2.x "),
            (["index": Array(#"{"snapshots":["a"]}"#.utf8), "snap-a.dat": [], "snapshot-b": []], "Elasticsearch 2.x "),
            (["index": Array(#"{"snapshots":[]}"#.utf8)], "Elasticsearch 1.x or 2.x "),
        ]
        for (blobs, age) in cases {
            let failure = error { _ = try reader(MemoryBlobStore(blobs)).snapshotNames() }
            #expect(failure?.code == .unsupported)
            #expect(failure?.message.contains(age) == true)
        }
        #expect(error { _ = try reader(MemoryBlobStore(["index": [1]])).snapshotNames() }?.code == .unreadable)
    }

    @Test("Shallow snapshots and shards are refused")
    func shallow() throws {
        let store = MemoryBlobStore(smallRepository())
        let snapshot = try reader(store).open(snapshot: "s")
        let index = try #require(snapshot.indices.first)
        store.set("indices/ii/1/shallow-snap-su.dat", [])
        #expect(error { _ = try reader(store).directory(index, shard: 1) }?.code == .unsupported)
        store.set(
            "snap-su.dat",
            framed(
                #"{"snapshot":{"name":"s","uuid":"su","indices":["i"],"state":"SUCCESS","#
                    + #""remote_store_index_shallow_copy":true}}"#
            ))
        let failure = error { _ = try reader(store).open(snapshot: "s") }
        #expect(failure?.code == .unsupported)
        #expect(failure?.message.contains("shallow") == true)
    }

    @Test("Index metadata falls back to the snapshot's uuid")
    func metadataFallback() throws {
        let store = MemoryBlobStore(smallRepository())
        let metadata = try store.readAll("indices/ii/meta-mu.dat", limitBytes: 1000, cancellation: .never)
        store.set("indices/ii/meta-mu.dat", nil)
        #expect(error { _ = try reader(store).open(snapshot: "s") }?.message.contains("indices/ii/meta-mu.dat") == true)
        store.set("indices/ii/meta-su.dat", metadata)
        #expect(try reader(store).open(snapshot: "s").indices.count == 1)
        let pruned =
            #"{"snapshots":[{"name":"s","uuid":"su","index_metadata_lookup":{}}],"#
            + #""indices":{"i":{"id":"ii","snapshots":["su"]}}}"#
        store.set("index-3", Array(pruned.utf8))
        #expect(try reader(store).open(snapshot: "s").indices.count == 1)
    }

    @Test("Blobs that hold another snapshot or index, states, unlisted indices")
    func mismatches() throws {
        func failure(_ change: (MemoryBlobStore) -> Void) -> RepositoryError? {
            let store = MemoryBlobStore(smallRepository())
            change(store)
            return error { _ = try reader(store).open(snapshot: "s") }
        }
        func snapshot(_ members: String) -> [UInt8] { framed(#"{"snapshot":{\#(members)}}"#) }
        #expect(failure { _ in } == nil)
        #expect(
            failure { $0.set("snap-su.dat", snapshot(#""name":"x","uuid":"su","state":"SUCCESS""#)) }?.code
                == .unreadable)
        #expect(
            failure { $0.set("snap-su.dat", snapshot(#""name":"s","uuid":"xx","state":"SUCCESS""#)) }?.code
                == .unreadable)
        #expect(
            failure { $0.set("snap-su.dat", snapshot(#""name":"s","uuid":"su","state":"ODD""#)) }?.code == .unreadable)
        #expect(
            failure { $0.set("snap-su.dat", snapshot(#""name":"s","uuid":"su","state":"SUCCESS","indices":["j"]"#)) }?
                .message.contains("'j'") == true)
        #expect(failure { $0.set("snap-su.dat", nil) }?.message.contains("snap-su.dat") == true)
        let other = framed(#"{"j":{"settings":{"index.number_of_shards":"2"}}}"#, codec: "index-metadata")
        #expect(failure { $0.set("indices/ii/meta-mu.dat", other) }?.code == .unreadable)
        for (text, state) in [
            ("PARTIAL", SnapshotDescription.State.partial), ("FAILED", .failed), ("IN_PROGRESS", .inProgress),
            ("INCOMPATIBLE", .incompatible),
        ] {
            let store = MemoryBlobStore(smallRepository(state: text))
            #expect(try reader(store).open(snapshot: "s").state == state)
        }
    }
}

@Suite("ShardPaths")
struct ShardPathsTests {
    @Test(
        "The hash is OpenSearch's",
        arguments: [
            ("0gUUX2Ja0S6mMzn8_kCGsxA", "U11110111000110"), ("0XuAW9TWBRW2jXI7e2aqMBA", "z11111100011011"),
            ("0DV1TSemMR8Wluo9RONzu0Q", "z00010010100000"), ("1DV1TSemMR8Wluo9RONzu0Q", "_11010010011011"),
        ])
    func hash(_ input: String, _ expected: String) {
        #expect(ShardPathHash.composite.hash(input) == expected)
        let plain = ShardPathHash.base64.hash(input)
        #expect(plain.count == 11)
        #expect(plain.first == expected.first)
    }

    @Test("base64url of a known value")
    func base64() {
        // FNV-1a of nothing is the offset basis, CB F2 9C E4 84 22 23 25.
        #expect(ShardPathHash.base64.hash("") == "y_Kc5IQiIyU")
    }

    private func folders(_ store: MemoryBlobStore, base: String = "") throws -> [String] {
        let reader = RepositoryReader(store: store, basePath: base, cancellation: .never)
        let index = try reader.open(snapshot: "s").indices.first
        return try #require(index).shardFolders
    }

    @Test(
        "The companion blob counts",
        arguments: [
            "snapshot_path_ii.i.2.1.1", "snapshot_path_ii.i.5.1.0", "ii#i#2#1#1",
        ])
    func companion(_ name: String) throws {
        let store = MemoryBlobStore(smallRepository(pathType: 1))
        store.set("snapshot_shard_paths/snapshot_path_ii.i.1.1.1", Array(#"{"paths":["no"]}"#.utf8))
        store.set("snapshot_shard_paths/snapshot_path_ii.i.x.2.1.1", Array(#"{"paths":["no"]}"#.utf8))
        store.set(
            "snapshot_shard_paths/\(name)", Array(#"{"paths":["h1/indices/ii/0/","h2/indices/ii/1/","h3"]}"#.utf8))
        #expect(try folders(store) == ["h1/indices/ii/0", "h2/indices/ii/1"])
    }

    @Test(
        "A companion that is wrong is an error",
        arguments: ["{", "{}", #"{"paths":["a"]}"#, #"{"paths":["../a","b"]}"#, #"{"paths":["",1]}"#])
    func wrongCompanion(_ text: String) {
        let store = MemoryBlobStore(smallRepository(pathType: 2))
        store.set("snapshot_shard_paths/snapshot_path_ii.i.2.2.1", Array(text.utf8))
        let failure = error { _ = try folders(store) }
        #expect(failure?.code == .unreadable)
        #expect(failure?.message.contains("snapshot_path_ii.i.2.2.1") == true)
    }

    @Test("Without a companion the hash is computed", arguments: [1, 2])
    func computed(_ type: Int) throws {
        let store = MemoryBlobStore(smallRepository(base: "base/", pathType: type))
        let composite = [0, 1].map { ShardPathHash.composite.hash("\($0)ii") }
        let plain = ShardPathHash.base64.hash("1ii")
        func folder(_ hash: String, _ shard: Int) -> String {
            type == 1 ? "\(hash)/base/indices/ii/\(shard)" : "base/\(hash)/indices/ii/\(shard)"
        }
        #expect(try folders(store, base: "base") == [folder(composite[0], 0), folder(composite[1], 1)])
        store.set("\(folder("snapshare" + composite[0], 0))/snap-su.dat", [])
        store.set("\(folder(plain, 1))/snap-su.dat", [])
        #expect(try folders(store, base: "base") == [folder("snapshare" + composite[0], 0), folder(plain, 1)])
    }

    @Test(
        "Real repositories give the same folders with and without their companions",
        arguments: FixtureRepositories.committed.filter { $0.name.hasPrefix("hashed-") })
    func realFolders(_ variant: FixtureRepositories.Variant) throws {
        let files = try FileBlobStore(path: variant.repository)
        let about = try variant.about()
        for entry in try #require(about["snapshots"]?.arrayValue) {
            let name = try #require(entry["name"]?.stringValue)
            let withThem = try RepositoryReader(store: files, cancellation: .never).open(snapshot: name)
            let without = try RepositoryReader(
                store: HidingBlobStore(files, "snapshot_shard_paths"), cancellation: .never
            )
            .open(snapshot: name)
            #expect(withThem.indices.map(\.shardFolders) == without.indices.map(\.shardFolders))
            #expect(withThem.indices.allSatisfy { $0.shardFolders.allSatisfy { !$0.hasPrefix("indices/") } })
        }
    }
}

/// Another store without one folder.
private struct HidingBlobStore: BlobStore {
    let store: FileBlobStore
    let hidden: String
    var location: String { store.location }

    init(_ store: FileBlobStore, _ hidden: String) {
        self.store = store
        self.hidden = hidden
    }

    func size(of name: String) throws(BlobError) -> Int64 {
        if name.hasPrefix(hidden) { throw BlobError(code: .notFound, location: location, name: name, reason: "hidden") }
        return try store.size(of: name)
    }

    func read(
        _ name: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer, cancellation: Cancellation
    ) throws(BlobError) { try store.read(name, at: offset, into: buffer, cancellation: cancellation) }

    func list(folder: String, cancellation: Cancellation) throws(BlobError) -> [String] {
        folder.hasPrefix(hidden) ? [] : try store.list(folder: folder, cancellation: cancellation)
    }
}

@Suite("ShardDirectory")
struct ShardDirectoryTests {
    /// `_0.cfs` of 1 000 bytes in parts of 300, `_0.cfe` of 50 in one blob.
    private static let content = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 3) }

    private func store() -> MemoryBlobStore {
        let files =
            #"[{"name":"__a","physical_name":"_0.cfs","length":1000,"part_size":300},"#
            + #"{"name":"__b","physical_name":"_0.cfe","length":50,"part_size":300}]"#
        var blobs = smallRepository(files: files)
        for part in 0..<4 {
            blobs["indices/ii/0/__a.part\(part)"] = Array(Self.content[part * 300..<min(1000, part * 300 + 300)])
        }
        blobs["indices/ii/0/__b"] = Array(Self.content[..<50])
        return MemoryBlobStore(blobs)
    }

    private func directory(_ store: MemoryBlobStore, _ cancellation: Cancellation = .never) throws -> ShardDirectory {
        let reader = RepositoryReader(store: store, cancellation: cancellation)
        let snapshot = try reader.open(snapshot: "s")
        return try reader.directory(try #require(snapshot.indices.first), shard: 0)
    }

    private func read(_ directory: any LuceneDirectory, _ file: String, _ offset: Int, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        try bytes.withUnsafeMutableBytes { try directory.read(file, at: Int64(offset), into: $0) }
        return bytes
    }

    @Test("Names and lengths")
    func names() throws {
        let directory = try directory(store())
        #expect(directory.location == "i/0")
        #expect(directory.fileNames == ["_0.cfs", "_0.cfe"])
        #expect(directory.length(of: "_0.cfs") == 1000)
        #expect(directory.length(of: "_1.cfs") == nil)
        #expect(directory.totalBytes == 1050)
        #expect(throws: Never.self) { try directory.checkSizes() }
    }

    @Test("Any range across the parts")
    func ranges() throws {
        let directory = try directory(store())
        for offset in stride(from: 0, through: 1000, by: 37) {
            for count in [0, 1, 63, 300, 301, 700, 1000] where offset + count <= 1000 {
                #expect(try read(directory, "_0.cfs", offset, count) == Array(Self.content[offset..<offset + count]))
            }
        }
        for boundary in [300, 600, 900] {
            #expect(try read(directory, "_0.cfs", boundary - 1, 2) == Array(Self.content[boundary - 1...boundary]))
        }
        #expect(try read(directory, "_0.cfe", 10, 40) == Array(Self.content[10..<50]))
    }

    @Test("Ranges that leave the file", arguments: [(-1, 1), (0, 1001), (1000, 1), (1001, 0), (Int.max, 1)])
    func outside(_ offset: Int, _ count: Int) throws {
        let directory = try directory(store())
        #expect(error { _ = try read(directory, "_0.cfs", offset, count) }?.code == .unreadable)
    }

    @Test("A missing or short part is named")
    func missingPart() throws {
        let store = store()
        let directory = try directory(store)
        store.set("indices/ii/0/__a.part2", nil)
        let missing = error { _ = try read(directory, "_0.cfs", 500, 200) }
        #expect(missing?.code == .unreadable)
        #expect(missing?.message == "shard i/0: file '_0.cfs': memory://repo/indices/ii/0/__a.part2: no such blob")
        #expect(error { try directory.checkSizes() }?.message.contains("__a.part2") == true)
        #expect(try read(directory, "_0.cfs", 0, 600) == Array(Self.content[..<600]))
        store.set("indices/ii/0/__a.part2", [UInt8](repeating: 0, count: 299))
        #expect(error { _ = try read(directory, "_0.cfs", 600, 300) }?.code == .unreadable)
        #expect(error { try directory.checkSizes() }?.message.contains("299 bytes, 300 expected") == true)
        store.fail("indices/ii/0/__b", .unavailable)
        #expect(error { _ = try read(directory, "_0.cfe", 0, 1) }?.isRetryable == true)
        #expect(error { _ = try read(directory, "_1.cfe", 0, 1) }?.message.contains("no file '_1.cfe'") == true)
    }

    @Test("Cancellation reaches the store")
    func cancelled() throws {
        let cancellation = Cancellation()
        let directory = try directory(store(), cancellation)
        cancellation.cancel()
        #expect(error { _ = try read(directory, "_0.cfe", 0, 1) }?.code == .cancelled)
    }

    @Test("Inline files need no blob")
    func inline() throws {
        let variant = try #require(
            FixtureRepositories.committed.first { $0.engine == "elasticsearch-7.10.2" && $0.name == "partial" })
        let reader = RepositoryReader(store: try FileBlobStore(path: variant.repository), cancellation: .never)
        let snapshot = try reader.open(snapshot: "torn")
        #expect(snapshot.state == .partial)
        let index = try #require(snapshot.indices.first { $0.name == "whole" })
        let directory = try reader.directory(index, shard: 0)
        let file = try #require(directory.files.first { $0.isVirtual })
        let bytes = try read(directory, file.physicalName, 0, Int(file.length))
        #expect(bytes == file.inlineContent)
        #expect(try read(directory, file.physicalName, 5, 9) == Array(bytes[5..<14]))
    }
}
