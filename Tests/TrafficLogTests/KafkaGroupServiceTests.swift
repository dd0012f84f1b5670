import CRdKafka
import Glibc
import TestSupport
import Testing

@testable import TrafficLog

/// Groups on a real Kafka (see `KafkaService`). Two members in this process take turns; those that are halted or killed
/// are processes of their own (`millrace-bench log-member`, built beside the tests).
@Suite(.serialized, .enabled(if: KafkaService.shared != nil, "needs MILLRACE_KAFKA_SERVICES"))
struct KafkaGroupServiceTests {
    private let log: KafkaLogSettings
    private let scratch: TemporaryFolder

    /// A topic of its own for every test.
    init() throws {
        scratch = try TemporaryFolder("kafka-group")
        let brokers = try #require(KafkaService.shared).brokers()
        var log = KafkaLogSettings(brokers: brokers, topic: "g\(MonotonicClock.nanoseconds)-\(getpid())")
        log.topicCreation = .init(partitionCount: 6)
        log.properties = [.init(name: "session.timeout.ms", value: "6000")]
        self.log = log
    }

    @discardableResult
    private func append(_ range: Range<UInt64>, bytes: Int = 0) throws -> [Int32: Int] {
        var settings = log
        settings.properties = []
        let writer = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        let filler = String(repeating: "f", count: bytes)
        for token in range {
            let segment = RecordSegment(token, "r\(token) \(filler)")
            #expect(
                try eventually {
                    do throws(TrafficLogError) {
                        try writer.append(segment, key: ConnectionKey("c\(token % 50)"), sink: sink)
                        return true
                    } catch {
                        guard error.code == .full else { throw error }
                        return false
                    }
                })
        }
        #expect(writer.flush(within: .seconds(60)))
        writer.close()
        var counts: [Int32: Int] = [:]
        for record in try KafkaTrafficLogReader(settings).readAll() { counts[record.partition, default: 0] += 1 }
        return counts
    }

    private func member(
        _ group: String = "g", _ properties: [TrafficLogAddress.Property] = [],
        _ change: (inout GroupReaderSettings) -> Void = { _ in }
    ) throws -> GroupMember {
        var settings = GroupReaderSettings()
        change(&settings)
        var log = log
        log.properties += properties
        return GroupMember(try KafkaGroupReader(log, group: group + log.topic, settings: settings))
    }

    /// Both take turns until `condition` holds.
    private func run(_ members: [GroupMember], seconds: UInt64 = 60, until condition: () throws -> Bool) throws -> Bool
    {
        try eventually(seconds: seconds) {
            for member in members { try member.turn(.milliseconds(5)) }
            return try condition()
        }
    }

    private func isInOrder(_ member: GroupMember) -> Bool {
        Dictionary(grouping: member.records, by: \.partition).values.allSatisfy { records in
            zip(records, records.dropFirst()).allSatisfy { $0.offset + 1 == $1.offset }
        }
    }

    @Test func aGroupOfOneReadsAllAndGoesOnWhereItCommitted() throws {
        try append(0..<5000)
        let first = try member()
        #expect(try first.run { first.records.count == 5000 })
        #expect(first.owned.count == 6 && isInOrder(first))
        #expect(first.starts.allSatisfy { $0.offset == 0 && $0.note == nil })
        let note = String(repeating: "n ~", count: 170)
        var positions = first.positions.mapValues { GroupPosition(offset: $0.offset - 10, note: note) }
        positions[99] = GroupPosition(offset: 1)
        #expect(try first.reader.commit(positions) == first.owned)
        positions[99] = nil
        #expect(first.reader.statistics.staleCommitCount == 1)
        #expect(try first.reader.committedPositions() == positions)
        #expect(first.reader.endOffsets().values.reduce(0, +) == 5000)
        first.reader.close()
        let second = try member()
        #expect(try second.run { second.records.count == 60 })
        for start in second.starts {
            #expect(start.offset == positions[start.partition]?.offset && start.note == note)
            #expect(start.endOffset == start.offset + 10)
        }
        second.reader.close()
    }

    /// The promise of the design: nobody else gets a record of a revoked partition before it is released, and the
    /// partitions that stay are read in the meantime.
    @Test func revokedPartitionsMoveOnlyWhenReleasedAndOthersGoOn() throws {
        try append(0..<600)
        let first = try member()
        first.releasesAtOnce = false
        #expect(try first.run { first.records.count == 600 })
        let second = try member()
        #expect(try run([first, second]) { !first.revoked.isEmpty })
        let moving = Set(first.revoked)
        let staying = first.owned.subtracting(moving)
        #expect(!staying.isEmpty && second.owned.isEmpty)
        try append(600..<1200)
        // Far longer than a heartbeat and the session timeout.
        let end = MonotonicClock.nanoseconds + 9_000_000_000
        _ = try run([first, second], seconds: 20) { MonotonicClock.nanoseconds > end }
        #expect(second.owned.isEmpty && second.records.isEmpty && first.lost.isEmpty)
        let late = first.records.dropFirst(600)
        #expect(!late.isEmpty && late.allSatisfy { staying.contains($0.partition) })
        #expect(isInOrder(first))
        // What is left is committed while the partitions wait.
        #expect(try first.commitAll() == first.owned)
        let committed = first.positions
        for partition in moving.dropFirst() { try first.release([partition]) }
        _ = try run([first, second], seconds: 1) { false }
        #expect(second.owned.isEmpty)
        try first.release(Array(moving.prefix(1)))
        #expect(try run([first, second]) { second.owned == moving })
        for start in second.starts { #expect(start.offset == committed[start.partition]?.offset) }
        #expect(try run([first, second]) { first.records.count + second.records.count == 1200 })
        #expect(isInOrder(first) && isInOrder(second))
        #expect(first.reader.statistics.revokedCount == UInt64(moving.count))
        // A commit of what is another's now is ignored and counted.
        #expect(try first.reader.commit([moving.min() ?? 0: GroupPosition(offset: 0)]).isEmpty)
        #expect(first.reader.statistics.staleCommitCount == 1)
        // The member that leaves hands everything back.
        try second.commitAll()
        second.reader.close()
        #expect(try first.run { first.owned.count == 6 })
        try append(1200..<1300)
        #expect(try first.run { first.records.filter { $0.value >= "r12" && $0.value < "r13" }.count >= 100 })
        first.reader.close()
    }

    /// Symptom: closing waited for ever when revoked partitions had not been released.
    @Test func aReaderClosesWithPartitionsThatWaitForTheirRelease() throws {
        try append(0..<100)
        let first = try member()
        first.releasesAtOnce = false
        #expect(try first.run { first.owned.count == 6 })
        let second = try member()
        #expect(try run([first, second]) { !first.revoked.isEmpty })
        first.reader.close()
        #expect(try second.run { second.owned.count == 6 })
        second.reader.close()
    }

    @Test func membersComeAndGoWithoutLossOrDuplicate() throws {
        try append(0..<3000)
        var members = [try member()]
        var closed: [GroupMember] = []
        for round in UInt64(0)..<4 {
            _ = try run(members, seconds: 2) { false }
            try append(3000 + round * 500..<3500 + round * 500)
            if round % 2 == 0 {
                members.append(try member())
            } else {
                let leaving = members.removeFirst()
                try leaving.commitAll()
                leaving.reader.close()
                closed.append(leaving)
            }
        }
        let all = closed + members
        #expect(try run(members) { all.reduce(0) { $0 + $1.records.count } >= 5000 })
        // Everything was committed before it moved, so nothing comes twice.
        _ = try run(members, seconds: 1) { false }
        let records = all.flatMap(\.records)
        #expect(records.count == 5000 && Set(records.map { "\($0.partition):\($0.offset)" }).count == 5000)
        for member in members { member.reader.close() }
    }

    @Test func startsEndsAndResets() throws {
        try append(0..<300)
        poll(nil, 0, 50)
        let time = MonotonicClock.wallMilliseconds
        poll(nil, 0, 50)
        try append(300..<400)
        let timed = try member("t") { $0.start = .timestamp(milliseconds: time) }
        #expect(try timed.run { timed.records.count == 100 })
        #expect(timed.records.allSatisfy { $0.value >= "r300" })
        timed.reader.close()

        let latest = try member("l") { $0.start = .latest }
        #expect(try latest.run { latest.owned.count == 6 })
        // The end that was found is kept, or a restart would miss what came in between.
        #expect(try latest.run { try latest.reader.committedPositions().count == 6 })
        latest.reader.close()
        try append(400..<450)
        let again = try member("l") { $0.start = .latest }
        #expect(try again.run { again.records.count == 50 })
        // While somebody reads, nobody sets the group back.
        #expect {
            _ = try member("l") { $0.resetsPositions = true }
        } throws: { ($0 as? TrafficLogError)?.code == .locked }
        again.reader.close()
        let ended = try member("l") {
            $0.resetsPositions = true
            $0.end = .end
        }
        try append(450..<460)
        #expect(try ended.run { ended.ended.count == 6 })
        #expect(ended.records.count == 450 && ended.ended.values.reduce(0, +) == 450)
        try ended.commitAll()
        ended.reader.close()
        let nothing = try member("l") { $0.end = .end }
        #expect(try nothing.run { nothing.ended.count == 6 })
        #expect(nothing.records.count == 10)
        nothing.reader.close()

        let rehearsal = try member("r") { $0.end = .time(milliseconds: time) }
        #expect(try rehearsal.run { rehearsal.ended.count == 6 })
        #expect(rehearsal.records.count == 300)
        rehearsal.reader.close()
        let given = try member("o") { $0.start = .offsets([0: 5, 3: 7]) }
        #expect(try given.run { given.owned.count == 6 })
        #expect(given.starts.filter { $0.offset > 0 }.map(\.offset).sorted() == [5, 7])
        given.reader.close()
    }

    @Test func pausedPartitionsDeliverNothingAndLoseNothing() throws {
        try append(0..<2000)
        let member = try member()
        #expect(try member.run { member.owned.count == 6 })
        try member.reader.pause([0, 1, 2])
        let already = member.records.count
        _ = try run([member], seconds: 2) { false }
        let before = member.records.filter { $0.partition < 3 }.count
        #expect(before <= already)
        try append(2000..<3000)
        _ = try run([member], seconds: 2) { false }
        #expect(member.records.filter { $0.partition < 3 }.count == before)
        try member.reader.resume([0, 1, 2])
        #expect(try member.run { member.records.count == 3000 })
        #expect(isInOrder(member))
        member.reader.close()
    }

    @Test func recordsThatAreGoneAreTold() throws {
        let counts = try append(0..<600)
        let first = try member()
        #expect(try first.run { first.owned.count == 6 })
        try first.reader.commit([0: GroupPosition(offset: 2)])
        first.reader.close()
        let second = try member()
        try deleteRecords(partition: 0, before: 10)
        #expect(try second.run { second.owned.count == 6 && !second.missing.isEmpty })
        #expect(second.missing == [2..<10] && second.reader.statistics.missingRecordCount == 8)
        #expect(try second.run { second.records.count == 600 - 10 })
        #expect(second.records.first { $0.partition == 0 }?.offset == 10)
        // A reader that is held back is overtaken.
        try second.reader.pause([0])
        try append(600..<900)
        let end = Int64((counts[0] ?? 0)) + 5
        try deleteRecords(partition: 0, before: end)
        try second.reader.resume([0])
        #expect(try second.run { second.missing.count == 2 })
        #expect(second.missing.last?.upperBound == end)
        second.reader.close()
    }

    private func deleteRecords(partition: Int32, before offset: Int64) throws {
        var configuration = try KafkaConfiguration(reading: log)
        configuration["group.id"] = "administrator"
        let admin = try KafkaConsumer(configuration, log)
        let list = admin.partitionList([partition]) { _ in offset }
        defer { rd_kafka_topic_partition_list_destroy(list) }
        var request = rd_kafka_DeleteRecords_new(list)
        defer { rd_kafka_DeleteRecords_destroy(request) }
        let queue = try #require(rd_kafka_queue_new(admin.handle))
        defer { rd_kafka_queue_destroy(queue) }
        rd_kafka_DeleteRecords(admin.handle, &request, 1, nil, queue)
        let event = try #require(rd_kafka_queue_poll(queue, 30_000))
        defer { rd_kafka_event_destroy(event) }
        #expect(rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR)
    }

    // MARK: - Members that are halted or killed

    private func child(_ name: String, instance: String? = nil) throws -> ChildProcess {
        let group = "g" + log.topic
        let address =
            "kafka://\(log.brokers.joined(separator: ","))/\(log.topic)?group=\(group)&session.timeout.ms=6000"
        let bench = try #require(BenchProgram.path)
        let more = instance.map { ["--instance", $0] } ?? []
        return try ChildProcess([bench, "log-member", "--log", address] + more, folder: scratch.path, name: name)
    }

    private func lines(_ child: ChildProcess, _ word: String) -> [String] {
        child.outputText.split(separator: "\n").filter { $0.hasPrefix(word) }.map(String.init)
    }

    @Test func aKilledMembersPartitionsAreReadOnFromItsCommits() throws {
        try append(0..<600)
        let victim = try child("victim")
        #expect(eventually { !lines(victim, "assigned").isEmpty })
        let member = try member()
        #expect(try run([member]) { !member.owned.isEmpty && !lines(victim, "revoked").isEmpty })
        try append(600..<900)
        _ = try run([member], seconds: 2) { false }
        victim.kill(SIGKILL)
        #expect(victim.wait() == .signalled(SIGKILL))
        try append(900..<1200)
        #expect(try member.run { member.owned.count == 6 })
        #expect(member.lost.isEmpty && member.revoked.isEmpty)
        // Everything that the victim did not commit comes here, and what it committed does not come again.
        let committed = lines(victim, "records").flatMap { $0.split(separator: " ").dropFirst().map(String.init) }
        #expect(
            try member.run {
                Set(committed).union(member.records.map { "\($0.partition):\($0.offset)" }).count == 1200
            })
        let twice = member.records.filter { committed.contains("\($0.partition):\($0.offset)") }
        #expect(twice.count <= 100, "no more than one batch, which was read and not committed")
        member.reader.close()
    }

    @Test func aHaltedMemberLosesItsPartitionsAndSaysSo() throws {
        try append(0..<300)
        let victim = try child("halted")
        #expect(eventually { lines(victim, "committed").count > 0 })
        victim.kill(SIGSTOP)
        let member = try member()
        #expect(try member.run { member.owned.count == 6 })
        victim.kill(SIGCONT)
        #expect(try run([member]) { !lines(victim, "lost").isEmpty })
        // It comes back as a new member and gets a share.
        #expect(try run([member]) { lines(victim, "assigned").count >= 2 })
        try append(300..<600)
        #expect(
            try run([member]) {
                let theirs = lines(victim, "records").flatMap { $0.split(separator: " ").dropFirst().map(String.init) }
                return Set(theirs).union(member.records.map { "\($0.partition):\($0.offset)" }).count == 600
            })
        member.reader.close()
    }

    @Test func aMemberWithANameComesBackToItsPartitions() throws {
        try append(0..<300)
        let member = try member()
        #expect(try member.run { member.owned.count == 6 })
        let first = try child("named-1", instance: "pod-1")
        #expect(try run([member]) { !lines(first, "assigned").isEmpty && member.owned.count == 3 })
        first.kill(SIGKILL)
        first.wait()
        let second = try child("named-2", instance: "pod-1")
        #expect(try run([member], seconds: 20) { !lines(second, "assigned").isEmpty })
        #expect(member.owned.count == 3 && member.revoked.count == 3)
        func partitions(_ child: ChildProcess) -> [Substring] {
            lines(child, "assigned")[0].split(separator: " ").dropFirst().map { $0.prefix { $0 != ":" } }.sorted()
        }
        #expect(partitions(first) == partitions(second))
        member.reader.close()
    }

    @Test func whoDoesNotPollLosesItsPartitionsAlsoWhileSomeAreToBeReleased() throws {
        try append(0..<300)
        let idle = try member("g", [.init(name: "max.poll.interval.ms", value: "7000")])
        idle.releasesAtOnce = false
        #expect(try idle.run { idle.owned.count == 6 })
        let other = try member()
        #expect(try run([idle, other]) { !idle.revoked.isEmpty })
        let end = MonotonicClock.nanoseconds + 10_000_000_000
        _ = try run([other], seconds: 20) { MonotonicClock.nanoseconds > end }
        #expect(try run([other]) { other.owned.count == 6 })
        // The first commit shows that this one is not a member any more.
        #expect(try idle.commitAll().isEmpty)
        #expect(try run([idle, other], seconds: 30) { Set(idle.lost).count == 6 })
        #expect(idle.reader.statistics.deferredCommitCount > 0)
        // And it joins again.
        idle.releasesAtOnce = true
        #expect(try run([idle, other]) { idle.owned.count == 3 && other.owned.count == 3 })
        idle.reader.close()
        other.reader.close()
    }
}

/// The benchmarks' program, beside the test bundle.
enum BenchProgram {
    static let path: String? = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return nil }
        let own = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let slash = own.lastIndex(of: "/") else { return nil }
        let path = own[..<slash] + "/millrace-bench"
        return access(String(path), X_OK) == 0 ? String(path) : nil
    }()
}
