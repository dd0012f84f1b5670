import EventIO
import Glibc
import Synchronization

/// Keys that sign requests. Printing them shows nothing secret.
package struct AWSCredentials: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    package let accessKeyID: String
    package let secretAccessKey: String
    /// Comes with temporary keys; sent as `x-amz-security-token`.
    package let sessionToken: String?
    /// When temporary keys end, seconds since 1970; nil where nobody says.
    package let expiresUnixSeconds: Int64?

    package init(
        accessKeyID: String, secretAccessKey: String, sessionToken: String? = nil, expiresUnixSeconds: Int64? = nil
    ) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
        self.expiresUnixSeconds = expiresUnixSeconds
    }

    package var description: String { "AWS credentials" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Where keys come from.
package protocol AWSCredentialsProvider: Sendable {
    /// Called for every request, on the thread that sends it; quick, but may read a small file.
    func credentials() throws(ClusterError) -> AWSCredentials
}

/// Keys that never change. Printing them shows nothing secret either.
package struct FixedAWSCredentials: AWSCredentialsProvider {
    private let value: AWSCredentials

    package init(_ value: AWSCredentials) { self.value = value }

    package func credentials() -> AWSCredentials { value }
}

/// The beginning of AWS's usual chain: the environment, then the shared credentials file.
///
/// Endpoints of containers and instances are not asked; where keys come from these, a sidecar or an init step has to
/// write the file. The file is read again when it changed, looked at not more often than every 5 seconds, so that keys
/// rotated by another program are taken up without a restart. When keys end is told by AWS_CREDENTIAL_EXPIRATION, which
/// `aws configure export-credentials` sets, or in the file by `x_security_token_expires`; a time that cannot be read
/// counts as not told.
package final class DefaultAWSCredentials: AWSCredentialsProvider {
    private struct FileVersion: Equatable {
        var seconds = 0
        var nanoseconds = 0
        var size = 0
    }

    private struct Cached {
        var value: AWSCredentials
        var version: FileVersion
        var checked: MonotonicInstant
    }

    private let environment: [String: String]
    private let side: ClusterError.Side
    private let cached = Mutex<Cached?>(nil)

    private static let names = [
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION",
        "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE", "HOME",
    ]
    private static let fileBytesLimit = 1 << 20
    private static let checkInterval = Duration.seconds(5)

    /// - Parameter environment: The variables to use; by default the process's, read once here.
    package init(environment: [String: String]? = nil, side: ClusterError.Side = .target) {
        self.environment =
            environment
            ?? Self.names.reduce(into: [:]) { variables, name in
                if let value = getenv(name) { variables[name] = String(cString: value) }
            }
        self.side = side
    }

    package func credentials() throws(ClusterError) -> AWSCredentials {
        let key = environment["AWS_ACCESS_KEY_ID"] ?? ""
        let secret = environment["AWS_SECRET_ACCESS_KEY"] ?? ""
        switch (key.isEmpty, secret.isEmpty) {
        case (false, false):
            let token = environment["AWS_SESSION_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
            return AWSCredentials(
                accessKeyID: key, secretAccessKey: secret, sessionToken: token,
                expiresUnixSeconds: environment["AWS_CREDENTIAL_EXPIRATION"].flatMap(SigV4Timestamp.unixSeconds))
        case (true, true): return try fromFile()
        case (true, false):
            throw failure("AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not; set both or none")
        case (false, true):
            throw failure("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not; set both or none")
        }
    }

    private func fromFile() throws(ClusterError) -> AWSCredentials {
        let path: String
        if let named = environment["AWS_SHARED_CREDENTIALS_FILE"], !named.isEmpty {
            path = named
        } else if let home = environment["HOME"], !home.isEmpty {
            path = home + "/.aws/credentials"
        } else {
            throw failure("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE")
        }
        let profile = environment["AWS_PROFILE"].flatMap { $0.isEmpty ? nil : $0 } ?? "default"
        return try cached.withLock { (cached) throws(ClusterError) in
            let now = MonotonicInstant.now()
            if let known = cached, now - known.checked < Self.checkInterval { return known.value }
            guard let version = Self.version(of: path) else {
                throw failure(
                    "there is no credentials file at \(path); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                        + "write that file (endpoints of containers and instances are not asked)")
            }
            if cached?.version == version {
                cached?.checked = now
            } else {
                guard let text = Self.read(path) else { throw failure("the credentials file \(path) cannot be read") }
                let value = try parse(text, profile: profile, path: path)
                cached = Cached(value: value, version: version, checked: now)
            }
            guard let known = cached else { preconditionFailure("the credentials were just set") }
            return known.value
        }
    }

    /// The INI form of the shared credentials file: `[profile]` lines, `name = value` lines, comments with # or ;.
    private func parse(_ text: [UInt8], profile: String, path: String) throws(ClusterError) -> AWSCredentials {
        var section = ""
        var values: [String: String] = [:]
        var isFound = false
        for line in text.split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) {
            let line = Self.trimmed(line)
            guard let first = line.first, first != UInt8(ascii: "#"), first != UInt8(ascii: ";") else { continue }
            if first == UInt8(ascii: "["), let end = line.firstIndex(of: UInt8(ascii: "]")) {
                section = String(decoding: Self.trimmed(line[(line.startIndex + 1)..<end]), as: UTF8.self)
                isFound = isFound || section == profile
            } else if section == profile, let equals = line.firstIndex(of: UInt8(ascii: "=")) {
                let name = String(decoding: Self.trimmed(line[..<equals]), as: UTF8.self).lowercased()
                values[name] = String(decoding: Self.trimmed(line[(equals + 1)...]), as: UTF8.self)
            }
        }
        guard isFound else {
            throw failure("the credentials file \(path) has no profile [\(profile)]; see AWS_PROFILE")
        }
        guard let key = values["aws_access_key_id"], !key.isEmpty,
            let secret = values["aws_secret_access_key"], !secret.isEmpty
        else {
            throw failure("profile [\(profile)] of \(path) lacks aws_access_key_id or aws_secret_access_key")
        }
        return AWSCredentials(
            accessKeyID: key, secretAccessKey: secret,
            sessionToken: values["aws_session_token"].flatMap { $0.isEmpty ? nil : $0 },
            expiresUnixSeconds: values["x_security_token_expires"].flatMap(SigV4Timestamp.unixSeconds))
    }

    private func failure(_ why: String) -> ClusterError {
        ClusterError(
            .invalidSettings, side: side, disposition: .stop, message: "no AWS credentials to sign with: \(why)")
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var bytes = bytes
        while let last = bytes.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") { bytes.removeLast() }
        while let first = bytes.first, first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") { bytes.removeFirst() }
        return bytes
    }

    private static func version(of path: String) -> FileVersion? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return FileVersion(
            seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec, size: Int(status.st_size))
    }

    private static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var text = [UInt8](repeating: 0, count: 4096)
        var count = 0
        while true {
            if count == text.count {
                guard count < fileBytesLimit else { return nil }
                text.append(contentsOf: repeatElement(0, count: count))
            }
            let received = text.withUnsafeMutableBytes { bytes in
                Glibc.read(descriptor, bytes.baseAddress.unsafelyUnwrapped + count, bytes.count - count)
            }
            if received < 0, errno == EINTR { continue }
            guard received >= 0 else { return nil }
            if received == 0 { return Array(text[..<count]) }
            count += received
        }
    }
}
