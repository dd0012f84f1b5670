import HTTPMessage
import TestSupport

/// Limits that a short input can reach.
private func smallLimits(_ selector: UInt8) -> HTTPLimits {
    var limits = HTTPLimits()
    if selector & 1 != 0 { limits.headBytes = 64 + Int(selector) }
    if selector & 2 != 0 { limits.targetBytes = 16 }
    if selector & 4 != 0 { limits.fieldCount = 3 }
    if selector & 8 != 0 {
        limits.trailerBytes = 24
        limits.chunkExtensionBytes = 8
        limits.chunkExtensionBytesPerBody = 20
    }
    return limits
}

/// The first byte chooses limits, the second where the message is cut. However it is cut, the result is the same.
private func fuzzMessage(_ bytes: UnsafeRawBufferPointer, _ kind: (UInt8) -> ScannedMessage.Kind) {
    guard bytes.count > 2 else { return }
    let message = Array(bytes[2...])
    let limits = smallLimits(bytes[0])
    let kind = kind(bytes[0] >> 4)
    let whole = ScannedMessage(message, kind, limits: limits)
    let step = Int(bytes[1] & 31) + 1
    let pieces = ScannedMessage(
        message, kind, cuts: Array(stride(from: Int(bytes[1] >> 3), to: message.count, by: step)), limits: limits)
    precondition(whole == pieces, "the result depends on the cuts: \(whole) and \(pieces)")
    precondition(whole.byteCount <= message.count, "the message ends behind its bytes")
}

@Sendable func fuzzHTTPRequest(_ bytes: UnsafeRawBufferPointer) {
    fuzzMessage(bytes) { _ in .request }
}

@Sendable func fuzzHTTPResponse(_ bytes: UnsafeRawBufferPointer) {
    fuzzMessage(bytes) { .response(to: HTTPMethod(rawValue: $0) ?? .get) }
}

/// A body alone: chunked, or of the length that the first bytes say.
@Sendable func fuzzHTTPBody(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count > 2 else { return }
    let framings: [HTTPBodyFraming] = [
        .chunked, .length(Int64(bytes[1])), .untilClose, .none, .chunked, .length(.max), .chunked, .upgrade,
    ]
    let framing = framings[Int(bytes[0] >> 5)]
    let limits = smallLimits(bytes[0])
    let body = UnsafeRawBufferPointer(rebasing: bytes[2...])
    let whole = scanBody(body, framing, limits, pieceBytes: max(body.count, 1))
    let pieces = scanBody(body, framing, limits, pieceBytes: Int(bytes[1] & 15) + 1)
    precondition(whole == pieces, "the result depends on the cuts: \(whole) and \(pieces)")
    precondition(whole.consumed <= body.count, "the message ends behind its bytes")
}

private struct ScannedBody: Equatable {
    var content: [UInt8] = []
    var trailers: [HTTPTrailer] = []
    var consumed = 0
    var error: HTTPError?
}

private func scanBody(
    _ bytes: UnsafeRawBufferPointer, _ framing: HTTPBodyFraming, _ limits: HTTPLimits, pieceBytes: Int
) -> ScannedBody {
    var result = ScannedBody()
    var scanner = HTTPBodyScanner(framing: framing, limits: limits)
    var start = 0
    do throws(HTTPError) {
        repeat {
            let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + pieceBytes)])
            var position = 0
            steps: while true {
                switch try scanner.next(in: piece, at: &position) {
                case .content(let range): result.content += piece[range]
                case .needsMoreBytes:
                    precondition(position == piece.count, "bytes left over")
                    break steps
                case .complete:
                    precondition(scanner.isComplete, "complete twice")
                    break steps
                }
            }
            start += position
        } while start < bytes.count && !scanner.isComplete
        result.consumed = start
        precondition(scanner.consumedByteCount == start, "consumed bytes are counted wrong")
        precondition(scanner.contentByteCount == result.content.count, "content is counted wrong")
        try scanner.endOfInput()
        result.trailers = scanner.trailers
    } catch {
        result.error = error
    }
    return result
}
