import Glibc
import TestSupport
import Testing

@testable import TrafficLog

@Suite struct FileGroupReaderTests {
    private let scratch: TemporaryFolder
    private var path: String { scratch.path("log") }

    init() throws { scratch = try TemporaryFolder("file-group") }

    private func append(
        _ range: Range<UInt64>, bytes: Int = 0, _ settings: FileLogSettings = FileLogSettings()
    ) throws {
        let log = try FileTrafficLog(path: path, settings: settings)
        let sink = CollectingSink()
        for token in range {
            let text = "r\(token)" + String(repeating: "x", count: bytes)
            try log.append(RecordSegment(token, text), key: ConnectionKey("c\(token % 3)"), sink: sink)
            // One batch a record: small segments then hold few.
            if settings.segmentBytes < 1 << 20 { #expect(log.flush(within: .seconds(60))) }
        }
        #expect(log.flush(within: .seconds(60)))
        log.close()
    }

    private func member(
        _ group: String? = "g", _ change: (inout GroupReaderSettings) -> Void = { _ in }
    ) throws -> GroupMember {
        var settings = GroupReaderSettings()
        change(&settings)
        return GroupMember(try FileGroupReader(path: path, group: group, settings: settings))
    }

    private func readAll(_ member: GroupMember) throws { while try member.turn(.zero) {} }

    @Test func aGroupGoesOnWhereItCommitted() throws {
        try append(0..<100)
        let first = try member()
        try readAll(first)
        #expect(first.starts == [PartitionStart(partition: 0, offset: 0, note: nil, endOffset: 100)])
        #expect(first.records.map(\.offset) == Array(0..<100) && first.records[7].value == "r7")
        #expect(try first.reader.commit([0: GroupPosition(offset: 60, note: "w 75 {t}")]) == [0])
        #expect(try first.reader.commit([1: GroupPosition(offset: 3)]).isEmpty)
        #expect(first.reader.statistics.staleCommitCount == 1)
        first.reader.close()
        let second = try member()
        try readAll(second)
        #expect(second.starts == [PartitionStart(partition: 0, offset: 60, note: "w 75 {t}", endOffset: 100)])
        #expect(second.records.map(\.offset) == Array(60..<100))
        #expect(try second.reader.committedPositions() == [0: GroupPosition(offset: 60, note: "w 75 {t}")])
        // Another group, and none, know nothing of it.
        for other in [try member("h"), try member(nil)] {
            try readAll(other)
            #expect(other.records.count == 100)
        }
    }

    @Test func aSecondReaderOfTheGroupIsRefused() throws {
        try append(0..<1)
        let first = try member()
        #expect {
            _ = try member()
        } throws: { error in
            guard let error = error as? TrafficLogError else { return false }
            return error.code == .locked && error.message.contains("the group g")
        }
        first.reader.close()
        _ = try member()
    }

    @Test func damagedPositionsAreAnErrorAndNoNewStart() throws {
        try append(0..<10)
        let first = try member()
        try first.reader.commit([0: GroupPosition(offset: 5, note: "n")])
        first.reader.close()
        let file = path + "/group-g.position"
        let whole = try FileTree.read(file)
        #expect(GroupPositionFile.parse(whole) == [0: GroupPosition(offset: 5, note: "n")])
        for count in 0..<whole.count { #expect(GroupPositionFile.parse(Array(whole.prefix(count))) == nil) }
        for place in whole.indices {
            var broken = whole
            broken[place] ^= 4
            // A checksum in capital letters is the same checksum.
            let parsed = GroupPositionFile.parse(broken)
            #expect(parsed == nil || parsed == [0: GroupPosition(offset: 5, note: "n")], "byte \(place)")
        }
        try FileTree.write(file, Array(whole.dropLast(3)))
        #expect {
            _ = try member()
        } throws: { ($0 as? TrafficLogError)?.code == .corrupt }
        // Unless the operator says where to begin.
        let reset = try member { $0.resetsPositions = true }
        try readAll(reset)
        #expect(reset.records.count == 10)
    }

    @Test func startsAreFoundAndCommittedPositionsWin() throws {
        try append(0..<20)
        poll(nil, 0, 30)
        let time = MonotonicClock.wallMilliseconds
        poll(nil, 0, 30)
        try append(20..<30)
        let timed = try member("t") { $0.start = .timestamp(milliseconds: time) }
        try readAll(timed)
        #expect(timed.records.map(\.offset) == Array(20..<30))
        let future = try member("f") { $0.start = .timestamp(milliseconds: time + 3_600_000) }
        try readAll(future)
        #expect(future.records.isEmpty && future.starts.map(\.offset) == [30])
        let past = try member("p") { $0.start = .timestamp(milliseconds: 0) }
        try readAll(past)
        #expect(past.records.count == 30)
        let latest = try member("l") { $0.start = .latest }
        try readAll(latest)
        #expect(latest.records.isEmpty)
        // The end that was found is kept, or a restart would miss what came in between.
        latest.reader.close()
        try append(30..<33)
        let again = try member("l") { $0.start = .latest }
        try readAll(again)
        #expect(again.records.map(\.offset) == [30, 31, 32])
        again.reader.close()
        let given = try member("l") { $0.start = .offsets([0: 5]) }
        #expect(try given.run { !given.starts.isEmpty })
        #expect(given.starts[0].offset == 30)
        given.reader.close()
        let reset = try member("l") {
            $0.start = .offsets([0: 5])
            $0.resetsPositions = true
        }
        try readAll(reset)
        #expect(reset.records.map(\.offset) == Array(5..<33))
        #expect(try reset.reader.committedPositions()[0]?.offset == 5)
    }

    @Test func timestampsAreFoundInEverySegmentAndBatch() throws {
        var settings = FileLogSettings()
        settings.segmentBytes = 300
        for token in 0..<UInt64(12) {
            try append(token..<token + 1, bytes: 0, settings)
            poll(nil, 0, 3)
        }
        #expect(try FileLogFolder.segments(path).count > 2)
        let times = try timestamps()
        for (offset, time) in times.enumerated() {
            let reader = try FileTrafficLogReader(path: path, start: .timestamp(milliseconds: time))
            #expect(reader.nextOffset == times.firstIndex { $0 >= time }.map(Int64.init))
            let behind = try FileTrafficLogReader(path: path, start: .timestamp(milliseconds: time + 1))
            #expect(behind.nextOffset == Int64(times.firstIndex { $0 > time } ?? times.count), "behind \(offset)")
        }
    }

    private func timestamps() throws -> [Int64] {
        let reader = try FileTrafficLogReader(path: path)
        var times: [Int64] = []
        while let record = try reader.next() { times.append(record.timestampMilliseconds) }
        return times
    }

    @Test func endsStopTheReader() throws {
        try append(0..<50)
        let whole = try member("e") { $0.end = .end }
        try append(50..<60)
        try readAll(whole)
        #expect(whole.records.count == 50 && whole.ended == [0: 50])
        #expect(try !whole.turn(.milliseconds(5)))
        try whole.commitAll()
        whole.reader.close()
        // Everything is read already: the end is told at once.
        let again = try member("e") { $0.end = .end }
        try readAll(again)
        #expect(again.records.count == 10 && again.ended == [0: 60])
        poll(nil, 0, 20)
        let time = MonotonicClock.wallMilliseconds
        try append(60..<70)
        let timed = try member("t") { $0.end = .time(milliseconds: time) }
        try readAll(timed)
        #expect(timed.records.count == 60 && timed.ended == [0: 60])
        // Nothing is as late as that, and it is over.
        let quiet = try member("q") { $0.end = .time(milliseconds: MonotonicClock.wallMilliseconds + 1) }
        _ = try quiet.run { quiet.records.count == 70 }
        #expect(quiet.ended.isEmpty)
        #expect(try quiet.run { quiet.ended == [0: 70] })
    }

    @Test func recordsThatRetentionRemovedAreToldAndReadingGoesOn() throws {
        var settings = FileLogSettings()
        settings.segmentBytes = 400
        try append(0..<40, bytes: 100, settings)
        let segments = try FileLogFolder.segments(path)
        try #require(segments.count > 6)
        let first = try member()
        #expect(try first.run { first.records.count >= 2 })
        try first.reader.commit([0: GroupPosition(offset: 2)])
        // While it stands in the first segment, the next ones are removed: what it holds open is read to its end.
        let third = Int64(segments[3])
        for base in segments[..<3] { FileLogAppender.remove(base, in: path) }
        try readAll(first)
        #expect(first.missing.count == 1 && first.missing[0].upperBound == third)
        let expected = Array(0..<first.missing[0].lowerBound) + Array(third..<40)
        #expect(first.records.map(\.offset) == expected)
        #expect(first.reader.statistics.missingRecordCount == UInt64(first.missing[0].count))
        first.reader.close()
        let second = try member()
        try readAll(second)
        #expect(second.missing == [2..<third] && second.starts.map(\.offset) == [third])
        #expect(second.records.map(\.offset) == Array(third..<40))
    }

    @Test func aGapInTheMiddleIsDamageAndNoRetention() throws {
        var settings = FileLogSettings()
        settings.segmentBytes = 400
        try append(0..<20, bytes: 100, settings)
        FileLogAppender.remove(try FileLogFolder.segments(path)[2], in: path)
        let member = try member()
        #expect {
            try readAll(member)
        } throws: { ($0 as? TrafficLogError)?.code == .corrupt }
    }

    @Test func aPositionBehindTheEndIsAnError() throws {
        try append(0..<5)
        let first = try member()
        try first.reader.commit([0: GroupPosition(offset: 9)])
        first.reader.close()
        #expect {
            _ = try member()
        } throws: { ($0 as? TrafficLogError)?.message.contains("record 9 does not exist") == true }
    }

    @Test func pausedReadersDeliverNothing() throws {
        try append(0..<10)
        let member = try member()
        #expect(try member.run { !member.starts.isEmpty })
        try member.reader.pause([0])
        #expect(try !member.turn(.milliseconds(5)) && member.records.isEmpty)
        try member.reader.resume([0])
        try readAll(member)
        #expect(member.records.count == 10)
    }

    @Test func aReaderFollowsTheWriterOverRotations() throws {
        var settings = FileLogSettings()
        settings.segmentBytes = 2000
        let log = try FileTrafficLog(path: path, settings: settings)
        let sink = CollectingSink()
        let member = try member()
        for token in UInt64(0)..<300 {
            try log.append(RecordSegment(token, "r\(token)"), key: ConnectionKey("k"), sink: sink)
            guard token % 7 == 0 else { continue }
            #expect(log.flush(within: .seconds(60)))
            try member.turn(.milliseconds(1))
        }
        #expect(log.flush(within: .seconds(60)))
        #expect(try member.run { member.records.count == 300 })
        #expect(member.records.map(\.offset) == Array(0..<300))
        #expect(try FileLogFolder.segments(path).count > 3)
        log.close()
    }

    /// Symptom to avoid: half a batch at the end, left by a killed writer, stops the reader or is skipped.
    @Test func aTornTailIsWaitedForAndReadOnceTheWriterRecovered() throws {
        try append(0..<10)
        let name = path + "/" + FileLogFormat.segmentName(0)
        let whole = try FileTree.read(name)
        // The beginning of a batch that never became whole: as if it was cut in the middle of its write.
        let batch = Array(whole[FileLogFormat.segmentHeaderBytes...].prefix(70))
        try FileTree.write(name, whole + batch)
        let member = try member()
        try readAll(member)
        #expect(member.records.count == 10)
        try append(10..<15)
        #expect(try member.run { member.records.count == 15 })
        #expect(member.records.map(\.value) == (0..<15).map { "r\($0)" })
    }

    /// One held record of a large batch keeps its own memory alive, not the batch.
    @Test func heldMemoryIsBoundedByRecordsAndNotByBatches() throws {
        let log = try FileTrafficLog(path: path)
        let sink = CollectingSink()
        let text = String(repeating: "v", count: 1500)
        for token in UInt64(0)..<2000 {
            try log.append(RecordSegment(token, text), key: ConnectionKey("k"), sink: sink)
        }
        #expect(log.flush(within: .seconds(60)))
        log.close()
        let reader = try FileGroupReader(path: path, group: nil)
        var kept: [LoggedRecord] = []
        var count = 0
        while let event = try reader.next(within: .zero, recordLimit: 500) {
            guard case .records(let records) = event else { continue }
            count += records.count
            #expect(reader.statistics.heldBytes >= records.count * 1500)
            kept += records.filter { $0.position.offset % 500 == 0 }
        }
        #expect(count == 2000 && kept.count == 4)
        #expect(reader.statistics.heldBytes <= 4 * max(RecordCopies.limitBytes, RecordCopies.valueLimitBytes))
        #expect(kept.allSatisfy { $0.value.elementsEqual(text.utf8) && $0.key?.elementsEqual("k".utf8) == true })
        kept = []
        #expect(reader.statistics.heldBytes == 0)
    }
}
