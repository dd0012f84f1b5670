/// Why a Lucene index could not be read, with the file and, where there is one, the byte at which reading stopped.
package struct LuceneError: Error, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// The bytes contradict the format, their checksum or each other.
        case corrupt
        /// The bytes may be right, but this code does not know their format.
        case unsupported
        /// A file that the index names does not exist.
        case missingFile
        /// The directory failed to deliver bytes; `underlying` says why.
        case readFailed
    }

    package let code: Code
    /// The directory's `location`, for messages.
    package let location: String
    /// Name of the file; a file within a compound file is written `_0.cfs/.fdt`.
    package let file: String
    /// Offset in `file`, nil where the fault has no place.
    package let offset: Int64?
    package let message: String
    package let underlying: (any Error)?

    package init(
        _ code: Code, location: String, file: String, offset: Int64? = nil, message: String,
        underlying: (any Error)? = nil
    ) {
        self.code = code
        self.location = location
        self.file = file
        self.offset = offset
        self.message = message
        self.underlying = underlying
    }

    /// One line: where, what.
    package var description: String {
        var text = "shard \(location): file \(file)"
        if let offset { text += " at byte \(offset)" }
        text += ": \(code.rawValue): \(message)"
        if let underlying { text += ": \(underlying)" }
        return text
    }
}
