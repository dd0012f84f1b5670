import BlobStore
import SnapshotFormat

/// The blobs of one repository: names under its base path, limits and the translation of errors.
struct RepositoryBlobs: Sendable {
    let store: any BlobStore
    /// Empty, or ends with a slash.
    let basePrefix: String
    let cancellation: Cancellation

    /// Metadata blobs that are longer are refused. An `index-N` of a thousand snapshots of a thousand indices has
    /// 60 MB.
    static let metadataLimitBytes = 512 << 20

    init(store: any BlobStore, basePath: String, cancellation: Cancellation) {
        self.store = store
        let trimmed = basePath.split(separator: "/").joined(separator: "/")
        basePrefix = trimmed.isEmpty ? "" : trimmed + "/"
        self.cancellation = cancellation
    }

    /// For messages.
    func place(_ name: String) -> String {
        store.location + (store.location.hasSuffix("/") || name.isEmpty ? "" : "/") + name
    }

    /// A blob of metadata by its full name.
    func read(_ name: String) throws(RepositoryError) -> [UInt8] {
        do throws(BlobError) {
            return try store.readAll(name, limitBytes: Self.metadataLimitBytes, cancellation: cancellation)
        } catch { throw RepositoryError(error) }
    }

    /// nil when there is no such blob.
    func readIfPresent(_ name: String) throws(RepositoryError) -> [UInt8]? {
        do throws(BlobError) {
            return try store.readAll(name, limitBytes: Self.metadataLimitBytes, cancellation: cancellation)
        } catch {
            if error.code == .notFound { return nil }
            throw RepositoryError(error)
        }
    }

    func exists(_ name: String) throws(RepositoryError) -> Bool {
        do throws(BlobError) {
            _ = try store.size(of: name)
            return true
        } catch {
            if error.code == .notFound { return false }
            throw RepositoryError(error)
        }
    }

    /// Names of the blobs in a folder given without a trailing slash; "" is the root of the store.
    func list(_ folder: String) throws(RepositoryError) -> [String] {
        do throws(BlobError) {
            return try store.list(folder: folder, cancellation: cancellation)
        } catch { throw RepositoryError(error) }
    }

    /// The repository's own root folder.
    func listRoot() throws(RepositoryError) -> [String] {
        try list(basePrefix.isEmpty ? "" : String(basePrefix.dropLast()))
    }

    func decoded<Value>(
        _ name: String, _ bytes: [UInt8], _ parse: ([UInt8], String) throws(SnapshotFormatError) -> Value
    ) throws(RepositoryError) -> Value {
        do throws(SnapshotFormatError) { return try parse(bytes, place(name)) } catch { throw RepositoryError(error) }
    }
}

extension RepositoryError {
    init(_ error: BlobError) {
        let code: Code
        switch error.code {
        case .notFound, .truncated, .tooLarge: code = .unreadable
        case .denied, .unavailable: code = .unavailable
        case .cancelled: code = .cancelled
        }
        self.init(code, object: error.name, message: error.message, isRetryable: error.disposition == .retry)
    }

    init(_ error: SnapshotFormatError) {
        self.init(
            error.code == .unsupported ? .unsupported : .unreadable, object: error.object, message: error.description)
    }
}
