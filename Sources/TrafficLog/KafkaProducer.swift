import CRdKafka
import Dispatch
import Glibc

/// One librdkafka producer with its topic and its event queue.
// Sound: constants only, and librdkafka's handles are thread-safe.
final class KafkaProducer: @unchecked Sendable {
    let handle: OpaquePointer
    let topic: OpaquePointer
    private let eventQueue: OpaquePointer

    init(_ configuration: KafkaConfiguration, topic name: String, location: String) throws(TrafficLogError) {
        let prepared = try configuration.make(location: location)
        rd_kafka_conf_set_events(
            prepared, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH)
        // What matters comes as an event; the library's own lines on stderr would not be JSON.
        rd_kafka_conf_set_log_cb(prepared, nil)
        var text = [CChar](repeating: 0, count: 512)
        guard let made = rd_kafka_new(RD_KAFKA_PRODUCER, prepared, &text, text.count) else {
            rd_kafka_conf_destroy(prepared)
            throw TrafficLogError(.invalidSetting, "\(location): \(KafkaFailure.oneLine(Self.string(text)))")
        }
        guard let opened = rd_kafka_topic_new(made, name, nil), let queue = rd_kafka_queue_get_main(made) else {
            rd_kafka_destroy(made)
            throw TrafficLogError(.unavailable, "\(location): librdkafka opens no topic")
        }
        (handle, topic, eventQueue) = (made, opened, queue)
    }

    /// From now on an event writes to the eventfd `descriptor` when the queue was found empty before. What is in the
    /// queue already does not.
    func wake(_ descriptor: Int32) {
        var one: UInt64 = 1
        rd_kafka_queue_io_event_enable(eventQueue, descriptor, &one, 8)
    }

    deinit {
        rd_kafka_queue_io_event_enable(eventQueue, -1, nil, 0)
        rd_kafka_queue_destroy(eventQueue)
        rd_kafka_topic_destroy(topic)
        rd_kafka_destroy(handle)
    }

    /// The next event, waiting for at most `milliseconds`; the caller destroys it.
    func nextEvent(milliseconds: Int32 = 0) -> OpaquePointer? { rd_kafka_queue_poll(eventQueue, milliseconds) }

    /// Queues a record under its key for its partition without copying it; -1 has the library choose by the key. The
    /// report's opaque is the segment, retained.
    func produce(_ segment: RecordSegment) -> rd_kafka_resp_err_t {
        let range = segment.recordRange
        let value = segment.bytes.baseAddress.map { $0 + range.lowerBound }
        let opaque = Unmanaged.passRetained(segment)
        let code = (segment.key?.bytes ?? []).withUnsafeBytes { key in
            rd_kafka_produce(
                topic, segment.partition, 0, value, range.count, key.baseAddress, key.count, opaque.toOpaque())
        }
        guard code != 0 else { return RD_KAFKA_RESP_ERR_NO_ERROR }
        opaque.release()
        return rd_kafka_last_error()
    }

    /// Asks the brokers for the topic. Blocks for `milliseconds` at the most.
    func isTopicThere(milliseconds: Int32) -> Bool {
        var metadata: UnsafePointer<rd_kafka_metadata>?
        let code = rd_kafka_metadata(handle, 0, topic, &metadata, milliseconds)
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata else { return false }
        defer { rd_kafka_metadata_destroy(metadata) }
        return metadata.pointee.topic_cnt == 1 && metadata.pointee.topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// Has an idempotent producer get its id from the brokers now, so that the first record does not wait for it.
    ///
    /// librdkafka asks for the id when a new producer is made, which is before any connection stands, again half a
    /// second later, and whenever it hears of topics from a broker that it knows by its number; that is from the second
    /// answer on. The others follow behind the request for the id. Nothing tells that it has come; should it be late,
    /// the first record waits for the rest of its way. Blocks for `milliseconds` at each question at the most.
    func acquireID(milliseconds: Int32) {
        for round in 0..<Self.acquireRounds {
            if round > 0 { poll(nil, 0, Self.acquirePauseMilliseconds) }
            guard isTopicThere(milliseconds: milliseconds) else { return }
        }
    }

    private static let acquireRounds = 4
    private static let acquirePauseMilliseconds: Int32 = 5

    /// Answers a refresh event. The provider may call out, so it has a thread of the global queue.
    func refreshToken(_ login: KafkaLogSettings.Login) {
        DispatchQueue.global().async { [self] in KafkaTokenSource(login).refresh(handle) }
    }

    static func string(_ text: [CChar]) -> String {
        String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Gives librdkafka tokens for OAUTHBEARER.
final class KafkaTokenSource: Sendable {
    private let login: KafkaLogSettings.Login

    init(_ login: KafkaLogSettings.Login) { self.login = login }

    /// Asks the provider and hands its token, or that it failed, to the client `handle`.
    func refresh(_ handle: OpaquePointer) {
        guard case .oauthBearer(let provider) = login else { return }
        do throws(TrafficLogError) {
            let token = try provider()
            var text = [CChar](repeating: 0, count: 256)
            let code = rd_kafka_oauthbearer_set_token(
                handle, token.value, token.expiresMilliseconds, token.principal, nil, 0, &text, text.count)
            if code != RD_KAFKA_RESP_ERR_NO_ERROR {
                // The library's text may quote the token.
                rd_kafka_oauthbearer_set_token_failure(handle, "the token was not accepted: \(KafkaFailure.text(code))")
            }
        } catch {
            rd_kafka_oauthbearer_set_token_failure(handle, error.message)
        }
    }
}
