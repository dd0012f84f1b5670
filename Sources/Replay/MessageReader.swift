import HTTPMessage
import Transform

/// Finds head and body of messages that lie in pieces. A head that is cut over pieces is joined in memory of the
/// reader, which holds until the next call for a message of that kind. Confined to its loop.
final class MessageReader {
    struct Message {
        var headBytes: UnsafeRawBufferPointer
        var head: HTTPHead
        var body: [UnsafeRawBufferPointer]
    }

    private var requestScanner = HTTPHeadScanner(limits: MessageReader.limits)
    private var responseScanner = HTTPHeadScanner(responseTo: .get, limits: MessageReader.limits)
    private var joinedRequest: RequestBytes?
    private var joinedResponse: RequestBytes?
    /// Why the last message was none.
    private(set) var lastProblem = ""

    /// The proxy passes what is within its own, which can be set; here only memory is at stake.
    private static var limits: HTTPLimits {
        var limits = HTTPLimits()
        limits.headBytes = 1 << 20
        limits.targetBytes = 1 << 20
        limits.fieldCount = 4096
        limits.highestStatus = 999
        return limits
    }

    func request(_ pieces: [UnsafeRawBufferPointer]) -> CapturedRequest? {
        requestScanner.reset()
        guard let message = read(pieces, &requestScanner, &joinedRequest) else { return nil }
        return CapturedRequest(headBytes: message.headBytes, head: message.head, body: message.body)
    }

    func response(_ pieces: [UnsafeRawBufferPointer], to method: HTTPMethod) -> Message? {
        responseScanner.reset(responseTo: method)
        return read(pieces, &responseScanner, &joinedResponse)
    }

    private func read(
        _ pieces: [UnsafeRawBufferPointer], _ scanner: inout HTTPHeadScanner, _ joined: inout RequestBytes?
    ) -> Message? {
        guard let first = pieces.first else {
            lastProblem = "it is empty"
            return nil
        }
        do throws(HTTPError) {
            if try scanner.scan(first) {
                let count = scanner.head.byteCount
                return Message(
                    headBytes: UnsafeRawBufferPointer(rebasing: first[..<count]), head: scanner.head,
                    body: Self.body(pieces, after: count))
            }
            return try readJoined(pieces, &scanner, &joined)
        } catch {
            lastProblem = error.description
            return nil
        }
    }

    /// The pieces behind a head that ends in the first one.
    private static func body(_ pieces: [UnsafeRawBufferPointer], after count: Int) -> [UnsafeRawBufferPointer] {
        let rest = UnsafeRawBufferPointer(rebasing: pieces[0][count...])
        if pieces.count == 1 { return rest.isEmpty ? [] : [rest] }
        var body = pieces
        if rest.isEmpty { body.removeFirst() } else { body[0] = rest }
        return body
    }

    private func readJoined(
        _ pieces: [UnsafeRawBufferPointer], _ scanner: inout HTTPHeadScanner, _ joined: inout RequestBytes?
    ) throws(HTTPError) -> Message? {
        var start: [UInt8] = []
        for (index, piece) in pieces.enumerated() {
            let before = start.count
            start.append(contentsOf: piece.prefix(max(0, Self.limits.headBytes + 1 - before)))
            guard index > 0 else { continue }
            let bytes = RequestBytes(start)
            guard try scanner.scan(bytes.bytes) else { continue }
            let count = scanner.head.byteCount
            joined = bytes
            var body = Array(pieces[(index + 1)...])
            let used = count - before
            if used < piece.count { body.insert(UnsafeRawBufferPointer(rebasing: piece[used...]), at: 0) }
            return Message(
                headBytes: UnsafeRawBufferPointer(rebasing: bytes.bytes[..<count]), head: scanner.head, body: body)
        }
        lastProblem = "its head does not end"
        return nil
    }
}
