import JSONBytes

/// What a snapshot came to, for a person (`text`) and for a machine (`json`).
package struct SnapshotCreationReport: Sendable {
    private let repository: String
    private let snapshot: String
    private let last: SnapshotCreator.Progress

    package init(repository: String, snapshot: String, last: SnapshotCreator.Progress) {
        self.repository = repository
        self.snapshot = snapshot
        self.last = last
    }

    package var text: String {
        let missing = last.failedShardCount > 0 ? ", \(last.failedShardCount) of them not" : ""
        return "snapshot \(snapshot) is in repository \(repository): \(last.state), "
            + "\(last.shardCount) shards\(missing), \(last.totalBytes) bytes\n"
    }

    /// One object on one line.
    package var json: String {
        var out = JSONWriter()
        out.beginObject()
        for (key, value) in [("repository", repository), ("snapshot", snapshot), ("state", last.state)] {
            out.key(key)
            out.string(value)
        }
        let numbers = [
            ("shards", Int64(last.shardCount)), ("failedShards", Int64(last.failedShardCount)),
            ("totalBytes", last.totalBytes),
        ]
        for (key, value) in numbers {
            out.key(key)
            out.int(value)
        }
        out.endObject()
        return String(decoding: out.bytes, as: UTF8.self)
    }
}
