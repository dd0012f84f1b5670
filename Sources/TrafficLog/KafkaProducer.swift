import CRdKafka
import CSystem
import Dispatch
import Glibc

/// One librdkafka producer with its topic and its event queue. Every event of the queue goes to `events`, on the queue
/// given at the start; librdkafka wakes it through an eventfd, about once for a thousand records under load.
// Sound: librdkafka's handles are thread-safe; `source` is made in `init` and cancelled once in `deinit`.
final class KafkaProducer: @unchecked Sendable {
    let handle: OpaquePointer
    let topic: OpaquePointer
    private let eventQueue: OpaquePointer
    private let descriptor: Int32
    private let location: String
    private var source: (any DispatchSourceRead)?

    init(_ configuration: KafkaConfiguration, topic name: String, location: String) throws(TrafficLogError) {
        self.location = location
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
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        precondition(descriptor >= 0, "eventfd failed with \(errno)")
    }

    /// Begins to report events.
    func start(on queue: DispatchQueue, events: @escaping @Sendable (KafkaProducer) -> Void) {
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { [weak self] in
            guard let self else { return }
            var count: UInt64 = 0
            _ = read(self.descriptor, &count, 8)
            events(self)
        }
        let file = descriptor
        source.setCancelHandler { close(file) }
        source.activate()
        self.source = source
        var one: UInt64 = 1
        rd_kafka_queue_io_event_enable(eventQueue, descriptor, &one, 8)
        // What came before the descriptor was enabled wakes nobody.
        queue.async { [weak self] in self.map(events) }
    }

    deinit {
        rd_kafka_queue_io_event_enable(eventQueue, -1, nil, 0)
        if let source { source.cancel() } else { close(descriptor) }
        rd_kafka_queue_destroy(eventQueue)
        rd_kafka_topic_destroy(topic)
        rd_kafka_destroy(handle)
    }

    /// The next event, waiting for at most `milliseconds`; the caller destroys it.
    func nextEvent(milliseconds: Int32 = 0) -> OpaquePointer? { rd_kafka_queue_poll(eventQueue, milliseconds) }

    /// Queues a record without copying its value. `opaque` comes back with the report.
    func produce(_ segment: RecordSegment, key: ConnectionKey, opaque: UnsafeMutableRawPointer) -> rd_kafka_resp_err_t {
        let range = segment.recordRange
        let value = segment.bytes.baseAddress.map { $0 + range.lowerBound }
        let code = key.bytes.withUnsafeBytes { key in
            rd_kafka_produce(topic, -1, 0, value, range.count, key.baseAddress, key.count, opaque)
        }
        return code == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error()
    }

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
