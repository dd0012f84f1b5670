/// How a Kafka topic is reached and written.
package struct KafkaLogSettings: Sendable {
    /// Who the client is.
    package enum Login: Sendable {
        case none
        case plain(user: String, password: String)
        case scramSHA256(user: String, password: String)
        case scramSHA512(user: String, password: String)
        /// Asks for a token whenever one is needed: MSK IAM and other OAuth. Called on a thread of its own; may block.
        /// librdkafka asks again when four fifths of a token's life are over, and ten seconds after an error, whose
        /// message reaches the operator.
        case oauthBearer(@Sendable () throws(TrafficLogError) -> KafkaToken)
    }

    /// TLS towards the brokers; nil in `KafkaLogSettings.tls` means plain text.
    package struct TLS: Sendable {
        /// PEM; nil takes the system's authorities.
        package var authorityFile: String?
        package var certificateFile: String?
        package var keyFile: String?
        package var keyPassword: String?
        /// Accepts any certificate.
        package var isInsecure = false

        package init(
            authorityFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil,
            keyPassword: String? = nil, isInsecure: Bool = false
        ) {
            self.authorityFile = authorityFile
            self.certificateFile = certificateFile
            self.keyFile = keyFile
            self.keyPassword = keyPassword
            self.isInsecure = isInsecure
        }
    }

    /// How a missing topic is made.
    package struct TopicCreation: Sendable, Equatable {
        /// -1: the brokers' default.
        package var partitionCount: Int32
        package var replicationFactor: Int32
        /// The topic's own settings, such as `retention.ms`.
        package var properties: [TrafficLogAddress.Property]

        package init(
            partitionCount: Int32 = -1, replicationFactor: Int32 = -1, properties: [TrafficLogAddress.Property] = []
        ) {
            self.partitionCount = partitionCount
            self.replicationFactor = replicationFactor
            self.properties = properties
        }
    }

    package var brokers: [String]
    package var topic: String
    package var login = Login.none
    package var tls: TLS?
    /// Passed to librdkafka after everything else, so they win.
    package var properties: [TrafficLogAddress.Property] = []
    /// How long a record may wait for company. With none, records that come while a request is on its way share the
    /// next one all the same.
    package var linger = Duration.zero
    /// `none`, `lz4`, `zstd`, `gzip` or `snappy`.
    package var compression = "none"
    /// Larger records, key included, are refused; nil takes what the topic takes.
    package var recordLimitBytes: Int?
    /// Records that may wait for the brokers; at the limit `append` throws `.full`.
    package var queueLimitCount = 500_000
    package var queueLimitBytes = 256 << 20
    /// A record that waits longer for its acknowledgement makes `state` an outage.
    package var outageAfter = Duration.seconds(5)
    /// How long opening waits for the brokers; zero does not look at them at all, and opening always succeeds.
    package var startTimeout = Duration.seconds(30)
    /// nil: a missing topic is an error.
    package var topicCreation: TopicCreation?

    /// The mock cluster that `brokers` name; it lives as long as the log.
    package var mockCluster: KafkaMockCluster?
    /// Whether opening asks for the topic's `max.message.bytes`.
    package var asksTopicLimit = true

    package init(brokers: [String], topic: String) {
        self.brokers = brokers
        self.topic = topic
    }

    /// For messages.
    var location: String { "kafka://\(brokers.joined(separator: ","))/\(topic)" }
}

/// What an OAuth provider gives.
package struct KafkaToken: Sendable {
    package let value: String
    /// When it ends, milliseconds since 1970.
    package let expiresMilliseconds: Int64
    package let principal: String

    package init(value: String, expiresMilliseconds: Int64, principal: String) {
        self.value = value
        self.expiresMilliseconds = expiresMilliseconds
        self.principal = principal
    }
}
