import CISAL
import CZstd
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Replay

@Suite struct TupleFilesTests {
    private let folder: TemporaryFolder
    private static let compressions: [TupleCompression] = [.none, .gzip, .zstd(level: -1)]

    init() throws { folder = try TemporaryFolder("tuple-files") }

    private func settings(_ compression: TupleCompression = .gzip) -> TupleFiles.Settings {
        var settings = TupleFiles.Settings(folder: folder.path("tuples"), instance: "r-0")
        settings.compression = compression
        settings.groupInterval = .milliseconds(1)
        settings.retryInterval = .milliseconds(1)
        return settings
    }

    private func line(_ number: UInt64) -> [UInt8] {
        Array("{\"number\":\(number),\"text\":\"\(String(repeating: "x", count: Int(number % 50)))\"}\n".utf8)
    }

    private func lines(_ numbers: some Sequence<UInt64>) -> [UInt8] { numbers.flatMap(line) }

    /// Names and unpacked contents, in order of the names' numbers.
    private func contents(_ compression: TupleCompression) throws -> [(name: String, text: [UInt8])] {
        let names = try TestFiles.names(folder.path("tuples"))
        return try names.sorted { number($0) < number($1) }.map { name in
            (name, try TestFiles.unpacked(folder.path("tuples/\(name)"), compression))
        }
    }

    private func number(_ name: String) -> Int {
        Int(name.split(separator: ".")[0].split(separator: "-").last ?? "") ?? -1
    }

    @Test(arguments: Self.compressions)
    func everyTicketComesBackOnceItsLineIsOnDisk(compression: TupleCompression) throws {
        let journal = Journal()
        let files = try TupleFiles(settings(compression), wallClock: { 1_772_359_200_000 }, events: journal.note)
        for ticket in 0..<1000 { files.append(line(UInt64(ticket)), ticket: UInt64(ticket)) }
        journal.wait { $0.tickets.count == 1000 }
        #expect(journal.tickets == Array(0..<1000))
        // Durable lines are readable while the file is still being written.
        let unfinished = try contents(compression)
        #expect(unfinished.count == 1 && unfinished[0].name.hasSuffix(".part"))
        #expect(unfinished[0].text == lines(0..<1000))
        files.close()
        let written = try contents(compression)
        #expect(written.map(\.name) == ["tuples-r-0-20260301T100000Z-1" + compression.fileExtension])
        #expect(written[0].text == lines(0..<1000))
        #expect(journal.finished.count == 1)
    }

    @Test func aGroupThatHoldsMuchMemoryDoesNotGrowOld() throws {
        let journal = Journal()
        var settings = settings(.none)
        settings.groupInterval = .seconds(3600)
        settings.heldBytes = 100
        let files = try TupleFiles(settings, wallClock: { 0 }, events: journal.note)
        files.append(line(0), ticket: 0, heldBytes: 60)
        files.append(line(1), ticket: 1, heldBytes: 60)
        journal.wait { $0.tickets == [0, 1] }
        files.append(line(2), ticket: 2, heldBytes: 60)
        files.hurry()
        journal.wait { $0.tickets == [0, 1, 2] }
        files.close()
        #expect(try contents(.none).flatMap(\.text) == lines(0..<3))
    }

    @Test func filesRollBySize() throws {
        let journal = Journal()
        var settings = settings(.none)
        settings.fileBytes = 500
        let files = try TupleFiles(settings, wallClock: { 0 }, events: journal.note)
        for ticket in 0..<40 {
            files.append(line(UInt64(ticket)), ticket: UInt64(ticket))
            journal.wait { $0.tickets.count == ticket + 1 }
        }
        files.close()
        let written = try contents(.none)
        #expect(written.count > 3 && written.allSatisfy { !$0.name.hasSuffix(".part") })
        #expect(written.dropLast().allSatisfy { $0.text.count >= 500 && $0.text.count < 600 })
        #expect(written.flatMap(\.text) == lines(0..<40))
    }

    @Test func anIdleFileIsFinishedWhenItIsOldEnough() throws {
        let journal = Journal()
        let clock = Atomic<Int64>(0)
        var settings = settings()
        settings.fileAge = .milliseconds(20)
        let files = try TupleFiles(
            settings, wallClock: { clock.add(1, ordering: .relaxed).newValue }, events: journal.note)
        files.append(line(1), ticket: 1)
        journal.wait { $0.finished.count == 1 }
        files.append(line(2), ticket: 2)
        journal.wait { $0.tickets == [1, 2] }
        files.close()
        #expect(try contents(.gzip).map(\.text) == [line(1), line(2)])
    }

    @Test func nothingIsWrittenWithoutTuples() throws {
        let journal = Journal()
        let files = try TupleFiles(settings(), wallClock: { 0 }, events: journal.note)
        files.close()
        #expect(try contents(.gzip).isEmpty && journal.finished.isEmpty)
    }

    /// kill -9 leaves a file that ends anywhere: at the end of a group, and at every byte of one.
    @Test(arguments: Self.compressions)
    func whatAKilledWriterLeftEndsWithItsLastWholeGroup(compression: TupleCompression) throws {
        let packer = TupleGroupPacker(compression)
        var whole: [UInt8] = []
        var ends = [0]
        var texts: [[UInt8]] = [[]]
        for group in 0..<4 {
            let text = lines(UInt64(group * 3)..<UInt64(group * 3 + 3))
            packer.pack(text)
            whole += packer.packed
            ends.append(whole.count)
            texts.append(texts[group] + text)
        }
        mkdir(folder.path("tuples"), 0o700)
        let name = folder.path("tuples/tuples-r-0-20260301T100000Z-1" + compression.fileExtension)
        for length in 0...whole.count {
            // A power cut may leave pages of zeros behind. They may happen to be the rest of a checksum.
            let left = Array(whole[..<length]) + [UInt8](repeating: 0, count: length % 3 == 0 ? 100 : 0)
            var kept = ends.lastIndex { $0 <= left.count && left[..<$0] == whole[..<$0] } ?? 0
            var expected = texts[kept]
            if compression == .none {
                // Plain files have no groups: every whole line counts.
                expected = Array(whole[..<length])
                expected.removeLast(expected.reversed().firstIndex(of: 0x0A) ?? expected.count)
                kept = expected.count
            }
            try FileTree.write(name + ".part", left)
            let journal = Journal()
            try TupleFiles(settings(compression), wallClock: { 0 }, events: journal.note).close()
            #expect(journal.recovered.count == 1, "cut at \(length)")
            if expected.isEmpty {
                #expect(try contents(compression).isEmpty, "cut at \(length)")
            } else {
                #expect(try TestFiles.unpacked(name, compression) == expected, "cut at \(length)")
                #expect(try TestFiles.names(folder.path("tuples")).count == 1)
                unlink(name)
            }
        }
    }

    @Test func otherInstancesAndRunningOnesAreLeftAlone() throws {
        let journal = Journal()
        let files = try TupleFiles(settings(), wallClock: { 0 }, events: journal.note)
        files.append(line(1), ticket: 1)
        journal.wait { $0.tickets == [1] }
        let other = folder.path("tuples/tuples-r-0-b-19700101T000000Z-1.ndjson.gz.part")
        try FileTree.write(other, [1, 2, 3])
        let second = Journal()
        try TupleFiles(settings(), wallClock: { 0 }, events: second.note).close()
        #expect(second.recovered.isEmpty && access(other, F_OK) == 0)
        files.append(line(2), ticket: 2)
        files.close()
        unlink(other)
        #expect(journal.tickets == [1, 2])
        #expect(try contents(.gzip).map(\.text) == [line(1) + line(2)])
    }

    /// Faults at every call in turn: whatever fails, once or for a while, each line stands in the files, in order,
    /// and no ticket is handed out before its line was synced.
    @Test(arguments: Self.compressions)
    func faultsLoseNothing(compression: TupleCompression) throws {
        for seed in 0..<60 {
            let system = FaultySystem(seed: UInt64(seed))
            let journal = Journal()
            var settings = settings(compression)
            settings.folder = folder.path("tuples")
            settings.fileBytes = 300
            let files = try TupleFiles(settings, system: system, wallClock: { 0 }, events: journal.note)
            for ticket in 0..<40 {
                files.append(line(UInt64(ticket)), ticket: UInt64(ticket))
                if ticket % 4 == 3 { journal.wait { $0.tickets.count == ticket + 1 } }
            }
            files.close(patience: .seconds(60))
            #expect(journal.tickets == Array(0..<40), "seed \(seed)")
            #expect(system.faultCount == 0 || journal.failureCount > 0)
            // A file that was given up is finished by the next start.
            try TupleFiles(settings, wallClock: { 0 }, events: journal.note).close()
            let written = try contents(compression)
            #expect(written.allSatisfy { !$0.name.hasSuffix(".part") })
            var found = written.flatMap { $0.text.split(separator: 0x0A).map { Array($0) + [0x0A] } }
            // A file that was given up may hold lines of the group that was written anew.
            found = found.indices.filter { !found[($0 + 1)...].contains(found[$0]) }.map { found[$0] }
            #expect(found == (0..<40).map(line), "seed \(seed)")
            for (name, _) in written { unlink(folder.path("tuples/\(name)")) }
        }
    }

    @Test func whatAFullDiskKeepsWaitingIsWrittenLater() throws {
        let system = FaultySystem(seed: nil)
        system.isFull = true
        let journal = Journal()
        let files = try TupleFiles(settings(), system: system, wallClock: { 0 }, events: journal.note)
        let count: UInt64 = 100
        for ticket in 0..<count { files.append(line(ticket), ticket: ticket) }
        journal.wait { $0.failureCount > 2 }
        #expect(journal.tickets.isEmpty)
        system.isFull = false
        journal.wait { $0.tickets.count == Int(count) }
        #expect(journal.tickets == Array(0..<count))
        files.close()
        #expect(try contents(.gzip).flatMap(\.text) == lines(0..<count))
    }

    @Test func theEndHasPatienceButNotForever() throws {
        let system = FaultySystem(seed: nil)
        system.isFull = true
        let journal = Journal()
        let files = try TupleFiles(settings(), system: system, wallClock: { 0 }, events: journal.note)
        files.append(line(1), ticket: 1)
        files.close(patience: .milliseconds(20))
        #expect(journal.tickets.isEmpty && journal.failureCount > 0)
    }

    @Test func aFolderThatCannotBeMadeIsSaid() {
        let settings = TupleFiles.Settings(folder: folder.path("no/such"), instance: "a")
        let what = "the folder \(settings.folder) cannot be made (its parent has to be there)"
        #expect(throws: TupleFileError(code: ENOENT, what: what)) {
            try TupleFiles(settings, wallClock: { 0 }, events: { _ in })
        }
    }
}

/// Events, for the test's thread to wait for.
// Sound: everything mutable is used with the condition's lock held.
private final class Journal: @unchecked Sendable {
    private let condition = TestCondition()
    private var all: [TupleFiles.Event] = []

    @Sendable func note(_ event: TupleFiles.Event) { condition.change { all.append(event) } }

    func wait(_ isReached: (Journal) -> Bool) { condition.wait { isReached(self) } }

    private var events: [TupleFiles.Event] { condition.read { all } }

    var tickets: [UInt64] {
        events.flatMap { event -> [UInt64] in
            if case .durable(let tickets) = event { return tickets }
            return []
        }
    }

    var finished: [String] {
        events.compactMap { event -> String? in
            if case .finished(let path, _) = event { return path }
            return nil
        }
    }

    var recovered: [String] {
        events.compactMap { event -> String? in
            if case .recovered(let path, _, _) = event { return path }
            return nil
        }
    }

    var failureCount: Int {
        events.count { event in
            if case .failed = event { return true }
            return false
        }
    }
}
