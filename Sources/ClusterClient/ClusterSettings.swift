import EventIO
import Glibc

/// How a cluster is reached.
package struct ClusterSettings: Sendable {
    /// How requests are authenticated. Printing one shows its kind only.
    package enum Authentication: Sendable, CustomStringConvertible, CustomReflectable {
        case none
        case basic(user: String, password: String)
        /// An API key of Elasticsearch in its encoded form.
        case apiKey(String)
        /// Service `es` for domains, `aoss` for serverless collections.
        case sigV4(region: String, service: String, credentials: any AWSCredentialsProvider)

        package var description: String {
            switch self {
            case .none: "none"
            case .basic: "basic"
            case .apiKey: "API key"
            case .sigV4(let region, let service, _): "SigV4 for \(service) in \(region)"
            }
        }

        package var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// Files in PEM form; read when the client is made.
    package struct TLS: Sendable {
        /// Authorities to trust instead of the system's.
        package var caFile: String?
        package var clientCertificateFile: String?
        package var clientKeyFile: String?
        /// Takes any certificate for any name.
        package var isInsecure = false

        package init() {}
    }

    package var url: ClusterURL
    /// Which cluster messages are about.
    package var side = ClusterError.Side.target
    package var authentication = Authentication.none
    package var tls = TLS()
    /// Sends bodies of `compressionThresholdBytes` or more as gzip, and accepts gzip.
    package var isCompressed = false
    package var compressionThresholdBytes = 1024
    /// Connections, and so requests at a time.
    package var connectionLimit = 10
    /// Requests that may wait for a connection; more fail with `queueFull`.
    package var waitingLimit = 4096
    /// From the start of resolving the name to the end of the TLS handshake.
    package var connectTimeout = Duration.seconds(10)
    /// From the first byte of a request to the last of its response.
    package var requestTimeout = Duration.seconds(120)
    /// A connection unused for so long is closed. Below the 60 seconds after which common load balancers close theirs.
    package var idleTimeout = Duration.seconds(50)
    /// A response body longer than this is an error, and so is a compressed one that inflates to more.
    package var responseBytesLimit = 256 << 20
    package var userAgent = "millrace"
    /// Seconds since 1970, for signatures.
    package var unixSeconds: @Sendable () -> Int64 = { Int64(time(nil)) }

    package init(url: ClusterURL) { self.url = url }

    /// Reads the files of `tls`; nil when the address is not `https`.
    package func makeTLS() throws(ClusterError) -> TLSClientConfiguration? {
        guard url.isTLS else { return nil }
        do throws(IOError) {
            return try TLSClientConfiguration(
                caFile: tls.caFile, certificateChainFile: tls.clientCertificateFile,
                privateKeyFile: tls.clientKeyFile, isInsecure: tls.isInsecure)
        } catch {
            throw ClusterError(
                .invalidSettings, side: side, disposition: .stop,
                message: "TLS to \(side.rawValue) \(url.authority): \(error.message)", cause: error)
        }
    }
}
