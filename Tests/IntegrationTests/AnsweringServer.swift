import COpenSSL
import Foundation
import Synchronization
import TestSupport

/// A target that is none: the same answer to every request, or none at all. Blocking sockets, a thread a connection.
final class AnsweringServer: Sendable {
    enum Behaviour: Sendable {
        case answer(status: Int, contentType: String, body: String)
        /// Takes the connection and resets it.
        case reset
        /// Says this, whatever comes, and closes.
        case garbage(String)
    }

    struct Certificate: Sendable {
        let chainFile: String
        let keyFile: String
    }

    let port: Int
    private let listener: Int32
    private let manner: Mutex<(behaviour: Behaviour, certificate: Certificate?)>
    private let heads = Mutex<[String]>([])

    init(_ behaviour: Behaviour, certificate: Certificate? = nil) throws {
        manner = Mutex((behaviour, certificate))
        (listener, port) = try LoopbackSocket.listen()
        Thread.detachNewThread { [self] in acceptAll() }
    }

    /// First lines of the requests so far.
    var requests: [String] { heads.withLock { $0 } }

    /// Connections that come from now on are treated so; the certificate stays when none is given.
    func change(_ behaviour: Behaviour, _ certificate: Certificate? = nil) {
        manner.withLock { $0 = (behaviour, certificate ?? $0.certificate) }
    }

    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    private func acceptAll() {
        while true {
            let descriptor = accept(listener, nil, nil)
            if descriptor < 0 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                break
            }
            Thread.detachNewThread { [self] in serve(descriptor) }
        }
        close(listener)
    }

    private func serve(_ descriptor: Int32) {
        defer { close(descriptor) }
        let (behaviour, certificate) = manner.withLock { $0 }
        if case .garbage(let text) = behaviour {
            // What is not read would take the words back with it.
            var piece = [UInt8](repeating: 0, count: 65_536)
            _ = recv(descriptor, &piece, piece.count, 0)
            _ = LoopbackSocket.sendAll(descriptor, Array(text.utf8))
            return
        }
        if case .reset = behaviour {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
            return
        }
        guard let certificate else {
            return exchange(
                behaviour,
                read: { recv(descriptor, $0.baseAddress, $0.count, 0) },
                write: { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) })
        }
        let context = SSL_CTX_new(TLS_server_method())
        defer { SSL_CTX_free(context) }
        guard SSL_CTX_use_certificate_chain_file(context, certificate.chainFile) == 1,
            SSL_CTX_use_PrivateKey_file(context, certificate.keyFile, SSL_FILETYPE_PEM) == 1
        else { return }
        let session = SSL_new(context)
        defer { SSL_free(session) }
        SSL_set_fd(session, descriptor)
        guard SSL_accept(session) == 1 else { return }
        exchange(
            behaviour,
            read: { Int(SSL_read(session, $0.baseAddress, Int32($0.count))) },
            write: { Int(SSL_write(session, $0.baseAddress, Int32($0.count))) })
    }

    /// One request of at most 64 KiB, one answer.
    private func exchange(
        _ behaviour: Behaviour, read: (UnsafeMutableRawBufferPointer) -> Int, write: (UnsafeRawBufferPointer) -> Int
    ) {
        var request: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while !request.suffix(4).elementsEqual(Array("\r\n\r\n".utf8)), request.count < 65_536 {
            let count = piece.withUnsafeMutableBytes { read($0) }
            guard count > 0 else { return }
            request += piece[0..<count]
        }
        let head = String(decoding: request.prefix { $0 != 0x0D }, as: UTF8.self)
        heads.withLock { $0.append(head) }
        guard case .answer(let status, let contentType, let body) = behaviour else { return }
        let answer =
            "HTTP/1.1 \(status) Some Reason\r\ncontent-type: \(contentType)\r\nconnection: close\r\n"
            + "content-length: \(body.utf8.count)\r\n\r\n\(body)"
        _ = Array(answer.utf8).withUnsafeBytes { write($0) }
    }
}
