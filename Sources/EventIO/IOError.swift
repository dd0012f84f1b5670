import Glibc

/// A failure of a socket, a name look-up or TLS.
package struct IOError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// Nobody listens at the address.
        case refused
        /// A deadline of ours (connect, handshake, idle) or the kernel's retransmission limit passed.
        case timedOut
        /// The peer reset the connection, or ended it in the middle of a TLS stream.
        case reset
        /// No route to the host or network.
        case unreachable
        /// The name has no address.
        case resolveFailed
        /// The text is not an address.
        case invalidAddress
        /// A listener's address is taken.
        case addressInUse
        /// The TLS handshake, or the TLS stream after it, failed for another reason than the peer's certificate.
        case tlsHandshake
        /// The peer's certificate was not accepted.
        case tlsVerify
        /// The connection does not begin with the PROXY protocol's header.
        case proxyHeader
        /// A certificate, key or authority file cannot be used.
        case tlsConfiguration
        /// This side closed: the loop stopped or the owner gave the connection up.
        case closed
        /// Another error of the operating system, by its errno.
        case system(Int32)
    }

    package let code: Code
    /// One line that names the peer or the file.
    package let message: String

    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }

    /// Whether the same attempt can succeed later without anybody changing the configuration.
    package var isRetryable: Bool {
        switch code {
        case .refused, .timedOut, .reset, .unreachable, .resolveFailed, .closed: true
        case .tlsHandshake: true
        case .tlsVerify, .tlsConfiguration, .proxyHeader, .invalidAddress, .addressInUse: false
        case .system(let number):
            number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM || number == EADDRNOTAVAIL
                || number == EAGAIN
        }
    }

    /// The error of a system call: "`action`: text of errno".
    static func system(_ number: Int32, _ action: @autoclosure () -> String) -> IOError {
        let code: Code =
            switch number {
            case ECONNREFUSED: .refused
            case ETIMEDOUT: .timedOut
            case ECONNRESET, EPIPE, ECONNABORTED: .reset
            case EHOSTUNREACH, ENETUNREACH, ENETDOWN, EHOSTDOWN: .unreachable
            case EADDRINUSE: .addressInUse
            default: .system(number)
            }
        return IOError(code: code, message: "\(action()): \(systemErrorText(number))")
    }
}

/// The C library's words for an errno, in lower case at the start, as they follow a colon.
func systemErrorText(_ number: Int32) -> String {
    guard let text = strerror(number) else { return "error \(number)" }
    let words = String(cString: text)
    return words.prefix(1).lowercased() + words.dropFirst()
}
