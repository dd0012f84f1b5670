import CSystem

/// A strict, incremental scanner of request and response heads (RFC 9112 §2 to §6) that copies nothing.
///
/// The caller owns one contiguous buffer that begins with the message and grows; each `scan` gets all of it and goes on
/// where the last one stopped. Ranges in `head` count from the buffer's first byte, so the buffer may move between
/// calls. Errors do not depend on how the bytes were cut. After an error, only `reset` is of use. Bounds: `HTTPLimits`.
/// A scanner that is reset and used again does not allocate, unless a copy of its `head` is still held.
package struct HTTPHeadScanner {
    private enum Stage: UInt8 {
        /// Before a request line, where empty lines are tolerated.
        case emptyLines
        case method
        case target
        case requestVersion
        case statusVersion
        case reason
        case fields
        case complete
    }

    /// Valid once `scan` has returned true.
    package private(set) var head = HTTPHead()
    package let limits: HTTPLimits

    private var stage: Stage
    private var position = 0
    private var tokenStart = 0
    private var fieldScanner = HTTPFieldScanner(from: 0)
    /// Of the request that a response answers; it decides whether content follows.
    private var requestMethod: HTTPMethod

    /// A scanner for a request.
    package init(limits: HTTPLimits = HTTPLimits()) {
        self.limits = limits
        stage = .emptyLines
        requestMethod = .other
        head.isRequest = true
    }

    /// A scanner for the response to a request of `method`. After an interim response (`HTTPHead.isInterim`) it is
    /// reset for the same method.
    package init(responseTo method: HTTPMethod, limits: HTTPLimits = HTTPLimits()) {
        self.init(limits: limits)
        reset(responseTo: method)
    }

    /// Starts over for another request; storage is kept.
    package mutating func reset() {
        head.removeAll()
        stage = .emptyLines
        position = 0
    }

    /// Starts over for the response to a request of `method`; storage is kept.
    package mutating func reset(responseTo method: HTTPMethod) {
        head.removeAll()
        head.isRequest = false
        requestMethod = method
        stage = .statusVersion
        position = 0
    }

    /// Scans `bytes`, which hold the message from its first byte and at least what the last call was given. Returns
    /// true when the head is complete; bytes after it are not looked at.
    package mutating func scan(_ bytes: UnsafeRawBufferPointer) throws(HTTPError) -> Bool {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return stage == .complete }
        let end = min(bytes.count, limits.headBytes)
        if try advance(base, to: end) { return true }
        guard bytes.count < limits.headBytes else {
            throw HTTPError(.headTooLarge, at: limits.headBytes, "the head is longer than \(limits.headBytes) bytes")
        }
        return false
    }

    private mutating func advance(_ base: UnsafePointer<UInt8>, to end: Int) throws(HTTPError) -> Bool {
        while true {
            switch stage {
            case .emptyLines: guard try skipEmptyLines(base, to: end) else { return false }
            case .method: guard try scanMethod(base, to: end) else { return false }
            case .target: guard try scanTarget(base, to: end) else { return false }
            case .requestVersion: guard try scanRequestVersion(base, to: end) else { return false }
            case .statusVersion: guard try scanStatus(base, to: end) else { return false }
            case .reason: guard try scanReason(base, to: end) else { return false }
            case .fields:
                guard
                    try fieldScanner.scan(base, to: end, fieldCountLimit: limits.fieldCount, into: &head.fields)
                else { return false }
                head.byteCount = fieldScanner.position
                try head.applyFraming(base, requestMethod: requestMethod)
                stage = .complete
            case .complete: return true
            }
        }
    }

    // MARK: Request line: method SP request-target SP HTTP-version CRLF

    private mutating func skipEmptyLines(_ base: UnsafePointer<UInt8>, to end: Int) throws(HTTPError) -> Bool {
        while position < end, base[position] == UInt8(ascii: "\r") {
            guard position + 1 < end else { return false }
            guard base[position + 1] == UInt8(ascii: "\n") else {
                throw HTTPError(.bareCarriageReturn, at: position, "a carriage return without a line feed")
            }
            position += 2
            guard position <= 2 * HTTPLimits.emptyLineCount else {
                throw HTTPError(.tooManyEmptyLines, at: position, "too many empty lines before a request")
            }
        }
        guard position < end else { return false }
        guard base[position] != UInt8(ascii: "\n") else {
            throw HTTPError(.bareLineFeed, at: position, "a line feed without a carriage return")
        }
        tokenStart = position
        stage = .method
        return true
    }

    private mutating func scanMethod(_ base: UnsafePointer<UInt8>, to end: Int) throws(HTTPError) -> Bool {
        position = millrace_http_token_end(base, position, end)
        guard position - tokenStart <= HTTPLimits.methodBytes else {
            throw HTTPError(.methodTooLong, at: tokenStart + HTTPLimits.methodBytes, "the method is too long")
        }
        guard position < end else { return false }
        guard base[position] == 0x20, position > tokenStart else {
            throw HTTPError(.invalidMethod, at: position, "byte \(base[position]) in the method")
        }
        head.methodRange = tokenStart..<position
        head.method = HTTPMethod(base + tokenStart, count: position - tokenStart)
        position += 1
        tokenStart = position
        stage = .target
        return true
    }

    private mutating func scanTarget(_ base: UnsafePointer<UInt8>, to end: Int) throws(HTTPError) -> Bool {
        position = millrace_http_target_end(base, position, end)
        guard position - tokenStart <= limits.targetBytes else {
            throw HTTPError(
                .targetTooLong, at: tokenStart + limits.targetBytes,
                "the request target is longer than \(limits.targetBytes) bytes")
        }
        guard position < end else { return false }
        guard base[position] == 0x20, position > tokenStart else {
            throw HTTPError(.invalidTarget, at: position, "byte \(base[position]) in the request target")
        }
        head.target = tokenStart..<position
        position += 1
        stage = .requestVersion
        return true
    }

    private mutating func scanRequestVersion(_ base: UnsafePointer<UInt8>, to end: Int) throws(HTTPError) -> Bool {
        guard end - position >= 10 else { return false }
        try scanVersion(base)
        guard base[position + 8] == UInt8(ascii: "\r"), base[position + 9] == UInt8(ascii: "\n") else {
            throw HTTPError(.invalidVersion, at: position + 8, "the request line does not end after the version")
        }
        try HTTPTargetRules.check(head.target, method: head.method, base)
        beginFields(at: position + 10)
        return true
    }

    /// `HTTP/1.1` or `HTTP/1.0` at `position`, where eight bytes are.
    private mutating func scanVersion(_ base: UnsafePointer<UInt8>) throws(HTTPError) {
        let name: StaticString = "HTTP/"
        for index in 0..<5 where base[position + index] != name.utf8Start[index] {
            throw HTTPError(.invalidVersion, at: position + index, "the protocol is not HTTP")
        }
        let major = base[position + 5] &- 0x30
        let minor = base[position + 7] &- 0x30
        guard major < 10, base[position + 6] == UInt8(ascii: "."), minor < 10 else {
            throw HTTPError(.invalidVersion, at: position + 5, "the HTTP version is not a digit, a dot and a digit")
        }
        guard major == 1, minor < 2 else {
            throw HTTPError(.unsupportedVersion, at: position + 5, "HTTP version \(major).\(minor) is not supported")
        }
        head.minorVersion = Int(minor)
    }

    private mutating func beginFields(at offset: Int) {
        fieldScanner = HTTPFieldScanner(from: offset)
        stage = .fields
    }

    // MARK: Status line: HTTP-version SP status-code SP [ reason-phrase ] CRLF

    private mutating func scanStatus(_ base: UnsafePointer<UInt8>, to end: Int) throws(HTTPError) -> Bool {
        guard end - position >= 13 else { return false }
        try scanVersion(base)
        guard base[position + 8] == 0x20 else {
            throw HTTPError(.invalidVersion, at: position + 8, "no space after the version")
        }
        var status = 0
        for index in position + 9..<position + 12 {
            let digit = base[index] &- 0x30
            guard digit < 10 else { throw HTTPError(.invalidStatus, at: index, "the status is not three digits") }
            status = status * 10 + Int(digit)
        }
        guard status >= 100, status <= limits.highestStatus else {
            throw HTTPError(.invalidStatus, at: position + 9, "status \(status) is not defined")
        }
        head.status = status
        position += 12
        // RFC 9112 §4 wants the space even without a reason; many servers leave both out.
        if base[position] == 0x20 {
            position += 1
        } else if base[position] != UInt8(ascii: "\r") {
            throw HTTPError(.invalidStatus, at: position, "the status is not three digits")
        }
        tokenStart = position
        stage = .reason
        return true
    }

    private mutating func scanReason(_ base: UnsafePointer<UInt8>, to end: Int) throws(HTTPError) -> Bool {
        position = millrace_http_value_end(base, position, end)
        guard position < end else { return false }
        guard base[position] == UInt8(ascii: "\r") else {
            throw HTTPError(.invalidReason, at: position, "byte \(base[position]) in the reason phrase")
        }
        guard position + 1 < end else { return false }
        guard base[position + 1] == UInt8(ascii: "\n") else {
            throw HTTPError(.bareCarriageReturn, at: position, "a carriage return without a line feed")
        }
        head.reason = tokenStart..<position
        beginFields(at: position + 2)
        return true
    }
}

extension HTTPMethod {
    /// The method of a token; methods are case-sensitive (RFC 9110 §9.1).
    package init(_ bytes: UnsafePointer<UInt8>, count: Int) {
        func equals(_ name: StaticString) -> Bool { memcmp(bytes, name.utf8Start, count) == 0 }
        self = .other
        switch count {
        case 3: if equals("GET") { self = .get } else if equals("PUT") { self = .put }
        case 4: if equals("POST") { self = .post } else if equals("HEAD") { self = .head }
        case 5: if equals("PATCH") { self = .patch } else if equals("TRACE") { self = .trace }
        case 6: if equals("DELETE") { self = .delete }
        case 7: if equals("OPTIONS") { self = .options } else if equals("CONNECT") { self = .connect }
        default: break
        }
    }
}
