import CapturedTraffic
import HTTPMessage

/// The order of things on one client connection: where requests and responses begin and end, and what may follow what.
/// No I/O: bytes go in, what to do with them comes out.
///
/// One exchange is open at a time. Bytes of a pipelined request wait (`.wait`) until the response before it has ended,
/// so that every request in the record stands before its own response, answers of the proxy itself keep their place,
/// and a read behind a held write waits for HTTP's order alone.
///
///     request:   idle → head → body → complete ┐
///     response:  idle → head → body → complete ┴→ idle (both), ended (the connection is not kept), tunnel
///
/// A head that comes in one piece is scanned where it lies. One that comes in several is gathered here, and nothing of
/// it is forwarded before it is whole and found to be sound. Invariants: `gathered` is empty but for such heads;
/// between exchanges the machine has no scanners, which are most of its memory.
struct ProxyConnectionStateMachine {
    enum RequestState: UInt8 {
        /// Between exchanges.
        case idle
        /// Some of a head has come.
        case head
        /// The head is forwarded, content is coming.
        case body
        /// All of the request has come; its response has not.
        case complete
        /// Nothing is taken any more.
        case ended
        /// The bytes belong to another protocol.
        case tunnel
    }

    enum ResponseState: UInt8 {
        case idle
        /// Waiting for the head, or for the rest of it.
        case head
        case body
        case complete
    }

    enum RequestAction: Equatable {
        /// The bytes are part of a head and were kept.
        case gather
        /// The first `count` bytes belong to the request, the rest to the next one.
        case forward(count: Int, startsRequest: Bool, isComplete: Bool)
        /// The request begins with the first `count` bytes of `gathered`, the given ones included; the rest of it is to
        /// be offered again.
        case forwardGathered(count: Int, isComplete: Bool)
        /// An exchange is open: to be offered again when it has ended.
        case wait
        /// To be answered by the proxy with `refusal`; then it closes.
        case refuse
        case tunnel
        /// Nothing is taken any more.
        case discard
    }

    enum ResponseAction: Equatable {
        case gather
        /// The first `count` bytes belong to the response. Bytes behind a complete one are nobody's.
        case forward(count: Int, isComplete: Bool)
        case forwardGathered(count: Int, isComplete: Bool)
        /// The response of `count` bytes changes the protocol; what follows it is tunnelled.
        case upgrade(count: Int, isGathered: Bool)
        /// No request waits for a response.
        case unexpected
        /// See `responseError`.
        case malformed
        case tunnel
    }

    private enum RequestFault: Error {
        case malformed(HTTPError)
        case tooLarge(limitBytes: Int64)
    }

    private(set) var request = RequestState.idle
    private(set) var response = ResponseState.idle
    /// Of the current request; valid from its head on.
    private(set) var method = HTTPMethod.other
    private(set) var requestClass = RequestClass.read
    /// The bytes of a head that comes in pieces. Emptied by `dropGathered`.
    private(set) var gathered: [UInt8] = []
    private(set) var gatheredResponse: [UInt8] = []
    /// After `refuse`; kept apart so that actions are plain values, which cost nothing to hand around.
    private(set) var refusal: ProxyAnswer?
    /// After `malformed`.
    private(set) var responseError: HTTPError?
    /// Some of the final response has been handed on.
    private(set) var hasResponseBegun = false

    /// Of the exchange that is open; nil between exchanges.
    private var openScanners: ExchangeScanners?
    private let scannerPool: ScannerPool
    private var isRequestPersistent = true
    private var isResponsePersistent = true
    private let classifier: RequestClassifier
    private let bodyLimitBytes: Int64?

    init(classifier: RequestClassifier, scanners: ScannerPool, bodyBytes: Int64?) {
        self.classifier = classifier
        bodyLimitBytes = bodyBytes
        scannerPool = scanners
    }

    /// From the first byte of a request to the end of its exchange.
    var scanners: ExchangeScanners {
        guard let openScanners else {
            preconditionFailure("no exchange is open: request \(request), response \(response)")
        }
        return openScanners
    }

    private mutating func takeScanners() {
        if openScanners == nil { openScanners = scannerPool.take() }
    }

    private mutating func giveScanners() {
        guard let scanners = openScanners else { return }
        openScanners = nil
        scannerPool.give(scanners)
    }

    /// The request is under way or its response is.
    var isExchangeOpen: Bool { request == .body || request == .complete }
    var isTunnel: Bool { request == .tunnel }
    var isMutating: Bool { requestClass == .mutating }
    /// Length of the request line with its line break.
    var firstLineBytes: Int { scanners.request.head.target.upperBound + 11 }
    var headBytes: Int { scanners.request.head.byteCount }
    var expectsContinue: Bool { scanners.request.head.expectsContinue }

    // MARK: Requests

    mutating func requestBytes(_ bytes: UnsafeRawBufferPointer) -> RequestAction {
        switch request {
        case .idle: return beginRequest(bytes)
        case .head: return continueHead(bytes)
        case .body: return continueBody(bytes)
        case .complete: return .wait
        case .ended: return .discard
        case .tunnel: return .tunnel
        }
    }

    private func scanHead(_ bytes: UnsafeRawBufferPointer) throws(RequestFault) -> Bool {
        do throws(HTTPError) {
            return try scanners.request.scan(bytes)
        } catch {
            throw .malformed(error)
        }
    }

    private mutating func beginRequest(_ bytes: UnsafeRawBufferPointer) -> RequestAction {
        takeScanners()
        do throws(RequestFault) {
            guard try scanHead(bytes) else {
                gathered.append(contentsOf: bytes)
                request = .head
                return .gather
            }
            var position = scanners.request.head.byteCount
            let isComplete = try takeHead(bytes, &position)
            return .forward(count: position, startsRequest: true, isComplete: isComplete)
        } catch {
            return refuse(error)
        }
    }

    private mutating func continueHead(_ bytes: UnsafeRawBufferPointer) -> RequestAction {
        gathered.append(contentsOf: bytes)
        // Moved out for the call: the closure below cannot borrow it beside the rest.
        let head = gathered
        let outcome = head.withUnsafeBytes { (whole) -> Result<(count: Int, isComplete: Bool)?, RequestFault> in
            do throws(RequestFault) {
                guard try scanHead(whole) else { return .success(nil) }
                var position = scanners.request.head.byteCount
                let isComplete = try takeHead(whole, &position)
                return .success((position, isComplete))
            } catch {
                return .failure(error)
            }
        }
        switch outcome {
        case .success(nil): return .gather
        case .success(let step?): return .forwardGathered(count: step.count, isComplete: step.isComplete)
        case .failure(let error): return refuse(error)
        }
    }

    /// The head is whole: what it says, and as much content as has come with it.
    private mutating func takeHead(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int
    ) throws(RequestFault) -> Bool {
        let scanners = scanners
        method = scanners.request.head.method
        let framing = scanners.request.head.framing
        requestClass = classifier.classify(
            method: UnsafeRawBufferPointer(rebasing: bytes[scanners.request.head.methodRange]),
            target: UnsafeRawBufferPointer(rebasing: bytes[scanners.request.head.target]))
        isRequestPersistent = scanners.request.head.isPersistent
        response = .head
        scanners.response.reset(responseTo: method)
        hasResponseBegun = false
        if framing == .none {
            request = .complete
            return true
        }
        request = .body
        scanners.requestBody = HTTPBodyScanner(framing: framing, limits: scanners.request.limits)
        if let bodyLimitBytes, case .length(let count) = framing, count > bodyLimitBytes {
            throw .tooLarge(limitBytes: bodyLimitBytes)
        }
        return try scanBody(bytes, &position)
    }

    private mutating func continueBody(_ bytes: UnsafeRawBufferPointer) -> RequestAction {
        var position = 0
        do throws(RequestFault) {
            let isComplete = try scanBody(bytes, &position)
            return .forward(count: position, startsRequest: false, isComplete: isComplete)
        } catch {
            return refuse(error)
        }
    }

    private mutating func scanBody(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int
    ) throws(RequestFault) -> Bool {
        let scanners = scanners
        while true {
            let step: HTTPBodyScanner.Step
            do throws(HTTPError) {
                step = try scanners.requestBody.next(in: bytes, at: &position)
            } catch {
                throw .malformed(error)
            }
            switch step {
            case .content:
                if let bodyLimitBytes, scanners.requestBody.contentByteCount > bodyLimitBytes {
                    throw .tooLarge(limitBytes: bodyLimitBytes)
                }
                continue
            case .needsMoreBytes: return false
            case .complete:
                request = .complete
                return true
            }
        }
    }

    private mutating func refuse(_ fault: RequestFault) -> RequestAction {
        request = .ended
        switch fault {
        case .malformed(let error): refusal = ProxyAnswer(refusing: error)
        case .tooLarge(let limitBytes): refusal = .bodyTooLarge(limitBytes: limitBytes)
        }
        return .refuse
    }

    /// After `forwardGathered`: returns what stood behind the first `count` bytes.
    mutating func dropGathered(_ count: Int) -> [UInt8] {
        let rest = count < gathered.count ? [UInt8](gathered[count...]) : []
        gathered = []
        return rest
    }

    // MARK: Responses

    mutating func responseBytes(_ bytes: UnsafeRawBufferPointer) -> ResponseAction {
        if request == .tunnel { return .tunnel }
        switch response {
        case .idle, .complete: return .unexpected
        case .head:
            if !gatheredResponse.isEmpty { return continueResponseHead(bytes) }
            do throws(HTTPError) {
                return try scanResponse(bytes, isGathered: false)
            } catch {
                responseError = error
                return .malformed
            }
        case .body:
            var position = 0
            do throws(HTTPError) {
                let isComplete = try scanResponseBody(bytes, &position)
                return .forward(count: position, isComplete: isComplete)
            } catch {
                responseError = error
                return .malformed
            }
        }
    }

    private mutating func continueResponseHead(_ bytes: UnsafeRawBufferPointer) -> ResponseAction {
        gatheredResponse.append(contentsOf: bytes)
        let head = gatheredResponse
        return head.withUnsafeBytes { whole in
            do throws(HTTPError) {
                return try scanResponse(whole, isGathered: true)
            } catch {
                responseError = error
                return .malformed
            }
        }
    }

    /// From the beginning of a head: interim responses, then the final one as far as it has come.
    private mutating func scanResponse(
        _ bytes: UnsafeRawBufferPointer, isGathered: Bool
    ) throws(HTTPError) -> ResponseAction {
        let scanners = scanners
        var start = 0
        while true {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
            guard try scanners.response.scan(rest) else {
                // What came before is whole; the begun head is gathered, unless it is that already.
                if !isGathered { gatheredResponse.append(contentsOf: rest) }
                guard start > 0 else { return .gather }
                return forwarding(start, isGathered: isGathered, isComplete: false)
            }
            var position = start + scanners.response.head.byteCount
            if scanners.response.head.isInterim {
                scanners.response.reset(responseTo: method)
                start = position
                if start == bytes.count {
                    return forwarding(start, isGathered: isGathered, isComplete: false)
                }
                continue
            }
            hasResponseBegun = true
            let framing = scanners.response.head.framing
            isResponsePersistent = scanners.response.head.isPersistent
            if framing == .upgrade {
                request = .tunnel
                giveScanners()
                return .upgrade(count: position, isGathered: isGathered)
            }
            response = .body
            scanners.responseBody = HTTPBodyScanner(framing: framing, limits: scanners.response.limits)
            let isComplete = try scanResponseBody(bytes, &position)
            return forwarding(position, isGathered: isGathered, isComplete: isComplete)
        }
    }

    private func forwarding(_ count: Int, isGathered: Bool, isComplete: Bool) -> ResponseAction {
        isGathered
            ? .forwardGathered(count: count, isComplete: isComplete) : .forward(count: count, isComplete: isComplete)
    }

    private mutating func scanResponseBody(
        _ bytes: UnsafeRawBufferPointer, _ position: inout Int
    ) throws(HTTPError) -> Bool {
        let scanners = scanners
        while true {
            switch try scanners.responseBody.next(in: bytes, at: &position) {
            case .content: continue
            case .needsMoreBytes: return false
            case .complete:
                response = .complete
                return true
            }
        }
    }

    /// After `forwardGathered`: the first `count` bytes. What follows them stays when it begins another head.
    mutating func takeGatheredResponse(_ count: Int) -> (bytes: [UInt8], hasMore: Bool) {
        let bytes = [UInt8](gatheredResponse[..<count])
        let hasMore = count < gatheredResponse.count
        if response == .head { gatheredResponse.removeFirst(count) } else { gatheredResponse = [] }
        return (bytes, hasMore)
    }

    /// After `upgrade`: everything that was gathered.
    mutating func takeGatheredUpgrade() -> [UInt8] {
        defer { gatheredResponse = [] }
        return gatheredResponse
    }

    /// The source ended its side. Returns whether that ends the response in order.
    mutating func sourceEnded() -> Bool {
        guard response == .body else { return response == .complete || response == .idle }
        do throws(HTTPError) {
            try scanners.responseBody.endOfInput()
        } catch {
            return false
        }
        response = .complete
        isResponsePersistent = false
        return true
    }

    // MARK: Exchanges

    /// When request and response are both whole: makes ready for the next exchange. Returns false when they are not;
    /// afterwards `request` is `idle`, or `ended` when the connection is not kept.
    mutating func endExchange() -> Bool {
        guard request == .complete, response == .complete else { return false }
        response = .idle
        let isKept = isRequestPersistent && isResponsePersistent
        request = isKept ? .idle : .ended
        giveScanners()
        return true
    }

    /// The proxy answered the current request itself; it does not reach the source. `keepsConnection`: the whole
    /// request has come, so the next one can be told apart.
    mutating func answeredByProxy(keepsConnection: Bool) {
        response = .idle
        gathered = []
        gatheredResponse = []
        request = keepsConnection && request == .complete && isRequestPersistent ? .idle : .ended
        giveScanners()
    }

    /// Takes no further request.
    mutating func end() {
        request = .ended
        if response == .idle || response == .complete { giveScanners() }
    }
}
