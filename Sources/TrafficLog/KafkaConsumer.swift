import CRdKafka
import Synchronization

/// What the group's coordinator told a member.
struct KafkaRebalance: Equatable {
    enum Kind: Equatable { case assigned, revoked, lost }
    let kind: Kind
    let partitions: [Int32]
}

/// A consumer handle. The library's callbacks run within `poll`, `take` and `close`, on the caller's thread.
// Sound: librdkafka's handle is thread-safe and freed once, after the last message of it; `queue` is written in `init`.
final class KafkaConsumer: @unchecked Sendable {
    let handle: OpaquePointer
    let topic: String
    let location: String
    private let queue: OpaquePointer
    private let callbacks: KafkaConsumerCallbacks
    private let isClosed = Atomic<Bool>(false)

    /// How long leaving a group may take; the coordinator then takes the member for dead after its session timeout.
    private static let closeNanoseconds: UInt64 = 10_000_000_000

    /// `takesRebalances`: the consumer will join a group; what its coordinator says is kept for `takeRebalance`.
    init(
        _ configuration: KafkaConfiguration, _ settings: KafkaLogSettings, takesRebalances: Bool = false
    ) throws(TrafficLogError) {
        location = settings.location
        topic = settings.topic
        callbacks = KafkaConsumerCallbacks(KafkaTokenSource(settings.login))
        let prepared = try configuration.make(location: location)
        rd_kafka_conf_set_log_cb(prepared, nil)
        rd_kafka_conf_set_opaque(prepared, Unmanaged.passUnretained(callbacks).toOpaque())
        rd_kafka_conf_set_oauthbearer_token_refresh_cb(prepared) { handle, _, opaque in
            guard let handle, let opaque else { return }
            Unmanaged<KafkaConsumerCallbacks>.fromOpaque(opaque).takeUnretainedValue().tokens.refresh(handle)
        }
        if takesRebalances {
            rd_kafka_conf_set_rebalance_cb(prepared) { handle, code, list, opaque in
                guard let handle, let list, let opaque else { return }
                Unmanaged<KafkaConsumerCallbacks>.fromOpaque(opaque).takeUnretainedValue().note(handle, code, list)
            }
        }
        var text = [CChar](repeating: 0, count: 512)
        guard let made = rd_kafka_new(RD_KAFKA_CONSUMER, prepared, &text, text.count) else {
            rd_kafka_conf_destroy(prepared)
            throw TrafficLogError(.invalidSetting, "\(location): \(KafkaFailure.oneLine(KafkaProducer.string(text)))")
        }
        rd_kafka_poll_set_consumer(made)
        guard let queue = rd_kafka_queue_get_consumer(made) else {
            rd_kafka_destroy(made)
            throw TrafficLogError(.unavailable, "\(location): librdkafka opens no consumer queue")
        }
        handle = made
        self.queue = queue
    }

    deinit {
        close()
        rd_kafka_queue_destroy(queue)
        rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
    }

    /// Leaves the group and stops fetching. Messages that were taken stay valid. The library waits, without an end, for
    /// the answer to every rebalance that it told of: those that nobody took are answered here.
    func close() {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        callbacks.isClosing = true
        while let change = takeRebalance() {
            let list = partitionList(change.partitions)
            defer { rd_kafka_topic_partition_list_destroy(list) }
            let error =
                change.kind == .assigned
                ? rd_kafka_incremental_assign(handle, list) : rd_kafka_incremental_unassign(handle, list)
            if let error { rd_kafka_error_destroy(error) }
        }
        // `rd_kafka_consumer_close` waits without an end where the group's state and the library's have come apart.
        guard let closing = rd_kafka_queue_new(handle) else { return }
        defer { rd_kafka_queue_destroy(closing) }
        if let error = rd_kafka_consumer_close_queue(handle, closing) { rd_kafka_error_destroy(error) }
        let deadline = MonotonicClock.nanoseconds + Self.closeNanoseconds
        // What was fetched and not taken comes here too, and only this call can be given it.
        var message: UnsafeMutablePointer<rd_kafka_message_t>?
        while rd_kafka_consumer_closed(handle) == 0, MonotonicClock.nanoseconds < deadline {
            if rd_kafka_consume_batch_queue(closing, 50, &message, 1) > 0 { rd_kafka_message_destroy(message) }
        }
    }

    // MARK: What is read

    func subscribe() throws(TrafficLogError) {
        let list = partitionList([-1])
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try check(rd_kafka_subscribe(handle, list))
    }

    /// Begins to fetch partitions at offsets, beside those that are fetched already.
    func begin(_ offsets: [Int32: Int64]) throws(TrafficLogError) {
        let list = partitionList(offsets.keys.sorted()) { offsets[$0] ?? 0 }
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try check(rd_kafka_incremental_assign(handle, list))
        // A partition that was paused when it was given up is paused still.
        rd_kafka_resume_partitions(handle, list)
    }

    /// Stops fetching partitions; what was fetched of them and not taken is dropped.
    func stop(_ partitions: [Int32]) throws(TrafficLogError) {
        guard !partitions.isEmpty else { return }
        let list = partitionList(partitions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try check(rd_kafka_incremental_unassign(handle, list))
    }

    func pause(_ partitions: [Int32]) throws(TrafficLogError) {
        let list = partitionList(partitions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try check(rd_kafka_pause_partitions(handle, list))
    }

    func resume(_ partitions: [Int32]) throws(TrafficLogError) {
        let list = partitionList(partitions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try check(rd_kafka_resume_partitions(handle, list))
    }

    func poll(milliseconds: Int32) -> KafkaMessage? {
        rd_kafka_consumer_poll(handle, milliseconds).map { KafkaMessage($0, consumer: self) }
    }

    /// Puts what comes within `milliseconds` into `messages`, until it is full; the caller destroys them.
    func take(
        into messages: UnsafeMutableBufferPointer<UnsafeMutablePointer<rd_kafka_message_t>?>, milliseconds: Int32
    ) -> Int { max(0, rd_kafka_consume_batch_queue(queue, milliseconds, messages.baseAddress, messages.count)) }

    func takeRebalance() -> KafkaRebalance? {
        callbacks.rebalances.isEmpty ? nil : callbacks.rebalances.removeFirst()
    }

    // MARK: What the brokers know

    /// The oldest offset of a partition and the next to be written.
    func watermarks(_ partition: Int32, milliseconds: Int32) throws(TrafficLogError) -> Range<Int64> {
        var low: Int64 = 0
        var high: Int64 = 0
        try checkLookup(rd_kafka_query_watermark_offsets(handle, topic, partition, &low, &high, milliseconds))
        return low..<max(low, high)
    }

    /// As the last answers of the brokers had it; nil before the first.
    func cachedEnd(_ partition: Int32) -> Int64? {
        var low: Int64 = 0
        var high: Int64 = 0
        guard rd_kafka_get_watermark_offsets(handle, topic, partition, &low, &high) == RD_KAFKA_RESP_ERR_NO_ERROR,
            high >= 0
        else { return nil }
        return high
    }

    /// First offsets whose timestamp is not before `time`; partitions without one are missing.
    func offsets(
        _ partitions: [Int32], notBefore time: Int64, milliseconds: Int32
    ) throws(TrafficLogError) -> [Int32: Int64] {
        let list = partitionList(partitions) { _ in time }
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try checkLookup(rd_kafka_offsets_for_times(handle, list, milliseconds))
        var found: [Int32: Int64] = [:]
        for index in 0..<Int(list.pointee.cnt) {
            let entry = list.pointee.elems[index]
            try checkLookup(entry.err)
            if entry.offset >= 0 { found[entry.partition] = entry.offset }
        }
        return found
    }

    // MARK: Helpers

    /// Of a question about a partition that is there, as the group or the topic's description told. That the library
    /// does not know it says only that it has not heard of it from a broker so far: it passes.
    private func checkLookup(_ code: rd_kafka_resp_err_t) throws(TrafficLogError) {
        switch code {
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
            throw TrafficLogError(.unavailable, "\(location): no broker told where the partitions are")
        default: try check(code)
        }
    }

    func check(_ code: rd_kafka_resp_err_t) throws(TrafficLogError) {
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaFailure.make(code, location) }
    }

    func check(_ error: OpaquePointer?) throws(TrafficLogError) {
        guard let error else { return }
        defer { rd_kafka_error_destroy(error) }
        throw KafkaFailure.make(
            rd_kafka_error_code(error), location, rd_kafka_error_string(error).map { String(cString: $0) })
    }

    /// The caller destroys it.
    func partitionList(
        _ partitions: [Int32], offset: (Int32) -> Int64 = { _ in 0 }
    ) -> UnsafeMutablePointer<rd_kafka_topic_partition_list_t> {
        guard let list = rd_kafka_topic_partition_list_new(Int32(partitions.count)) else {
            preconditionFailure("librdkafka has no memory for a list")
        }
        for partition in partitions {
            rd_kafka_topic_partition_list_add(list, topic, partition)?.pointee.offset = offset(partition)
        }
        return list
    }
}

/// What librdkafka's callbacks of a consumer need; lives as long as its handle.
private final class KafkaConsumerCallbacks {
    let tokens: KafkaTokenSource
    var rebalances: [KafkaRebalance] = []
    /// The group is being left: partitions are given back at once.
    var isClosing = false

    init(_ tokens: KafkaTokenSource) { self.tokens = tokens }

    func note(
        _ handle: OpaquePointer, _ code: rd_kafka_resp_err_t,
        _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>
    ) {
        guard !isClosing else {
            if let error = rd_kafka_incremental_unassign(handle, list) { rd_kafka_error_destroy(error) }
            return
        }
        let partitions = (0..<Int(list.pointee.cnt)).map { list.pointee.elems[$0].partition }
        let kind: KafkaRebalance.Kind =
            code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS
            ? .assigned : rd_kafka_assignment_lost(handle) != 0 ? .lost : .revoked
        rebalances.append(KafkaRebalance(kind: kind, partitions: partitions))
    }
}

/// A message; records that were read from it keep it alive.
// Sound: the content never changes and is freed with the last reference, before the consumer.
final class KafkaMessage: @unchecked Sendable {
    let message: UnsafeMutablePointer<rd_kafka_message_t>
    private let consumer: KafkaConsumer
    private let held: HeldBytes?

    init(_ message: UnsafeMutablePointer<rd_kafka_message_t>, consumer: KafkaConsumer, held: HeldBytes? = nil) {
        self.message = message
        self.consumer = consumer
        self.held = held
        held?.add(message.pointee.len)
    }

    deinit {
        held?.add(-message.pointee.len)
        rd_kafka_message_destroy(message)
    }
}
