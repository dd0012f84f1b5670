import HTTPMessage

/// What finds the parts of one exchange. More than a kilobyte with the fields of both heads, so connections have one
/// only while an exchange is open.
final class ExchangeScanners {
    var request: HTTPHeadScanner
    var requestBody = HTTPBodyScanner(framing: .none)
    var response: HTTPHeadScanner
    var responseBody = HTTPBodyScanner(framing: .none)

    init(requestLimits: HTTPLimits) {
        request = HTTPHeadScanner(limits: requestLimits)
        response = HTTPHeadScanner(responseTo: .other, limits: .relayedResponse)
    }
}

/// The scanners that no exchange of a loop uses. Confined to its loop.
final class ScannerPool {
    /// Others go back to the allocator: about 400 KB.
    private static let retainedCountLimit = 256

    private let requestLimits: HTTPLimits
    private var free: ContiguousArray<ExchangeScanners> = []

    /// - Parameter headBytes: the limit for heads of requests.
    init(headBytes: Int) {
        var requestLimits = HTTPLimits()
        requestLimits.headBytes = headBytes
        requestLimits.targetBytes = min(requestLimits.targetBytes, headBytes / 2)
        self.requestLimits = requestLimits
    }

    /// Ready for a request's first byte.
    func take() -> ExchangeScanners {
        free.popLast() ?? ExchangeScanners(requestLimits: requestLimits)
    }

    func give(_ scanners: ExchangeScanners) {
        guard free.count < Self.retainedCountLimit else { return }
        scanners.request.reset()
        // Trailers that one message had are not kept for the next ones.
        scanners.requestBody = HTTPBodyScanner(framing: .none)
        scanners.responseBody = HTTPBodyScanner(framing: .none)
        free.append(scanners)
    }
}
