import HTTPMessage

/// What the scanners say about one message, in values that can be compared.
package struct ScannedMessage: Equatable {
    package private(set) var head: HTTPHead?
    package private(set) var body: [UInt8] = []
    package private(set) var trailers: [HTTPTrailer] = []
    /// Bytes of head and body.
    package private(set) var byteCount = 0
    package private(set) var isComplete = false
    package private(set) var error: HTTPError?

    package enum Kind: Equatable {
        case request
        case response(to: HTTPMethod)
    }

    /// Scans `bytes`, given in the pieces that end at `cuts` (ascending) and at the end. `endsInput` closes the input
    /// after the last byte.
    package init(
        _ bytes: [UInt8], _ kind: Kind, cuts: [Int] = [], endsInput: Bool = false, limits: HTTPLimits = HTTPLimits()
    ) {
        var scanner: HTTPHeadScanner
        switch kind {
        case .request: scanner = HTTPHeadScanner(limits: limits)
        case .response(let method): scanner = HTTPHeadScanner(responseTo: method, limits: limits)
        }
        do throws(HTTPError) {
            var body: HTTPBodyScanner?
            var position = 0
            for end in cuts + [bytes.count] {
                // A copy of just these bytes: reading behind them is an error that the address sanitizer sees.
                let piece = Array(bytes[..<end])
                if body == nil {
                    guard try Self.scanHead(&scanner, piece) else { continue }
                    head = scanner.head
                    position = scanner.head.byteCount
                    body = HTTPBodyScanner(framing: scanner.head.framing, limits: limits)
                }
                if try scanBody(&body!, piece, &position) { break }
            }
            if endsInput, !isComplete, body != nil {
                try body!.endOfInput()
                isComplete = true
            }
            byteCount = position
        } catch {
            self.error = error
        }
    }

    private static func scanHead(_ scanner: inout HTTPHeadScanner, _ bytes: [UInt8]) throws(HTTPError) -> Bool {
        try bytes.withUnsafeBytes { bytes in Result { () throws(HTTPError) in try scanner.scan(bytes) } }.get()
    }

    private mutating func scanBody(
        _ scanner: inout HTTPBodyScanner, _ bytes: [UInt8], _ position: inout Int
    ) throws(HTTPError) -> Bool {
        while true {
            let step = try bytes.withUnsafeBytes { bytes in
                Result { () throws(HTTPError) in try scanner.next(in: bytes, at: &position) }
            }.get()
            switch step {
            case .content(let range): body += bytes[range]
            case .needsMoreBytes: return false
            case .complete:
                isComplete = true
                trailers = scanner.trailers
                return true
            }
        }
    }
}
