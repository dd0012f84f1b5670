import CSystem

/// Methods that frame messages or that the engines use; every other token is `other` (RFC 9110 §9.1).
package enum HTTPMethod: UInt8, Sendable {
    case other, get, head, post, put, delete, connect, options, trace, patch
}

/// Field names with a meaning to message framing or to callers; raw values match csystem_http.h.
package enum HTTPFieldName: UInt8, Sendable {
    case other, host, contentLength, transferEncoding, connection, expect, upgrade, te, trailer, keepAlive
    case proxyConnection, contentType, contentEncoding, authorization

    /// The name in `start..<end`, which holds token bytes only.
    init(base: UnsafePointer<UInt8>, from start: Int, to end: Int) {
        self = HTTPFieldName(rawValue: millrace_http_name(base + start, end - start)) ?? .other
    }
}

/// How the content after a head ends (RFC 9112 §6.3).
package enum HTTPBodyFraming: Equatable, Sendable {
    /// No content: the next message follows the head.
    case none
    case length(Int64)
    case chunked
    /// Responses only.
    case untilClose
    /// A 101 response or a 2xx response to CONNECT: the bytes that follow belong to another protocol.
    case upgrade
}

/// A complete request or response head. Ranges count from the first byte given to the scanner and stay valid for a
/// copy of those bytes.
package struct HTTPHead: Equatable, Sendable {
    package internal(set) var isRequest = true
    package internal(set) var method = HTTPMethod.other
    package internal(set) var methodRange = 0..<0
    package internal(set) var target = 0..<0
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    package internal(set) var minorVersion = 1
    /// 0 for requests.
    package internal(set) var status = 0
    package internal(set) var reason = 0..<0
    /// In order of arrival.
    package internal(set) var fields = HTTPFieldList()
    /// Bytes up to and including the empty line: content, or the next message, starts here.
    package internal(set) var byteCount = 0
    package internal(set) var framing = HTTPBodyFraming.none
    package internal(set) var hasConnectionClose = false
    package internal(set) var hasConnectionKeepAlive = false
    /// The `upgrade` connection option; it counts only together with an Upgrade field (RFC 9110 §7.8).
    package internal(set) var hasConnectionUpgrade = false
    package internal(set) var hasUpgradeField = false
    /// The client waits for a 100 response before it sends content (RFC 9110 §10.1.1).
    package internal(set) var expectsContinue = false
    /// A response whose content is coded by more than chunks (`gzip, chunked`); framing is not affected.
    package internal(set) var hasContentTransferCoding = false

    package init() {}

    /// The message asks to change the protocol, or agrees to.
    package var isUpgrade: Bool { hasUpgradeField && hasConnectionUpgrade }

    /// The connection may carry another message after this one (RFC 9112 §9.3).
    package var isPersistent: Bool {
        if hasConnectionClose || framing == .untilClose || framing == .upgrade { return false }
        return minorVersion == 1 || hasConnectionKeepAlive
    }

    /// Status 100 to 199 except 101: the final response is still to come.
    package var isInterim: Bool { status >= 100 && status < 200 && status != 101 }

    /// The value of the first field of this name.
    package func value(of name: HTTPFieldName) -> Range<Int>? {
        for field in fields where field.known == name { return field.value }
        return nil
    }

    /// The value of the first field of this name, in any case. `lowerCaseName` is written in lower case; `bytes` is
    /// what was scanned.
    package func value(of lowerCaseName: StaticString, in bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        for field in fields where HTTPHead.equals(bytes, field.name, lowerCaseName) { return field.value }
        return nil
    }

    /// Compares without regard to ASCII case.
    package static func equals(
        _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ lowerCase: StaticString
    ) -> Bool {
        guard range.count == lowerCase.utf8CodeUnitCount, range.upperBound <= bytes.count else { return false }
        for index in 0..<range.count {
            var byte = bytes[range.lowerBound + index]
            if byte >= UInt8(ascii: "A"), byte <= UInt8(ascii: "Z") { byte |= 0x20 }
            if byte != lowerCase.utf8Start[index] { return false }
        }
        return true
    }

    /// Starts over; the storage of `fields` is kept.
    mutating func removeAll() {
        fields.removeAll()
        isRequest = true
        method = .other
        methodRange = 0..<0
        target = 0..<0
        minorVersion = 1
        status = 0
        reason = 0..<0
        byteCount = 0
        framing = .none
        hasConnectionClose = false
        hasConnectionKeepAlive = false
        hasConnectionUpgrade = false
        hasUpgradeField = false
        expectsContinue = false
        hasContentTransferCoding = false
    }
}
