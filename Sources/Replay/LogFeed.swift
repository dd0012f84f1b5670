import CapturedTraffic
import Telemetry
import TrafficLog

/// A loop as the feed sees it. Messages arrive in the order sent, some time later.
package protocol ReplayLoopPort: AnyObject, Sendable {
    func post(_ message: FeedMessage)
    var activity: LoopActivity { get }
}

/// What the feed tells the loops.
package enum FeedMessage: Sendable {
    case assign(partition: Int32, epoch: UInt32, resolved: ReplayPosition)
    /// Their bytes are charged to the budget.
    case records([LoggedRecord])
    case unreadable(UnreadableRecord)
    /// Answered with `FeedReply.quiet`.
    case quiesce(partition: Int32)
    case drain(partition: Int32, lastOffset: Int64)
    /// What is not done by now is left open.
    case endDrain(partition: Int32)
    case drop(partition: Int32)
    case finishInput
    case originChanged
    case sweep(isReadingPaused: Bool)
}

/// What the loops tell the feed.
package enum FeedReply: Sendable {
    case settled(SettledRecords)
    case quiet(partition: Int32, epoch: UInt32, lastOffset: Int64)
    /// Connections of a partition that is being drained whose requests cannot be sent now.
    case open(partition: Int32, epoch: UInt32, [ReplayPosition.OpenConnection])
}

/// How much a loop has to do; written by the loop, read by the feed.
package struct LoopActivity: Sendable {
    /// Messages taken from the feed.
    package var takenCount = 0
    /// Work that goes on without anything more being read.
    package var pendingCount = 0
    /// Of that, at the target or being written down.
    package var busyCount = 0
    /// When the next request may go, nanoseconds since 1970.
    package var nextDue: Int64?

    package init() {}
}

/// Takes records from the log and gives them to the loops, holds reading back, leaves partitions in order, and commits
/// what is resolved. One thread; it reads no clock.
package final class LogFeed {
    package struct Settings: Sendable {
        /// Records in one batch.
        package var recordLimit = 1000
        /// Nanoseconds of wall time that is read ahead of what is due.
        package var lookAhead: Int64 = 30_000_000_000
        package var commitInterval: Int64 = 1_000_000_000
        /// For what has begun, when a partition is given away or the program stops.
        package var drainTime: Int64 = 20_000_000_000
        /// An idle stretch is cut to this; nil to live through it.
        package var longestGap: Int64?

        package init() {}
    }

    package enum Status: Sendable, Equatable {
        case running
        /// Everything up to the end that was asked for is resolved.
        case complete
        /// Stopped, and nothing that was begun is left.
        case stopped
        /// Stopped, but what had begun was not finished in time, or was lost: it may be sent again.
        case abandoned
    }

    private enum Leaving {
        case quiescing(repliesMissing: Int, lastOffset: Int64, deadline: Int64)
        case draining(lastOffset: Int64, deadline: Int64)
        /// The loops were told to leave the rest open; what they do so comes with their next reply.
        case ending(lastOffset: Int64, deadline: Int64)
    }

    private struct Assigned {
        var ledger: PartitionLedger
        var leaving: Leaving?
        var isEnded = false
        /// Until when it is not read, because it is ahead of what is due.
        var pausedUntil: Int64?
    }

    private let reader: any GroupLogReader
    private let loops: [any ReplayLoopPort]
    private let settings: Settings
    private let budget: ByteBudget
    private let origin: SharedOrigin
    private let speed: ReplaySchedule.Speed
    private let metrics: FeedMetrics
    private let log: Log
    private var partitions: [Int32: Assigned] = [:]
    private var nextEpoch: UInt32 = 1
    private var postedCounts: [Int]
    private var isPausedByBudget = false
    /// Bytes in memory at which reading stops: the budget, or more when all of it waits for what is not read yet.
    private var pauseBytes: Int
    private var isInputFinished = false
    private var isStopping = false
    private var hasAbandoned = false
    private var lastCommit = Int64.min
    private var lastSweep = Int64.min
    private var lastOriginLook = Int64.min
    private var knownOrigin: TimeOrigin?

    package init(
        reader: any GroupLogReader, loops: [any ReplayLoopPort], settings: Settings, speed: ReplaySchedule.Speed,
        budget: ByteBudget, origin: SharedOrigin, metrics: FeedMetrics, log: Log
    ) {
        self.reader = reader
        self.loops = loops
        self.settings = settings
        self.speed = speed
        self.budget = budget
        self.origin = origin
        self.metrics = metrics
        self.log = log
        postedCounts = Array(repeating: 0, count: loops.count)
        pauseBytes = budget.limitBytes
    }

    /// The offsets that the group would go on with, for reports.
    package var positions: [Int32: ReplayPosition] {
        partitions.mapValues { $0.ledger.position(origin: origin.current) }
    }

    /// Begins to leave every partition; `turn` says when that is done.
    package func stop(now: Int64) {
        guard !isStopping else { return }
        isStopping = true
        for partition in partitions.keys.sorted() { leave(partition, now) }
    }

    /// One round: takes in what the loops say, then at most one event of the log, then commits when it is time.
    /// - Parameter wait: how long to wait for the log when there is nothing else to do.
    package func turn(
        now: Int64, replies: [FeedReply], wait: Duration
    ) throws(TrafficLogError) -> Status {
        for reply in replies { take(reply) }
        try finishLeaving(now)
        try holdBack(now)
        if let event = try reader.next(within: wait, recordLimit: settings.recordLimit) { try take(event, now) }
        lookAfterTime(now)
        try commitIfDue(now)
        return try status(now)
    }

    // MARK: Events

    private func take(_ event: GroupLogEvent, _ now: Int64) throws(TrafficLogError) {
        switch event {
        case .records(let records): try take(records, now)
        case .assigned(let starts): for start in starts { assign(start) }
        case .revoked(let revoked):
            for partition in revoked {
                if partitions[partition] == nil { try reader.release([partition]) } else { leave(partition, now) }
            }
        case .lost(let lost):
            for partition in lost where partitions[partition] != nil {
                log.warning("a partition was lost to the group", [.partition: LogValue(partition)])
                hasAbandoned = true
                forget(partition)
            }
        case .missing(let partition, let offsets):
            metrics.missingOffsets.add(offsets.count)
            log.error(
                "records are gone that were not replayed",
                [
                    .partition: LogValue(partition), .offset: LogValue(offsets.lowerBound),
                    .recordCount: LogValue(offsets.count),
                ])
        case .unreadable(let record):
            let partition = record.position.partition
            guard partitions[partition] != nil else { return }
            partitions[partition]?.ledger.received(record.position.offset)
            post(.unreadable(record), to: 0)
        case .endReached(let partition, _): partitions[partition]?.isEnded = true
        }
    }

    private func assign(_ start: PartitionStart) {
        // Of one that comes after the stop nothing is read, so nothing is left.
        guard !isStopping else { return }
        let position = ReplayPosition(offset: start.offset, note: start.note)
        if let other = position.origin, origin.merge(other) { tellOrigin() }
        var assigned = Assigned(ledger: PartitionLedger(position, epoch: nextEpoch))
        if start.note != nil { assigned.ledger.committed = position }
        nextEpoch += 1
        partitions[start.partition] = assigned
        let message = FeedMessage.assign(
            partition: start.partition, epoch: assigned.ledger.epoch, resolved: position)
        for loop in loops.indices { post(message, to: loop) }
        metrics.partitions.set(partitions.count)
    }

    private func take(_ records: [LoggedRecord], _ now: Int64) throws(TrafficLogError) {
        var batches: [[LoggedRecord]] = Array(repeating: [], count: loops.count)
        var ahead: [Int32: Int64] = [:]
        var byteCount = 0
        var count = 0
        let schedule = ReplaySchedule(speed: speed, origin: origin.current)
        for record in records {
            let partition = record.position.partition
            guard partitions[partition] != nil, partitions[partition]?.leaving == nil else { continue }
            partitions[partition]?.ledger.received(
                record.position.offset, time: record.timestampMilliseconds, byteCount: record.value.count)
            byteCount += record.value.count + HeldRecord.overheadBytes
            count += 1
            if schedule.origin != nil, record.timestampMilliseconds > 0 {
                let due = schedule.due(record.timestampMilliseconds.multipliedSaturating(by: 1_000_000))
                if due > now.addingSaturating(settings.lookAhead) { ahead[partition] = due - settings.lookAhead / 2 }
            }
            batches[loop(for: record)].append(record)
        }
        metrics.records.add(count)
        metrics.recordBytes.add(byteCount)
        budget.take(byteCount)
        for (index, batch) in batches.enumerated() where !batch.isEmpty { post(.records(batch), to: index) }
        for (partition, until) in ahead where partitions[partition]?.pausedUntil == nil {
            partitions[partition]?.pausedUntil = until
            try reader.pause([partition])
        }
    }

    /// All records of a connection go to one loop. The log's key is the connection's name.
    private func loop(for record: LoggedRecord) -> Int {
        guard loops.count > 1 else { return 0 }
        return Int(FNV1a.hash(record.connectionKey) >> 32) % loops.count
    }

    private func post(_ message: FeedMessage, to loop: Int) {
        postedCounts[loop] += 1
        loops[loop].post(message)
    }

    private func take(_ reply: FeedReply) {
        switch reply {
        case .settled(let records):
            for place in records.resolved where partitions[place.partition]?.ledger.epoch == place.epoch {
                partitions[place.partition]?.ledger.endsResolved(place.offset)
            }
            for place in records.released where partitions[place.partition]?.ledger.epoch == place.epoch {
                partitions[place.partition]?.ledger.released(place.offset)
            }
        case .open(let partition, let epoch, let connections):
            guard partitions[partition]?.ledger.epoch == epoch else { return }
            partitions[partition]?.ledger.leaveOpen(connections)
        case .quiet(let partition, let epoch, let lastOffset):
            guard let assigned = partitions[partition], assigned.ledger.epoch == epoch,
                case .quiescing(let missing, let last, let deadline)? = assigned.leaving
            else { return }
            let highest = max(last, lastOffset)
            guard missing == 1 else {
                partitions[partition]?.leaving = .quiescing(
                    repliesMissing: missing - 1, lastOffset: highest, deadline: deadline)
                return
            }
            partitions[partition]?.leaving = .draining(lastOffset: highest, deadline: deadline)
            for loop in loops.indices { post(.drain(partition: partition, lastOffset: highest), to: loop) }
        }
    }

    // MARK: Leaving partitions

    private func leave(_ partition: Int32, _ now: Int64) {
        guard partitions[partition] != nil, partitions[partition]?.leaving == nil else { return }
        let deadline = now.addingSaturating(settings.drainTime)
        partitions[partition]?.leaving = .quiescing(
            repliesMissing: loops.count, lastOffset: -1, deadline: deadline)
        for loop in loops.indices { post(.quiesce(partition: partition), to: loop) }
    }

    /// Hands over the partitions whose begun requests are resolved, or whose time is over.
    private func finishLeaving(_ now: Int64) throws(TrafficLogError) {
        for (partition, assigned) in partitions {
            let isDone: Bool
            let deadline: Int64
            switch assigned.leaving {
            case nil: continue
            case .quiescing(_, _, let end):
                deadline = end
                guard now >= deadline else { continue }
                isDone = false
            case .draining(let lastOffset, let end):
                deadline = end
                isDone = assigned.ledger.isResolved(below: lastOffset + 1)
                if !isDone, now >= deadline {
                    partitions[partition]?.leaving = .ending(
                        lastOffset: lastOffset, deadline: now.addingSaturating(settings.drainTime / 4))
                    for loop in loops.indices { post(.endDrain(partition: partition), to: loop) }
                    // The position names them, so the next run sends them and no others again.
                    if isStopping { hasAbandoned = true }
                }
                guard isDone else { continue }
            case .ending(let lastOffset, let end):
                deadline = end
                isDone = assigned.ledger.isResolved(below: lastOffset + 1)
                guard isDone || now >= deadline else { continue }
            }
            // Between two generations of the group nothing is committed: again at the next turn, while there is time.
            let isCommitted = try commit([partition])
            if isDone, !isCommitted, now < deadline { continue }
            if !isDone || !isCommitted { abandon(partition) }
            forget(partition)
            try reader.release([partition])
        }
    }

    private func abandon(_ partition: Int32) {
        hasAbandoned = true
        metrics.abandonedPartitions.increment()
        log.warning(
            "what had begun was not finished in time; the next reader of the partition sends it again",
            [.partition: LogValue(partition)])
    }

    private func forget(_ partition: Int32) {
        partitions[partition] = nil
        metrics.show(PartitionLag(), of: partition)
        metrics.partitions.set(partitions.count)
        for loop in loops.indices { post(.drop(partition: partition), to: loop) }
    }

    // MARK: Holding back

    /// Stops reading while too much is in memory or too far ahead, and goes on when there is room again.
    private func holdBack(_ now: Int64) throws(TrafficLogError) {
        for (partition, assigned) in partitions {
            if let until = assigned.pausedUntil, now >= until || origin.current == nil {
                partitions[partition]?.pausedUntil = nil
                if !isPausedByBudget { try reader.resume([partition]) }
            }
        }
        if isPausedByBudget {
            let isRoomy = budget.usedBytes < budget.limitBytes / 4 * 3
            // All that is held waits for what is not read yet: reading on is the only way to let go of it.
            let isStuck = !isRoomy && !isAnythingPending
            guard isRoomy || isStuck else { return }
            if isStuck { metrics.budgetOverruns.increment() }
            pauseBytes = isRoomy ? budget.limitBytes : budget.usedBytes + budget.limitBytes / 8
            isPausedByBudget = false
            for loop in loops.indices { post(.sweep(isReadingPaused: false), to: loop) }
            try reader.resume(partitions.filter { $0.value.pausedUntil == nil }.map(\.key))
        } else if budget.usedBytes >= pauseBytes {
            isPausedByBudget = true
            metrics.budgetPauses.increment()
            for loop in loops.indices { post(.sweep(isReadingPaused: true), to: loop) }
            try reader.pause(Array(partitions.keys))
        }
    }

    private var isAnythingPending: Bool {
        for (index, loop) in loops.enumerated() {
            let activity = loop.activity
            if activity.takenCount < postedCounts[index] || activity.pendingCount > 0 { return true }
        }
        return false
    }

    // MARK: Time

    private func lookAfterTime(_ now: Int64) {
        if now.subtractingSaturating(lastSweep) >= 1_000_000_000 {
            lastSweep = now
            for loop in loops.indices { post(.sweep(isReadingPaused: isPausedByBudget), to: loop) }
            lookForOrigin(now)
            showLags(now)
        }
        skipGap(now)
    }

    private func showLags(_ now: Int64) {
        let ends = reader.endOffsets()
        for (partition, assigned) in partitions {
            metrics.show(
                assigned.ledger.lag(end: ends[partition] ?? 0, now: now / 1_000_000), of: partition)
        }
    }

    /// Several instances come to one origin by what they commit.
    private func lookForOrigin(_ now: Int64) {
        guard speed != .maximum, reader.group != nil, now.subtractingSaturating(lastOriginLook) >= 10_000_000_000
        else { return }
        lastOriginLook = now
        // Not knowing it this time is no harm: it is asked again.
        guard let positions = try? reader.committedPositions() else { return }
        var isChanged = false
        for position in positions.values {
            guard let other = ReplayPosition(offset: position.offset, note: position.note).origin else { continue }
            if origin.merge(other) { isChanged = true }
        }
        if isChanged { tellOrigin() }
    }

    private func skipGap(_ now: Int64) {
        guard let longest = settings.longestGap, origin.current != nil else { return }
        var next = Int64.max
        for (index, loop) in loops.enumerated() {
            let activity = loop.activity
            guard activity.takenCount == postedCounts[index], activity.busyCount == 0 else { return }
            next = min(next, activity.nextDue ?? .max)
        }
        guard next != .max, next > now.addingSaturating(longest) else { return }
        origin.bringForward(by: next - now - longest)
        metrics.skippedGaps.increment()
        tellOrigin()
    }

    private func tellOrigin() {
        for loop in loops.indices { post(.originChanged, to: loop) }
        // How far ahead a partition is has to be judged anew.
        for (partition, assigned) in partitions where assigned.pausedUntil != nil {
            partitions[partition]?.pausedUntil = .min
        }
    }

    // MARK: Committing

    private func commitIfDue(_ now: Int64) throws(TrafficLogError) {
        let isNewOrigin = origin.current != knownOrigin
        guard isNewOrigin || now.subtractingSaturating(lastCommit) >= settings.commitInterval else { return }
        lastCommit = now
        knownOrigin = origin.current
        try commit(Array(partitions.keys))
    }

    /// False when the group is between two generations: what was not committed has to be tried again.
    @discardableResult
    private func commit(_ names: [Int32]) throws(TrafficLogError) -> Bool {
        guard reader.group != nil else { return true }
        var changed: [Int32: GroupPosition] = [:]
        var positions: [Int32: ReplayPosition] = [:]
        for partition in names {
            guard let assigned = partitions[partition] else { continue }
            let position = assigned.ledger.position(origin: origin.current)
            guard position != assigned.ledger.committed else { continue }
            changed[partition] = GroupPosition(offset: position.offset, note: position.note)
            positions[partition] = position
        }
        guard !changed.isEmpty else { return true }
        let done = try reader.commit(changed)
        for partition in done { partitions[partition]?.ledger.committed = positions[partition] }
        metrics.commits.add(done.count)
        return done.count == changed.count
    }

    // MARK: The end

    private func status(_ now: Int64) throws(TrafficLogError) -> Status {
        if isStopping { return partitions.isEmpty ? (hasAbandoned ? .abandoned : .stopped) : .running }
        guard !partitions.isEmpty, partitions.values.allSatisfy(\.isEnded) else {
            isInputFinished = false
            return .running
        }
        if !isInputFinished {
            isInputFinished = true
            for loop in loops.indices { post(.finishInput, to: loop) }
            return .running
        }
        guard partitions.values.allSatisfy({ $0.leaving == nil && $0.ledger.isSettled }) else { return .running }
        return try commit(Array(partitions.keys)) ? .complete : .running
    }
}

extension LoggedRecord {
    /// The connection's name; the value's beginning when the record has no key.
    var connectionKey: UnsafeRawBufferPointer {
        if let key, !key.isEmpty { return key }
        return (try? TrafficStreamReader(value))?.header.connectionID ?? value
    }
}
