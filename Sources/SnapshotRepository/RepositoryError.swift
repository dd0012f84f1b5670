/// Why a repository, a snapshot in it or a shard of it cannot be read.
package struct RepositoryError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// Corrupt, cut off, missing, or no such snapshot.
        case unreadable
        /// The store does not answer or refuses access.
        case unavailable
        /// Of a kind that is known and not read here.
        case unsupported
        /// The caller asked to stop.
        case cancelled
    }

    package let code: Code
    /// The blob, snapshot or shard.
    package let object: String
    /// One line that names the object and, where there is one, the position.
    package let message: String
    /// Whether another attempt may succeed.
    package let isRetryable: Bool

    package init(_ code: Code, object: String, message: String, isRetryable: Bool = false) {
        self.code = code
        self.object = object
        self.message = message
        self.isRetryable = isRetryable
    }

    package var description: String { message }
}
