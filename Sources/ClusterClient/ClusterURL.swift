/// Where a cluster listens: `http[s]://host[:port][/path]`.
///
/// A subset of RFC 3986 on purpose: whatever would be ignored silently (user information, a query, a fragment) is
/// refused, and a refusal never repeats what stood before an `@`.
package struct ClusterURL: Sendable, Equatable, CustomStringConvertible {
    package let isTLS: Bool
    /// A name in lower case, or an address; IPv6 without its brackets.
    package let host: String
    package let port: Int
    /// Put before the path of every request: empty, or `/like/this` without a slash at its end.
    package let pathPrefix: String

    /// - Parameter flag: The flag that the address comes from, such as `target-host`; for messages.
    /// - Parameter credentialFlags: The flags that take a user and a password, for the message about user information.
    package init(
        _ text: String, flag: String = "target-host",
        credentialFlags: String = "--username and --password-file", side: ClusterError.Side = .target
    ) throws(ClusterError) {
        func refusal(_ why: String) -> ClusterError {
            ClusterError(.invalidSettings, side: side, disposition: .stop, message: "--\(flag): \(why)")
        }
        let bytes = Array(text.utf8)
        guard !bytes.isEmpty else { throw refusal("the address is empty; use http://host:port or https://host:port") }
        guard let schemeEnd = Self.firstIndex(of: "://", in: bytes) else {
            throw refusal("the address needs a scheme; use http://host:port or https://host:port")
        }
        switch String(decoding: bytes[..<schemeEnd], as: UTF8.self).lowercased() {
        case "http": isTLS = false
        case "https": isTLS = true
        default: throw refusal("the scheme of the address is neither http nor https")
        }
        let authorityStart = schemeEnd + 3
        let authorityEnd =
            bytes[authorityStart...].firstIndex {
                $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#")
            }
            ?? bytes.count
        let authority = bytes[authorityStart..<authorityEnd]
        // An unescaped slash, question mark or number sign in a password ends the authority early, so the `@` is looked
        // for everywhere: no part of a password may reach the message of another refusal.
        guard !bytes[authorityStart...].contains(UInt8(ascii: "@")) else {
            throw refusal("the address holds a user or a password; give them with \(credentialFlags) instead")
        }
        let (hostBytes, portBytes) = Self.split(authority: authority)
        guard let host = Self.host(hostBytes) else {
            throw refusal("the address has no usable host name; write names outside of ASCII in their xn-- form")
        }
        self.host = host
        if let portBytes, !portBytes.isEmpty {
            guard portBytes.count <= 5, portBytes.allSatisfy({ (0x30...0x39).contains($0) }),
                let port = Int(String(decoding: portBytes, as: UTF8.self)), (1...65535).contains(port)
            else { throw refusal("the port of the address is not a number from 1 to 65535") }
            self.port = port
        } else {
            port = isTLS ? 443 : 80
        }
        var path = bytes[authorityEnd...]
        guard !path.contains(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }) else {
            throw refusal("the address has a query or a fragment; leave it out")
        }
        while path.last == UInt8(ascii: "/") { path.removeLast() }
        guard PercentEncoding.isEncodedPath(path) else {
            throw refusal("the path of the address holds bytes that must be percent-encoded")
        }
        pathPrefix = String(decoding: path, as: UTF8.self)
    }

    /// `host:port` for messages and for connecting; an IPv6 address in brackets.
    package var authority: String { "\(bracketedHost):\(port)" }

    /// The value of the Host field: the port only when it is not the scheme's own (RFC 9110 §7.2).
    package var hostField: String { port == (isTLS ? 443 : 80) ? bracketedHost : authority }

    package var description: String { "\(isTLS ? "https" : "http")://\(hostField)\(pathPrefix)" }

    private var bracketedHost: String { host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host }

    private static func firstIndex(of text: StaticString, in bytes: [UInt8]) -> Int? {
        let pattern = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard bytes.count >= pattern.count else { return nil }
        return (0...(bytes.count - pattern.count)).first { bytes[$0..<($0 + pattern.count)].elementsEqual(pattern) }
    }

    private static func split(authority: ArraySlice<UInt8>) -> (host: ArraySlice<UInt8>, port: ArraySlice<UInt8>?) {
        if authority.first == UInt8(ascii: "["), let close = authority.firstIndex(of: UInt8(ascii: "]")) {
            let rest = authority[(close + 1)...]
            guard !rest.isEmpty else { return (authority, nil) }
            // Anything but a port after the bracket leaves a host that no name may have.
            guard rest.first == UInt8(ascii: ":") else { return ([], nil) }
            return (authority[...close], rest.dropFirst())
        }
        guard let colon = authority.firstIndex(of: UInt8(ascii: ":")) else { return (authority, nil) }
        return (authority[..<colon], authority[(colon + 1)...])
    }

    private static func host(_ bytes: ArraySlice<UInt8>) -> String? {
        if bytes.first == UInt8(ascii: "["), bytes.last == UInt8(ascii: "]") {
            let inner = bytes.dropFirst().dropLast()
            let isAddress = inner.contains(UInt8(ascii: ":")) && inner.allSatisfy { PercentEncoding.isIPv6Byte($0) }
            return isAddress ? String(decoding: inner, as: UTF8.self) : nil
        }
        guard !bytes.isEmpty, bytes.count <= 253, bytes.allSatisfy({ PercentEncoding.isHostByte($0) }) else {
            return nil
        }
        return String(decoding: bytes, as: UTF8.self).lowercased()
    }
}
