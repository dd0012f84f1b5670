import JSONBytes
import LuceneFormat
import SnapshotFormat
import SnapshotRepository

/// The indices of a snapshot, and what a backfill makes of each.
struct SnapshotContents {
    struct Index {
        let index: SnapshotIndex
        /// Shards that the snapshot says it lacks, with its reason.
        var missing: [SnapshotDescription.ShardFailure] = []
        /// Live Lucene documents, nested ones included, and the compressed bytes of their sources and other stored
        /// fields; nil when a segment could not be opened.
        var documents: (count: Int, storedBytes: Int64)? = (0, 0)
        /// Of all files.
        var totalBytes: Int64 = 0
        /// Why a backfill leaves the index or shards of it out.
        var obstacle: String?
        /// One line for each shard whose lists or headers are broken.
        var damage: [String] = []
    }

    let snapshot: SnapshotDescription
    private(set) var indices: [Index] = []

    /// Reads each shard's list and its segments' headers. What is broken there is told in its place; a store that does
    /// not answer is an error.
    init(_ repository: RepositoryReader, _ snapshot: SnapshotDescription) throws(RepositoryError) {
        self.snapshot = snapshot
        for index in snapshot.indices {
            var contents = Index(index: index)
            contents.missing = snapshot.failures.filter { $0.index == index.name }
            contents.obstacle = index.obstacle?.detail
            for shard in 0..<index.shardCount
            where !contents.missing.contains(where: { $0.shard == nil || $0.shard == shard }) {
                try Self.read(repository, shard, of: &contents)
            }
            indices.append(contents)
        }
    }

    private static func read(
        _ repository: RepositoryReader, _ shard: Int, of contents: inout Index
    ) throws(RepositoryError) {
        do {
            let directory = try repository.directory(contents.index, shard: shard)
            contents.totalBytes += directory.totalBytes
            var (count, storedBytes) = (0, Int64(0))
            for info in try SegmentInfos.read(directory).segments {
                let segment = try SegmentReader.open(directory, info)
                count += segment.maxDoc - segment.deletedCount
                storedBytes += segment.storedFieldsBytes
            }
            contents.documents = contents.documents.map { ($0.count + count, $0.storedBytes + storedBytes) }
            return
        } catch let error as RepositoryError {
            try note(error, error.message, of: &contents)
        } catch let error as LuceneError {
            if let cause = error.underlying as? RepositoryError {
                try note(cause, cause.message, of: &contents)
            } else if error.code == .unsupported {
                contents.obstacle = contents.obstacle ?? error.description
            } else {
                contents.damage.append(error.description)
            }
        } catch {
            contents.damage.append("shard \(contents.index.name)/\(shard): \(error)")
        }
        contents.documents = nil
    }

    private static func note(
        _ error: RepositoryError, _ message: String, of contents: inout Index
    ) throws(RepositoryError) {
        switch error.code {
        case .unavailable, .cancelled: throw error
        case .unsupported: contents.obstacle = contents.obstacle ?? message
        case .unreadable: contents.damage.append(message)
        }
    }
}

extension SnapshotContents.Index {
    /// Whether `millraced backfill` takes the index whole; `remarks` say what stands against it.
    var verdict: String {
        if obstacle != nil || !damage.isEmpty { return "no" }
        if !missing.isEmpty { return "in part" }
        return index.sourceMode == .filtered ? "as stored" : "yes"
    }

    /// One line each.
    var remarks: [String] {
        var remarks: [String] = []
        if let obstacle { remarks.append(obstacle) }
        if obstacle == nil, index.sourceMode == .filtered {
            remarks.append("its mapping filters _source: what the filter took out is not stored")
        }
        for failure in missing {
            remarks.append("\(failure.shard.map { "shard \($0) is" } ?? "all shards are") missing: \(failure.reason)")
        }
        return remarks + damage.map { "damaged: \($0)" }
    }
}

// MARK: - Output

extension SnapshotContents {
    var text: String {
        var text = "snapshot \(snapshot.name): \(snapshot.state.text), \(EngineText.short(snapshot.engineVersionID))"
        if let start = snapshot.startMilliseconds {
            text += ", \(TimeText.short(start)) to \(TimeText.short(snapshot.endMilliseconds))"
        }
        text += "\n"
        if let reason = snapshot.reason { text += "reason: \(reason)\n" }
        guard !indices.isEmpty else { return text + "it holds no indices\n" }
        var table = TextTable([
            "INDEX", ">SHARDS", ">DOCUMENTS", ">STORED", ">ALL FILES", "_SOURCE", "CREATED BY", "BACKFILL",
        ])
        for entry in indices {
            table.append([
                entry.index.name, String(entry.index.shardCount), entry.documents.map { String($0.count) } ?? "?",
                entry.documents.map { SizeText.of($0.storedBytes) } ?? "?", SizeText.of(entry.totalBytes),
                entry.index.sourceMode.text, EngineText.short(entry.index.createdVersionID), entry.verdict,
            ])
        }
        text += "\n" + table.text
        let remarks = indices.flatMap { entry in entry.remarks.map { "  \(entry.index.name): \($0)".oneLine + "\n" } }
        return remarks.isEmpty ? text : text + "\n" + remarks.joined()
    }

    var json: String {
        var out = JSONWriter()
        out.beginObject()
        out.member("name", snapshot.name)
        out.member("uuid", snapshot.uuid)
        out.member("state", snapshot.state.text)
        out.member("engine", snapshot.engineVersionText)
        out.member("versionID", Int64(snapshot.engineVersionID))
        if let time = snapshot.startMilliseconds { out.member("startTime", TimeText.full(time)) }
        if let time = snapshot.endMilliseconds { out.member("endTime", TimeText.full(time)) }
        if let reason = snapshot.reason { out.member("reason", reason) }
        out.key("indices")
        out.beginArray()
        for entry in indices { entry.write(to: &out) }
        out.endArray()
        out.endObject()
        return String(decoding: out.bytes, as: UTF8.self) + "\n"
    }
}

extension SnapshotContents.Index {
    fileprivate func write(to out: inout JSONWriter) {
        out.beginObject()
        out.member("name", index.name)
        out.member("shards", Int64(index.shardCount))
        if let documents {
            out.member("documents", Int64(documents.count))
            out.member("storedBytes", documents.storedBytes)
        }
        out.member("totalBytes", totalBytes)
        out.member("sourceMode", index.sourceMode.text)
        out.member("createdVersionID", Int64(index.createdVersionID))
        out.member("createdBy", EngineVersion.text(index.createdVersionID))
        out.member("isReadable", obstacle == nil && damage.isEmpty)
        if let obstacle { out.member("obstacle", obstacle) }
        out.key("missingShards")
        out.beginArray()
        for failure in missing {
            out.beginObject()
            if let shard = failure.shard { out.member("shard", Int64(shard)) }
            out.member("reason", failure.reason)
            out.endObject()
        }
        out.endArray()
        out.key("damage")
        out.beginArray()
        for line in damage { out.string(line) }
        out.endArray()
        out.endObject()
    }
}
