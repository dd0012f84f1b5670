import COpenSSL
import Synchronization

/// TLS as a client: who is trusted, who we are, and the sessions that can be resumed.
package final class TLSClientConfiguration: Sendable {
    /// Sessions kept per server. TLS 1.3 tickets are for one use each, and a server hands out two a connection.
    private static let sessionsPerServerLimit = 8
    private static let serverLimit = 1024

    private let context: TLSContext
    private let isInsecure: Bool
    private let sessions = Mutex<[String: [SessionBox]]>([:])

    /// - Parameters:
    ///   - caFile: PEM file of the trusted authorities; nil for the system's.
    ///   - certificateChainFile: PEM chain of our own certificate, leaf first; together with `privateKeyFile` or nil.
    ///   - privateKeyFile: PEM key without passphrase.
    ///   - isInsecure: accepts every certificate for every name. Only by the operator's explicit wish.
    ///   - newestVersion: speak nothing newer.
    package init(
        caFile: String? = nil, certificateChainFile: String? = nil, privateKeyFile: String? = nil,
        isInsecure: Bool = false, newestVersion: TLSVersion = .v13
    ) throws(IOError) {
        context = try TLSContext(isServer: false, newestVersion: newestVersion)
        self.isInsecure = isInsecure
        switch (certificateChainFile, privateKeyFile) {
        case (nil, nil): break
        case (let chain?, let key?): try context.loadIdentity(chainFile: chain, keyFile: key)
        case (let chain?, nil):
            throw IOError(code: .tlsConfiguration, message: "certificate chain \(chain) has no private key file")
        case (nil, let key?):
            throw IOError(code: .tlsConfiguration, message: "private key \(key) has no certificate chain file")
        }
        if isInsecure {
            SSL_CTX_set_verify(context.pointer, SSL_VERIFY_NONE, nil)
        } else {
            try context.loadAuthorities(file: caFile)
            SSL_CTX_set_verify(context.pointer, SSL_VERIFY_PEER, nil)
        }
        millrace_ssl_ctx_set_session_cache_mode(
            context.pointer, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE))
        SSL_CTX_sess_set_new_cb(context.pointer) { ssl, session in
            guard let ssl, let session, let owner = SSL_get_ex_data(ssl, 0) else { return 0 }
            let connection = Unmanaged<Connection>.fromOpaque(owner).takeUnretainedValue()
            guard let configuration = connection.tlsClient, let key = connection.sessionKey else { return 0 }
            configuration.keep(session, for: key)
            return 1  // The reference is ours now.
        }
    }

    /// An SSL that checks the server's certificate for `serverName`, which is a host name or an address literal.
    func makeSession(serverName: String, sessionKey: String) throws(IOError) -> OpaquePointer {
        ERR_clear_error()
        guard let ssl = SSL_new(context.pointer) else {
            throw TLSFailure.error("make a TLS session for \(serverName)", code: .tlsConfiguration)
        }
        let isAddress = SocketAddress(literal: serverName, port: 0) != nil
        var isSet = true
        // RFC 6066: the server name extension holds host names only.
        if !isAddress { isSet = millrace_ssl_set_host_name(ssl, serverName) == 1 }
        if isSet, !isInsecure {
            let parameters = SSL_get0_param(ssl)
            X509_VERIFY_PARAM_set_hostflags(parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
            isSet =
                isAddress
                ? X509_VERIFY_PARAM_set1_ip_asc(parameters, serverName) == 1
                : X509_VERIFY_PARAM_set1_host(parameters, serverName, serverName.utf8.count) == 1
        }
        guard isSet else {
            SSL_free(ssl)
            throw TLSFailure.error("set the server name \(serverName)", code: .tlsConfiguration)
        }
        if let session = takeSession(for: sessionKey) { SSL_set_session(ssl, session.pointer) }
        return ssl
    }

    private func keep(_ session: OpaquePointer, for key: String) {
        let box = SessionBox(session)
        sessions.withLock { sessions in
            if sessions[key] == nil, sessions.count >= Self.serverLimit { return }
            sessions[key, default: []].append(box)
            if sessions[key, default: []].count > Self.sessionsPerServerLimit { sessions[key]?.removeFirst() }
        }
    }

    /// The newest session of a server. It is given out once (RFC 8446 appendix C.4), but for the last one: a TLS 1.2
    /// server does not renew it.
    private func takeSession(for key: String) -> SessionBox? {
        sessions.withLock { sessions in
            guard let last = sessions[key]?.last else { return nil }
            if sessions[key, default: []].count > 1 { sessions[key]?.removeLast() }
            return last
        }
    }
}

/// A counted SSL_SESSION.
// Sound: OpenSSL counts references to sessions atomically, and a finished session does not change.
private final class SessionBox: @unchecked Sendable {
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { SSL_SESSION_free(pointer) }
}
