import BlobStore
import JSONBytes
import SnapshotFormat
import Synchronization

/// Reads a snapshot repository of Elasticsearch 5 and later or OpenSearch. Reads only: nothing is locked or written,
/// and the engine may go on using the repository.
///
/// | step | blob |
/// |---|---|
/// | the list of snapshots | `index.latest`, `index-N` (`GenerationChoice`) |
/// | the snapshot | `snap-<uuid>.dat` |
/// | its indices | `indices/<id>/meta-<…>.dat` |
/// | where a shard is | `snapshot_shard_paths/…` (`ShardPaths`) |
/// | a shard's files | `<shard folder>/snap-<uuid>.dat` (`ShardDirectory`) |
///
/// Thread-safe; every call blocks on the store.
package final class RepositoryReader: Sendable {
    private let blobs: RepositoryBlobs
    private let loaded = Mutex<RepositoryIndex?>(nil)

    /// Names that an error about an unknown snapshot lists at most.
    private static let listedNameLimit = 40

    /// `basePath` is the repository's folder within the store; a store that is rooted at the repository has none.
    /// (It matters to OpenSearch's hashed layouts, which put folders beside it.)
    package init(store: any BlobStore, basePath: String = "", cancellation: Cancellation) {
        blobs = RepositoryBlobs(store: store, basePath: basePath, cancellation: cancellation)
    }

    /// For messages.
    package var location: String { blobs.place(String(blobs.basePrefix.dropLast())) }

    /// Sorted by name.
    package func snapshotNames() throws(RepositoryError) -> [String] {
        try index().snapshots.map(\.name).sorted()
    }

    /// The list of snapshots as of the first call.
    package func index() throws(RepositoryError) -> RepositoryIndex {
        if let index = loaded.withLock({ $0 }) { return index }
        let index = try GenerationChoice(blobs: blobs).load()
        loaded.withLock { $0 = index }
        return index
    }

    /// The snapshot and the metadata of all its indices. An unknown name is an error that lists those there are.
    package func open(snapshot name: String) throws(RepositoryError) -> SnapshotDescription {
        let index = try index()
        guard let entry = index.snapshots.last(where: { $0.name == name }) else {
            throw try unknownSnapshot(name, index)
        }
        let (info, blob) = try info(entry)
        guard !info.isShallow else {
            throw RepositoryError(
                .unsupported, object: name,
                message:
                    "\(blobs.place(blob)): snapshot '\(name)' is shallow: its files are in OpenSearch's remote store, "
                    + "not in the repository. Take one with remote_store_index_shallow_copy false")
        }
        var indices: [SnapshotIndex] = []
        indices.reserveCapacity(info.indices.count)
        for indexName in info.indices.sorted() { indices.append(try self.index(indexName, of: entry, in: index)) }
        return SnapshotDescription(
            name: name, uuid: entry.uuid, state: try Self.state(info, blob: blobs.place(blob)),
            engineVersionText: EngineVersion.text(info.versionID), engineVersionID: info.versionID, indices: indices,
            failures: info.failures.map { .init(index: $0.index, shard: $0.shard, reason: $0.reason) },
            reason: info.reason, includesGlobalState: info.includesGlobalState,
            startMilliseconds: info.startMilliseconds, endMilliseconds: info.endMilliseconds)
    }

    /// What the snapshot says of itself: one blob. `open` reads the metadata of each of its indices as well.
    package func summary(_ entry: RepositoryIndex.Snapshot) throws(RepositoryError) -> SnapshotInfo {
        try info(entry).info
    }

    private func info(_ entry: RepositoryIndex.Snapshot) throws(RepositoryError) -> (info: SnapshotInfo, blob: String) {
        let blob = "\(blobs.basePrefix)snap-\(entry.uuid).dat"
        let info = try blobs.decoded(blob, try blobs.read(blob), SnapshotInfo.parse)
        guard info.name == entry.name, info.uuid == entry.uuid else {
            throw RepositoryError(
                .unreadable, object: blob,
                message: "\(blobs.place(blob)): holds snapshot '\(info.name)' (\(info.uuid)), "
                    + "not '\(entry.name)' (\(entry.uuid))")
        }
        return (info, blob)
    }

    /// The shard's files as the snapshot has them. `.unreadable` when the shard is not in it: a partial snapshot names
    /// such shards under `failures`.
    package func directory(_ index: SnapshotIndex, shard: Int) throws(RepositoryError) -> ShardDirectory {
        precondition(
            (0..<index.shardCount).contains(shard), "shard \(shard) of \(index.name), which has \(index.shardCount)")
        let folder = index.shardFolders[shard]
        let blob = "\(folder)/snap-\(index.snapshotUUID).dat"
        guard let bytes = try blobs.readIfPresent(blob) else {
            if try blobs.exists("\(folder)/shallow-snap-\(index.snapshotUUID).dat") {
                throw RepositoryError(
                    .unsupported, object: "\(index.name)/\(shard)",
                    message:
                        "\(blobs.place(folder))/shallow-snap-\(index.snapshotUUID).dat: "
                        + "shard \(index.name)/\(shard) is a "
                        + "shallow copy, its files are in OpenSearch's remote store")
            }
            throw RepositoryError(
                .unreadable, object: blob,
                message: "\(blobs.place(blob)): missing, so snapshot '\(index.snapshotName)' has no shard "
                    + "\(index.name)/\(shard)")
        }
        let snapshot = try blobs.decoded(blob, bytes, ShardSnapshot.parse)
        return ShardDirectory(location: "\(index.name)/\(shard)", folder: folder, snapshot: snapshot, blobs: blobs)
    }

    /// The cluster's metadata of a snapshot; nil when it has none.
    package func globalMetadata(_ snapshot: SnapshotDescription) throws(RepositoryError) -> JSONValue? {
        let blob = "\(blobs.basePrefix)meta-\(snapshot.uuid).dat"
        guard let bytes = try blobs.readIfPresent(blob) else { return nil }
        return try blobs.decoded(blob, bytes, GlobalMetadata.parse)
    }

    // Parts of open

    private static func state(
        _ info: SnapshotInfo, blob: String
    ) throws(RepositoryError) -> SnapshotDescription.State {
        switch info.stateText {
        case "SUCCESS": return .success
        case "PARTIAL": return .partial
        case "FAILED": return .failed
        case "IN_PROGRESS": return .inProgress
        case "INCOMPATIBLE": return .incompatible
        default:
            throw RepositoryError(
                .unreadable, object: info.name, message: "\(blob): snapshot state '\(info.stateText)' is unknown")
        }
    }

    private func unknownSnapshot(_ name: String, _ index: RepositoryIndex) throws(RepositoryError) -> RepositoryError {
        let names = index.snapshots.map(\.name).sorted()
        let listed = names.prefix(Self.listedNameLimit).map { "'\($0)'" }.joined(separator: ", ")
        let more = names.count > Self.listedNameLimit ? " and \(names.count - Self.listedNameLimit) more" : ""
        // Snapshots of engines too old for the one that wrote last stand in a blob of their own (5.2 to 7.x).
        if let bytes = try blobs.readIfPresent("\(blobs.basePrefix)incompatible-snapshots"),
            let entries = (try? JSONValue.parse(bytes))?["incompatible-snapshots"]?.arrayValue,
            entries.contains(where: { ($0["name"] ?? $0).stringValue == name })
        {
            return RepositoryError(
                .unsupported, object: name,
                message: "\(location): snapshot '\(name)' is listed as incompatible: an older engine made it")
        }
        return RepositoryError(
            .unreadable, object: name,
            message: "\(location): no snapshot '\(name)'; "
                + (names.isEmpty ? "the repository has none" : "there are \(listed)\(more)"))
    }

    private func index(
        _ name: String, of snapshot: RepositoryIndex.Snapshot, in repository: RepositoryIndex
    ) throws(RepositoryError) -> SnapshotIndex {
        guard
            let entry = repository.indices.first(where: { $0.name == name && $0.snapshotUUIDs.contains(snapshot.uuid) })
        else {
            throw RepositoryError(
                .unreadable, object: name,
                message: "\(location): the repository's list does not say where index '\(name)' of snapshot "
                    + "'\(snapshot.name)' is")
        }
        let (blob, bytes) = try metadata(entry, of: snapshot, in: repository)
        let metadata = try blobs.decoded(blob, bytes, IndexMetadata.parse)
        guard metadata.name == name else {
            throw RepositoryError(
                .unreadable, object: blob,
                message: "\(blobs.place(blob)): holds index '\(metadata.name)', '\(name)' expected")
        }
        let folders = try ShardPaths(blobs: blobs).folders(entry, shardCount: metadata.shardCount, snapshot.uuid)
        return SnapshotIndex(
            name: name, id: entry.id, shardCount: metadata.shardCount, createdVersionID: metadata.createdVersionID,
            sourceMode: metadata.sourceMode, isSystemLike: name.hasPrefix(".") || metadata.isSystem,
            isClosed: metadata.stateText == "close", aliases: metadata.aliases, settings: metadata.settings,
            mappings: metadata.mappings, snapshotName: snapshot.name, snapshotUUID: snapshot.uuid, shardFolders: folders
        )
    }

    /// From 7.9 on the blob is named by the lookup; for a snapshot that is older, or that stood beside an older one, it
    /// bears the snapshot's uuid.
    private func metadata(
        _ entry: RepositoryIndex.Index, of snapshot: RepositoryIndex.Snapshot, in repository: RepositoryIndex
    ) throws(RepositoryError) -> (blob: String, bytes: [UInt8]) {
        let folder = "\(blobs.basePrefix)indices/\(entry.id)"
        let bySnapshot = "\(folder)/meta-\(snapshot.uuid).dat"
        guard let key = snapshot.metadataLookup?[entry.id], let uuid = repository.metadataIdentifiers[key] else {
            return (bySnapshot, try blobs.read(bySnapshot))
        }
        let byLookup = "\(folder)/meta-\(uuid).dat"
        if let bytes = try blobs.readIfPresent(byLookup) { return (byLookup, bytes) }
        if let bytes = try blobs.readIfPresent(bySnapshot) { return (bySnapshot, bytes) }
        return (byLookup, try blobs.read(byLookup))
    }
}
