import JSONBytes
import SnapshotFormat

/// A snapshot and what it holds.
package struct SnapshotDescription: Sendable {
    package enum State: Sendable, Equatable {
        /// Every shard is there.
        case success
        /// `failures` names the shards that are not.
        case partial
        case failed
        /// The engine was still writing it, or died while it did.
        case inProgress
        /// The engine that owns the repository no longer reads it.
        case incompatible
    }

    package struct ShardFailure: Sendable, Equatable {
        package let index: String
        /// nil when the failure concerns the whole index.
        package let shard: Int?
        package let reason: String
    }

    package let name: String
    package let uuid: String
    package let state: State
    /// Such as "Elasticsearch 7.10.2" or "OpenSearch 2.19.1"; for people.
    package let engineVersionText: String
    /// `version_id` as the engine wrote it; 0 when it wrote none.
    package let engineVersionID: Int
    /// Sorted by name.
    package let indices: [SnapshotIndex]
    package let failures: [ShardFailure]
    /// Why the whole snapshot failed.
    package let reason: String?
    package let includesGlobalState: Bool?
    /// Milliseconds since 1970, where the engine wrote them.
    package let startMilliseconds: Int64?
    package let endMilliseconds: Int64?
}

/// An index within one snapshot.
package struct SnapshotIndex: Sendable {
    package let name: String
    /// The folder under `indices/`, the same for every snapshot of an index of this name.
    package let id: String
    package let shardCount: Int
    /// `index.version.created` as written: the engine that made the index, which may be older than the snapshot's.
    package let createdVersionID: Int
    package let sourceMode: SourceMode
    /// The name begins with a dot, or the engine calls the index its own.
    package let isSystemLike: Bool
    package let isClosed: Bool
    package let aliases: JSONValue
    package let settings: JSONValue
    package let mappings: JSONValue
    package let snapshotName: String
    package let snapshotUUID: String
    /// Blob name prefix of each shard's folder, without a trailing slash.
    let shardFolders: [String]
}

/// Why the documents of an index cannot be taken out of a snapshot as they were sent.
package enum ReadObstacle: Sendable, Equatable {
    /// Made by an Elasticsearch before 6, the first to keep ids as `_id` in the encoding of today.
    case tooOld(major: Int)
    case sourceDisabled
    case sourceSynthetic

    private static let firstReadableVersionID = 6_000_000

    package var detail: String {
        switch self {
        case .tooOld(let major):
            "created by Elasticsearch \(major), which is too old: indices from version 6 on are read"
        case .sourceDisabled:
            "its mapping disables _source: the snapshot does not hold the documents as they were sent"
        case .sourceSynthetic: "its _source is synthetic: the engine stores no documents, only their fields"
        }
    }

    init?(createdVersionID: Int, sourceMode: SourceMode) {
        if createdVersionID > 0, createdVersionID < Self.firstReadableVersionID {
            self = .tooOld(major: createdVersionID / 1_000_000)
            return
        }
        switch sourceMode {
        case .stored, .filtered: return nil
        case .disabled: self = .sourceDisabled
        case .synthetic: self = .sourceSynthetic
        }
    }
}

extension SnapshotIndex {
    /// nil when its metadata do not stand against reading it. Its segments may still be of a form that is not known.
    package var obstacle: ReadObstacle? {
        ReadObstacle(createdVersionID: createdVersionID, sourceMode: sourceMode)
    }
}
