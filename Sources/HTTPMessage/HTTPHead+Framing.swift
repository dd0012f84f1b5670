import CSystem

/// What the fields of a complete head say together: where content ends, what becomes of the connection. Everything that
/// two implementations could read differently is refused (RFC 9112 §6.3, §11.2).
extension HTTPHead {
    private struct Seen {
        var host: Range<Int>?
        var contentLength: Range<Int>?
        var length: Int64 = 0
        var transferEncoding: Range<Int>?
        var isChunked = false
        var hasExpect = false
    }

    mutating func applyFraming(_ base: UnsafePointer<UInt8>, requestMethod: HTTPMethod) throws(HTTPError) {
        var seen = Seen()
        // By index: a loop over the list would retain it.
        for index in 0..<fields.endIndex {
            let field = fields[index]
            guard field.line.name != 0 else { continue }
            switch field.known {
            case .host: try noteHost(field.value, base, &seen)
            case .contentLength: try noteContentLength(field.value, base, &seen)
            case .transferEncoding: try noteTransferEncoding(field.value, base, &seen)
            case .connection: try noteConnection(field.value, base)
            case .expect: if isRequest { try noteExpect(field.value, base, &seen) }
            case .upgrade: hasUpgradeField = true
            default: break
            }
        }
        if let transferEncoding = seen.transferEncoding {
            guard minorVersion == 1 else {
                throw HTTPError(
                    .invalidTransferEncoding, at: transferEncoding.lowerBound, "Transfer-Encoding in HTTP/1.0")
            }
            guard seen.contentLength == nil else {
                throw HTTPError(
                    .contentLengthWithTransferEncoding, at: transferEncoding.lowerBound,
                    "both Content-Length and Transfer-Encoding")
            }
        }
        if isRequest {
            try applyRequestFraming(seen)
        } else {
            try applyResponseFraming(seen, requestMethod: requestMethod)
        }
    }

    @inline(__always)
    private mutating func applyRequestFraming(_ seen: Seen) throws(HTTPError) {
        guard seen.host != nil || minorVersion == 0 else {
            throw HTTPError(.invalidHost, at: byteCount, "an HTTP/1.1 request without Host")
        }
        if method == .connect || method == .trace {
            // RFC 9110 §9.3.6, §9.3.8: no content, whatever the fields say; tunnelled bytes must not pass for it.
            let isEmpty = seen.transferEncoding == nil && seen.length == 0
            guard isEmpty else {
                throw HTTPError(.contentNotAllowed, at: byteCount, "content in a request whose method has none")
            }
            framing = .none
        } else if seen.transferEncoding != nil {
            framing = .chunked
        } else if seen.contentLength != nil, seen.length > 0 {
            framing = .length(seen.length)
        } else {
            framing = .none
        }
    }

    @inline(__always)
    private mutating func applyResponseFraming(_ seen: Seen, requestMethod: HTTPMethod) throws(HTTPError) {
        let hasNoContent = status < 200 || status == 204
        if hasNoContent, seen.transferEncoding != nil || seen.length > 0 {
            // RFC 9110 §8.6, RFC 9112 §6.1: a server never sends these, and not every client ignores them.
            throw HTTPError(.contentNotAllowed, at: byteCount, "content in a response of status \(status)")
        }
        if status == 101 || (requestMethod == .connect && status >= 200 && status < 300) {
            framing = .upgrade
        } else if hasNoContent || status == 304 || requestMethod == .head {
            framing = .none
        } else if seen.transferEncoding != nil {
            framing = seen.isChunked ? .chunked : .untilClose
        } else if seen.contentLength != nil {
            framing = seen.length == 0 ? .none : .length(seen.length)
        } else {
            framing = .untilClose
        }
    }

    @inline(__always)
    private func noteHost(_ value: Range<Int>, _ base: UnsafePointer<UInt8>, _ seen: inout Seen) throws(HTTPError) {
        guard isRequest else { return }
        guard seen.host == nil else { throw HTTPError(.invalidHost, at: value.lowerBound, "more than one Host") }
        guard value.isEmpty || HTTPTargetRules.isAuthority(base, value, requiresPort: false, readableEnd: byteCount)
        else {
            throw HTTPError(.invalidHost, at: value.lowerBound, "Host is not a host with an optional port")
        }
        seen.host = value
    }

    /// `1*DIGIT`. Equal duplicates and comma lists are refused too: not every recipient merges them.
    private func noteContentLength(
        _ value: Range<Int>, _ base: UnsafePointer<UInt8>, _ seen: inout Seen
    ) throws(HTTPError) {
        guard seen.contentLength == nil else {
            throw HTTPError(.invalidContentLength, at: value.lowerBound, "more than one Content-Length")
        }
        guard !value.isEmpty else {
            throw HTTPError(.invalidContentLength, at: value.lowerBound, "an empty Content-Length")
        }
        var length: Int64 = 0
        var isOverflow = false
        for index in value {
            let digit = base[index] &- 0x30
            guard digit < 10 else {
                throw HTTPError(.invalidContentLength, at: index, "Content-Length is not a whole number")
            }
            let (product, tooLarge) = length.multipliedReportingOverflow(by: 10)
            let (sum, tooLargeSum) = product.addingReportingOverflow(Int64(digit))
            isOverflow = isOverflow || tooLarge || tooLargeSum
            length = sum
        }
        guard !isOverflow else {
            throw HTTPError(.contentLengthOverflow, at: value.lowerBound, "Content-Length passes 2^63 - 1")
        }
        seen.contentLength = value
        seen.length = length
    }

    /// Requests: `chunked` alone, as nothing here undoes other codings. Responses: known codings, then `chunked` or the
    /// end of the connection.
    private mutating func noteTransferEncoding(
        _ value: Range<Int>, _ base: UnsafePointer<UInt8>, _ seen: inout Seen
    ) throws(HTTPError) {
        guard seen.transferEncoding == nil else {
            throw HTTPError(.invalidTransferEncoding, at: value.lowerBound, "more than one Transfer-Encoding")
        }
        seen.transferEncoding = value
        var elements = HTTPListElements(base, value, allowsEmpty: false)
        var otherCoding: Int?
        while true {
            switch elements.next() {
            case .end:
                guard seen.isChunked || otherCoding != nil else {
                    throw HTTPError(.invalidTransferEncoding, at: value.lowerBound, "an empty Transfer-Encoding")
                }
                hasContentTransferCoding = otherCoding != nil
                guard isRequest, let otherCoding else { return }
                guard seen.isChunked else {
                    throw HTTPError(
                        .invalidTransferEncoding, at: otherCoding, "the final transfer coding is not chunked")
                }
                throw HTTPError(.unsupportedTransferCoding, at: otherCoding, "a transfer coding beside chunked")
            case .malformed(let offset):
                throw HTTPError(.invalidTransferEncoding, at: offset, "Transfer-Encoding is not a list of codings")
            case .token(let token):
                guard !seen.isChunked else {
                    throw HTTPError(.invalidTransferEncoding, at: token.lowerBound, "a transfer coding after chunked")
                }
                if Self.tokenEquals(base, token, "chunked") {
                    seen.isChunked = true
                } else if Self.isKnownCoding(base, token) {
                    otherCoding = otherCoding ?? token.lowerBound
                } else {
                    throw HTTPError(.unsupportedTransferCoding, at: token.lowerBound, "an unknown transfer coding")
                }
            }
        }
    }

    private static func isKnownCoding(_ base: UnsafePointer<UInt8>, _ token: Range<Int>) -> Bool {
        tokenEquals(base, token, "gzip") || tokenEquals(base, token, "deflate") || tokenEquals(base, token, "compress")
            || tokenEquals(base, token, "x-gzip") || tokenEquals(base, token, "x-compress")
    }

    private mutating func noteConnection(_ value: Range<Int>, _ base: UnsafePointer<UInt8>) throws(HTTPError) {
        if Self.tokenEquals(base, value, "keep-alive") {
            hasConnectionKeepAlive = true
            return
        }
        var elements = HTTPListElements(base, value)
        while true {
            switch elements.next() {
            case .end: return
            case .malformed(let offset):
                throw HTTPError(.invalidConnection, at: offset, "Connection is not a list of tokens")
            case .token(let token):
                if Self.tokenEquals(base, token, "close") {
                    hasConnectionClose = true
                } else if Self.tokenEquals(base, token, "keep-alive") {
                    hasConnectionKeepAlive = true
                } else if Self.tokenEquals(base, token, "upgrade") {
                    hasConnectionUpgrade = true
                } else {
                    switch HTTPFieldName(base: base, from: token.lowerBound, to: token.upperBound) {
                    case .host, .contentLength, .transferEncoding:
                        // A gateway that removed these would change what the next one reads as the message's end.
                        throw HTTPError(
                            .invalidConnection, at: token.lowerBound, "Connection names a field that frames the message"
                        )
                    default: break
                    }
                }
            }
        }
    }

    private mutating func noteExpect(
        _ value: Range<Int>, _ base: UnsafePointer<UInt8>, _ seen: inout Seen
    ) throws(HTTPError) {
        guard minorVersion == 1 else { return }  // RFC 9110 §10.1.1: ignored in HTTP/1.0
        guard !seen.hasExpect, Self.tokenEquals(base, value, "100-continue") else {
            throw HTTPError(.expectationFailed, at: value.lowerBound, "Expect is not 100-continue")
        }
        seen.hasExpect = true
        expectsContinue = true
    }

    /// Whether a value is this lower-case token, without regard to case.
    private static func tokenEquals(
        _ base: UnsafePointer<UInt8>, _ range: Range<Int>, _ lowerCase: StaticString
    ) -> Bool {
        guard range.count == lowerCase.utf8CodeUnitCount else { return false }
        return lowerCase.withUTF8Buffer { text in
            guard let start = text.baseAddress else { return true }
            return start.withMemoryRebound(to: CChar.self, capacity: text.count) { start in
                millrace_http_name_equals(base + range.lowerBound, start, range.count) != 0
            }
        }
    }
}
