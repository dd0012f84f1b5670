import CRdKafka
import Glibc

/// Looks at a topic before records are written: the brokers answer, the login is accepted, the topic is there.
struct KafkaTopicCheck {
    let partitionCount: Int
    /// The topic's `max.message.bytes`, which bounds a whole batch; nil when the brokers do not tell.
    let batchLimitBytes: Int?

    /// Waits for `settings.startTimeout` at the most.
    static func run(_ settings: KafkaLogSettings) throws(TrafficLogError) -> KafkaTopicCheck {
        var configuration = try KafkaConfiguration(settings)
        configuration["allow.auto.create.topics"] = "false"
        for name in configuration.properties.map(\.name) where writerOnly.contains(name) { configuration[name] = nil }
        let client = try KafkaProducer(configuration, topic: settings.topic, location: settings.location)
        let deadline = MonotonicClock.nanoseconds &+ settings.startTimeout.wholeNanoseconds
        var cause: TrafficLogError?
        var hasCreated = false
        while true {
            try drain(client, settings, cause: &cause)
            switch partitions(client, settings) {
            case .success(let count):
                return KafkaTopicCheck(
                    partitionCount: count,
                    batchLimitBytes: settings.asksTopicLimit ? batchLimit(client, settings, deadline) : nil)
            case .failure(let failure) where failure.code == .topicMissing:
                guard let creation = settings.topicCreation else { throw failure }
                if !hasCreated { try create(client, settings, creation, deadline) }
                hasCreated = true
                poll(nil, 0, 50)
            case .failure(let failure):
                cause = cause ?? (failure.code == .unavailable ? nil : failure)
            }
            if let cause, cause.code == .authentication || cause.code == .tls { throw cause }
            guard MonotonicClock.nanoseconds < deadline else {
                throw cause
                    ?? TrafficLogError(
                        .unavailable,
                        "\(settings.location): no broker answered within \(settings.startTimeout.components.seconds) s")
            }
        }
    }

    /// How many partitions the topic has, for a reader: it is not made, and the brokers are always asked.
    static func countPartitions(_ settings: KafkaLogSettings) throws(TrafficLogError) -> Int {
        var asked = settings
        if asked.startTimeout <= .zero { asked.startTimeout = .seconds(30) }
        asked.topicCreation = nil
        asked.asksTopicLimit = false
        return try run(asked).partitionCount
    }

    /// Properties of the idempotent producer that do not matter here.
    private static let writerOnly: Set<String> = ["transactional.id"]

    private static func drain(
        _ client: KafkaProducer, _ settings: KafkaLogSettings, cause: inout TrafficLogError?
    ) throws(TrafficLogError) {
        while let event = client.nextEvent() {
            defer { rd_kafka_event_destroy(event) }
            switch rd_kafka_event_type(event) {
            case RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH: client.refreshToken(settings.login)
            case RD_KAFKA_EVENT_ERROR:
                let detail = rd_kafka_event_error_string(event).map { String(cString: $0) }
                let found = KafkaFailure.make(rd_kafka_event_error(event), settings.location, detail)
                if cause == nil || found.code != .unavailable { cause = found }
            default: break
            }
        }
    }

    private static func partitions(
        _ client: KafkaProducer, _ settings: KafkaLogSettings
    ) -> Result<Int, TrafficLogError> {
        var metadata: UnsafePointer<rd_kafka_metadata>?
        let code = rd_kafka_metadata(client.handle, 0, client.topic, &metadata, 500)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata else {
            return .failure(KafkaFailure.make(code, settings.location))
        }
        defer { rd_kafka_metadata_destroy(metadata) }
        guard metadata.pointee.topic_cnt == 1 else {
            return .failure(
                TrafficLogError(.unavailable, "\(settings.location): the brokers tell nothing of the topic"))
        }
        let topic = metadata.pointee.topics[0]
        if topic.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || topic.err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC {
            return .failure(
                TrafficLogError(
                    .topicMissing, "\(settings.location): the topic \(settings.topic) does not exist; create it first"))
        }
        guard topic.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
            return .failure(KafkaFailure.make(topic.err, settings.location))
        }
        guard topic.partition_cnt > 0 else {
            return .failure(TrafficLogError(.unavailable, "\(settings.location): the topic has no partition yet"))
        }
        return .success(Int(topic.partition_cnt))
    }

    private static func create(
        _ client: KafkaProducer, _ settings: KafkaLogSettings, _ creation: KafkaLogSettings.TopicCreation,
        _ deadline: UInt64
    ) throws(TrafficLogError) {
        var text = [CChar](repeating: 0, count: 256)
        var topic = rd_kafka_NewTopic_new(
            settings.topic, creation.partitionCount, creation.replicationFactor, &text, text.count)
        guard topic != nil else {
            throw TrafficLogError(.invalidSetting, "\(settings.location): \(KafkaProducer.string(text))")
        }
        defer { rd_kafka_NewTopic_destroy(topic) }
        for property in creation.properties { rd_kafka_NewTopic_set_config(topic, property.name, property.value) }
        guard let queue = rd_kafka_queue_new(client.handle) else { return }
        defer { rd_kafka_queue_destroy(queue) }
        rd_kafka_CreateTopics(client.handle, &topic, 1, nil, queue)
        guard let event = rd_kafka_queue_poll(queue, remaining(deadline)) else {
            throw TrafficLogError(.unavailable, "\(settings.location): the brokers did not answer to create the topic")
        }
        defer { rd_kafka_event_destroy(event) }
        let whole = rd_kafka_event_error(event)
        guard whole == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaFailure.make(whole, settings.location) }
        var count = 0
        guard let result = rd_kafka_event_CreateTopics_result(event),
            let topics = rd_kafka_CreateTopics_result_topics(result, &count), count == 1
        else { return }
        let code = rd_kafka_topic_result_error(topics[0])
        if code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS {
            let detail = rd_kafka_topic_result_error_string(topics[0]).map { String(cString: $0) }
            throw KafkaFailure.make(code, settings.location, detail.map { "the topic cannot be created: \($0)" })
        }
    }

    /// nil when the login may not ask, which is no reason to stop.
    private static func batchLimit(_ client: KafkaProducer, _ settings: KafkaLogSettings, _ deadline: UInt64) -> Int? {
        var resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, settings.topic)
        guard resource != nil, let queue = rd_kafka_queue_new(client.handle) else { return nil }
        defer {
            rd_kafka_ConfigResource_destroy(resource)
            rd_kafka_queue_destroy(queue)
        }
        rd_kafka_DescribeConfigs(client.handle, &resource, 1, nil, queue)
        guard let event = rd_kafka_queue_poll(queue, min(5000, remaining(deadline))) else { return nil }
        defer { rd_kafka_event_destroy(event) }
        var count = 0
        guard rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR,
            let result = rd_kafka_event_DescribeConfigs_result(event),
            let resources = rd_kafka_DescribeConfigs_result_resources(result, &count), count == 1,
            rd_kafka_ConfigResource_error(resources[0]) == RD_KAFKA_RESP_ERR_NO_ERROR
        else { return nil }
        var entryCount = 0
        guard let entries = rd_kafka_ConfigResource_configs(resources[0], &entryCount) else { return nil }
        for index in 0..<entryCount {
            guard let name = rd_kafka_ConfigEntry_name(entries[index]),
                let value = rd_kafka_ConfigEntry_value(entries[index]),
                String(cString: name) == "max.message.bytes"
            else { continue }
            return Int(String(cString: value))
        }
        return nil
    }

    private static func remaining(_ deadline: UInt64) -> Int32 {
        let now = MonotonicClock.nanoseconds
        return now < deadline ? Int32(clamping: (deadline - now) / 1_000_000) : 0
    }
}
