/// What is wrong with a blob of repository metadata, and where.
package struct SnapshotFormatError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The bytes are not what the format says.
        case corrupt
        /// The bytes are of a kind that is known and not read here.
        case unsupported
    }

    package let code: Code
    /// The blob's name.
    package let object: String
    /// The byte of the blob, or of its decompressed body where the message says so; nil when it is about the whole.
    package let offset: Int?
    package let message: String

    package init(_ code: Code = .corrupt, object: String, offset: Int? = nil, message: String) {
        self.code = code
        self.object = object
        self.offset = offset
        self.message = message
    }

    /// One line: object, position, what.
    package var description: String {
        guard let offset else { return "\(object): \(message)" }
        return "\(object) at byte \(offset): \(message)"
    }
}
