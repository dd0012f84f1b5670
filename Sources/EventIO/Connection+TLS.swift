import COpenSSL
import Glibc

// TLS works on the descriptor itself (SSL_set_fd) with read-ahead, so one read(2) brings several records. Two things
// follow: what SSL holds makes no epoll event, so reading always goes on until WANT_READ; and either direction can wait
// for the other (`readWantsWrite`, `writeWantsRead`). OpenSSL's error queue belongs to the thread, which loops share:
// it is cleared before every call whose error is looked at.
extension Connection {
    /// Makes the client's SSL on the connection's descriptor.
    func prepareTLS(_ configuration: TLSClientConfiguration, serverName: String?) throws(IOError) {
        let name = serverName ?? remoteAddress.hostText
        let key = "\(name)|\(remoteAddress)"
        let ssl = try configuration.makeSession(serverName: name, sessionKey: key)
        self.ssl = ssl
        tlsClient = configuration
        sessionKey = key
        SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
        SSL_set_connect_state(ssl)
        guard SSL_set_fd(ssl, descriptor) == 1 else {
            throw TLSFailure.error("connect to \(remoteAddress)", code: .tlsConfiguration)
        }
    }

    /// Makes the server's SSL for an accepted descriptor.
    func prepareTLS(_ configuration: TLSServerConfiguration) throws(IOError) {
        let ssl = try configuration.makeSession()
        self.ssl = ssl
        SSL_set_accept_state(ssl)
        guard SSL_set_fd(ssl, descriptor) == 1 else {
            throw TLSFailure.error("accept from \(remoteAddress)", code: .tlsConfiguration)
        }
        state = .handshaking
    }

    func continueHandshake() {
        guard !hasEnd, let ssl else { return }
        ERR_clear_error()
        errno = 0
        let code = SSL_do_handshake(ssl)
        if code == 1 { return becomeReady() }
        let number = errno
        switch SSL_get_error(ssl, code) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return
        case let kind:
            fail(TLSFailure.handshake(ssl, kind: kind, errno: number, peer: remoteAddress, isClient: tlsClient != nil))
        }
    }

    /// "TLSv1.3" or "TLSv1.2" once the handshake is done; nil for a plain connection.
    package var tlsVersion: String? {
        guard let ssl, state == .open else { return nil }
        return String(cString: SSL_get_version(ssl))
    }

    /// Whether the handshake resumed an earlier session.
    package var isTLSResumed: Bool {
        guard let ssl else { return false }
        return SSL_session_reused(ssl) == 1
    }

    /// The subject of the peer's certificate in one line, when it presented one.
    package var peerCertificateSubject: String? {
        guard let ssl, let certificate = SSL_get1_peer_certificate(ssl) else { return nil }
        defer { X509_free(certificate) }
        guard let text = X509_NAME_oneline(X509_get_subject_name(certificate), nil, 0) else { return nil }
        defer { CRYPTO_free(text, #file, #line) }
        return String(cString: text)
    }

    // MARK: Reading

    /// Reads records until the memory is full or SSL wants more from the socket.
    func readTLS(
        _ base: UnsafeMutableRawPointer, _ capacity: Int, _ error: inout IOError?
    ) -> (count: Int, status: ReadStatus) {
        guard let ssl else { return (0, .ended) }
        readWantsWrite = false
        var count = 0
        while count < capacity {
            ERR_clear_error()
            errno = 0
            let got = SSL_read(ssl, base + count, Int32(clamping: capacity - count))
            if got > 0 {
                count += Int(got)
                continue
            }
            let number = errno
            switch SSL_get_error(ssl, got) {
            case SSL_ERROR_WANT_READ:
                return (count, .drained)
            case SSL_ERROR_WANT_WRITE:
                readWantsWrite = true
                return (count, .drained)
            case SSL_ERROR_ZERO_RETURN:
                return (count, .ended)
            case let kind:
                error = TLSFailure.stream(ssl, kind: kind, errno: number, action: "read from \(remoteAddress)")
                return (count, .failed)
            }
        }
        return (count, .more)
    }

    // MARK: Writing

    /// Writes the queue as records: small slices are gathered into a full record, large ones are encrypted from where
    /// they are. SSL_write takes one record a call (partial-write mode), hence the loop. A repeated write after
    /// WANT_WRITE finds the same bytes at the front of the queue, as OpenSSL requires; there may be more of them.
    func flushTLS() {
        while let first = output.first {
            var base = first.baseAddress
            var count = first.count
            if count < Self.tlsRecordBytes, count < output.byteCount {
                let scratch = loop.recordScratch.base
                count = output.copyFront(to: scratch, limit: Self.tlsRecordBytes)
                base = UnsafeRawPointer(scratch)
            }
            guard let base else { return }
            let written = writeRecord(base, count)
            guard written > 0 else { return }
            output.consume(written)
        }
    }

    /// Writes without queueing; what it returns may be less than `count`. The rest has to follow with the same bytes.
    func writeTLSNow(_ base: UnsafeRawPointer, _ count: Int) -> Int {
        var done = 0
        while done < count {
            let written = writeRecord(base + done, count - done, reportsFailure: false)
            guard written > 0 else { break }
            done += written
        }
        return done
    }

    /// Returns 0 when the socket is full or the stream has failed.
    private func writeRecord(_ base: UnsafeRawPointer, _ count: Int, reportsFailure: Bool = true) -> Int {
        guard let ssl else { return 0 }
        ERR_clear_error()
        errno = 0
        let written = SSL_write(ssl, base, Int32(clamping: count))
        if written > 0 { return Int(written) }
        let number = errno
        switch SSL_get_error(ssl, written) {
        case SSL_ERROR_WANT_WRITE: isWriteBlocked = true
        case SSL_ERROR_WANT_READ: writeWantsRead = true
        case let kind:
            let error = TLSFailure.stream(ssl, kind: kind, errno: number, action: "write to \(remoteAddress)")
            // Within the caller's callback nothing may be called back: the read that follows a failure waits.
            if reportsFailure { failWriting(error) } else { fail(error) }
        }
        return 0
    }

    // MARK: End

    /// Sends close_notify. Returns false when the socket is full; the flush comes back to it.
    func sendCloseNotify() -> Bool {
        guard let ssl else { return true }
        ERR_clear_error()
        let code = SSL_shutdown(ssl)
        if code >= 0 { return true }
        if SSL_get_error(ssl, code) == SSL_ERROR_WANT_WRITE {
            isWriteBlocked = true
            return false
        }
        return true
    }

    /// Frees SSL. An orderly end sends close_notify and leaves the session resumable: OpenSSL takes a session as spoilt
    /// when its SSL is freed without a shutdown.
    func endTLS(isOrderly: Bool) {
        guard let ssl else { return }
        self.ssl = nil
        if isOrderly, SSL_is_init_finished(ssl) == 1 {
            ERR_clear_error()
            if !isWriteEnded { SSL_shutdown(ssl) }
            SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        }
        SSL_set_ex_data(ssl, 0, nil)
        SSL_free(ssl)
        tlsClient = nil
    }
}
