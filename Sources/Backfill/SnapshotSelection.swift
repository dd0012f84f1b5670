import SnapshotRepository

/// Which indices of a snapshot are migrated, and which are left out before anything is read.
struct SnapshotSelection {
    /// To be read, with every shard that the snapshot holds.
    private(set) var indices: [SnapshotIndex] = []
    /// Left out whole, or shards that the snapshot does not hold.
    private(set) var leftOut: [DeadLetter] = []
    /// Shards to be skipped because the snapshot does not hold them.
    private(set) var missingShards: Set<ShardKey> = []
    /// For a person: what to know about indices that are migrated.
    private(set) var notes: [String] = []

    /// `isSelected` says whether a name was asked for.
    init(_ snapshot: SnapshotDescription, isSelected: (String) -> Bool) {
        for index in snapshot.indices where isSelected(index.name) {
            if let letter = Self.reasonToLeaveOut(index) {
                leftOut.append(letter)
                continue
            }
            if index.sourceMode == .filtered {
                notes.append(
                    "index \(index.name): its mapping filters _source; what the filter took out is not stored and "
                        + "did not come along"
                )
            }
            indices.append(index)
        }
        let byName = Dictionary(indices.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for failure in snapshot.failures {
            guard let index = byName[failure.index] else { continue }
            // A failure that names no shard is the whole index's.
            for shard in failure.shard.map({ $0..<($0 + 1) }) ?? 0..<index.shardCount {
                guard missingShards.insert(ShardKey(indexID: index.id, number: shard)).inserted else { continue }
                leftOut.append(
                    DeadLetter(
                        index: index.name, shard: shard, reason: .missingShard,
                        detail: "the snapshot does not hold this shard: \(failure.reason)"))
            }
        }
    }

    private static func reasonToLeaveOut(_ index: SnapshotIndex) -> DeadLetter? {
        guard let obstacle = index.obstacle else { return nil }
        let reason: DeadLetter.Reason
        switch obstacle {
        case .tooOld: reason = .unsupportedIndex
        case .sourceDisabled, .sourceSynthetic: reason = .indexWithoutSource
        }
        return DeadLetter(index: index.name, reason: reason, detail: obstacle.detail)
    }
}
