import CRdKafka

/// Reads every partition of a topic, without a consumer group: from the beginning, the end or given offsets.
package final class KafkaTrafficLogReader: TrafficLogReader {
    package let location: String
    package let partitionCount: Int
    private let consumer: KafkaConsumer
    private let settings: KafkaLogSettings
    private var partitionsAtEnd: Set<Int32> = []

    /// Without a record or an end of a partition for this long the brokers count as gone.
    private static let stallNanoseconds: UInt64 = 30_000_000_000

    package init(_ settings: KafkaLogSettings, start: LogStart = .beginning) throws(TrafficLogError) {
        self.settings = settings
        location = settings.location
        var asked = settings
        if asked.startTimeout <= .zero { asked.startTimeout = .seconds(30) }
        asked.topicCreation = nil
        asked.asksTopicLimit = false
        let check = try KafkaTopicCheck.run(asked)
        partitionCount = check.partitionCount
        var configuration = try KafkaConfiguration(settings)
        let writerOnly = ["linger.ms", "compression.type", "acks", "enable.idempotence", "message.timeout.ms"]
        for name in writerOnly { configuration[name] = nil }
        let own = [
            ("group.id", "millrace-reader"), ("enable.auto.commit", "false"), ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"), ("fetch.wait.max.ms", "100"), ("queued.max.messages.kbytes", "65536"),
        ]
        for (name, value) in own { configuration[name] = value }
        consumer = try KafkaConsumer(configuration, login: settings.login, location: location)
        try consumer.assign(topic: settings.topic, partitionCount: Int32(partitionCount), start: start)
    }

    package func next(within duration: Duration) throws(TrafficLogError) -> LoggedRecord? {
        let begin = MonotonicClock.nanoseconds
        let deadline = begin &+ duration.wholeNanoseconds
        while true {
            let now = MonotonicClock.nanoseconds
            let isAtEnd = partitionsAtEnd.count == partitionCount
            if isAtEnd, now >= deadline {
                // Whether something has come in the meantime costs no waiting.
                guard let message = consumer.poll(milliseconds: 0) else { return nil }
                if let record = try take(message) { return record }
                continue
            }
            guard let message = consumer.poll(milliseconds: 50) else {
                guard isAtEnd || MonotonicClock.nanoseconds - begin < Self.stallNanoseconds else {
                    throw TrafficLogError(.unavailable, "\(location): the brokers do not answer")
                }
                continue
            }
            if let record = try take(message) { return record }
        }
    }

    /// nil for what is no record.
    private func take(_ message: KafkaMessage) throws(TrafficLogError) -> LoggedRecord? {
        let content = message.message.pointee
        switch content.err {
        case RD_KAFKA_RESP_ERR_NO_ERROR:
            partitionsAtEnd.remove(content.partition)
            var kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
            return LoggedRecord(
                key: content.key.map { UnsafeRawBufferPointer(start: $0, count: content.key_len) },
                value: UnsafeRawBufferPointer(start: content.payload, count: content.len),
                position: LogPosition(partition: content.partition, offset: content.offset),
                timestampMilliseconds: rd_kafka_message_timestamp(message.message, &kind), owner: message)
        case RD_KAFKA_RESP_ERR__PARTITION_EOF:
            partitionsAtEnd.insert(content.partition)
            return nil
        default:
            let detail = rd_kafka_message_errstr(message.message).map { String(cString: $0) }
            let failure = KafkaFailure.make(content.err, location, detail)
            // The library goes on trying after what may pass.
            if failure.code == .unavailable { return nil }
            throw failure
        }
    }
}

/// A consumer handle.
// Sound: librdkafka's handle is thread-safe and freed once, after the last message of it.
final class KafkaConsumer: @unchecked Sendable {
    private let handle: OpaquePointer
    private let location: String
    /// What the token callback gets; it lives as long as the handle.
    private let tokens: KafkaTokenSource

    init(
        _ configuration: KafkaConfiguration, login: KafkaLogSettings.Login, location: String
    ) throws(TrafficLogError) {
        self.location = location
        tokens = KafkaTokenSource(login)
        let prepared = try configuration.make(location: location)
        rd_kafka_conf_set_log_cb(prepared, nil)
        rd_kafka_conf_set_opaque(prepared, Unmanaged.passUnretained(tokens).toOpaque())
        // Called within a poll, on the reader's thread.
        rd_kafka_conf_set_oauthbearer_token_refresh_cb(prepared) { handle, _, opaque in
            guard let handle, let opaque else { return }
            Unmanaged<KafkaTokenSource>.fromOpaque(opaque).takeUnretainedValue().refresh(handle)
        }
        var text = [CChar](repeating: 0, count: 512)
        guard let made = rd_kafka_new(RD_KAFKA_CONSUMER, prepared, &text, text.count) else {
            rd_kafka_conf_destroy(prepared)
            throw TrafficLogError(.invalidSetting, "\(location): \(KafkaFailure.oneLine(KafkaProducer.string(text)))")
        }
        handle = made
        rd_kafka_poll_set_consumer(made)
    }

    deinit {
        rd_kafka_consumer_close(handle)
        rd_kafka_destroy(handle)
    }

    func assign(topic: String, partitionCount: Int32, start: LogStart) throws(TrafficLogError) {
        guard let list = rd_kafka_topic_partition_list_new(partitionCount) else { return }
        defer { rd_kafka_topic_partition_list_destroy(list) }
        for partition in 0..<partitionCount {
            guard let entry = rd_kafka_topic_partition_list_add(list, topic, partition) else { continue }
            switch start {
            case .beginning: entry.pointee.offset = -2
            case .end: entry.pointee.offset = -1
            case .offsets(let offsets): entry.pointee.offset = offsets[partition] ?? -2
            }
        }
        let code = rd_kafka_assign(handle, list)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaFailure.make(code, location) }
    }

    func poll(milliseconds: Int32) -> KafkaMessage? {
        rd_kafka_consumer_poll(handle, milliseconds).map { KafkaMessage($0, consumer: self) }
    }
}

/// A message; records that were read from it keep it alive.
// Sound: the content never changes and is freed with the last reference, before the consumer.
final class KafkaMessage: @unchecked Sendable {
    let message: UnsafeMutablePointer<rd_kafka_message_t>
    private let consumer: KafkaConsumer

    init(_ message: UnsafeMutablePointer<rd_kafka_message_t>, consumer: KafkaConsumer) {
        self.message = message
        self.consumer = consumer
    }

    deinit { rd_kafka_message_destroy(message) }
}
