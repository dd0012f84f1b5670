import JSONBytes

/// A snapshot's own blob, `snap-<uuid>.dat` at the root: `{"snapshot":{…}}`, codec name `snapshot`.
package struct SnapshotInfo: Sendable, Equatable {
    package static let codec = "snapshot"

    package struct Failure: Sendable, Equatable {
        package let index: String
        /// nil when the failure concerns the whole index.
        package let shard: Int?
        package let reason: String
    }

    package let name: String
    /// Equal to the name where the blob has none (2.x).
    package let uuid: String
    /// SUCCESS, PARTIAL, FAILED, IN_PROGRESS or INCOMPATIBLE, as written.
    package let stateText: String
    /// The engine's version number as written; 0 when absent. OpenSearch sets bit 27.
    package let versionID: Int
    package let indices: [String]
    package let failures: [Failure]
    /// Why the snapshot failed; nil when it did not.
    package let reason: String?
    /// nil where the engine did not write it yet (before 6.7).
    package let includesGlobalState: Bool?
    /// Milliseconds since 1970; nil where the engine wrote none, as in a snapshot that it did not finish.
    package let startMilliseconds: Int64?
    package let endMilliseconds: Int64?
    /// OpenSearch: the shards' files are in the remote store, the repository holds only references to them.
    package let isShallow: Bool

    package static func parse(_ blob: [UInt8], object: String) throws(SnapshotFormatError) -> SnapshotInfo {
        try SnapshotInfo(try MetadataBlob.decode(blob, codec: codec, object: object), object: object)
    }

    /// From the decoded body.
    package init(_ value: JSONValue, object: String) throws(SnapshotFormatError) {
        let root = try MetadataObject(value, object: object)
        // Without the wrapping object: no engine in the fixtures writes it so, but the engines read it.
        let snapshot = try root.child("snapshot") ?? root
        name = try snapshot.string("name")
        uuid = try snapshot.optionalString("uuid") ?? name
        stateText = try snapshot.string("state")
        versionID = Int(try snapshot.optionalInt("version_id") ?? 0)
        indices = try snapshot.strings("indices")
        reason = try snapshot.optionalString("reason")
        includesGlobalState = try snapshot.optionalBool("include_global_state")
        startMilliseconds = try Self.moment(snapshot, "start_time")
        endMilliseconds = try Self.moment(snapshot, "end_time")
        let isShallowV1 = try snapshot.optionalBool("remote_store_index_shallow_copy") ?? false
        // From 2.17 on a pinned time stamp says the same (shallow snapshots of the second form).
        let pinned = try snapshot.optionalInt("pinned_timestamp") ?? 0
        isShallow = isShallowV1 || pinned > 0
        var failures: [Failure] = []
        for (number, element) in try snapshot.array("failures").enumerated() {
            let failure = try MetadataObject(element, object: object, path: "snapshot.failures[\(number)]")
            let shard = try failure.optionalInt("shard_id")
            guard shard.map({ (0...Int64(Int32.max)).contains($0) }) ?? true else {
                throw failure.failure("\(failure.place("shard_id")) is out of range")
            }
            failures.append(
                Failure(
                    index: try failure.string("index"), shard: shard.map { Int($0) },
                    reason: try failure.optionalString("reason") ?? ""))
        }
        self.failures = failures
    }

    /// 0 stands for "not yet".
    private static func moment(_ snapshot: MetadataObject, _ name: String) throws(SnapshotFormatError) -> Int64? {
        let milliseconds = try snapshot.optionalInt(name) ?? 0
        return milliseconds > 0 ? milliseconds : nil
    }
}

/// What an engine's version number (`version_id`, `index.version.created`) says.
package enum EngineVersion {
    /// OpenSearch marks its numbers with this bit.
    private static let openSearchMask = 0x0800_0000

    /// The number without OpenSearch's mark: major · 10^6 + minor · 10^4 + revision · 100 + build.
    package static func plainID(_ id: Int) -> Int { isOpenSearch(id) ? id ^ openSearchMask : id }

    package static func isOpenSearch(_ id: Int) -> Bool { id & openSearchMask != 0 }

    package static func major(_ id: Int) -> Int { plainID(id) / 1_000_000 }

    /// Such as "Elasticsearch 7.10.2". Elasticsearch 8.11 and later number indices apart from releases (8 500 000 and
    /// up, 9 000 000 and up), so that only the major release is known.
    package static func text(_ id: Int) -> String {
        let plain = plainID(id)
        let minor = plain / 10_000 % 100
        let dotted = "\(plain / 1_000_000).\(minor).\(plain / 100 % 100)"
        if id <= 0 { return "unknown version" }
        if isOpenSearch(id) { return "OpenSearch \(dotted)" }
        if plain >= 9_000_000 { return "Elasticsearch \(plain / 1_000_000) (index version \(plain))" }
        if plain >= 8_500_000 { return "Elasticsearch 8.11 or later (index version \(plain))" }
        return "Elasticsearch \(dotted)"
    }
}
