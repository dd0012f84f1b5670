import TestSupport
import Testing

@testable import TrafficLog

/// The group reader against librdkafka's mock cluster, which knows groups, commits and offsets but no times.
@Suite(.serialized) struct KafkaGroupMockTests {
    private let cluster: KafkaMockCluster
    private let log: KafkaLogSettings

    init() throws {
        cluster = try KafkaMockCluster()
        cluster.createTopic("captured")
        var log = KafkaLogSettings(brokers: cluster.brokers, topic: "captured")
        log.startTimeout = .seconds(20)
        log.asksTopicLimit = false
        self.log = log
    }

    private func append(_ values: [[UInt8]]) throws {
        let writer = try KafkaTrafficLog(log)
        let sink = CollectingSink()
        for (number, value) in values.enumerated() {
            try writer.append(RecordSegment(copying: value), key: ConnectionKey("c\(number % 9)"), sink: sink)
        }
        #expect(writer.flush(within: .seconds(60)))
        writer.close()
    }

    private func member(_ change: (inout GroupReaderSettings) -> Void = { _ in }) throws -> GroupMember {
        var settings = GroupReaderSettings()
        change(&settings)
        return GroupMember(try KafkaGroupReader(log, group: "g", settings: settings))
    }

    /// A replayer that started while the only broker came back ended with "Unknown partition".
    @Test func aPartitionThatNoBrokerToldOfIsAskedForAgain() throws {
        var configuration = try KafkaConfiguration(reading: log)
        configuration["group.id"] = "g"
        let consumer = try KafkaConsumer(configuration, log)
        defer { consumer.close() }
        let error = #expect(throws: TrafficLogError.self) { try consumer.watermarks(99, milliseconds: 2000) }
        #expect(error?.disposition == .retry)
        #expect(error?.code == .unavailable)
    }

    @Test func readsCommitsAndGoesOn() throws {
        try append((0..<500).map { Array("r\($0)".utf8) })
        let first = try member { $0.end = .end }
        #expect(try first.run { first.ended.count == 4 })
        #expect(first.records.count == 500 && first.ended.values.reduce(0, +) == 500)
        #expect(try first.commitAll() == Set(first.positions.keys))
        #expect(try first.reader.committedPositions() == first.positions)
        first.reader.close()
        try append((0..<10).map { Array("s\($0)".utf8) })
        let second = try member()
        #expect(try second.run { second.records.count == 10 })
        #expect(second.records.allSatisfy { $0.value.hasPrefix("s") })
        second.reader.close()
    }

    /// Small records are copied, large ones stay in the library's buffer; both survive the reader.
    @Test func recordsStayValidAndTheirMemoryIsCounted() throws {
        var random = SeededGenerator(seed: 8)
        let limit = RecordCopies.valueLimitBytes
        // The mock cluster keeps 5 MiB a partition.
        let sizes = [0, 1, 1500, RecordCopies.limitBytes, limit, limit + 1]
        let values = (0..<48).map { random.bytes(sizes[$0 % sizes.count]) }
        try append(values)
        let reader = try KafkaGroupReader(log, group: "g")
        var records: [LoggedRecord] = []
        let isRead = try eventually {
            let event = try reader.next(within: .milliseconds(20), recordLimit: 7)
            if case .records(let found)? = event { records += found }
            return records.count == values.count
        }
        #expect(isRead)
        reader.close()
        let found = records.map { Array($0.value) }
        for size in sizes {
            let ofSize = { (all: [[UInt8]]) in all.filter { $0.count == size }.map { $0.prefix(9) }.map(Array.init) }
            #expect(Set(ofSize(found)) == Set(ofSize(values)))
        }
        let sorted = { (all: [[UInt8]]) in all.sorted { $0.lexicographicallyPrecedes($1) } }
        #expect(sorted(found) == sorted(values))
        let total = values.reduce(0) { $0 + $1.count }
        #expect(reader.statistics.heldBytes >= total && reader.statistics.heldBytes < total + 48 * 64)
        records = []
        #expect(reader.statistics.heldBytes == 0)
    }

    @Test func twoMembersShareAndOneThatLeavesGivesBack() throws {
        let first = try member()
        #expect(try first.run { first.owned.count == 4 })
        let second = try member()
        let isShared = try eventually {
            try first.turn()
            try second.turn()
            return first.owned.count == 2 && second.owned.count == 2
        }
        #expect(isShared && first.owned.isDisjoint(with: second.owned))
        second.reader.close()
        #expect(try first.run { first.owned.count == 4 })
        first.reader.close()
    }

    @Test func aCommitWithoutAnAnswerIsAnError() throws {
        let member = try member { $0.commitTimeout = .milliseconds(300) }
        #expect(try member.run { member.owned.count == 4 })
        cluster.setBroker(1, isDown: true)
        #expect {
            try member.reader.commit([0: GroupPosition(offset: 0)])
        } throws: { error in
            guard let error = error as? TrafficLogError else { return false }
            return error.code == .unavailable && error.disposition == .retry
        }
        cluster.setBroker(1, isDown: false)
        #expect(
            try member.run {
                (try? member.reader.commit([0: GroupPosition(offset: 0, note: "late")])) == [0]
            })
        #expect(try member.reader.committedPositions()[0]?.note == "late")
        member.reader.close()
    }
}

/// The rules of one partition.
@Suite struct KafkaGroupPartitionTests {
    @Test func deliversInOrderUpToItsEnd() {
        var partition = KafkaGroupPartition(next: 5, end: 8, knownEnd: 20)
        #expect(partition.receive(4, 0, .end) == .discard)
        #expect(partition.receive(5, 0, .end) == .deliver)
        // 6 and 7 are marks of a transaction, not records.
        #expect(partition.receive(8, 0, .end) == .end(offset: 8))
        #expect(partition.receive(9, 0, .end) == .discard)
        var marks = KafkaGroupPartition(next: 5, end: 8, knownEnd: 8)
        #expect(!marks.isAtItsEnd)
        marks.reachedTail(8)
        #expect(marks.isAtItsEnd && marks.isAtTail)
        marks.reachedTail(30)
        #expect(marks.next == 8, "what lies behind the end was not delivered")
        var timed = KafkaGroupPartition(next: 0, end: nil, knownEnd: 0)
        #expect(timed.receive(0, 99, .time(milliseconds: 100)) == .deliver)
        #expect(timed.receive(1, 100, .time(milliseconds: 100)) == .end(offset: 1))
        #expect(timed.receive(2, 0, .time(milliseconds: 100)) == .discard)
        var revoked = KafkaGroupPartition(next: 0, end: nil, knownEnd: 0)
        revoked.isRevoked = true
        #expect(revoked.receive(0, 0, .never) == .discard)
    }
}
