import CSystem
import Glibc

/// The listening socket of the admin server.
enum AdminSocket {
    static func listen(
        host: String, port: UInt16
    ) throws(AdminServerError) -> (descriptor: Int32, address: String, port: UInt16) {
        let shown = text(host: host, port: String(port))
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        var results: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &results)
        guard code == 0 else {
            throw AdminServerError(message: "admin address \(shown): \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(results) }
        var failure = "no address"
        var entry = results
        while let info = entry {
            let descriptor = open(info.pointee)
            if descriptor >= 0 {
                if let (address, port) = name(of: descriptor) { return (descriptor, address, port) }
            }
            failure = String(cString: strerror(errno))
            if descriptor >= 0 { close(descriptor) }
            entry = info.pointee.ai_next
        }
        throw AdminServerError(message: "admin address \(shown): \(failure)")
    }

    /// The listening socket, or -1 with errno.
    private static func open(_ info: addrinfo) -> Int32 {
        let type = info.ai_socktype | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(info.ai_family, type, info.ai_protocol)
        guard descriptor >= 0 else { return -1 }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, info.ai_addr, info.ai_addrlen) == 0, Glibc.listen(descriptor, 16) == 0 else {
            let code = errno
            close(descriptor)
            errno = code
            return -1
        }
        return descriptor
    }

    private static func name(of descriptor: Int32) -> (address: String, port: UInt16)? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        var port = [CChar](repeating: 0, count: Int(NI_MAXSERV))
        let code = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> Int32 in
                guard getsockname(descriptor, address, &length) == 0 else { return -1 }
                return getnameinfo(
                    address, length, &host, socklen_t(host.count), &port, socklen_t(port.count),
                    NI_NUMERICHOST | NI_NUMERICSERV)
            }
        }
        guard code == 0 else { return nil }
        func string(_ characters: [CChar]) -> String {
            String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        guard let number = UInt16(string(port)) else { return nil }
        return (text(host: string(host), port: string(port)), number)
    }

    private static func text(host: String, port: String) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
