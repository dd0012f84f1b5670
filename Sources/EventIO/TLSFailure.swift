import COpenSSL
import Glibc

/// Turns what OpenSSL left behind into one line.
enum TLSFailure {
    /// The error of a configuration call.
    static func error(_ action: String, code: IOError.Code) -> IOError {
        IOError(code: code, message: "\(action): \(queuedReason() ?? "unknown TLS error")")
    }

    static func handshake(
        _ ssl: OpaquePointer, kind: Int32, errno number: Int32, peer: SocketAddress, isClient: Bool
    ) -> IOError {
        let action = "TLS handshake with \(peer)"
        let verdict = SSL_get_verify_result(ssl)
        if kind == SSL_ERROR_SSL, verdict != Int(X509_V_OK), SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE {
            let reason = String(cString: X509_verify_cert_error_string(verdict))
            return IOError(code: .tlsVerify, message: "\(action): certificate verify failed: \(reason)")
        }
        if kind == SSL_ERROR_SYSCALL, number != 0 { return .system(number, action) }
        let (reason, isEndOfStream) = queued()
        if isEndOfStream || reason == nil {
            return IOError(code: .reset, message: "\(action): the peer closed the connection")
        }
        return IOError(code: .tlsHandshake, message: "\(action): \(reason ?? "")")
    }

    /// The error of a read or write after the handshake.
    static func stream(_ ssl: OpaquePointer, kind: Int32, errno number: Int32, action: String) -> IOError {
        if kind == SSL_ERROR_SYSCALL, number != 0 { return .system(number, action) }
        let (reason, isEndOfStream) = queued()
        if isEndOfStream || reason == nil {
            return IOError(code: .reset, message: "\(action): the connection ended without a TLS close_notify")
        }
        return IOError(code: .tlsHandshake, message: "\(action): \(reason ?? "")")
    }

    /// OpenSSL's first queued error, which is the root of those behind it.
    static func queuedReason() -> String? { queued().reason }

    private static func queued() -> (reason: String?, isEndOfStream: Bool) {
        let code = ERR_get_error()
        guard code != 0 else { return (nil, false) }
        ERR_clear_error()
        let isEndOfStream = millrace_err_is_unexpected_eof(code) == 1
        if millrace_err_is_system(code) == 1 {
            return (systemErrorText(Int32(truncatingIfNeeded: millrace_err_reason(code))), isEndOfStream)
        }
        guard let text = ERR_reason_error_string(code) else { return ("OpenSSL error \(code)", isEndOfStream) }
        return (String(cString: text), isEndOfStream)
    }
}

/// The versions that are spoken. Older ones are not.
package enum TLSVersion: Sendable {
    case v12, v13

    var number: Int32 {
        switch self {
        case .v12: TLS1_2_VERSION
        case .v13: TLS1_3_VERSION
        }
    }
}

/// A counted SSL_CTX with what clients and servers have in common.
// Sound: OpenSSL counts references to an SSL_CTX atomically, and nothing changes it after its configuration is done.
final class TLSContext: @unchecked Sendable {
    let pointer: OpaquePointer

    init(isServer: Bool, newestVersion: TLSVersion) throws(IOError) {
        ERR_clear_error()
        guard let pointer = SSL_CTX_new(isServer ? TLS_server_method() : TLS_client_method()) else {
            throw TLSFailure.error("make a TLS context", code: .tlsConfiguration)
        }
        self.pointer = pointer
        guard millrace_ssl_ctx_set_min_version(pointer, TLS1_2_VERSION) == 1,
            millrace_ssl_ctx_set_max_version(pointer, newestVersion.number) == 1
        else { throw TLSFailure.error("set the TLS versions", code: .tlsConfiguration) }
        millrace_ssl_ctx_set_options(pointer)
        millrace_ssl_ctx_set_stream_modes(pointer)
        millrace_ssl_ctx_refuse_passphrases(pointer)
        // Several records come with one read(2); without this every record costs two.
        millrace_ssl_ctx_set_read_ahead(pointer)
        SSL_CTX_set_default_read_buffer_len(pointer, 64 * 1024)
    }

    deinit { SSL_CTX_free(pointer) }

    /// Loads a PEM chain (leaf first) and its key, and checks that they belong together.
    func loadIdentity(chainFile: String, keyFile: String) throws(IOError) {
        ERR_clear_error()
        guard SSL_CTX_use_certificate_chain_file(pointer, chainFile) == 1 else {
            throw TLSFailure.error("load certificate chain \(chainFile)", code: .tlsConfiguration)
        }
        // Loading a key that does not fit the certificate fails already here, with "key values mismatch".
        guard SSL_CTX_use_PrivateKey_file(pointer, keyFile, SSL_FILETYPE_PEM) == 1 else {
            throw TLSFailure.error("load private key \(keyFile) for \(chainFile)", code: .tlsConfiguration)
        }
        guard SSL_CTX_check_private_key(pointer) == 1 else {
            throw TLSFailure.error("private key \(keyFile) and certificate \(chainFile)", code: .tlsConfiguration)
        }
    }

    /// Loads the authorities that peers are checked against; nil: the system's.
    func loadAuthorities(file: String?) throws(IOError) {
        ERR_clear_error()
        if let file {
            guard SSL_CTX_load_verify_locations(pointer, file, nil) == 1 else {
                throw TLSFailure.error("load certificate authorities \(file)", code: .tlsConfiguration)
            }
        } else if SSL_CTX_set_default_verify_paths(pointer) != 1 {
            throw TLSFailure.error("load the system's certificate authorities", code: .tlsConfiguration)
        }
    }
}
