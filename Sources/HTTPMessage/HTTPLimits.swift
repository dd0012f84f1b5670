/// Bounds on what a peer may send. A message that passes one is refused, never cut.
package struct HTTPLimits: Equatable, Sendable {
    /// Start line, fields and the empty line; `headTooLarge` (431) beyond. At most 2³¹ - 1.
    package var headBytes = 64 * 1024
    /// Request target; `targetTooLong` (414) beyond.
    package var targetBytes = 32 * 1024
    /// Field lines of a head or of a trailer section; `tooManyFields` (431) beyond.
    package var fieldCount = 256
    /// Extensions of one chunk, from the first semicolon on.
    package var chunkExtensionBytes = 1024
    /// Extensions of all chunks of one body: an attacker may otherwise send a thousand bytes for each byte of content.
    package var chunkExtensionBytesPerBody = 64 * 1024
    /// The trailer section with its empty line; `trailersTooLarge` (431) beyond.
    package var trailerBytes = 16 * 1024
    /// Highest response status accepted. RFC 9110 §15 defines 100 to 599; 999 admits what some servers invent.
    package var highestStatus = 599

    /// RFC 9112 §2.2 asks servers to ignore at least one empty line before a request line.
    static let emptyLineCount = 4
    /// Longer than every registered method (RFC 9110 §16.1).
    static let methodBytes = 32
    static let sizeDigitCount = 16

    package init() {}

    /// Of responses of a cluster that is passed on: it is trusted with more, as engines repeat Warning headers by the
    /// hundred. Who passes such a response on and who reads it from a record go by the same bounds, or the second
    /// would not find the end of what the first let through.
    package static let relayedResponse: HTTPLimits = {
        var limits = HTTPLimits()
        limits.headBytes = 256 << 10
        limits.fieldCount = 2048
        limits.highestStatus = 999
        return limits
    }()
}
