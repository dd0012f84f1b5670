import JSONBytes
import SnapshotFormat
import SnapshotRepository
import Telemetry

/// The snapshots of a repository, the oldest first.
struct SnapshotListing {
    struct Row {
        let name: String
        let uuid: String
        /// nil when the snapshot's own blob cannot be read; `problem` says why.
        let info: SnapshotInfo?
        let problem: String?
    }

    let location: String
    let rows: [Row]

    /// A snapshot that cannot be read does not hide the others.
    init(_ repository: RepositoryReader) throws(RepositoryError) {
        location = repository.location
        var rows: [Row] = []
        for entry in try repository.index().snapshots {
            do throws(RepositoryError) {
                rows.append(
                    Row(name: entry.name, uuid: entry.uuid, info: try repository.summary(entry), problem: nil))
            } catch {
                guard error.code == .unreadable || error.code == .unsupported else { throw error }
                rows.append(Row(name: entry.name, uuid: entry.uuid, info: nil, problem: error.message))
            }
        }
        self.rows = rows.sorted {
            ($0.info?.startMilliseconds ?? .max, $0.name) < ($1.info?.startMilliseconds ?? .max, $1.name)
        }
    }

    var text: String {
        guard !rows.isEmpty else { return "\(location) holds no snapshots\n" }
        var table = TextTable(["SNAPSHOT", "STATE", "ENGINE", ">INDICES", "STARTED", "ENDED"])
        for row in rows {
            guard let info = row.info else {
                table.append([row.name, "UNREADABLE", "", "", "", ""])
                continue
            }
            table.append([
                row.name, info.stateText + (info.isShallow ? ", shallow" : ""), EngineText.short(info.versionID),
                String(info.indices.count), TimeText.short(info.startMilliseconds),
                TimeText.short(info.endMilliseconds),
            ])
        }
        return table.text
    }

    var json: String {
        var out = JSONWriter()
        out.beginObject()
        out.key("repository")
        out.string(location)
        out.key("snapshots")
        out.beginArray()
        for row in rows {
            out.beginObject()
            out.member("name", row.name)
            out.member("uuid", row.uuid)
            if let info = row.info {
                out.member("state", info.stateText)
                out.member("engine", EngineVersion.text(info.versionID))
                out.member("versionID", Int64(info.versionID))
                out.member("indices", Int64(info.indices.count))
                out.member("isShallow", info.isShallow)
                if let time = info.startMilliseconds { out.member("startTime", TimeText.full(time)) }
                if let time = info.endMilliseconds { out.member("endTime", TimeText.full(time)) }
            }
            if let problem = row.problem { out.member("problem", problem) }
            out.endObject()
        }
        out.endArray()
        out.endObject()
        return String(decoding: out.bytes, as: UTF8.self) + "\n"
    }
}
