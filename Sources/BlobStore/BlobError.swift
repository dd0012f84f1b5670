/// Why a blob could not be read.
package struct BlobError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// There is no such blob or folder.
        case notFound
        /// The store refuses access.
        case denied
        /// The blob ends before the bytes asked for.
        case truncated
        /// The blob is longer than the caller takes.
        case tooLarge
        /// The store does not answer, or its medium fails.
        case unavailable
        /// The caller asked to stop.
        case cancelled
    }

    /// What to do about it.
    package enum Disposition: Sendable, Equatable {
        /// Another attempt may succeed.
        case retry
        /// It will not.
        case stop
    }

    package let code: Code
    /// The blob's or folder's name.
    package let name: String
    /// One line that names the location and the blob.
    package let message: String
    package let disposition: Disposition

    /// `disposition` follows from the code unless given: only `.unavailable` is worth another attempt.
    package init(code: Code, location: String, name: String, reason: String, disposition: Disposition? = nil) {
        self.code = code
        self.name = name
        self.message = "\(location)\(location.hasSuffix("/") || name.isEmpty ? "" : "/")\(name): \(reason)"
        self.disposition = disposition ?? (code == .unavailable ? .retry : .stop)
    }

    package var description: String { message }
}
