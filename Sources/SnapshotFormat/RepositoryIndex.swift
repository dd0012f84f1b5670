import JSONBytes

/// The root blob `index-N` (RepositoryData in the engines): which snapshots there are and which indices they hold.
///
///     { "snapshots": [ { "name", "uuid", "state", "version", "index_metadata_lookup": { indexID: key } } … ],
///       "indices": { name: { "id", "snapshots": [ uuid … ], "shard_generations": [ … ], "shard_path_type" } … },
///       "index_metadata_identifiers": { key: blobUUID }, "min_version", "uuid", "cluster_id" }
///
/// Older forms: 5.0 lists objects under `indices.*.snapshots` and has no `state`; before 7.6 there are no
/// `shard_generations`, before 7.9 no lookup, and newer engines write the older form as long as an older snapshot is
/// there. A snapshot that was older than that keeps an empty lookup.
package struct RepositoryIndex: Sendable, Equatable {
    package struct Snapshot: Sendable, Equatable {
        package let name: String
        /// Equal to the name for snapshots of 2.x.
        package let uuid: String
        /// SnapshotState's number: 0 in progress, 1 success, 2 failed, 3 partial, 4 incompatible. nil before 5.2.
        package let state: Int?
        /// What the writer put here; Elasticsearch 8.11 and later write "8.11.0" whatever they are.
        package let versionText: String?
        /// Index folder to key of `metadataIdentifiers`; nil when the form has none.
        package let metadataLookup: [String: String]?
    }

    package struct Index: Sendable, Equatable {
        package let name: String
        /// The folder under `indices/`; equal to the name for indices first seen in a 2.x snapshot.
        package let id: String
        package let snapshotUUIDs: [String]
        /// One a shard, nil where unknown; empty before 7.6.
        package let shardGenerations: [String?]
        /// OpenSearch's layout of shard folders: 0 fixed, 1 hashed prefix, 2 hashed infix.
        package let shardPathType: Int
    }

    package let snapshots: [Snapshot]
    package let indices: [Index]
    /// Key of a snapshot's lookup to the uuid in `indices/<id>/meta-<uuid>.dat`.
    package let metadataIdentifiers: [String: String]
    package let minimumVersionText: String?

    package static func parse(_ bytes: [UInt8], object: String) throws(SnapshotFormatError) -> RepositoryIndex {
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue.parse(bytes) } catch {
            throw SnapshotFormatError(object: object, offset: error.offset, message: "JSON: \(error.message)")
        }
        return try RepositoryIndex(value, object: object)
    }

    /// From the decoded body.
    package init(_ value: JSONValue, object: String) throws(SnapshotFormatError) {
        let root = try MetadataObject(value, object: object)
        guard root.member("snapshots") != nil else { throw root.failure("snapshots is missing") }
        var snapshots: [Snapshot] = []
        for (index, element) in try root.array("snapshots").enumerated() {
            snapshots.append(try Self.snapshot(element, object: object, path: "snapshots[\(index)]"))
        }
        self.snapshots = snapshots
        var indices: [Index] = []
        if let members = try root.child("indices")?.value.objectValue {
            indices.reserveCapacity(members.count)
            for member in members { indices.append(try Self.index(member, object: object)) }
        }
        self.indices = indices
        metadataIdentifiers = try Self.textTable(root.child("index_metadata_identifiers")) ?? [:]
        minimumVersionText = try root.optionalString("min_version")
    }

    private static func snapshot(
        _ element: JSONValue, object: String, path: String
    ) throws(SnapshotFormatError) -> Snapshot {
        // A bare name is what the engines read for snapshots that were taken over from 1.x and 2.x.
        if let name = element.stringValue {
            return Snapshot(name: name, uuid: name, state: nil, versionText: nil, metadataLookup: nil)
        }
        let entry = try MetadataObject(element, object: object, path: path)
        let name = try entry.string("name")
        return Snapshot(
            name: name, uuid: try entry.blobNamePart("uuid") ?? name,
            state: try entry.optionalInt("state").map { Int($0) },
            versionText: try entry.optionalString("version"),
            metadataLookup: try textTable(entry.child("index_metadata_lookup")))
    }

    private static func index(_ member: JSONMember, object: String) throws(SnapshotFormatError) -> Index {
        let entry = try MetadataObject(member.value, object: object, path: "indices.\(member.key)")
        var uuids: [String] = []
        for (number, element) in try entry.array("snapshots").enumerated() {
            if let uuid = element.stringValue ?? element["uuid"]?.stringValue ?? element["name"]?.stringValue {
                uuids.append(uuid)
            } else {
                throw entry.failure("\(entry.place("snapshots"))[\(number)] names no snapshot")
            }
        }
        // An array with a place a shard from 7.6 on.
        var generations: [String?] = []
        for element in try entry.array("shard_generations") { generations.append(element.stringValue) }
        let pathType = try entry.optionalInt("shard_path_type") ?? 0
        guard (0...2).contains(pathType) else {
            throw SnapshotFormatError(
                .unsupported, object: object, message: "indices.\(member.key).shard_path_type \(pathType) is unknown")
        }
        guard let id = try entry.blobNamePart("id") else { throw entry.failure("\(entry.place("id")) is missing") }
        return Index(
            name: member.key, id: id, snapshotUUIDs: uuids, shardGenerations: generations,
            shardPathType: Int(pathType))
    }

    private static func textTable(_ table: MetadataObject?) throws(SnapshotFormatError) -> [String: String]? {
        guard let table, let members = table.value.objectValue else { return nil }
        var texts: [String: String] = [:]
        texts.reserveCapacity(members.count)
        for member in members {
            texts[member.key] = try table.blobNamePart(member.key)
        }
        return texts
    }

    /// The generation in `index.latest`: eight bytes, big-endian. nil when it is not that.
    package static func generation(latest bytes: [UInt8]) -> Int64? {
        guard bytes.count == 8 else { return nil }
        let generation = Int64(bitPattern: bytes.reduce(0) { $0 << 8 | UInt64($1) })
        return generation >= 0 ? generation : nil
    }

    /// N of a blob named `index-N`; nil for other names.
    package static func generation(blobName: String) -> Int64? {
        guard blobName.hasPrefix("index-"), let generation = Int64(blobName.dropFirst("index-".count)),
            generation >= 0, "index-\(generation)" == blobName
        else { return nil }
        return generation
    }

    /// Whether `bytes` are the root blob `index` of Elasticsearch 1.x or 2.x.
    package static func isLegacyList(_ bytes: [UInt8]) -> Bool {
        bytes.starts(with: [0x5A, 0x56]) || (try? JSONValue.parse(bytes))?["snapshots"]?.arrayValue != nil
    }
}
