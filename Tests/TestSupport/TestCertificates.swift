import COpenSSL
import Glibc

/// An authority and certificates made for one test run, as PEM files in a folder of their own.
package final class TestCertificates: Sendable {
    package struct Failure: Error { package let message: String }

    /// A PEM certificate file and its key file.
    package struct Identity: Sendable {
        package let certificateFile: String
        package let keyFile: String
    }

    package let folder: String
    /// PEM file of the authority that signed everything but `selfSigned`.
    package let authorityFile: String
    /// For "localhost", 127.0.0.1 and ::1.
    package let server: Identity
    /// For "elsewhere.test" only.
    package let wrongHost: Identity
    /// For "localhost", valid until yesterday.
    package let expired: Identity
    /// For "localhost", signed by itself.
    package let selfSigned: Identity
    /// A client's: common name "client".
    package let client: Identity

    package init() throws {
        var template = Array("/tmp/millrace-certificates-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure(message: "mkdtemp: errno \(errno)") }
        let folder = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
        self.folder = folder
        let authority = try Signer(
            commonName: "Test Authority", alternativeNames: nil, isAuthority: true, signer: nil, serial: 1)
        authorityFile = "\(folder)/ca.pem"
        try authority.write(certificateFile: authorityFile, keyFile: "\(folder)/ca.key")
        func issue(
            _ name: String, _ alternativeNames: String?, serial: Int, validDays: Int = 30, isSelfSigned: Bool = false
        ) throws -> Identity {
            let certificate = try Signer(
                commonName: name, alternativeNames: alternativeNames, isAuthority: false,
                signer: isSelfSigned ? nil : authority, serial: serial, validDays: validDays)
            let identity = Identity(
                certificateFile: "\(folder)/\(serial).pem", keyFile: "\(folder)/\(serial).key")
            try certificate.write(certificateFile: identity.certificateFile, keyFile: identity.keyFile)
            return identity
        }
        let local = "DNS:localhost,IP:127.0.0.1,IP:::1"
        server = try issue("localhost", local, serial: 2)
        wrongHost = try issue("elsewhere.test", "DNS:elsewhere.test", serial: 3)
        expired = try issue("localhost", local, serial: 4, validDays: -1)
        selfSigned = try issue("localhost", local, serial: 5, isSelfSigned: true)
        client = try issue("client", nil, serial: 6)
    }

    /// Removes the files.
    package func remove() {
        for name in ["ca.pem", "ca.key"] { unlink("\(folder)/\(name)") }
        for serial in 2...6 {
            unlink("\(folder)/\(serial).pem")
            unlink("\(folder)/\(serial).key")
        }
        rmdir(folder)
    }
}

/// A key with its certificate.
private final class Signer {
    private let key: OpaquePointer
    private let certificate: OpaquePointer

    init(
        commonName: String, alternativeNames: String?, isAuthority: Bool, signer: Signer?, serial: Int,
        validDays: Int = 30
    ) throws {
        guard let key = millrace_generate_ec_key(), let certificate = X509_new() else {
            throw TestCertificates.Failure(message: "OpenSSL makes no key or certificate")
        }
        self.key = key
        self.certificate = certificate
        let day = 86_400
        X509_set_version(certificate, 2)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial)
        X509_gmtime_adj(X509_getm_notBefore(certificate), -10 * day)
        X509_gmtime_adj(X509_getm_notAfter(certificate), validDays * day)
        X509_set_pubkey(certificate, key)
        X509_NAME_add_entry_by_txt(
            X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, commonName, -1, -1, 0)
        X509_set_issuer_name(certificate, X509_get_subject_name(signer?.certificate ?? certificate))
        try add(NID_basic_constraints, isAuthority ? "critical,CA:TRUE" : "CA:FALSE", signer)
        if let alternativeNames { try add(NID_subject_alt_name, alternativeNames, signer) }
        guard X509_sign(certificate, signer?.key ?? key, EVP_sha256()) > 0 else {
            throw TestCertificates.Failure(message: "cannot sign the certificate of \(commonName)")
        }
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    private func add(_ identifier: Int32, _ value: String, _ signer: Signer?) throws {
        var context = X509V3_CTX()
        X509V3_set_ctx(&context, signer?.certificate ?? certificate, certificate, nil, nil, 0)
        guard let item = X509V3_EXT_conf_nid(nil, &context, identifier, value) else {
            throw TestCertificates.Failure(message: "cannot make the extension \(value)")
        }
        X509_add_ext(certificate, item, -1)
        X509_EXTENSION_free(item)
    }

    func write(certificateFile: String, keyFile: String) throws {
        guard let certificates = fopen(certificateFile, "w"), let keys = fopen(keyFile, "w") else {
            throw TestCertificates.Failure(message: "cannot write \(certificateFile)")
        }
        defer {
            fclose(certificates)
            fclose(keys)
        }
        guard PEM_write_X509(certificates, certificate) == 1,
            PEM_write_PrivateKey(keys, key, nil, nil, 0, nil, nil) == 1
        else { throw TestCertificates.Failure(message: "cannot write \(certificateFile)") }
    }
}
