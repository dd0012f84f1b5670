import ClusterClient
import JSONBytes

/// Takes a snapshot of the source by its own API, and waits until it is whole.
///
/// | stage | request | goes on when |
/// |---|---|---|
/// | repository | `GET`, `PUT /_snapshot/R` | it is registered, with the place that was asked for |
/// | snapshot | `GET`, `PUT /_snapshot/R/S` | it exists, begun now or by an earlier run |
/// | wait | `GET /_snapshot/R/S/_status`, `GET /_snapshot/R/S` | its state is final |
///
/// A snapshot of that name that is there, or in work, is taken over: the same command may run again after a crash.
/// A failed one is not removed: somebody should look at it.
package struct SnapshotCreator {
    package struct Order: Sendable, Equatable {
        package var repository: String
        package var snapshot: String
        /// Registers the repository as one in this folder of the source's nodes (`path.repo`) when there is none; nil:
        /// it has to be there.
        package var location: String?
        /// Patterns as the source reads them (`logs-*`, `-logs-tmp`); empty: all.
        package var indices: [String] = []
        package var includesGlobalState = true
        /// Bytes a second and node; nil: the source's default.
        package var rateLimitBytes: Int?
        package var isCompressed = true
        /// A snapshot that lacks shards is taken as it is.
        package var acceptsPartial = false

        package init(repository: String, snapshot: String) {
            self.repository = repository
            self.snapshot = snapshot
        }
    }

    /// How far the source is. Shards that it counts; 0 of 0 before it has planned.
    package struct Progress: Sendable, Equatable {
        package let state: String
        package let doneShardCount: Int
        package let shardCount: Int
        package let failedShardCount: Int
        package let doneBytes: Int64
        package let totalBytes: Int64
    }

    package enum Failure: Error, Sendable, Equatable {
        /// The source refused, or has something else under that name. One line with what to do.
        case refused(String)
        /// The snapshot ended without being whole.
        case unusable(String)
        /// `isStopped` said so. The source goes on with its snapshot.
        case stopped
        case unavailable(String)
    }

    private let order: Order
    private let send: ClusterClient.Send
    private let pause: () -> Void
    private let isStopped: () -> Bool

    /// - Parameters:
    ///   - send: asks the source. Errors that it throws end the run; answers of any status do not.
    ///   - pause: waits between two looks at a running snapshot.
    ///   - isStopped: asked between two looks.
    package init(
        _ order: Order, send: @escaping ClusterClient.Send, pause: @escaping () -> Void,
        isStopped: @escaping () -> Bool = { false }
    ) {
        self.order = order
        self.send = send
        self.pause = pause
        self.isStopped = isStopped
    }

    /// Returns when the snapshot is there, with its last state.
    package func run(progress: (Progress) -> Void) throws(Failure) -> Progress {
        try registerRepository()
        if try state() == nil { try begin() }
        while true {
            guard let state = try state() else {
                throw .unusable("snapshot \(order.snapshot) was removed from the source while it was being made")
            }
            let now = try look(state: state)
            progress(now)
            switch state {
            case "SUCCESS": return now
            case "PARTIAL":
                if order.acceptsPartial { return now }
                throw .unusable(
                    "snapshot \(order.snapshot) is PARTIAL: it lacks \(now.failedShardCount) of \(now.shardCount) "
                        + "shards. Mend the source's shards, remove the snapshot and run again, or accept it as it is")
            case "IN_PROGRESS", "STARTED", "INIT": break
            default:
                throw .unusable(
                    "snapshot \(order.snapshot) ended as \(state): look at the source's log, remove the snapshot, "
                        + "and run again")
            }
            if isStopped() { throw .stopped }
            pause()
        }
    }

    private func registerRepository() throws(Failure) {
        let path = PercentEncoding.path("_snapshot", order.repository)
        let answer = try ask(ClusterRequest("GET", path))
        if answer.status == 200 {
            let present = try value(answer, of: path)[order.repository]
            guard let location = order.location else { return }
            let place = present?["settings"]?["location"]?.stringValue
            guard present?["type"]?.stringValue == "fs", place == location else {
                throw .refused(
                    "the source has a repository \(order.repository) at another place "
                        + "(\(place ?? present?["type"]?.stringValue ?? "?")), not at \(location): "
                        + "give another name, or that place")
            }
            return
        }
        guard answer.status == 404 else { throw refusal("GET", path, answer) }
        guard let location = order.location else {
            throw .refused("the source has no repository \(order.repository): register one, or say where it should be")
        }
        var settings = [
            JSONMember(key: "location", value: .string(location)),
            JSONMember(key: "compress", value: .bool(order.isCompressed)),
        ]
        if let rate = order.rateLimitBytes {
            settings.append(JSONMember(key: "max_snapshot_bytes_per_sec", value: .string("\(rate)b")))
        }
        let body = JSONValue.object([
            JSONMember(key: "type", value: .string("fs")), JSONMember(key: "settings", value: .object(settings)),
        ])
        let made = try ask(ClusterRequest("PUT", path, body: ClusterRequestBody(bytes: body.serialized())))
        guard (200..<300).contains(made.status) else { throw refusal("PUT", path, made) }
    }

    private func begin() throws(Failure) {
        var members = [
            JSONMember(key: "include_global_state", value: .bool(order.includesGlobalState)),
            JSONMember(key: "partial", value: .bool(order.acceptsPartial)),
        ]
        if !order.indices.isEmpty {
            members.append(JSONMember(key: "indices", value: .string(order.indices.joined(separator: ","))))
        }
        let path = PercentEncoding.path("_snapshot", order.repository, order.snapshot)
        let answer = try ask(
            ClusterRequest(
                "PUT", path, query: [("wait_for_completion", "false")],
                body: ClusterRequestBody(bytes: JSONValue.object(members).serialized())))
        if (200..<300).contains(answer.status) { return }
        // An attempt whose answer was lost had begun it.
        let type = (try? JSONValue.parse(answer.body))?["error"]?["type"]?.stringValue
        if type == "invalid_snapshot_name_exception", try state() != nil { return }
        throw refusal("PUT", path, answer)
    }

    /// nil when there is no such snapshot.
    private func state() throws(Failure) -> String? {
        let path = PercentEncoding.path("_snapshot", order.repository, order.snapshot)
        let answer = try ask(ClusterRequest("GET", path))
        if answer.status == 404 { return nil }
        guard answer.status == 200 else { throw refusal("GET", path, answer) }
        let body = try value(answer, of: path)
        // Elasticsearch 7.6 to 7.x may put it under `responses`.
        let snapshots = body["snapshots"] ?? body["responses"]?.arrayValue?.first?["snapshots"]
        guard let state = snapshots?.arrayValue?.first?["state"]?.stringValue else {
            throw .refused("the source's answer to GET \(path) holds no snapshot's state")
        }
        return state
    }

    private func look(state: String) throws(Failure) -> Progress {
        let path = PercentEncoding.path("_snapshot", order.repository, order.snapshot, "_status")
        let answer = try ask(ClusterRequest("GET", path))
        guard answer.status == 200 else { throw refusal("GET", path, answer) }
        let status = try value(answer, of: path)["snapshots"]?.arrayValue?.first
        let shards = status?["shards_stats"]
        let total = status?["stats"]?["total"]?["size_in_bytes"]?.intValue ?? 0
        // What is done: everything of a finished one, what is processed of a running one.
        let processed =
            status?["stats"]?["processed"]?["size_in_bytes"]?.intValue ?? (state == "SUCCESS" ? total : 0)
        return Progress(
            state: state, doneShardCount: Int(shards?["done"]?.intValue ?? 0),
            shardCount: Int(shards?["total"]?.intValue ?? 0), failedShardCount: Int(shards?["failed"]?.intValue ?? 0),
            doneBytes: processed, totalBytes: total)
    }

    private func ask(_ request: ClusterRequest) throws(Failure) -> ClusterResponse {
        do throws(ClusterError) {
            return try send(request)
        } catch {
            throw .unavailable(error.message)
        }
    }

    private func value(_ answer: ClusterResponse, of path: String) throws(Failure) -> JSONValue {
        do throws(JSONError) {
            return try JSONValue.parse(answer.body)
        } catch {
            throw .refused("the source's answer to GET \(path) is no JSON: \(error)")
        }
    }

    private func refusal(_ method: String, _ path: String, _ answer: ClusterResponse) -> Failure {
        .refused("the source answered \(answer.status) to \(method) \(path)\(answer.explanation)")
    }
}
