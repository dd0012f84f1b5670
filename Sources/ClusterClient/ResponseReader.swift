import HTTPMessage

/// Why a response cannot be used. The connection it came by is of no further use.
package enum ResponseProblem: Error, Equatable {
    case malformed(HTTPError)
    /// More content than the limit.
    case tooLarge
    /// 101, which nothing here asks for.
    case switchedProtocol
    /// A transfer coding beside chunked, which nothing here accepts.
    case transferCoding
    /// More interim responses than a server has reason to send.
    case tooManyInterim
}

/// Collects one response at a time out of the bytes of a connection; does no I/O.
///
/// A head that arrives whole is scanned where it lies. Content is appended to one array, which is reserved whole when
/// the length is known.
package struct ResponseReader {
    /// What becomes of content beyond the limit.
    package enum Excess {
        /// The response is a problem, its connection of no further use.
        case refused
        /// It is counted and not kept.
        case discarded
    }

    private enum State {
        case head
        case content
        case complete
    }

    private var state = State.complete
    private var scanner: HTTPHeadScanner
    private var body = HTTPBodyScanner(framing: .none)
    private let limits: HTTPLimits
    private let contentBytesLimit: Int
    private let excess: Excess
    private var method = HTTPMethod.other
    /// The start of a head that came in pieces.
    private var partialHead: [UInt8] = []
    private var interimCount = 0
    private var head: [UInt8] = []
    private var status = 0
    private var content: [UInt8] = []

    /// Whether a byte of the response was seen.
    private(set) var hasBegun = false
    /// A 100 response came: the server wants the content that an `Expect` field holds back.
    private(set) var isContinued = false
    /// Whether the connection can carry another exchange; known once complete.
    package private(set) var isPersistent = false
    /// The content is coded as gzip.
    private(set) var isGzip = false

    private static let interimLimit = 64
    /// What a Content-Length alone makes this side reserve. A longer body grows as it comes.
    private static let reserveBytesLimit = 16 << 20

    package init(contentBytesLimit: Int, excess: Excess = .refused) {
        var limits = HTTPLimits()
        limits.highestStatus = 999
        self.limits = limits
        self.contentBytesLimit = contentBytesLimit
        self.excess = excess
        scanner = HTTPHeadScanner(responseTo: .get, limits: limits)
    }

    /// Makes ready for the response to a request of `method`.
    package mutating func begin(_ method: HTTPMethod) {
        self.method = method
        state = .head
        scanner.reset(responseTo: method)
        partialHead.removeAll(keepingCapacity: true)
        interimCount = 0
        hasBegun = false
        isContinued = false
        isPersistent = false
        isGzip = false
        head = []
        content = []
    }

    /// The final head is still to come, and none of it has.
    var isBeforeFinalHead: Bool { state == .head && partialHead.isEmpty }

    /// The final head has come whole.
    var hasFinalHead: Bool { state != .head }

    /// Takes what arrived. Returns true when the response is complete. Bytes after its end make the connection
    /// unusable: nothing was asked that they could answer.
    package mutating func receive(_ bytes: UnsafeRawBufferPointer) throws(ResponseProblem) -> Bool {
        if bytes.count > 0 { hasBegun = true }
        var position = 0
        while state == .head {
            guard let end = try scanHead(bytes, from: position) else { return false }
            position = end
        }
        while state == .content {
            let step: HTTPBodyScanner.Step
            do throws(HTTPError) { step = try body.next(in: bytes, at: &position) } catch { throw .malformed(error) }
            switch step {
            case .content(let range):
                let kept = try keptCount(of: range)
                content.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[range.prefix(kept)]))
                if body.isComplete { state = .complete }
            case .needsMoreBytes: return false
            case .complete: state = .complete
            }
        }
        if position < bytes.count { isPersistent = false }
        return true
    }

    private func keptCount(of range: Range<Int>) throws(ResponseProblem) -> Int {
        let room = contentBytesLimit - content.count
        guard range.count > room else { return range.count }
        guard excess == .discarded else { throw .tooLarge }
        return room
    }

    /// The peer ended its side. Returns true when that completes the response.
    package mutating func endOfInput() throws(ResponseProblem) -> Bool {
        isPersistent = false
        guard state == .content else { return state == .complete }
        do throws(HTTPError) { try body.endOfInput() } catch { throw .malformed(error) }
        state = .complete
        return true
    }

    /// The complete response; its memory moves to the caller.
    package mutating func take() -> ClusterResponse {
        precondition(state == .complete, "a response is taken before it is complete")
        let fields = scanner.head.fields.map { ClusterResponse.FieldRange(name: $0.name, value: $0.value) }
        let response = ClusterResponse(status: status, head: head, fields: fields, body: content)
        head = []
        content = []
        return response
    }

    /// The complete response as it came; its memory moves to the caller.
    mutating func takeRaw() -> RawResponse {
        precondition(state == .complete, "a response is taken before it is complete")
        let response = RawResponse(
            status: status, head: head, body: content, bodyByteCount: body.contentByteCount, isGzip: isGzip)
        head = []
        content = []
        return response
    }

    /// Returns where the head ends in `bytes`, or nil when more has to come.
    private mutating func scanHead(_ bytes: UnsafeRawBufferPointer, from start: Int) throws(ResponseProblem) -> Int? {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
        let knownCount = partialHead.count
        if knownCount == 0 {
            guard try scan(rest) else {
                partialHead.append(contentsOf: rest)
                return nil
            }
            let headCount = scanner.head.byteCount
            try finishHead(UnsafeRawBufferPointer(rebasing: rest[..<headCount]))
            return start + headCount
        }
        // At most what a head may hold: the rest of a large read is content.
        let missingCount = max(limits.headBytes - knownCount, 0)
        partialHead.append(contentsOf: rest.prefix(missingCount))
        let joined = partialHead
        let isWhole = try joined.span.bytes.withUnsafeBytes { (all) throws(ResponseProblem) in try scan(all) }
        guard isWhole else { return nil }
        let headCount = scanner.head.byteCount
        partialHead.removeAll()
        try joined.span.bytes.withUnsafeBytes { (all) throws(ResponseProblem) in
            try finishHead(UnsafeRawBufferPointer(rebasing: all[..<headCount]))
        }
        return start + headCount - knownCount
    }

    private mutating func scan(_ bytes: UnsafeRawBufferPointer) throws(ResponseProblem) -> Bool {
        do throws(HTTPError) { return try scanner.scan(bytes) } catch { throw .malformed(error) }
    }

    /// Takes over what the complete head in `bytes` says.
    private mutating func finishHead(_ bytes: UnsafeRawBufferPointer) throws(ResponseProblem) {
        let found = scanner.head
        if found.isInterim {
            interimCount += 1
            guard interimCount <= Self.interimLimit else { throw .tooManyInterim }
            if found.status == 100 { isContinued = true }
            scanner.reset(responseTo: method)
            return
        }
        guard found.framing != .upgrade else { throw .switchedProtocol }
        guard !found.hasContentTransferCoding else { throw .transferCoding }
        status = found.status
        head = [UInt8](bytes)
        isPersistent = found.isPersistent
        if let coding = found.value(of: .contentEncoding) {
            isGzip = HTTPHead.equals(bytes, coding, "gzip") || HTTPHead.equals(bytes, coding, "x-gzip")
        }
        if case .length(let count) = found.framing {
            guard count <= Int64(contentBytesLimit) || excess == .discarded else { throw .tooLarge }
            content.reserveCapacity(min(Int(clamping: count), contentBytesLimit, Self.reserveBytesLimit))
        }
        body = HTTPBodyScanner(framing: found.framing, limits: limits)
        state = body.isComplete ? .complete : .content
    }
}
