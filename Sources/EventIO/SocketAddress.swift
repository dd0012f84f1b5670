import CSystem
import Glibc

/// An IPv4 or IPv6 address with a port.
package struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
    private enum Host: Hashable, Sendable {
        /// In network order.
        case v4(UInt32)
        /// The 16 bytes in network order as two words of memory, and the scope of a link-local address.
        case v6(UInt64, UInt64, scope: UInt32)
    }

    private let host: Host
    package let port: UInt16

    private init(host: Host, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// 127.0.0.1 with the port; 0 lets the kernel choose when listening.
    package static func loopback(port: UInt16) -> SocketAddress {
        SocketAddress(host: .v4(UInt32(0x7F00_0001).bigEndian), port: port)
    }

    /// An address literal without brackets, such as "127.0.0.1" or "::1". nil for anything else, names included.
    package init?(literal: String, port: UInt16) {
        var v4 = in_addr()
        var v6 = in6_addr()
        if inet_pton(AF_INET, literal, &v4) == 1 {
            self.init(host: .v4(v4.s_addr), port: port)
        } else if inet_pton(AF_INET6, literal, &v6) == 1 {
            self.init(host: Self.host(v6, scope: 0), port: port)
        } else {
            return nil
        }
    }

    /// Parses "127.0.0.1:9200" or "[::1]:9200". Names are not looked up: see `split` and `resolve`.
    package init(parsing text: String) throws(IOError) {
        let (host, port) = try Self.split(text)
        guard let address = SocketAddress(literal: host, port: port) else {
            throw IOError(code: .invalidAddress, message: "\"\(text)\" does not hold an IP address")
        }
        self = address
    }

    /// Cuts "host:port" or "[v6]:port" into its parts; the host comes without brackets.
    package static func split(_ text: String) throws(IOError) -> (host: String, port: UInt16) {
        func wrong(_ why: String) -> IOError {
            IOError(code: .invalidAddress, message: "\"\(text)\" is not host:port: \(why)")
        }
        guard let colon = text.lastIndex(of: ":") else { throw wrong("there is no port") }
        var host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits) else {
            throw wrong("the port is not a number from 0 to 65535")
        }
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { throw wrong("a bracket is not closed") }
            host = host.dropFirst().dropLast()
            var v6 = in6_addr()
            guard inet_pton(AF_INET6, String(host), &v6) == 1 else { throw wrong("no IPv6 address in the brackets") }
        } else if host.contains(":") {
            throw wrong("an IPv6 address stands in brackets")
        }
        guard !host.isEmpty else { throw wrong("there is no host") }
        return (String(host), port)
    }

    /// The addresses of a host by `getaddrinfo`, in its order. Blocks: never called on an event loop.
    package static func resolve(host: String, port: UInt16) throws(IOError) -> [SocketAddress] {
        if let address = SocketAddress(literal: host, port: port) { return [address] }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else {
            let text = code == EAI_SYSTEM ? systemErrorText(errno) : String(cString: gai_strerror(code))
            throw IOError(code: .resolveFailed, message: "resolve \(host): \(text)")
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let info = next {
            if let address = SocketAddress(info.pointee.ai_addr, port: port), !addresses.contains(address) {
                addresses.append(address)
            }
            next = info.pointee.ai_next
        }
        guard !addresses.isEmpty else {
            throw IOError(code: .resolveFailed, message: "resolve \(host): no IPv4 or IPv6 address")
        }
        return addresses
    }

    /// The address and the port in the form that `init(parsing:)` takes.
    package var description: String {
        switch host {
        case .v4: "\(hostText):\(port)"
        case .v6: "[\(hostText)]:\(port)"
        }
    }

    /// The address alone, without brackets.
    package var hostText: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        switch host {
        case .v4(let word):
            var address = in_addr(s_addr: word)
            inet_ntop(AF_INET, &address, &text, socklen_t(text.count))
        case .v6(let high, let low, _):
            var words = (high, low)
            inet_ntop(AF_INET6, &words, &text, socklen_t(text.count))
        }
        return text.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { String(cString: $0) } ?? ""
        }
    }

    // MARK: The kernel's form

    var family: Int32 {
        switch host {
        case .v4: AF_INET
        case .v6: AF_INET6
        }
    }

    init?(_ address: UnsafePointer<sockaddr>?, port: UInt16? = nil) {
        guard let address else { return nil }
        let raw = UnsafeRawPointer(address)
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            let inet = raw.loadUnaligned(as: sockaddr_in.self)
            self.init(host: .v4(inet.sin_addr.s_addr), port: port ?? UInt16(bigEndian: inet.sin_port))
        case AF_INET6:
            let inet = raw.loadUnaligned(as: sockaddr_in6.self)
            self.init(
                host: Self.host(inet.sin6_addr, scope: inet.sin6_scope_id),
                port: port ?? UInt16(bigEndian: inet.sin6_port))
        default:
            return nil
        }
    }

    private static func host(_ address: in6_addr, scope: UInt32) -> Host {
        withUnsafeBytes(of: address) { bytes in
            .v6(
                bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                scope: scope)
        }
    }

    /// Calls `body` with the address as the socket calls take it.
    func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        switch host {
        case .v4(let word):
            var inet = sockaddr_in()
            inet.sin_family = sa_family_t(AF_INET)
            inet.sin_port = port.bigEndian
            inet.sin_addr.s_addr = word
            return Self.withErased(&inet, body)
        case .v6(let high, let low, let scope):
            var inet = sockaddr_in6()
            inet.sin6_family = sa_family_t(AF_INET6)
            inet.sin6_port = port.bigEndian
            inet.sin6_scope_id = scope
            withUnsafeMutableBytes(of: &inet.sin6_addr) { bytes in
                bytes.storeBytes(of: high, as: UInt64.self)
                bytes.storeBytes(of: low, toByteOffset: 8, as: UInt64.self)
            }
            return Self.withErased(&inet, body)
        }
    }

    private static func withErased<Address, Result>(
        _ address: inout Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { erased in
                body(erased, socklen_t(MemoryLayout<Address>.size))
            }
        }
    }

    /// The local address of a socket.
    static func local(of descriptor: Int32) -> SocketAddress? {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { erased in
                getsockname(descriptor, erased, &size) == 0 ? SocketAddress(erased) : nil
            }
        }
    }
}
