/// A record that is not a legal encoding of the schema.
package struct TrafficStreamError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// A field reaches past the end of the record or of the message that holds it.
        case truncated
        /// A varint is longer than ten bytes.
        case varintTooLong
        /// A tag with field number 0, above 2²⁹ - 1, or with a wire type that does not exist.
        case invalidTag
        /// Groups that do not close, close twice or lie more than 100 deep.
        case invalidGroup
    }

    package let code: Code
    /// From the first byte of the record.
    package let offset: Int
    package let message: String

    init(_ code: Code, at offset: Int, _ message: String) {
        self.code = code
        self.offset = offset
        self.message = message
    }

    package var description: String { "traffic record, byte \(offset): \(message)" }
}
