import ClusterClient
import HTTPMessage

/// What `ResponseReader` makes of bytes.
private struct ReadResponse: Equatable {
    var status = 0
    var body: [UInt8] = []
    var isComplete = false
    var isPersistent = false
    var problem: ResponseProblem?
}

private let contentBytesLimit = 4096

/// `pieceBytes` nil: all at once. Nothing is offered behind the response's end.
private func read(_ bytes: UnsafeRawBufferPointer, _ method: HTTPMethod, pieceBytes: Int?) -> ReadResponse {
    var reader = ResponseReader(contentBytesLimit: contentBytesLimit)
    reader.begin(method)
    var result = ReadResponse()
    var position = 0
    do throws(ResponseProblem) {
        while position < bytes.count, !result.isComplete {
            let end = min(bytes.count, position + (pieceBytes ?? bytes.count))
            result.isComplete = try reader.receive(UnsafeRawBufferPointer(rebasing: bytes[position..<end]))
            position = end
        }
        if !result.isComplete { result.isComplete = try reader.endOfInput() }
    } catch {
        result.problem = error
    }
    guard result.isComplete else { return result }
    // What comes behind the end spoils the connection, and in pieces it was not offered.
    result.isPersistent = reader.isPersistent && position == bytes.count
    let response = reader.take()
    result.status = response.status
    result.body = response.body
    return result
}

/// A response of a cluster, whole and in pieces: the same outcome, within the limit. Byte 0 chooses the pieces, byte 1
/// the request's method.
@Sendable func fuzzClusterResponse(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count > 2 else { return }
    let message = UnsafeRawBufferPointer(rebasing: bytes[2...])
    let method = HTTPMethod(rawValue: bytes[1] & 7) ?? .get
    let whole = read(message, method, pieceBytes: nil)
    let pieces = read(message, method, pieceBytes: Int(bytes[0] & 63) + 1)
    precondition(whole.body.count <= contentBytesLimit, "content of \(whole.body.count) bytes is let through")
    precondition(
        whole.status == pieces.status && whole.body == pieces.body && whole.isComplete == pieces.isComplete,
        "the result depends on the cuts: \(whole) and \(pieces)")
    precondition((whole.problem == nil) == (pieces.problem == nil), "only one of \(whole) and \(pieces) fails")
}
