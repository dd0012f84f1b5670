import CISAL

/// What a written repository looks like; the defaults are OpenSearch 2.19's for `compress: true`.
package struct RepositoryOptions: Sendable {
    package var snapshotName = "snapshot-1"
    package var state = "SUCCESS"
    /// Metadata blobs other than `index-N` are SMILE, deflated when this holds.
    package var isCompressed = true
    /// Blobs longer than this are split into `.part0`, `.part1`, …
    package var partBytes = Int64.max
    /// Files of at most this many bytes stand inline in the shard's file list, as `segments_N` and `.si` always do.
    package var inlineLimitBytes: Int64 = 0
    package var seed: UInt64 = 1
    package var engineVersion = "2.19.1"
    package var versionID: Int64 = 136_407_927
    package var indexGeneration = 0

    package init() {}
}

/// A seeded writer of a whole snapshot repository in the form of Elasticsearch 7.9 and later and OpenSearch 1 and 2. It
/// shares no code with the readers. Use: for each index `beginIndex`, for each of its shards `beginShard`,
/// `beginSegment`… and `finish`; then `finish` the repository.
package final class SnapshotRepositoryWriter {
    package let path: String
    package let options: RepositoryOptions
    fileprivate var random: SeededGenerator
    package let snapshotID: String
    private var indices: [WrittenIndex] = []

    private struct WrittenIndex {
        let name: String
        let id: String
        let metadataKey: String
        let metadataBlob: String
        var shardGenerations: [String]
    }

    package init(path: String, options: RepositoryOptions = RepositoryOptions()) throws {
        self.path = path
        self.options = options
        random = SeededGenerator(seed: options.seed)
        snapshotID = random.uuid()
        try FileTree.makeFolder(path)
    }

    /// Starts an index; `mappings` is the object under the type `_doc`.
    package func beginIndex(
        _ name: String, shardCount: Int, settings: [(key: String, value: MetadataValue)] = [],
        mappings: MetadataValue = .object([("dynamic", .string("false"))])
    ) throws {
        let uuid = random.uuid()
        let index = WrittenIndex(
            name: name, id: random.uuid(), metadataKey: "\(uuid)-_na_-1-1-1", metadataBlob: random.uuid(),
            shardGenerations: (0..<shardCount).map { _ in random.uuid() })
        indices.append(index)
        let all: [(key: String, value: MetadataValue)] =
            [
                ("index.creation_date", .string("1767225600000")),
                ("index.number_of_replicas", .string("0")),
                ("index.number_of_shards", .string(String(shardCount))),
                ("index.provided_name", .string(name)),
                ("index.uuid", .string(uuid)),
                ("index.version.created", .string(String(options.versionID))),
            ] + settings
        let terms = MetadataValue.array((0..<shardCount).map { _ in .int(1) })
        let allocations = (0..<shardCount).map {
            (key: String($0), value: MetadataValue.array([.string(random.uuid())]))
        }
        let body: [(key: String, value: MetadataValue)] = [
            ("version", .int(4)), ("mapping_version", .int(1)), ("settings_version", .int(1)),
            ("aliases_version", .int(1)), ("routing_num_shards", .int(Int64(Self.routingShards(shardCount)))),
            ("state", .string("open")), ("settings", .object(all)),
            ("mappings", .array([.object([("_doc", mappings)])])),
            ("aliases", .object([])), ("primary_terms", terms), ("in_sync_allocations", .object(allocations)),
            ("rollover_info", .object([])), ("system", .bool(false)),
        ]
        try writeBlob(
            "indices/\(index.id)/meta-\(index.metadataBlob).dat", codec: "index-metadata",
            .object([(name, .object(body))]))
    }

    /// The engine's default: the largest power-of-two multiple of the shard count up to 1024.
    private static func routingShards(_ shardCount: Int) -> Int {
        var count = shardCount
        while count * 2 <= 1024 { count *= 2 }
        return count
    }

    /// A shard of the index begun last.
    package func beginShard(_ shard: Int) throws -> ShardSnapshotWriter {
        guard let index = indices.last else { preconditionFailure("beginIndex comes first") }
        return try ShardSnapshotWriter(self, "indices/\(index.id)/\(shard)", generation: index.shardGenerations[shard])
    }

    package func finish(globalMetadata: [(key: String, value: MetadataValue)] = []) throws {
        let shardCount = Int64(indices.reduce(0) { $0 + $1.shardGenerations.count })
        let snapshot: [(key: String, value: MetadataValue)] = [
            ("name", .string(options.snapshotName)), ("uuid", .string(snapshotID)),
            ("version_id", .int(options.versionID)),
            ("remote_store_index_shallow_copy", .bool(false)), ("indices", .array(indices.map { .string($0.name) })),
            ("data_streams", .array([])), ("state", .string(options.state)), ("include_global_state", .bool(true)),
            ("metadata", .null), ("start_time", .int(1_767_225_600_000)), ("end_time", .int(1_767_225_601_000)),
            ("total_shards", .int(shardCount)), ("successful_shards", .int(shardCount)), ("failures", .array([])),
        ]
        try writeBlob("snap-\(snapshotID).dat", codec: "snapshot", .object([("snapshot", .object(snapshot))]))
        let cluster: [(key: String, value: MetadataValue)] =
            [
                ("version", .int(1)), ("cluster_uuid", .string(random.uuid())), ("cluster_uuid_committed", .bool(true)),
                ("templates", .object([])),
            ] + globalMetadata
        try writeBlob("meta-\(snapshotID).dat", codec: "metadata", .object([("meta-data", .object(cluster))]))
        try writeRepositoryIndex()
    }

    private func writeRepositoryIndex() throws {
        let lookup = indices.map { (key: $0.id, value: MetadataValue.string($0.metadataKey)) }
        let snapshot = MetadataValue.object([
            ("name", .string(options.snapshotName)), ("uuid", .string(snapshotID)),
            ("state", .int(options.state == "SUCCESS" ? 1 : options.state == "PARTIAL" ? 3 : 2)),
            ("index_metadata_lookup", .object(lookup)), ("version", .string(options.engineVersion)),
        ])
        let indexTable = indices.map { index in
            (
                key: index.name,
                value: MetadataValue.object([
                    ("id", .string(index.id)), ("shard_path_type", .int(0)),
                    ("snapshots", .array([.string(snapshotID)])),
                    ("shard_generations", .array(index.shardGenerations.map { .string($0) })),
                ])
            )
        }
        let identifiers = indices.map { (key: $0.metadataKey, value: MetadataValue.string($0.metadataBlob)) }
        let body = MetadataValue.object([
            ("snapshots", .array([snapshot])), ("indices", .object(indexTable)),
            ("index_metadata_identifiers", .object(identifiers)),
        ])
        try FileTree.write("\(path)/index-\(options.indexGeneration)", MetadataJSON.encode(body))
        var latest = LuceneBytes()
        latest.bigInt64(Int64(options.indexGeneration))
        try FileTree.write("\(path)/index.latest", latest.bytes)
    }

    fileprivate func writeBlob(_ name: String, codec: String, _ value: MetadataValue) throws {
        try FileTree.write(
            "\(path)/\(name)",
            SmileBlobWriter.encode(value.smile, codec: codec, isCompressed: options.isCompressed))
    }
}

/// The frame of a metadata blob: Lucene codec header, the body (perhaps `DFL\0` and raw DEFLATE), footer with CRC-32
/// (ChecksumBlobStoreFormat).
package enum SmileBlobWriter {
    package static func encode(_ body: [UInt8], codec: String, isCompressed: Bool) -> [UInt8] {
        var bytes = LuceneBytes()
        bytes.header(codec, version: 1)
        if isCompressed {
            bytes.raw(Array("DFL\0".utf8))
            bytes.raw(deflate(body))
        } else {
            bytes.raw(body)
        }
        bytes.footer()
        return bytes.bytes
    }

    package static func deflate(_ body: [UInt8]) -> [UInt8] {
        let memory = millrace_deflate_new()
        defer { millrace_deflate_free(memory) }
        var output = [UInt8](repeating: 0, count: millrace_gzip_bound(body.count))
        let written = millrace_deflate_raw(memory, body, body.count, nil, 0, &output, output.count)
        precondition(written > 0, "DEFLATE had too little room")
        return Array(output[0..<written])
    }
}

/// One shard in a repository: segment files become `__<uuid>` blobs, small ones `v__<uuid>` entries without a blob.
package final class ShardSnapshotWriter {
    private let repository: SnapshotRepositoryWriter
    private let folder: String
    private let generation: String
    private var segments: [WrittenSegment] = []
    private var files: [(blob: String, file: WrittenLuceneFile)] = []
    private var blobNames: [String: String] = [:]
    private var open: SegmentWriter?
    package private(set) var documentCount = 0

    fileprivate init(_ repository: SnapshotRepositoryWriter, _ folder: String, generation: String) throws {
        self.repository = repository
        self.folder = "\(repository.path)/\(folder)"
        self.generation = generation
        try FileTree.makeFolder(self.folder)
    }

    package func beginSegment(_ layout: SegmentLayout) throws -> SegmentWriter {
        let segment = try SegmentWriter(
            name: "_\(base36(segments.count))", id: repository.random.bytes(16), layout: layout
        ) { [unowned self] file in
            let blob = "__\(repository.random.uuid())"
            blobNames[file] = blob
            return ("\(folder)/\(blob)", repository.options.partBytes)
        }
        open = segment
        return segment
    }

    package func finishSegment(isDeleted: ((Int) -> Bool)? = nil) throws {
        guard let segment = open else { preconditionFailure("beginSegment comes first") }
        open = nil
        let written = try segment.finish(isDeleted: isDeleted)
        segments.append(written)
        documentCount += written.documentCount - written.deletedCount
        for file in segment.files { files.append((blobNames[file.name] ?? file.name, file)) }
    }

    package func finish() throws {
        let lastSequence = String(segments.reduce(0) { $0 + $1.documentCount } - 1)
        let userData = [
            ("local_checkpoint", lastSequence), ("max_unsafe_auto_id_timestamp", "-1"),
            ("translog_uuid", repository.random.uuid()), ("min_retained_seq_no", "0"),
            ("history_uuid", repository.random.uuid()), ("max_seq_no", lastSequence),
        ]
        let commit = SegmentInfosWriter.encode(
            generation: 3, id: repository.random.bytes(16), segments: segments, userData: userData)
        var entries: [MetadataValue] = []
        var names: [MetadataValue] = []
        var totalBytes: Int64 = 0
        for (blob, file) in files {
            let isInline = file.name.hasSuffix(".si") || file.length <= repository.options.inlineLimitBytes
            let content = isInline ? try FileTree.read(file.path) : nil
            if isInline { FileTree.remove(file.path) }
            let name = isInline ? "v\(blob)" : blob
            names.append(.string(name))
            entries.append(entry(name, file.name, file.length, file.footerChecksum, content))
            totalBytes += file.length
        }
        let checksum = commit.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let commitName = "v__\(repository.random.uuid())"
        names.append(.string(commitName))
        entries.append(entry(commitName, "segments_3", Int64(commit.count), checksum, commit))
        totalBytes += Int64(commit.count)
        let snapshot = MetadataValue.object([
            ("name", .string(repository.options.snapshotName)), ("index_version", .int(3)),
            ("start_time", .int(1_767_225_600_000)), ("time", .int(201)),
            ("number_of_files", .int(Int64(entries.count))),
            ("total_size", .int(totalBytes)), ("files", .array(entries)),
        ])
        try write("snap-\(repository.snapshotID).dat", "snapshot", snapshot)
        let list = MetadataValue.object([("files", .array(names)), ("shard_state_id", .null)])
        let generationBody = MetadataValue.object([
            ("files", .array(entries)), ("snapshots", .object([(repository.options.snapshotName, list)])),
        ])
        try write("index-\(generation)", "snapshots", generationBody)
    }

    private func write(_ name: String, _ codec: String, _ value: MetadataValue) throws {
        let blob = SmileBlobWriter.encode(
            value.smile, codec: codec, isCompressed: repository.options.isCompressed)
        try FileTree.write("\(folder)/\(name)", blob)
    }

    private func entry(
        _ blob: String, _ physicalName: String, _ length: Int64, _ checksum: UInt32, _ content: [UInt8]?
    ) -> MetadataValue {
        var members: [(key: String, value: MetadataValue)] = [
            ("name", .string(blob)), ("physical_name", .string(physicalName)), ("length", .int(length)),
            ("checksum", .string(base36(checksum))), ("part_size", .int(repository.options.partBytes)),
            ("written_by", .string(WrittenLuceneVersion.text)),
        ]
        if let content { members.append(("meta_hash", .binary(content))) }
        return .object(members)
    }
}
