/// A message that is not HTTP/1.1 as RFC 9112 writes it, or that passes a limit.
package struct HTTPError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Code: Equatable, Sendable {
        case invalidMethod
        case methodTooLong
        case invalidTarget
        case targetTooLong
        case invalidVersion
        case unsupportedVersion
        case invalidStatus
        case invalidReason
        case tooManyEmptyLines
        case invalidFieldName
        case spaceBeforeColon
        case obsoleteFold
        case invalidFieldValue
        case bareCarriageReturn
        case bareLineFeed
        case headTooLarge
        case tooManyFields
        case invalidHost
        case invalidContentLength
        case contentLengthOverflow
        case contentLengthWithTransferEncoding
        case invalidTransferEncoding
        case unsupportedTransferCoding
        case contentNotAllowed
        case invalidConnection
        case expectationFailed
        case invalidChunkSize
        case chunkSizeOverflow
        case invalidChunkExtension
        case chunkExtensionTooLong
        case invalidChunkEnd
        case forbiddenTrailer
        case trailersTooLarge
        case truncated
    }

    package let code: Code
    /// Bytes from the start of the head, or of the body for errors of `HTTPBodyScanner`.
    package let offset: Int
    package let message: String

    init(_ code: Code, at offset: Int, _ message: String) {
        self.code = code
        self.offset = offset
        self.message = message
    }

    /// What a server answers when a request fails so. A gateway answers 502 when a response does.
    package var suggestedStatus: Int {
        switch code {
        case .contentLengthOverflow, .chunkSizeOverflow: 413
        case .targetTooLong: 414
        case .expectationFailed: 417
        case .headTooLarge, .tooManyFields, .trailersTooLarge: 431
        case .methodTooLong, .unsupportedTransferCoding: 501
        case .unsupportedVersion: 505
        default: 400
        }
    }

    package var description: String { "byte \(offset): \(message)" }
}
