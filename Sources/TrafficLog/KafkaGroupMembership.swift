import CRdKafka
import Glibc

/// The membership of a reader in a consumer group: which partitions are its own, and what the group has committed.
///
/// It reads nothing. librdkafka stops fetching *every* partition of a consumer from the moment its group takes one away
/// until that is given up. A reader that fetched with the same consumer could not go on with its other partitions while
/// the work of one is being finished. So a consumer of its own fetches, and the partitions of this one are paused.
final class KafkaGroupMembership {
    enum CommitOutcome: Equatable {
        case committed
        /// The group is between two generations, or looks for its coordinator.
        case deferred
        /// The coordinator does not know this member any more.
        case unknownMember
    }

    private let consumer: KafkaConsumer
    private let group: String
    private let commitQueue: OpaquePointer
    private var commitNumber: UInt = 0

    init(_ settings: KafkaLogSettings, group: String, instanceID: String?) throws(TrafficLogError) {
        var configuration = try KafkaConfiguration(reading: settings)
        if let instanceID { configuration["group.instance.id"] = instanceID }
        // Members hear of a change of the group by their heartbeats, and a partition waits for two of them.
        if configuration["heartbeat.interval.ms"] == nil { configuration["heartbeat.interval.ms"] = "1000" }
        if configuration["session.timeout.ms"] == nil { configuration["session.timeout.ms"] = "20000" }
        let fixed = [
            ("group.id", group), ("partition.assignment.strategy", "cooperative-sticky"),
            // What slips in before a partition is paused is not much.
            ("fetch.message.max.bytes", "1024"), ("queued.max.messages.kbytes", "1"), ("queued.min.messages", "1"),
        ]
        for (name, value) in fixed { configuration[name] = value }
        self.group = group
        consumer = try KafkaConsumer(configuration, settings, takesRebalances: true)
        guard let queue = rd_kafka_queue_new(consumer.handle) else {
            throw TrafficLogError(.unavailable, "\(settings.location): librdkafka opens no queue")
        }
        commitQueue = queue
    }

    deinit { rd_kafka_queue_destroy(commitQueue) }

    func join() throws(TrafficLogError) { try consumer.subscribe() }

    func leave() { consumer.close() }

    /// What the coordinator said. Called often: it also tells the library that this member lives.
    func poll() throws(TrafficLogError) -> KafkaRebalance? {
        while let message = consumer.poll(milliseconds: 0) {
            let code = message.message.pointee.err
            switch code {
            case RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR__PARTITION_EOF: break
            case RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID: throw fenced()
            default:
                let detail = rd_kafka_message_errstr(message.message).map { String(cString: $0) }
                let failure = KafkaFailure.make(code, consumer.location, detail)
                // The library goes on trying after what may pass.
                if failure.code == .authentication || failure.code == .tls { throw failure }
            }
        }
        return consumer.takeRebalance()
    }

    /// Answers `assigned`.
    func accept(_ partitions: [Int32]) throws(TrafficLogError) {
        let list = consumer.partitionList(partitions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        rd_kafka_pause_partitions(consumer.handle, list)
        try consumer.check(rd_kafka_incremental_assign(consumer.handle, list))
        rd_kafka_pause_partitions(consumer.handle, list)
    }

    /// Answers `revoked` and `lost`: from now on they may be another member's.
    func giveUp(_ partitions: [Int32]) throws(TrafficLogError) {
        let list = consumer.partitionList(partitions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try consumer.check(rd_kafka_incremental_unassign(consumer.handle, list))
    }

    /// Waits for the coordinator's answer. Before `join` it commits for the group as a whole, which the coordinator
    /// refuses while the group has members.
    func commit(_ positions: [Int32: GroupPosition], within timeout: Duration) throws(TrafficLogError) -> CommitOutcome
    {
        let list = consumer.partitionList(positions.keys.sorted()) { positions[$0]?.offset ?? 0 }
        defer { rd_kafka_topic_partition_list_destroy(list) }
        for index in 0..<Int(list.pointee.cnt) {
            let note = positions[list.pointee.elems[index].partition]?.note ?? ""
            // The list frees it.
            list.pointee.elems[index].metadata = UnsafeMutableRawPointer(strdup(note))
            list.pointee.elems[index].metadata_size = note.utf8.count
        }
        commitNumber += 1
        let number = UnsafeMutableRawPointer(bitPattern: commitNumber)
        try consumer.check(rd_kafka_commit_queue(consumer.handle, list, commitQueue, nil, number))
        let deadline = MonotonicClock.nanoseconds &+ timeout.wholeNanoseconds
        while true {
            let now = MonotonicClock.nanoseconds
            let milliseconds = now < deadline ? Int32(clamping: (deadline - now) / 1_000_000 + 1) : 0
            guard let event = rd_kafka_queue_poll(commitQueue, milliseconds) else {
                guard MonotonicClock.nanoseconds >= deadline else { continue }
                throw TrafficLogError(
                    .unavailable, "\(consumer.location): the group \(group) has no answer to a commit within \(timeout)"
                )
            }
            defer { rd_kafka_event_destroy(event) }
            // The answer to a commit that was given up comes late.
            guard rd_kafka_event_opaque(event) == number else { continue }
            return try outcome(event)
        }
    }

    private func outcome(_ event: OpaquePointer) throws(TrafficLogError) -> CommitOutcome {
        var code = rd_kafka_event_error(event)
        if code == RD_KAFKA_RESP_ERR_NO_ERROR, let list = rd_kafka_event_topic_partition_list(event) {
            for index in 0..<Int(list.pointee.cnt) where list.pointee.elems[index].err != RD_KAFKA_RESP_ERR_NO_ERROR {
                code = list.pointee.elems[index].err
            }
        }
        switch code {
        case RD_KAFKA_RESP_ERR_NO_ERROR: return .committed
        case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID: return .unknownMember
        case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
            RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
            RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR__WAIT_COORD,
            RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
            return .deferred
        case RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID: throw fenced()
        default: throw KafkaFailure.make(code, consumer.location)
        }
    }

    /// What the group has committed; partitions without a position are missing.
    func committed(
        _ partitions: [Int32], within timeout: Duration
    ) throws(TrafficLogError) -> [Int32: GroupPosition] {
        let list = consumer.partitionList(partitions)
        defer { rd_kafka_topic_partition_list_destroy(list) }
        try consumer.check(rd_kafka_committed(consumer.handle, list, timeout.wholeMilliseconds))
        var found: [Int32: GroupPosition] = [:]
        for index in 0..<Int(list.pointee.cnt) {
            let entry = list.pointee.elems[index]
            try consumer.check(entry.err)
            guard entry.offset >= 0 else { continue }
            let note = UnsafeRawBufferPointer(start: entry.metadata, count: entry.metadata_size)
            found[entry.partition] = GroupPosition(offset: entry.offset, foreignNote: note)
        }
        return found
    }

    private func fenced() -> TrafficLogError {
        TrafficLogError(
            .locked, "\(consumer.location): another reader of the group \(group) has this one's group.instance.id")
    }
}

extension GroupPosition {
    /// A note that another program may have written: what no note can be counts as none.
    init(offset: Int64, foreignNote bytes: UnsafeRawBufferPointer) {
        let isNote = bytes.count <= Self.noteLimitBytes && bytes.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
        self.init(offset: offset, note: isNote ? String(decoding: bytes, as: UTF8.self) : "")
    }
}
