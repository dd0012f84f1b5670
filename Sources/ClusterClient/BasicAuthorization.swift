import JSONBytes

/// The value of an Authorization field with a user and a password (RFC 7617).
package enum BasicAuthorization {
    /// `Basic dXNlcjpwYXNzd29yZA==`. The user passes `check`.
    package static func text(user: String, password: String) -> String {
        "Basic \(Base64.encode(Array("\(user):\(password)".utf8)))"
    }

    /// RFC 7617 §2: the first colon ends the user's name.
    package static func check(user: String, side: ClusterError.Side) throws(ClusterError) {
        guard user.utf8.contains(UInt8(ascii: ":")) else { return }
        throw ClusterError(
            .invalidSettings, side: side, disposition: .stop,
            message: "the user given with --\(side.rawValue)-username holds a colon, which basic authentication cannot "
                + "carry")
    }
}
