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
        out.member("repository", repository)
        out.member("snapshot", snapshot)
        out.member("state", last.state)
        out.member("shards", last.shardCount)
        out.member("failedShards", last.failedShardCount)
        out.member("totalBytes", last.totalBytes)
        out.endObject()
        return String(decoding: out.bytes, as: UTF8.self)
    }
}
