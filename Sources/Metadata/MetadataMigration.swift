import ClusterClient
import JSONBytes
import SnapshotRepository

/// Makes a snapshot's indices in the target, before their documents come.
///
/// | stage | file | in | out |
/// |---|---|---|---|
/// | source state | SnapshotRepository | repository, snapshot name | `SnapshotIndex` |
/// | expected target state | `IndexTranslationPolicy` | `SnapshotIndex` | `TargetIndex` |
/// | apply | here, `CreationRepairPolicy` | `TargetIndex` | the index in the target |
/// | report | `MetadataReport` | what became of each | text, JSON, exit status |
///
/// Nothing that exists is changed: an index of that name stays as it is, so the same command may run again. Templates
/// are not moved.
package struct MetadataMigration {
    private let send: ClusterClient.Send
    private let isEvaluation: Bool
    private let replicas: Int?

    /// A target that refuses one thing after another names a few in each answer. An index with more than this many
    /// answers is given up.
    static let repairLimit = 50

    /// - Parameters:
    ///   - isEvaluation: looks and says what would be done; sends no request that writes.
    ///   - replicas: of the new indices, instead of the source's.
    ///   - send: asks the target. Errors that it throws end the run; answers of any status do not.
    package init(isEvaluation: Bool, replicas: Int?, send: @escaping ClusterClient.Send) {
        self.isEvaluation = isEvaluation
        self.replicas = replicas
        self.send = send
    }

    /// One after the other: an index that cannot be made does not keep the others from it. Throws when the target
    /// cannot be asked.
    package func run(
        _ indices: [SnapshotIndex], progress: (MetadataReport.Item) -> Void = { _ in }
    ) throws(ClusterError) -> MetadataReport {
        var report = MetadataReport(isEvaluation: isEvaluation)
        for index in indices {
            let item = try migrate(index)
            report.items.append(item)
            progress(item)
        }
        return report
    }

    private func migrate(_ index: SnapshotIndex) throws(ClusterError) -> MetadataReport.Item {
        let translated: TargetIndex
        do throws(TranslationProblem) {
            translated = try IndexTranslationPolicy.translate(index, replicas: replicas)
        } catch {
            return MetadataReport.Item(index.name, .failed, message: error.message)
        }
        if let present = try present(translated) { return present }
        if isEvaluation { return MetadataReport.Item(index.name, .wouldCreate, changes: translated.changes) }
        return try create(translated)
    }

    /// nil when the target has no such index.
    private func present(_ index: TargetIndex) throws(ClusterError) -> MetadataReport.Item? {
        let request = ClusterRequest(
            "GET", PercentEncoding.path(index.name, "_settings"), query: [("flat_settings", "true")])
        let answer = try send(request)
        if answer.status == 404 { return nil }
        guard answer.status == 200 else { return refused(index, request, answer) }
        let settings = (try? JSONValue.parse(answer.body))?.objectValue ?? []
        // An alias of that name answers with the indices behind it.
        guard let own = settings.first(where: { $0.key == index.name })?.value["settings"] else {
            return MetadataReport.Item(
                index.name, .failed,
                message: "\(index.name) is an alias of \(settings.map(\.key).joined(separator: ", ")) in the target: "
                    + "remove the alias, or leave the index out")
        }
        var item = MetadataReport.Item(index.name, .present)
        let count = own["index.number_of_shards"]?.stringValue.flatMap { Int($0) }
        if let count, let expected = index.shardCount, count != expected {
            item.message = "it has \(count) shards in the target and \(expected) in the source"
        }
        return item
    }

    private func create(_ index: TargetIndex) throws(ClusterError) -> MetadataReport.Item {
        var index = index
        for _ in 0...Self.repairLimit {
            let request = ClusterRequest(
                "PUT", PercentEncoding.path(index.name), body: ClusterRequestBody(bytes: index.body.serialized()))
            let answer = try send(request)
            if (200..<300).contains(answer.status) {
                return MetadataReport.Item(index.name, .created, changes: index.changes)
            }
            guard answer.status == 400, let value = try? JSONValue.parse(answer.body) else {
                return refused(index, request, answer)
            }
            // An attempt whose answer was lost had made it.
            if value["error"]?["type"]?.stringValue == "resource_already_exists_exception" {
                return MetadataReport.Item(index.name, .created, changes: index.changes)
            }
            guard let repaired = CreationRepairPolicy.repaired(index, after: value) else {
                return refused(index, request, answer)
            }
            index = repaired
        }
        return MetadataReport.Item(
            index.name, .failed, changes: index.changes,
            message: "the target still refused it after \(Self.repairLimit) settings and parameters were left out")
    }

    private func refused(
        _ index: TargetIndex, _ request: ClusterRequest, _ answer: ClusterResponse
    ) -> MetadataReport.Item {
        MetadataReport.Item(
            index.name, .failed, changes: index.changes,
            message: "the target answered \(answer.status) to \(request.method) \(request.path)\(answer.explanation)")
    }
}
