import BlobStore
import SnapshotFormat

/// Chooses the `index-N` to read: the one that `index.latest` names, or the highest valid one when there is no pointer
/// or what it names is missing or damaged. An engine that dies while it writes leaves a higher `index-N` cut off and
/// the pointer as it was; one that is told not to keep the pointer (`support_url_repo: false`) leaves it behind.
struct GenerationChoice {
    let blobs: RepositoryBlobs

    func load() throws(RepositoryError) -> RepositoryIndex {
        let pointer = "\(blobs.basePrefix)index.latest"
        var firstFailure: RepositoryError?
        var tried: Int64?
        if let bytes = try blobs.readIfPresent(pointer) {
            if let generation = RepositoryIndex.generation(latest: bytes) {
                tried = generation
                do throws(RepositoryError) { return try read(generation) } catch {
                    guard error.code == .unreadable else { throw error }
                    firstFailure = error
                }
            } else {
                firstFailure = RepositoryError(
                    .unreadable, object: pointer,
                    message: "\(blobs.place(pointer)): eight bytes expected, \(bytes.count) found")
            }
        }
        let names = try blobs.listRoot()
        for generation in names.compactMap({ RepositoryIndex.generation(blobName: $0) }).sorted(by: >)
        where generation != tried {
            do throws(RepositoryError) { return try read(generation) } catch {
                guard error.code == .unreadable else { throw error }
                firstFailure = firstFailure ?? error
            }
        }
        if let firstFailure { throw firstFailure }
        throw try withoutGenerations(names)
    }

    private func read(_ generation: Int64) throws(RepositoryError) -> RepositoryIndex {
        let name = "\(blobs.basePrefix)index-\(generation)"
        return try blobs.decoded(name, try blobs.read(name), RepositoryIndex.parse)
    }

    /// A repository of 1.x or 2.x has a list named `index`; 1.x calls a snapshot's blob `snapshot-<name>`.
    private func withoutGenerations(_ names: [String]) throws(RepositoryError) -> RepositoryError {
        let place = blobs.place(String(blobs.basePrefix.dropLast()))
        let legacy = "\(blobs.basePrefix)index"
        if names.contains("index"), RepositoryIndex.isLegacyList(try blobs.read(legacy)) {
            let age =
                names.contains { $0.hasPrefix("snap-") }
                ? "2.x" : names.contains { $0.hasPrefix("snapshot-") } ? "1.x" : "1.x or 2.x"
            return RepositoryError(
                .unsupported, object: legacy,
                message: "\(place): a repository of Elasticsearch \(age) (blob 'index', no 'index-N'); "
                    + "Elasticsearch 5 and later and OpenSearch are read")
        }
        return RepositoryError(
            .unreadable, object: place,
            message: "\(place): no snapshot repository: neither 'index.latest' nor any 'index-N' is there")
    }
}
