import ClusterClient
import Glibc
import Settings
import TrafficLog

extension TrafficLogAddress.Options {
    /// What the flags of a role say about the brokers.
    init(_ log: TrafficLogSettings) {
        self.init()
        properties = log.kafkaProperties.map { .init(name: $0.name, value: $0.value.revealed) }
        switch log.kafkaAuthentication {
        case .byProperties: break
        case .mskIAM(let region):
            // MSK offers IAM over TLS only, with certificates of a public authority.
            tls = .init()
            login = Self.mskIAM(region: region)
        }
    }

    /// TrafficLog asks for tokens, ClusterClient knows AWS: they meet here.
    private static func mskIAM(region: String) -> KafkaLogSettings.Login {
        let signer = MSKTokenSigner(
            region: region, credentials: DefaultAWSCredentials(side: .source),
            userAgent: "millraced/\(ProgramVersion.text)", unixSeconds: { Int64(time(nil)) })
        return .oauthBearer { () throws(TrafficLogError) in
            do throws(ClusterError) {
                let token = try signer.token()
                return KafkaToken(
                    value: token.value, expiresMilliseconds: token.expiresMilliseconds, principal: "millrace")
            } catch {
                throw TrafficLogError(.authentication, error.message)
            }
        }
    }
}
