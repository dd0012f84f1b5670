/// How a role proves to a cluster who it is.
package enum ClusterAuthentication: Sendable, Equatable {
    case none
    case basic(user: String, password: Secret)
    /// Credentials come from AWS' own places.
    case sigV4(region: String, service: String)
}

/// TLS towards a cluster. Paths of PEM files; the key and the chain are given together.
package struct ClientTLSSettings: Sendable, Equatable {
    package var caFile: String?
    package var clientCertificateFile: String?
    package var clientKeyFile: String?
    /// The cluster's certificate is not verified.
    package var isInsecure = false

    package init() {}
}

/// The flags of `ClusterAuthentication`.
struct AuthenticationFlags {
    /// Heading in the usage.
    let group: String

    var declarations: [FlagDeclaration] {
        [
            FlagDeclaration(
                "--username", .value("NAME"), group: group,
                help: "User for basic authentication; with --password-file or MILLRACE_PASSWORD."),
            FlagDeclaration(
                "--password-file", .value("FILE"), group: group,
                help: "File that holds the password; a line break at its end does not count."),
            FlagDeclaration(
                "--password", .value("TEXT"), group: group, isSecret: true,
                help: "The password. From the environment only: arguments can be read by everyone on the machine."),
            FlagDeclaration(
                "--sigv4-region", .value("REGION"), group: group,
                help: "Signs requests with AWS Signature Version 4 for this region, with the AWS credentials of the "
                    + "environment."),
            FlagDeclaration(
                "--sigv4-service", .value("es|aoss"), group: group, default: "es",
                help: "Service that requests are signed for: es, or aoss for OpenSearch Serverless."),
        ]
    }

    func read(_ reader: inout FlagReader) -> ClusterAuthentication {
        let user = reader.text("--username")
        let password = readPassword(&reader)
        let region = reader.text("--sigv4-region")
        let service = reader.choice("--sigv4-service", ["es", "aoss"])
        if reader.isGiven("--username") != (reader.isGiven("--password-file") || reader.isGiven("--password")) {
            reader.note(
                nil, "--username and a password (--password-file or MILLRACE_PASSWORD) belong together; one is missing")
        }
        if reader.isGiven("--username"), reader.isGiven("--sigv4-region") {
            reader.note(nil, "--username and --sigv4-region contradict each other; give one kind of authentication")
        }
        if reader.isGiven("--sigv4-service"), !reader.isGiven("--sigv4-region") {
            reader.note("--sigv4-service", "needs --sigv4-region")
        }
        if let user, user.contains(":") {
            reader.note("--username", "holds a colon, which basic authentication cannot carry (RFC 7617)")
        }
        if let user, let password { return .basic(user: user, password: password) }
        return region.map { .sigV4(region: $0, service: service ?? "es") } ?? .none
    }

    private func readPassword(_ reader: inout FlagReader) -> Secret? {
        let direct = reader.text("--password").map { Secret($0) }
        guard reader.isGiven("--password-file") else { return direct }
        if direct != nil {
            reader.note(nil, "--password-file and MILLRACE_PASSWORD are both given; give one")
        }
        return reader.value("--password-file") { (path, readFile) throws(ValueProblem) in
            var bytes = try readFile(path).get()
            if bytes.last == 0x0A { bytes.removeLast() }
            if bytes.last == 0x0D { bytes.removeLast() }
            guard !bytes.isEmpty else { throw ValueProblem("\(path) is empty") }
            return Secret(String(decoding: bytes, as: UTF8.self))
        }
    }
}

/// The flags of `ClientTLSSettings`, which are called differently for a source and for a target.
struct ClientTLSFlags {
    let group: String
    /// The cluster in the texts: source or target.
    let party: String
    let authority: String
    let certificate: String
    let key: String
    let insecure = "--insecure"

    static let source = ClientTLSFlags(
        group: "TLS", party: "source", authority: "--source-ca", certificate: "--source-certificate",
        key: "--source-key")
    static let target = ClientTLSFlags(
        group: "Access to the target", party: "target", authority: "--ca-file", certificate: "--client-certificate",
        key: "--client-key")

    var declarations: [FlagDeclaration] {
        [
            FlagDeclaration(
                authority, .value("FILE"), group: group,
                help: "PEM certificates to trust for the \(party) instead of the system's."),
            FlagDeclaration(
                certificate, .value("FILE"), group: group,
                help: "PEM certificate chain shown to the \(party); with \(key)."),
            FlagDeclaration(key, .value("FILE"), group: group, help: "PEM private key of that certificate."),
            FlagDeclaration(
                insecure, .switchedOn, group: group, default: "false",
                help: "Does not verify the \(party)'s certificate."),
        ]
    }

    /// `isTLS`: how the cluster's URL begins; nil when there is none to compare with.
    func read(_ reader: inout FlagReader, isTLS: Bool?) -> ClientTLSSettings {
        var settings = ClientTLSSettings()
        settings.caFile = reader.text(authority)
        settings.clientCertificateFile = reader.text(certificate)
        settings.clientKeyFile = reader.text(key)
        settings.isInsecure = reader.truth(insecure)
        if reader.isGiven(certificate) != reader.isGiven(key) {
            reader.note(nil, "\(certificate) and \(key) belong together; one is missing")
        }
        if settings.isInsecure, reader.isGiven(authority) {
            reader.note(nil, "\(insecure) and \(authority) contradict each other; without verification no CA is used")
        }
        if isTLS == false {
            var unused = [authority, certificate, key].filter { reader.isGiven($0) }
            if settings.isInsecure { unused.append(insecure) }
            for name in unused {
                reader.note(name, "the \(party)'s URL is http://, where no certificates are used")
            }
        }
        return settings
    }
}

extension ServiceURL {
    /// What deserves a word in the log of a start, for the cluster called `party`.
    func warnings(party: String, tls: ClientTLSSettings, authentication: ClusterAuthentication = .none) -> [String] {
        var warnings: [String] = []
        if !isTLS, authentication != .none { warnings.append("credentials are sent to the \(party) without TLS") }
        if tls.isInsecure { warnings.append("the \(party)'s certificate is not verified") }
        return warnings
    }
}
