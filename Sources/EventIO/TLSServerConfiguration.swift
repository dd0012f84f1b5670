import COpenSSL
import Synchronization

/// TLS as a server. The files can be read again while connections are open: see `reload`.
package final class TLSServerConfiguration: Sendable {
    /// What a client has to show.
    package enum ClientCertificate: Sendable {
        case none
        /// Asked for; a client may have none, but not a wrong one.
        case optional
        case required
    }

    private let certificateChainFile: String
    private let privateKeyFile: String
    private let clientCAFile: String?
    private let clientCertificate: ClientCertificate
    private let newestVersion: TLSVersion
    private let context: Mutex<TLSContext>

    /// - Parameters:
    ///   - certificateChainFile: PEM chain, leaf first.
    ///   - privateKeyFile: PEM key without passphrase.
    ///   - clientCAFile: PEM file of the authorities for client certificates; needed unless they are not asked for.
    ///   - clientCertificate: what a client has to show.
    ///   - newestVersion: speak nothing newer.
    package init(
        certificateChainFile: String, privateKeyFile: String, clientCAFile: String? = nil,
        clientCertificate: ClientCertificate = .none, newestVersion: TLSVersion = .v13
    ) throws(IOError) {
        self.certificateChainFile = certificateChainFile
        self.privateKeyFile = privateKeyFile
        self.clientCAFile = clientCAFile
        self.clientCertificate = clientCertificate
        self.newestVersion = newestVersion
        context = Mutex(
            try Self.makeContext(
                certificateChainFile, privateKeyFile, clientCAFile, clientCertificate, newestVersion))
    }

    /// Reads the files again. New connections use what they hold now; open ones go on. When a file is bad the error
    /// says so, and the certificate that was in use stays in use.
    ///
    /// Sessions of before are not resumable afterwards: a client that a changed authority file no longer accepts must
    /// not come in by an old ticket.
    package func reload() throws(IOError) {
        let fresh: TLSContext
        do throws(IOError) {
            fresh = try Self.makeContext(
                certificateChainFile, privateKeyFile, clientCAFile, clientCertificate, newestVersion)
        } catch {
            throw IOError(
                code: error.code, message: "\(error.message); the certificate loaded before stays in use")
        }
        context.withLock { $0 = fresh }
    }

    func makeSession() throws(IOError) -> OpaquePointer {
        let current = context.withLock { $0 }
        ERR_clear_error()
        guard let ssl = SSL_new(current.pointer) else {
            throw TLSFailure.error("make a TLS session", code: .tlsConfiguration)
        }
        return ssl
    }

    private static func makeContext(
        _ chainFile: String, _ keyFile: String, _ clientCAFile: String?, _ clientCertificate: ClientCertificate,
        _ newestVersion: TLSVersion
    ) throws(IOError) -> TLSContext {
        let context = try TLSContext(isServer: true, newestVersion: newestVersion)
        try context.loadIdentity(chainFile: chainFile, keyFile: keyFile)
        // Sessions are only resumed within the same kind of service; OpenSSL insists on it with client certificates.
        let identifier: [UInt8] = Array("millrace".utf8)
        SSL_CTX_set_session_id_context(context.pointer, identifier, UInt32(identifier.count))
        guard clientCertificate != .none else {
            SSL_CTX_set_verify(context.pointer, SSL_VERIFY_NONE, nil)
            return context
        }
        guard let clientCAFile else {
            throw IOError(
                code: .tlsConfiguration, message: "client certificates are asked for, but no authority file is given")
        }
        try context.loadAuthorities(file: clientCAFile)
        guard let names = SSL_load_client_CA_file(clientCAFile) else {
            throw TLSFailure.error("load certificate authorities \(clientCAFile)", code: .tlsConfiguration)
        }
        SSL_CTX_set_client_CA_list(context.pointer, names)
        let isRequired = clientCertificate == .required
        SSL_CTX_set_verify(
            context.pointer, SSL_VERIFY_PEER | (isRequired ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nil)
        return context
    }
}
