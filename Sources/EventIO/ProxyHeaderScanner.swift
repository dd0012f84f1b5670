import Glibc

/// Takes off the header that a load balancer puts before a connection's first byte (the PROXY protocol, versions 1 and
/// 2, https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). What it says is not used.
///
///     version 1   "PROXY " … CR LF, at most 107 bytes
///     version 2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A, version and command, family, length (2), `length` bytes
struct ProxyHeaderScanner {
    enum Step: Equatable {
        /// More bytes are needed to tell.
        case wait
        /// The first `count` bytes belong to the header.
        case take(count: Int, isComplete: Bool)
        case malformed
    }

    /// As many bytes at once decide every header.
    static let windowBytes = 512
    private static let signature: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]
    private static let textStart = Array("PROXY ".utf8)
    private static let textLimitBytes = 107
    private static let binaryHeadBytes = 16

    /// Bytes of a binary header that are still to come.
    private var restBytes = 0

    /// Looks at what has come and was not taken yet: at least one byte, at most the first `windowBytes`.
    mutating func step(_ bytes: UnsafeRawBufferPointer) -> Step {
        if restBytes > 0 { return take(restBytes, of: bytes) }
        if Self.begins(bytes, Self.signature) {
            guard bytes.count >= Self.binaryHeadBytes else { return .wait }
            guard bytes[12] >> 4 == 2, bytes[12] & 0x0F < 2 else { return .malformed }
            return take(Self.binaryHeadBytes + Int(bytes[14]) << 8 + Int(bytes[15]), of: bytes)
        }
        guard Self.begins(bytes, Self.textStart) else { return .malformed }
        for index in bytes.indices.prefix(Self.textLimitBytes) where bytes[index] == 0x0A {
            guard index > 0, bytes[index - 1] == 0x0D else { return .malformed }
            return .take(count: index + 1, isComplete: true)
        }
        return bytes.count < Self.textLimitBytes ? .wait : .malformed
    }

    private mutating func take(_ wanted: Int, of bytes: UnsafeRawBufferPointer) -> Step {
        let count = min(wanted, bytes.count)
        restBytes = wanted - count
        return .take(count: count, isComplete: restBytes == 0)
    }

    /// As far as there are bytes.
    private static func begins(_ bytes: UnsafeRawBufferPointer, _ start: [UInt8]) -> Bool {
        bytes.prefix(start.count).elementsEqual(start.prefix(bytes.count))
    }
}

extension Connection {
    /// Reads as much of the header as has come. It is looked at where the kernel keeps it, and only what belongs to it
    /// is taken: what follows is TLS's, or the handler's.
    func continueProxyHeader() {
        while !hasEnd, state == .proxyHeader {
            let step = withUnsafeTemporaryAllocation(byteCount: ProxyHeaderScanner.windowBytes, alignment: 1) {
                peekProxyHeader($0)
            }
            guard let step else { return }
            switch step {
            case .wait: return
            case .take(_, let isComplete): if isComplete { proxyHeaderEnded() }
            case .malformed:
                fail(IOError(code: .proxyHeader, message: "\(remoteAddress) sends no PROXY protocol header"))
            }
        }
    }

    /// Looks once, and takes what belongs to the header off the socket; nil when there is nothing, or after an end.
    private func peekProxyHeader(_ window: UnsafeMutableRawBufferPointer) -> ProxyHeaderScanner.Step? {
        let count = recv(descriptor, window.baseAddress, window.count, Int32(MSG_PEEK))
        guard count > 0 else {
            if count == 0 {
                // A probe: connected and gone.
                end = .orderly
                deferWork()
            } else if errno != EAGAIN, errno != EINTR {
                fail(.system(errno, "read from \(remoteAddress)"))
            }
            return nil
        }
        let step = proxyHeader.step(UnsafeRawBufferPointer(rebasing: window[..<count]))
        if case .take(let taken, _) = step, recv(descriptor, window.baseAddress, taken, 0) != taken {
            fail(.system(errno, "read from \(remoteAddress)"))
            return nil
        }
        return step
    }

    private func proxyHeaderEnded() {
        guard ssl != nil else { return becomeReady() }
        state = .handshaking
        continueHandshake()
    }
}
