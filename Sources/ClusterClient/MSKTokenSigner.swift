import JSONBytes

/// Tokens for IAM access control of Amazon MSK, which Kafka's OAUTHBEARER carries: a presigned URL of the action
/// `kafka-cluster:Connect`, in the URL-safe form of base64 without padding.
///
///     https://kafka.REGION.amazonaws.com/?Action=kafka-cluster%3AConnect&X-Amz-…&X-Amz-Signature=…&User-Agent=…
///
/// After AWS's own signer for Python, aws-msk-iam-sasl-signer-python 1.0.2. The user agent is not part of the
/// signature. Thread-safe.
package struct MSKTokenSigner: Sendable {
    package struct Token: Sendable, Equatable {
        package let value: String
        /// When the brokers refuse it, milliseconds since 1970.
        package let expiresMilliseconds: Int64
    }

    /// AWS's own choice.
    package static let lifetimeSeconds: Int64 = 900

    private let signer: SigV4Signer
    private let credentials: any AWSCredentialsProvider
    private let unixSeconds: @Sendable () -> Int64
    private let userAgent: String

    package init(
        region: String, credentials: any AWSCredentialsProvider, userAgent: String,
        unixSeconds: @escaping @Sendable () -> Int64
    ) {
        signer = SigV4Signer(region: region, service: "kafka-cluster")
        self.credentials = credentials
        self.userAgent = userAgent
        self.unixSeconds = unixSeconds
    }

    /// Fails when there are no credentials, or when they have ended.
    package func token() throws(ClusterError) -> Token {
        let now = unixSeconds()
        let credentials = try credentials.credentials()
        let end = min(now + Self.lifetimeSeconds, credentials.expiresUnixSeconds ?? .max)
        guard end > now else {
            let at = String(decoding: SigV4Timestamp(unixSeconds: max(0, end)).text, as: UTF8.self)
            throw ClusterError(
                .invalidSettings, side: .source, disposition: .stop,
                message: "the AWS credentials ended at \(at); renew them in the environment or the credentials file")
        }
        let host = "kafka.\(signer.region).amazonaws.com"
        var url = Array("https://\(host)/?".utf8)
        url += signer.presignedQuery(
            host: host, query: [("Action", "kafka-cluster:Connect")], credentials: credentials,
            timestamp: SigV4Timestamp(unixSeconds: now), lifetimeSeconds: Self.lifetimeSeconds)
        url += "&User-Agent=\(PercentEncoding.segment(userAgent))".utf8
        return Token(value: Base64.encodeForURL(url), expiresMilliseconds: end * 1000)
    }
}
