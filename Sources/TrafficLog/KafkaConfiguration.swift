import CRdKafka

/// Settings as librdkafka's properties. No value ever enters a message: it may be a password.
struct KafkaConfiguration {
    private(set) var properties: [(name: String, value: String)] = []

    /// What reader and writer share. Fails when the settings contradict each other or the library cannot do it.
    init(_ settings: KafkaLogSettings) throws(TrafficLogError) {
        self["bootstrap.servers"] = settings.brokers.joined(separator: ",")
        self["client.id"] = "millrace"
        self["socket.keepalive.enable"] = "true"
        // A request in several pieces, or behind another one, would wait for the broker's delayed acknowledgement.
        self["socket.nagle.disable"] = "true"
        // A broker that hangs is given up after this; the default of a minute holds clients too long.
        self["socket.timeout.ms"] = "10000"
        self["reconnect.backoff.ms"] = "50"
        self["reconnect.backoff.max.ms"] = "1000"
        if let tls = settings.tls {
            if let file = tls.authorityFile { self["ssl.ca.location"] = file }
            if let file = tls.certificateFile { self["ssl.certificate.location"] = file }
            if let file = tls.keyFile { self["ssl.key.location"] = file }
            if let password = tls.keyPassword { self["ssl.key.password"] = password }
            if tls.isInsecure { self["enable.ssl.certificate.verification"] = "false" }
        }
        switch settings.login {
        case .none:
            self["security.protocol"] = settings.tls == nil ? "plaintext" : "ssl"
        case .plain(let user, let password): login("PLAIN", user, password, settings)
        case .scramSHA256(let user, let password): login("SCRAM-SHA-256", user, password, settings)
        case .scramSHA512(let user, let password): login("SCRAM-SHA-512", user, password, settings)
        case .oauthBearer:
            self["security.protocol"] = settings.tls == nil ? "sasl_plaintext" : "sasl_ssl"
            self["sasl.mechanism"] = "OAUTHBEARER"
        }
        for property in settings.properties { self[property.name] = property.value }
        try Self.checkScram(
            mechanism: self["sasl.mechanism"] ?? self["sasl.mechanisms"] ?? "", libraryVersion: rd_kafka_version(),
            location: settings.location)
    }

    /// What the writer needs besides. The operator's own properties win over it.
    init(_ settings: KafkaLogSettings, batchLimitBytes: Int) throws(TrafficLogError) {
        try self.init(settings)
        var own: [(String, String)] = [
            ("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", "0"),
            ("partitioner", "murmur2_random"), ("request.timeout.ms", "10000"), ("retry.backoff.ms", "50"),
            ("compression.type", settings.compression),
            // The writer's own limits come first; these only keep the library from a third opinion.
            ("queue.buffering.max.messages", "\(settings.queueLimitCount + 1000)"),
            ("queue.buffering.max.kbytes", "\(settings.queueLimitBytes / 1024 + 65536)"),
        ]
        let microseconds = settings.linger.wholeNanoseconds / 1000
        own.append(("linger.ms", "\(microseconds / 1000).\(String(1000 + microseconds % 1000).dropFirst())"))
        let given = Set(settings.properties.map(\.name))
        for (name, value) in own where !given.contains(name) { self[name] = value }
        // The smaller of the given one and the topic's.
        self["message.max.bytes"] = "\(max(1000, batchLimitBytes))"
    }

    /// For a consumer that says itself what it reads and what it commits.
    init(reading settings: KafkaLogSettings) throws(TrafficLogError) {
        try self.init(settings)
        for name in Self.writerOnly { self[name] = nil }
        let fixed = [
            ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"), ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"), ("allow.auto.create.topics", "false"),
        ]
        for (name, value) in fixed { self[name] = value }
    }

    /// Properties that an address may name for the sake of its writer and that a consumer does not take.
    private static let writerOnly = [
        "linger.ms", "compression.type", "acks", "enable.idempotence", "message.timeout.ms", "transactional.id",
    ]

    private mutating func login(_ mechanism: String, _ user: String, _ password: String, _ settings: KafkaLogSettings) {
        self["security.protocol"] = settings.tls == nil ? "sasl_plaintext" : "sasl_ssl"
        self["sasl.mechanism"] = mechanism
        self["sasl.username"] = user
        self["sasl.password"] = password
    }

    /// librdkafka before 2.6.1 repeats its own nonce in SCRAM's second message; Kafka 4 then answers "invalid
    /// credentials"
    /// although the password is right.
    static func checkScram(mechanism: String, libraryVersion: Int32, location: String) throws(TrafficLogError) {
        guard mechanism.hasPrefix("SCRAM"), libraryVersion < 0x0206_0100 else { return }
        let text = "\(libraryVersion >> 24 & 0xFF).\(libraryVersion >> 16 & 0xFF).\(libraryVersion >> 8 & 0xFF)"
        throw TrafficLogError(
            .invalidSetting,
            "\(location): SCRAM needs librdkafka 2.6.1 or newer; this one is \(text) and cannot log in to Kafka 4"
        )
    }

    subscript(name: String) -> String? {
        get { properties.last { $0.name == name }?.value }
        set {
            properties.removeAll { $0.name == name }
            if let newValue { properties.append((name, newValue)) }
        }
    }

    /// A configuration that `rd_kafka_new` takes over.
    func make(location: String) throws(TrafficLogError) -> OpaquePointer {
        guard let configuration = rd_kafka_conf_new() else {
            throw TrafficLogError(.unavailable, "\(location): no memory for a configuration")
        }
        for (name, value) in properties {
            let code = rd_kafka_conf_set(configuration, name, value, nil, 0)
            guard code == RD_KAFKA_CONF_OK else {
                rd_kafka_conf_destroy(configuration)
                let what =
                    code == RD_KAFKA_CONF_UNKNOWN ? "librdkafka knows no such property" : "the value is not accepted"
                throw TrafficLogError(.invalidSetting, "\(location): \(name): \(what)")
            }
        }
        return configuration
    }
}

/// librdkafka's errors as the log's.
enum KafkaFailure {
    static func code(_ error: rd_kafka_resp_err_t) -> TrafficLogError.Code {
        switch error {
        case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
            RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
            .authentication
        case RD_KAFKA_RESP_ERR__SSL: .tls
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
            RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
            .topicMissing
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE: .tooLarge
        case RD_KAFKA_RESP_ERR__QUEUE_FULL: .full
        case RD_KAFKA_RESP_ERR__DESTROY, RD_KAFKA_RESP_ERR__PURGE_QUEUE, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: .closed
        case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET: .missing
        default: .unavailable
        }
    }

    static func text(_ error: rd_kafka_resp_err_t) -> String {
        rd_kafka_err2str(error).map { String(cString: $0) } ?? "error \(error.rawValue)"
    }

    static func make(_ error: rd_kafka_resp_err_t, _ location: String, _ detail: String? = nil) -> TrafficLogError {
        TrafficLogError(code(error), "\(location): \(oneLine(detail ?? text(error)))")
    }

    static func oneLine(_ text: String) -> String {
        String(decoding: text.utf8.map { $0 < 0x20 ? 0x20 : $0 }, as: UTF8.self)
    }
}
