import BlobStore
import Settings
import SnapshotFormat
import SnapshotRepository
import Telemetry

/// `millrace snapshot list` and `show`: reads, prints, and says in one line what could not be read.
struct SnapshotCommand {
    private let settings: SnapshotToolSettings

    init(_ settings: SnapshotToolSettings) { self.settings = settings }

    func run() -> Int32 {
        do {
            let store = try FileBlobStore(path: settings.repositoryPath)
            let repository = RepositoryReader(store: store, cancellation: .never)
            switch settings.verb {
            case .list: return try list(repository)
            case .show: return try show(repository)
            }
        } catch let error as BlobError {
            return fail(.unavailable, error.message)
        } catch let error as RepositoryError {
            return fail(error.code == .unavailable ? .unavailable : .unreadable, error.message)
        } catch {
            return fail(.fault, "\(error)")
        }
    }

    private func list(_ repository: RepositoryReader) throws(RepositoryError) -> Int32 {
        let listing = try SnapshotListing(repository)
        Console.output(settings.output == .json ? listing.json : listing.text)
        let damaged = listing.rows.filter { $0.problem != nil }
        guard let first = damaged.first, let problem = first.problem else { return 0 }
        return fail(.unreadable, damaged.count == 1 ? problem : "\(damaged.count) snapshots cannot be read: \(problem)")
    }

    private func show(_ repository: RepositoryReader) throws(RepositoryError) -> Int32 {
        let description = try SnapshotContents(repository, try repository.open(snapshot: settings.snapshotName))
        Console.output(settings.output == .json ? description.json : description.text)
        let damage = description.indices.flatMap(\.damage)
        guard let first = damage.first else { return 0 }
        return fail(.unreadable, damage.count == 1 ? first : "\(damage.count) shards cannot be read: \(first)")
    }

    private func fail(_ status: ExitStatus, _ message: String) -> Int32 {
        Console.error("millrace snapshot \(settings.verb.rawValue): \(message)\n")
        return status.rawValue
    }
}
