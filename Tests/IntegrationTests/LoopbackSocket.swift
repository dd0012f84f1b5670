import Foundation
import TestSupport

/// Blocking TCP sockets on 127.0.0.1.
enum LoopbackSocket {
    /// A listener on a port that the kernel chooses.
    static func listen() throws -> (descriptor: Int32, port: Int) {
        let descriptor = make()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        var address = loopback(port: 0)
        let isListening = withErased(&address) { erased in
            bind(descriptor, erased, size) == 0 && Glibc.listen(descriptor, 64) == 0
                && getsockname(descriptor, erased, &size) == 0
        }
        guard isListening else { throw FileFailure("listen on 127.0.0.1", errno) }
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }

    /// Reads on the connection end after `readSeconds` without a byte.
    static func connect(port: Int, readSeconds: Int = 60) throws -> Int32 {
        let descriptor = make()
        var address = loopback(port: port)
        let isConnected = withErased(&address) { erased in
            Glibc.connect(descriptor, erased, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
        guard isConnected else {
            let failure = FileFailure("connect to 127.0.0.1:\(port)", errno)
            close(descriptor)
            throw failure
        }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var limit = timeval(tv_sec: readSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }

    /// False when the other side is gone.
    static func sendAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { whole in
            var offset = 0
            while offset < whole.count, let base = whole.baseAddress {
                let count = Glibc.send(descriptor, base + offset, whole.count - offset, Int32(MSG_NOSIGNAL))
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return false }
                offset += count
            }
            return true
        }
    }

    private static func make() -> Int32 { socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0) }

    private static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        return address
    }

    private static func withErased(
        _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>) -> Bool
    ) -> Bool {
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) }
        }
    }
}
