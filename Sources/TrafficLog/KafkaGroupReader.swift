import CRdKafka

/// Reads a topic as a member of a consumer group: cooperative, with commits of its own.
///
/// Two consumers: `membership` knows which partitions are this reader's, `fetcher` reads them (see
/// `KafkaGroupMembership` for why). Both are polled by `next`; its thread is the only one here.
///
/// Memory: what is fetched ahead is bounded by `GroupReaderSettings.readAheadBytes`; of what was delivered, small
/// values live in `RecordCopies`, values beyond `RecordCopies.valueLimitBytes` in librdkafka's fetch buffer, which is
/// one answer of a broker, an eighth of the read-ahead at the most (or one record, if that is larger).
/// `statistics.heldBytes` counts the former as allocated and the latter as long as the values are.
package final class KafkaGroupReader: GroupLogReader {
    package let location: String
    package let group: String?

    private let settings: GroupReaderSettings
    private let membership: KafkaGroupMembership
    private let fetcher: KafkaConsumer
    private let partitionCount: Int
    /// Where each partition ends for `LogEnd.end`; nil for other ends.
    private let ends: [Int32: Int64]?

    private var partitions: [Int32: KafkaGroupPartition] = [:]
    /// Accepted, but where they begin is not known yet.
    private var unsettled: Set<Int32> = []
    /// When to look for that again, monotonic.
    private var settleAt: UInt64 = 0
    /// Those of the last `revoked`, as the group named them, until the last is released.
    private var revoked: [Int32] = []
    private var unreleased: Set<Int32> = []
    /// Lost, but the library still counts them as this reader's: they are, if the next generation leaves them here.
    private var orphans: Set<Int32> = []
    /// The coordinator forgot this member while it had not released everything: the library does not tell.
    private var isForgotten = false
    private var isClosed = false
    private var events: [GroupLogEvent] = []
    private let messages: UnsafeMutableBufferPointer<UnsafeMutablePointer<rd_kafka_message_t>?>
    private let held = HeldBytes()
    private var counts = GroupReaderStatistics()

    /// At most this many records an event, whatever is asked for.
    private static let batchCount = 1000
    /// How long one look at the group may hold up the partitions that are being read.
    private static let lookMilliseconds: Int32 = 1000
    /// How long after a look that failed the others are read undisturbed.
    private static let settlePauseNanoseconds: UInt64 = 500_000_000
    /// How long `next` sleeps before it looks at the group again.
    private static let turnMilliseconds: UInt64 = 50

    /// Waits for the brokers for `log.startTimeout` and joins the group.
    package init(
        _ log: KafkaLogSettings, group: String, settings: GroupReaderSettings = GroupReaderSettings()
    ) throws(TrafficLogError) {
        location = log.location
        self.group = group
        self.settings = settings
        partitionCount = try KafkaTopicCheck.countPartitions(log)
        fetcher = try KafkaConsumer(try Self.fetchConfiguration(log, settings.readAheadBytes), log)
        membership = try KafkaGroupMembership(log, group: group, instanceID: settings.instanceID)
        messages = .allocate(capacity: Self.batchCount)
        messages.initialize(repeating: nil)
        let deadline = MonotonicClock.nanoseconds &+ max(log.startTimeout, .seconds(1)).wholeNanoseconds
        let all = (0..<Int32(partitionCount)).map { $0 }
        if settings.end == .end {
            let fetcher = fetcher
            ends = try Self.patiently(until: deadline) { () throws(TrafficLogError) in
                var found: [Int32: Int64] = [:]
                for partition in all {
                    let range = try fetcher.watermarks(partition, milliseconds: Self.lookMilliseconds)
                    found[partition] = range.upperBound
                }
                return found
            }
        } else {
            ends = nil
        }
        if settings.resetsPositions { try reset(all, deadline) }
        try membership.join()
    }

    deinit {
        close()
        messages.deallocate()
    }

    package var statistics: GroupReaderStatistics {
        var counts = counts
        counts.heldBytes = held.count
        return counts
    }

    package func close() {
        guard !isClosed else { return }
        isClosed = true
        // The library would wait for this answer without an end.
        if !revoked.isEmpty { try? handOver() }
        membership.leave()
        fetcher.close()
        partitions = [:]
        unsettled = []
        events = []
    }

    // MARK: Opening

    private static func fetchConfiguration(
        _ log: KafkaLogSettings, _ readAheadBytes: Int
    ) throws(TrafficLogError) -> KafkaConfiguration {
        var configuration = try KafkaConfiguration(reading: log)
        configuration["group.id"] = "millrace-reader"
        let fetchBytes = min(max(readAheadBytes / 8, 1 << 20), 64 << 20)
        var defaults = [
            // The other half is for answers that are on their way, one a broker.
            ("queued.max.messages.kbytes", String(max(1024, readAheadBytes / 2048))),
            ("fetch.max.bytes", String(fetchBytes)),
            ("fetch.message.max.bytes", String(min(fetchBytes, 1 << 20))),
            // A broker may be asked for no less than this many bytes at once.
            ("message.max.bytes", "1000000"), ("queued.min.messages", "1000000"),
        ]
        // After the queue was full the library waits for a second unless told otherwise (new in 2.2).
        if rd_kafka_version() >= 0x0202_0000 { defaults.append(("fetch.queue.backoff.ms", "5")) }
        for (name, value) in defaults where configuration[name] == nil { configuration[name] = value }
        return configuration
    }

    /// Repeats what may fail while brokers start or leaders move.
    private static func patiently<Result>(
        until deadline: UInt64, _ body: () throws(TrafficLogError) -> Result
    ) throws(TrafficLogError) -> Result {
        while true {
            do throws(TrafficLogError) {
                return try body()
            } catch {
                guard error.disposition == .retry, MonotonicClock.nanoseconds < deadline else { throw error }
                MonotonicClock.sleep(milliseconds: 50)
            }
        }
    }

    private func reset(_ all: [Int32], _ deadline: UInt64) throws(TrafficLogError) {
        let positions = try Self.patiently(until: deadline) { () throws(TrafficLogError) in
            var positions: [Int32: GroupPosition] = [:]
            let times = try timedStarts(all)
            for partition in all {
                let range = try fetcher.watermarks(partition, milliseconds: Self.lookMilliseconds)
                positions[partition] = GroupPosition(offset: start(partition, range, times))
            }
            return positions
        }
        try Self.patiently(until: deadline) { () throws(TrafficLogError) in
            switch try membership.commit(positions, within: settings.commitTimeout) {
            case .committed: return
            case .deferred: throw TrafficLogError(.unavailable, "\(location): the group's coordinator is not ready")
            case .unknownMember:
                throw TrafficLogError(
                    .locked,
                    "\(location): the group \(group ?? "") has readers; its positions are set only while it has none")
            }
        }
    }

    // MARK: Reading

    package func next(within duration: Duration, recordLimit: Int) throws(TrafficLogError) -> GroupLogEvent? {
        precondition(recordLimit > 0, "a limit of \(recordLimit) records")
        guard !isClosed else { throw TrafficLogError(.closed, "\(location): the reader is closed") }
        let deadline = MonotonicClock.nanoseconds &+ duration.wholeNanoseconds
        let limit = min(recordLimit, Self.batchCount)
        while true {
            try attendGroup()
            if !events.isEmpty { return events.removeFirst() }
            var count = take(limit, from: 0, milliseconds: 0)
            if count == 0 {
                endByClock()
                if !events.isEmpty { continue }
                let now = MonotonicClock.nanoseconds
                guard now < deadline else { return nil }
                let left = min((deadline - now) / 1_000_000 + 1, Self.turnMilliseconds)
                // The library fills the whole batch before it returns, so wait for one and take the others as they are.
                count = take(1, from: 0, milliseconds: Int32(left))
                if count == 1, limit > 1 { count += take(limit - 1, from: 1, milliseconds: 0) }
            }
            try sort(count)
            if !events.isEmpty { return events.removeFirst() }
        }
    }

    private func take(_ limit: Int, from start: Int, milliseconds: Int32) -> Int {
        fetcher.take(
            into: UnsafeMutableBufferPointer(rebasing: messages[start..<start + limit]), milliseconds: milliseconds)
    }

    /// Makes events of the first `count` messages.
    private func sort(_ count: Int) throws(TrafficLogError) {
        var kept = 0
        var ended: [GroupLogEvent] = []
        var failure: TrafficLogError?
        for index in 0..<count {
            guard let message = messages[index] else { continue }
            let partition = message.pointee.partition
            if message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR {
                var kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
                let time = rd_kafka_message_timestamp(message, &kind)
                switch partitions[partition]?.receive(message.pointee.offset, time, settings.end) ?? .discard {
                case .deliver:
                    messages[kept] = message
                    kept += 1
                    continue
                case .end(let offset):
                    ended.append(.endReached(partition: partition, offset: offset))
                    // What is fetched of it from now on would be thrown away.
                    try? fetcher.pause([partition])
                    fallthrough
                case .discard: counts.discardedRecordCount += 1
                }
            } else {
                do throws(TrafficLogError) {
                    if let event = try noRecord(message) { ended.append(event) }
                } catch {
                    failure = failure ?? error
                }
            }
            rd_kafka_message_destroy(message)
        }
        // Records came before what ended their partitions.
        let records = deliver(kept)
        if !records.isEmpty { events.append(.records(records)) }
        events += ended
        for case .missing(_, let offsets) in ended { counts.missingRecordCount += UInt64(offsets.count) }
        // A record that is the last in front of the end ends its partition without another one that follows.
        if ends != nil {
            for (partition, state) in partitions where state.isAtItsEnd { finish(partition, state.next) }
        }
        if let failure { throw failure }
    }

    private func deliver(_ count: Int) -> [LoggedRecord] {
        var records: [LoggedRecord] = []
        records.reserveCapacity(count)
        var copier = RecordCopier(held: held)
        for index in 0..<count {
            guard let message = messages[index] else { continue }
            let content = message.pointee
            var kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
            let position = LogPosition(partition: content.partition, offset: content.offset)
            let time = rd_kafka_message_timestamp(message, &kind)
            let key = content.key.map { UnsafeRawBufferPointer(start: $0, count: content.key_len) }
            let value = UnsafeRawBufferPointer(start: content.payload, count: content.len)
            if content.len > RecordCopies.valueLimitBytes {
                records.append(
                    LoggedRecord(
                        key: key, value: value, position: position, timestampMilliseconds: time,
                        owner: KafkaMessage(message, consumer: fetcher, held: held)))
                continue
            }
            let byteCount = content.key_len + content.len
            if !copier.hasRoom(byteCount) { copier.expect(byteCount: copyBytes(from: index, to: count)) }
            records.append(copier.copy(key: key, value: value, position: position, timestampMilliseconds: time))
            rd_kafka_message_destroy(message)
        }
        return records
    }

    /// How much the next small messages need that share their memory: the one at `start`, and others while they fit.
    private func copyBytes(from start: Int, to end: Int) -> Int {
        var total = 0
        for index in start..<end {
            guard let content = messages[index]?.pointee, content.len <= RecordCopies.valueLimitBytes else { continue }
            let byteCount = content.key_len + content.len
            if index > start, total + byteCount > RecordCopies.limitBytes { break }
            total += byteCount
        }
        return total
    }

    /// A message without a record: the end of a partition for now, or what the library complains of.
    private func noRecord(_ message: UnsafeMutablePointer<rd_kafka_message_t>) throws(TrafficLogError) -> GroupLogEvent?
    {
        let content = message.pointee
        let partition = content.partition
        switch content.err {
        case RD_KAFKA_RESP_ERR__PARTITION_EOF:
            partitions[partition]?.reachedTail(content.offset)
            return nil
        case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
            guard let next = partitions[partition]?.next, partitions[partition]?.isRevoked == false else { return nil }
            let range = try fetcher.watermarks(partition, milliseconds: Self.lookMilliseconds)
            guard next <= range.upperBound else { throw behindTheEnd(partition, next, range.upperBound) }
            let first = max(next, range.lowerBound)
            try fetcher.stop([partition])
            partitions[partition]?.next = first
            try fetcher.begin([partition: first])
            if partitions[partition]?.isPaused == true { try fetcher.pause([partition]) }
            return first > next ? .missing(partition: partition, offsets: next..<first) : nil
        case RD_KAFKA_RESP_ERR__LOG_TRUNCATION:
            throw TrafficLogError(
                .missing, "\(location): the newest records of partition \(partition) were cut off by the brokers")
        default:
            let detail = rd_kafka_message_errstr(message).map { String(cString: $0) }
            let failure = KafkaFailure.make(content.err, location, detail)
            // The library goes on trying after what may pass.
            if failure.code != .unavailable { throw failure }
            return nil
        }
    }

    private func behindTheEnd(_ partition: Int32, _ next: Int64, _ end: Int64) -> TrafficLogError {
        TrafficLogError(
            .missing,
            "\(location): the group \(group ?? "") stands at record \(next) of partition \(partition), which ends with "
                + "\(end): the topic was made anew; set the group's positions to begin again")
    }

    private func finish(_ partition: Int32, _ offset: Int64) {
        partitions[partition]?.isEnded = true
        try? fetcher.pause([partition])
        events.append(.endReached(partition: partition, offset: offset))
    }

    /// Partitions with nothing left to read, whose end time is past.
    private func endByClock() {
        guard case .time(let end) = settings.end else { return }
        let isOver = MonotonicClock.wallMilliseconds >= end + LogEnd.graceMilliseconds
        guard isOver else { return }
        for (partition, state) in partitions where state.isAtTail && !state.isEnded && !state.isRevoked {
            finish(partition, state.next)
        }
    }

    package func pause(_ wanted: [Int32]) throws(TrafficLogError) {
        let mine = wanted.filter { partitions[$0]?.isRevoked == false }
        for partition in mine { partitions[partition]?.isPaused = true }
        if !mine.isEmpty { try fetcher.pause(mine) }
    }

    package func resume(_ wanted: [Int32]) throws(TrafficLogError) {
        let mine = wanted.filter { partitions[$0]?.isRevoked == false }
        for partition in mine { partitions[partition]?.isPaused = false }
        let running = mine.filter { partitions[$0]?.isEnded == false }
        if !running.isEmpty { try fetcher.resume(running) }
    }

    package func endOffsets() -> [Int32: Int64] {
        var found: [Int32: Int64] = [:]
        for (partition, state) in partitions {
            found[partition] = max(state.knownEnd, state.next, fetcher.cachedEnd(partition) ?? 0)
        }
        return found
    }
}

// MARK: - The group

extension KafkaGroupReader {
    /// Follows what the coordinator says.
    private func attendGroup() throws(TrafficLogError) {
        if isForgotten { try dropForgotten() }
        while let change = try membership.poll() {
            switch change.kind {
            case .assigned:
                try membership.accept(change.partitions)
                unsettled.formUnion(orphans.union(change.partitions))
                orphans = []
            case .revoked: try revoke(change.partitions)
            case .lost: try lose(change.partitions)
            }
        }
        if !unsettled.isEmpty, MonotonicClock.nanoseconds >= settleAt { try settle() }
    }

    /// Finds out where new partitions begin. What fails for the moment is tried again at the next turn.
    private func settle() throws(TrafficLogError) {
        let waiting = unsettled.sorted()
        var starts: [PartitionStart] = []
        var gaps: [GroupLogEvent] = []
        var pinned: [Int32: GroupPosition] = [:]
        do throws(TrafficLogError) {
            let committed = try membership.committed(waiting, within: .milliseconds(Int(Self.lookMilliseconds)))
            let times = try timedStarts(waiting.filter { committed[$0] == nil })
            for partition in waiting {
                let range = try fetcher.watermarks(partition, milliseconds: Self.lookMilliseconds)
                let wanted = committed[partition]?.offset ?? start(partition, range, times)
                // A position behind the end may be a leader's that lags: the broker that is asked for it decides.
                let first = max(wanted, range.lowerBound)
                try fetcher.begin([partition: first])
                partitions[partition] = KafkaGroupPartition(
                    next: first, end: ends.map { $0[partition] ?? 0 }, knownEnd: range.upperBound)
                unsettled.remove(partition)
                starts.append(
                    PartitionStart(
                        partition: partition, offset: first, note: committed[partition]?.note,
                        endOffset: range.upperBound))
                if first > wanted { gaps.append(.missing(partition: partition, offsets: wanted..<first)) }
                // Otherwise a restart before the first commit would begin at another end, and miss what lies between.
                if committed[partition] == nil, settings.start == .latest {
                    pinned[partition] = GroupPosition(offset: first)
                }
            }
        } catch {
            guard error.disposition == .retry else { throw error }
            settleAt = MonotonicClock.nanoseconds + Self.settlePauseNanoseconds
        }
        guard !starts.isEmpty else { return }
        counts.assignedCount += UInt64(starts.count)
        events.append(.assigned(starts))
        events += gaps
        for case .missing(_, let offsets) in gaps { counts.missingRecordCount += UInt64(offsets.count) }
        for start in starts where partitions[start.partition]?.isAtItsEnd == true {
            finish(start.partition, start.offset)
        }
        if !pinned.isEmpty { try commit(pinned) }
    }

    /// Starts by timestamp, of those partitions that have one.
    private func timedStarts(_ wanted: [Int32]) throws(TrafficLogError) -> [Int32: Int64] {
        guard case .timestamp(let time) = settings.start, !wanted.isEmpty else { return [:] }
        return try fetcher.offsets(wanted, notBefore: time, milliseconds: Self.lookMilliseconds)
    }

    private func start(_ partition: Int32, _ range: Range<Int64>, _ times: [Int32: Int64]) -> Int64 {
        // A partition that was added to the topic after this reader was opened is read whole.
        guard partition < partitionCount else { return range.lowerBound }
        switch settings.start {
        case .earliest: return range.lowerBound
        case .latest: return range.upperBound
        case .timestamp: return times[partition] ?? range.upperBound
        case .offsets(let offsets): return offsets[partition] ?? range.lowerBound
        }
    }

    private func revoke(_ change: [Int32]) throws(TrafficLogError) {
        let known = change.filter { partitions[$0] != nil }
        unsettled.subtract(change)
        orphans.subtract(change)
        try fetcher.stop(known)
        for partition in known { partitions[partition]?.isRevoked = true }
        revoked = change
        unreleased = Set(known)
        counts.revokedCount += UInt64(known.count)
        guard !known.isEmpty else { return try handOver() }
        events.append(.revoked(known))
    }

    package func release(_ released: [Int32]) throws(TrafficLogError) {
        guard !unreleased.isEmpty else { return }
        unreleased.subtract(released)
        for partition in released where partitions[partition]?.isRevoked == true { partitions[partition] = nil }
        if unreleased.isEmpty { try handOver() }
    }

    private func handOver() throws(TrafficLogError) {
        let all = revoked
        revoked = []
        try membership.giveUp(all)
    }

    private func lose(_ change: [Int32]) throws(TrafficLogError) {
        let known = change.filter { partitions[$0] != nil }
        unsettled.subtract(change)
        orphans.subtract(change)
        try fetcher.stop(known.filter { partitions[$0]?.isRevoked == false })
        for partition in known { partitions[partition] = nil }
        unreleased.subtract(known)
        try membership.giveUp(change)
        counts.lostCount += UInt64(known.count)
        if !known.isEmpty { events.append(.lost(known)) }
    }

    /// The library says nothing of a lost membership while partitions are to be released.
    private func dropForgotten() throws(TrafficLogError) {
        isForgotten = false
        guard !unreleased.isEmpty else { return }
        let known = partitions.keys.sorted()
        orphans.formUnion(known.filter { partitions[$0]?.isRevoked == false })
        orphans.formUnion(unsettled)
        try fetcher.stop(known.filter { partitions[$0]?.isRevoked == false })
        partitions = [:]
        unsettled = []
        unreleased = []
        counts.lostCount += UInt64(known.count)
        events.append(.lost(known))
        // Only this is asked for; the library takes the others away itself once it has the answer.
        try handOver()
    }

    @discardableResult
    package func commit(_ positions: [Int32: GroupPosition]) throws(TrafficLogError) -> Set<Int32> {
        let mine = positions.filter { partitions[$0.key] != nil }
        counts.staleCommitCount += UInt64(positions.count - mine.count)
        guard !mine.isEmpty else { return [] }
        switch try membership.commit(mine, within: settings.commitTimeout) {
        case .committed: return Set(mine.keys)
        case .deferred: break
        case .unknownMember: isForgotten = true
        }
        counts.deferredCommitCount += UInt64(mine.count)
        return []
    }

    package func committedPositions() throws(TrafficLogError) -> [Int32: GroupPosition] {
        try membership.committed((0..<Int32(partitionCount)).map { $0 }, within: settings.commitTimeout)
    }
}

/// A partition that is read.
struct KafkaGroupPartition {
    enum Reception: Equatable {
        case deliver
        case discard
        /// The partition ends in front of this record.
        case end(offset: Int64)
    }

    /// Everything in front of it was delivered.
    var next: Int64
    /// The offset that ends it, with `LogEnd.end`.
    let end: Int64?
    /// Offset of the next record to be written, when the partition came.
    let knownEnd: Int64
    var isPaused = false
    var isRevoked = false
    var isEnded = false
    /// The broker has nothing behind `next` for now.
    private(set) var isAtTail = false

    init(next: Int64, end: Int64?, knownEnd: Int64) {
        self.next = next
        self.end = end
        self.knownEnd = knownEnd
    }

    /// Whether nothing in front of the end is left.
    var isAtItsEnd: Bool {
        guard let end, !isEnded, !isRevoked else { return false }
        return next >= end
    }

    mutating func receive(_ offset: Int64, _ time: Int64, _ logEnd: LogEnd) -> Reception {
        // Records in front of `next` come again when a fetch is repeated.
        guard !isRevoked, !isEnded, !isAtItsEnd, offset >= next else { return .discard }
        isAtTail = false
        if case .time(let limit) = logEnd, time >= limit {
            isEnded = true
            return .end(offset: offset)
        }
        if let end, offset >= end {
            isEnded = true
            return .end(offset: end)
        }
        next = offset + 1
        return .deliver
    }

    /// Offsets without records, such as a transaction's marks, lie between the last record and the tail. The tail may
    /// be behind the end, with records that were not delivered.
    mutating func reachedTail(_ offset: Int64) {
        next = max(next, min(offset, end ?? .max))
        isAtTail = true
    }
}
