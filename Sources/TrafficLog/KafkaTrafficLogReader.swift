import CRdKafka

/// Reads every partition of a topic, without a consumer group: from the beginning, the end, a time or given offsets.
package final class KafkaTrafficLogReader: TrafficLogReader {
    package let location: String
    package let partitionCount: Int
    private let consumer: KafkaConsumer
    private var partitionsAtEnd: Set<Int32> = []

    /// Without a record or an end of a partition for this long the brokers count as gone.
    private static let stallNanoseconds: UInt64 = 30_000_000_000

    package init(_ settings: KafkaLogSettings, start: LogStart = .earliest) throws(TrafficLogError) {
        location = settings.location
        partitionCount = try KafkaTopicCheck.countPartitions(settings)
        var configuration = try KafkaConfiguration(reading: settings)
        let own = [
            ("group.id", "millrace-reader"), ("fetch.wait.max.ms", "100"), ("queued.max.messages.kbytes", "65536"),
        ]
        for (name, value) in own { configuration[name] = value }
        consumer = try KafkaConsumer(configuration, settings)
        let partitions = (0..<Int32(partitionCount)).map { $0 }
        var offsets: [Int32: Int64] = [:]
        switch start {
        case .earliest: for partition in partitions { offsets[partition] = Int64(RD_KAFKA_OFFSET_BEGINNING) }
        case .latest: for partition in partitions { offsets[partition] = Int64(RD_KAFKA_OFFSET_END) }
        case .offsets(let given):
            for partition in partitions { offsets[partition] = given[partition] ?? Int64(RD_KAFKA_OFFSET_BEGINNING) }
        case .timestamp(let time):
            let found = try consumer.offsets(partitions, notBefore: time, milliseconds: 30_000)
            for partition in partitions { offsets[partition] = found[partition] ?? Int64(RD_KAFKA_OFFSET_END) }
        }
        try consumer.begin(offsets)
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
