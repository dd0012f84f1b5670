import CSystem

/// Which forms of request target a method may have (RFC 9112 §3.2), and what a Host field holds (RFC 9110 §7.2).
enum HTTPTargetRules {
    /// `target` is not empty and consists of visible ASCII without '#'.
    static func check(
        _ target: Range<Int>, method: HTTPMethod, _ base: UnsafePointer<UInt8>
    ) throws(HTTPError) {
        let first = base[target.lowerBound]
        if method == .connect {
            guard isAuthority(base, target, requiresPort: true, readableEnd: target.upperBound) else {
                throw HTTPError(.invalidTarget, at: target.lowerBound, "the target of CONNECT is not host:port")
            }
        } else if first == UInt8(ascii: "/") {
            return
        } else if first == UInt8(ascii: "*"), target.count == 1 {
            guard method == .options else {
                throw HTTPError(.invalidTarget, at: target.lowerBound, "the target * belongs to OPTIONS only")
            }
        } else {
            guard isAbsoluteForm(base, target) else {
                throw HTTPError(.invalidTarget, at: target.lowerBound, "the request target has none of the known forms")
            }
        }
    }

    /// `http://authority…` or `https://authority…`. Other schemes name nothing that an HTTP server serves, and user
    /// information in a target comes from attackers (RFC 9110 §4.2.4).
    private static func isAbsoluteForm(_ base: UnsafePointer<UInt8>, _ target: Range<Int>) -> Bool {
        var start = target.lowerBound + 4
        guard target.count > 7, millrace_http_name_equals(base + target.lowerBound, "http", 4) != 0 else {
            return false
        }
        if base[start] | 0x20 == UInt8(ascii: "s") { start += 1 }
        guard target.upperBound - start > 3, base[start] == UInt8(ascii: ":"), base[start + 1] == UInt8(ascii: "/"),
            base[start + 2] == UInt8(ascii: "/")
        else { return false }
        start += 3
        var end = start
        while end < target.upperBound, base[end] != UInt8(ascii: "/"), base[end] != UInt8(ascii: "?") { end += 1 }
        return isAuthority(base, start..<end, requiresPort: false, readableEnd: end)
    }

    /// uri-host [ ":" port ] (RFC 3986 §3.2.2); an empty host is refused.
    /// `readableEnd` bytes may be read: whatever follows a host, up to 16 bytes are looked at once.
    static func isAuthority(
        _ base: UnsafePointer<UInt8>, _ range: Range<Int>, requiresPort: Bool, readableEnd: Int
    ) -> Bool {
        var at = range.lowerBound
        let end = range.upperBound
        guard at < end else { return false }
        if base[at] == UInt8(ascii: "[") {
            at += 1
            let start = at
            while at < end, isLiteralByte(base[at]) { at += 1 }
            guard at > start, at < end, base[at] == UInt8(ascii: "]") else { return false }
            at += 1
        } else {
            at = min(end, millrace_http_host_end(base, at, readableEnd))
            while at < end, base[at] == UInt8(ascii: "%") {
                guard end - at > 2, isHexDigit(base[at + 1]), isHexDigit(base[at + 2]) else { return false }
                at = min(end, millrace_http_host_end(base, at + 3, readableEnd))
            }
            guard at > range.lowerBound else { return false }
        }
        guard at < end else { return !requiresPort }
        guard base[at] == UInt8(ascii: ":") else { return false }
        at += 1
        let portStart = at
        var port = 0
        while at < end, base[at] &- 0x30 < 10, port <= 65535 {
            port = port * 10 + Int(base[at] &- 0x30)
            at += 1
        }
        guard at == end, port <= 65535 else { return false }
        return at > portStart || !requiresPort
    }

    /// Inside the brackets of an IP literal; a zone identifier (RFC 6874) has no meaning to another machine.
    private static func isLiteralByte(_ byte: UInt8) -> Bool {
        isHexDigit(byte) || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
    }

    static func isHexDigit(_ byte: UInt8) -> Bool {
        byte &- 0x30 < 10 || (byte | 0x20) &- UInt8(ascii: "a") < 6
    }
}
