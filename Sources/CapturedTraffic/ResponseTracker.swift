import HTTPMessage

/// Finds where the responses of a connection end, so that each byte goes to the request that it answers even when
/// requests are pipelined.
struct ResponseTracker {
    enum Step: Equatable {
        /// Every byte belongs to the response, which goes on.
        case goesOn
        /// The response ends before this offset of the bytes given.
        case interimEnded(Int)
        case ended(Int)
        case upgraded(Int)
    }

    private enum State {
        case head
        case body(HTTPBodyScanner)
        case untilClose
        /// Not HTTP as this project reads it, e.g. lines that end in LF alone.
        case unframed
    }

    private var state = State.head
    private var scanner = HTTPHeadScanner(responseTo: .get, limits: .relayedResponse)
    private var method = HTTPMethod.get
    /// The head so far, when it came in several pieces.
    private var headBytes: [UInt8] = []
    private(set) var hasBytes = false

    /// Only the next request can end it.
    var isUnframed: Bool {
        if case .unframed = state { return true }
        return false
    }

    /// The close of the connection is its proper end.
    var lastsUntilClose: Bool {
        if case .untilClose = state { return true }
        return false
    }

    /// Waits for the response to a request of `method`; only HEAD and CONNECT make a difference.
    mutating func begin(responseTo method: HTTPMethod) {
        self.method = method
        state = .head
        scanner.reset(responseTo: method)
        headBytes.removeAll(keepingCapacity: true)
        hasBytes = false
    }

    /// Looks at bytes of the response, which are not empty.
    mutating func advance(_ bytes: UnsafeRawBufferPointer) -> Step {
        hasBytes = true
        switch state {
        case .untilClose, .unframed: return .goesOn
        case .body(var body):
            var position = 0
            let step = advance(&body, bytes, &position)
            return step
        case .head: return advanceHead(bytes)
        }
    }

    private mutating func advanceHead(_ bytes: UnsafeRawBufferPointer) -> Step {
        let before = headBytes.count
        do throws(HTTPError) {
            let isWhole: Bool
            if before == 0 {
                isWhole = try scanner.scan(bytes)
            } else {
                headBytes.append(contentsOf: bytes.prefix(scanner.limits.headBytes))
                isWhole = try Self.scan(headBytes, &scanner)
            }
            guard isWhole else {
                if before == 0 { headBytes.append(contentsOf: bytes) }
                return .goesOn
            }
        } catch {
            state = .unframed
            return .goesOn
        }
        var position = scanner.head.byteCount - before
        if scanner.head.isInterim {
            let hadBytes = hasBytes
            begin(responseTo: method)
            hasBytes = hadBytes
            return .interimEnded(position)
        }
        switch scanner.head.framing {
        case .upgrade: return .upgraded(position)
        case .untilClose:
            state = .untilClose
            return .goesOn
        default:
            var body = HTTPBodyScanner(framing: scanner.head.framing)
            return advance(&body, bytes, &position)
        }
    }

    private static func scan(_ bytes: [UInt8], _ scanner: inout HTTPHeadScanner) throws(HTTPError) -> Bool {
        // A closure would lose the type of the error.
        let span = bytes.withUnsafeBytes { bytes in
            Result { () throws(HTTPError) -> Bool in try scanner.scan(bytes) }
        }
        return try span.get()
    }

    private mutating func advance(
        _ body: inout HTTPBodyScanner, _ bytes: UnsafeRawBufferPointer, _ position: inout Int
    ) -> Step {
        do throws(HTTPError) {
            while true {
                switch try body.next(in: bytes, at: &position) {
                case .content: continue
                case .complete: return .ended(position)
                case .needsMoreBytes:
                    state = .body(body)
                    return .goesOn
                }
            }
        } catch {
            state = .unframed
            return .goesOn
        }
    }
}
