/// OpenSSL (3.0 or newer) with its function-like macros as functions, which Swift can import.
#ifndef MILLRACE_COPENSSL_SHIM_H
#define MILLRACE_COPENSSL_SHIM_H

#include <openssl/ssl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <openssl/pem.h>

static inline long millrace_ssl_ctx_set_mode(SSL_CTX *context, long mode) { return SSL_CTX_set_mode(context, mode); }
static inline int millrace_ssl_ctx_set_min_version(SSL_CTX *context, int version) {
    return (int)SSL_CTX_set_min_proto_version(context, version);
}
static inline int millrace_ssl_ctx_set_max_version(SSL_CTX *context, int version) {
    return (int)SSL_CTX_set_max_proto_version(context, version);
}
static inline void millrace_ssl_ctx_set_session_cache_mode(SSL_CTX *context, long mode) {
    SSL_CTX_set_session_cache_mode(context, mode);
}
static inline void millrace_ssl_ctx_set_read_ahead(SSL_CTX *context) { SSL_CTX_set_read_ahead(context, 1); }
static inline int millrace_ssl_set_host_name(SSL *ssl, const char *name) {
    return (int)SSL_set_tlsext_host_name(ssl, name);
}

/// The options of every context: renegotiation is refused, compression stays off.
static inline void millrace_ssl_ctx_set_options(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
}

/// Modes for non-blocking writes from buffers that move, and for idle connections that own no buffers.
static inline void millrace_ssl_ctx_set_stream_modes(SSL_CTX *context) {
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                                  | SSL_MODE_RELEASE_BUFFERS);
}

// A key file with a passphrase must fail instead of asking on the terminal.
static inline int millrace_no_passphrase(char *buffer, int size, int for_writing, void *context) {
    (void)buffer; (void)size; (void)for_writing; (void)context;
    return -1;
}
static inline void millrace_ssl_ctx_refuse_passphrases(SSL_CTX *context) {
    SSL_CTX_set_default_passwd_cb(context, millrace_no_passphrase);
}

static inline int millrace_err_is_system(unsigned long code) { return ERR_SYSTEM_ERROR(code); }
static inline int millrace_err_reason(unsigned long code) { return ERR_GET_REASON(code); }

/// Whether the code is the one of a peer that ended the transport without a close_notify.
static inline int millrace_err_is_unexpected_eof(unsigned long code) {
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
#else
    (void)code;
    return 0;
#endif
}

/// A fresh P-256 key, or NULL.
static inline EVP_PKEY *millrace_generate_ec_key(void) { return EVP_EC_gen("P-256"); }

#endif
