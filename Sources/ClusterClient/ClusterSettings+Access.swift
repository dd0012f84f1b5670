import Settings

extension ClusterSettings {
    /// A cluster as the flags of a role name it.
    package init(
        url: ServiceURL, authentication: ClusterAuthentication, tls: ClientTLSSettings
    ) throws(ClusterError) {
        self.init(url: try ClusterURL(url.description))
        switch authentication {
        case .none: break
        case .basic(let user, let password):
            self.authentication = .basic(user: user, password: password.revealed)
        case .sigV4(let region, let service):
            self.authentication = .sigV4(region: region, service: service, credentials: DefaultAWSCredentials())
        }
        self.tls.caFile = tls.caFile
        self.tls.clientCertificateFile = tls.clientCertificateFile
        self.tls.clientKeyFile = tls.clientKeyFile
        self.tls.isInsecure = tls.isInsecure
    }
}
