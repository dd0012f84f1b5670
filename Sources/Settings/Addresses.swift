/// `HOST:PORT`, `[IPv6]:PORT`, or `:PORT` for every address.
package struct HostAndPort: Sendable, Equatable, CustomStringConvertible {
    /// Without brackets; empty means every address.
    package let host: String
    package let port: UInt16

    package init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    package static func parse(_ text: String) throws(ValueProblem) -> HostAndPort {
        let problem = ValueProblem("\"\(text)\" is not an address; write HOST:PORT, [IPv6]:PORT or :PORT")
        guard let colon = text.lastIndex(of: ":") else { throw problem }
        guard let port = parsePort(text[text.index(after: colon)...]) else { throw problem }
        guard let host = parseHost(text[..<colon], mayBeEmpty: true) else { throw problem }
        return HostAndPort(host: host, port: port)
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    static func parsePort(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        return UInt16(text)
    }

    /// A name, an IPv4 address, or an IPv6 address in brackets, which are taken off.
    static func parseHost(_ text: Substring, mayBeEmpty: Bool = false) -> String? {
        if text.hasPrefix("["), text.hasSuffix("]") {
            let inner = text.dropFirst().dropLast()
            let isFitting = inner.contains(":") && inner.utf8.allSatisfy { isHexDigit($0) || $0 == 0x3A || $0 == 0x2E }
            return isFitting ? String(inner) : nil
        }
        guard !text.isEmpty else { return mayBeEmpty ? "" : nil }
        let isFitting =
            text.utf8.count <= 253
            && text.utf8.allSatisfy { isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F }
        return isFitting ? String(text) : nil
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}

/// Where a cluster answers: `http(s)://HOST[:PORT][/PREFIX]`. Without a port it is the scheme's, 80 or 443.
package struct ServiceURL: Sendable, Equatable, CustomStringConvertible {
    package let isTLS: Bool
    /// Without brackets.
    package let host: String
    package let port: UInt16
    /// Empty, or `/…` without a slash at its end.
    package let pathPrefix: String

    package static func parse(_ text: String) throws(ValueProblem) -> ServiceURL {
        let rest: Substring
        let isTLS: Bool
        if let found = FileLocation.dropping("https://", from: text) {
            (rest, isTLS) = (found, true)
        } else if let found = FileLocation.dropping("http://", from: text) {
            (rest, isTLS) = (found, false)
        } else {
            throw ValueProblem("is not a URL that begins with http:// or https://")
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        // The text is not repeated here: it may hold a password.
        guard !authority.contains("@") else {
            throw ValueProblem("holds a user name; use --username with --password-file or MILLRACE_PASSWORD")
        }
        var path = rest.dropFirst(authority.count)
        guard !path.contains("?"), !path.contains("#") else {
            throw ValueProblem("\"\(text)\" has a query or a fragment; only a path prefix may follow the host")
        }
        guard path.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ValueProblem("\"\(text)\" has a path with characters that must be percent-encoded")
        }
        while path.hasSuffix("/") { path = path.dropLast() }
        var host = authority
        var port: UInt16 = isTLS ? 443 : 80
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            guard let number = HostAndPort.parsePort(authority[authority.index(after: colon)...]), number > 0 else {
                throw ValueProblem("\"\(text)\" has no fitting port after the host")
            }
            host = authority[..<colon]
            port = number
        }
        guard let host = HostAndPort.parseHost(host) else {
            throw ValueProblem("\"\(text)\" has no fitting host; an IPv6 address stands in brackets")
        }
        return ServiceURL(isTLS: isTLS, host: host, port: port, pathPrefix: String(path))
    }

    package var description: String {
        "\(isTLS ? "https" : "http")://\(HostAndPort(host: host, port: port))\(pathPrefix)"
    }
}

/// A place in the file system, as a plain path or as `file:///…`.
package enum FileLocation {
    /// The path that a `file:` URL (RFC 8089) names.
    package static func path(ofURL text: String) throws(ValueProblem) -> String {
        guard var rest = dropping("file://", from: text) else {
            throw ValueProblem("\"\(text)\" is not a file:/// URL")
        }
        if let local = dropping("localhost/", from: String(rest)) { rest = "/" + local }
        guard rest.hasPrefix("/") else {
            throw ValueProblem("\"\(text)\" names another machine or a relative path; write file:///FOLDER")
        }
        var bytes: [UInt8] = []
        var encoded = rest.utf8[...]
        while let byte = encoded.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard encoded.count >= 2, let value = UInt8(String(decoding: encoded.prefix(2), as: UTF8.self), radix: 16),
                value != 0
            else { throw ValueProblem("\"\(text)\" has a broken percent-encoding") }
            bytes.append(value)
            encoded = encoded.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The rest after a prefix whose letters may have either case.
    static func dropping(_ prefix: String, from text: String) -> Substring? {
        guard text.prefix(prefix.count).lowercased() == prefix else { return nil }
        return text.dropFirst(prefix.count)
    }

    /// The scheme before `://`, or nil.
    static func scheme(_ text: String) -> String? {
        guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") else { return nil }
        return text[..<colon].lowercased()
    }
}
