import CISAL
import CapturedTraffic
import Glibc
import TestSupport
import Testing

@testable import TrafficLog

@Suite struct ArchiveGroupReaderTests {
    private let scratch: TemporaryFolder

    init() throws { scratch = try TemporaryFolder("archive-group") }

    private func member(
        _ path: String, _ group: String? = nil, _ change: (inout GroupReaderSettings) -> Void = { _ in }
    ) throws -> GroupMember {
        var settings = GroupReaderSettings()
        change(&settings)
        return GroupMember(try ArchiveGroupReader(path: path, group: group, settings: settings))
    }

    private func readAll(_ member: GroupMember) throws { while try member.turn(.zero) {} }

    private func write(_ name: String, _ lines: [String]) throws -> String {
        let path = scratch.path(name)
        try FileTree.write(path, Array(lines.map { $0 + "\n" }.joined().utf8))
        return path
    }

    private func writeZipped(_ name: String, _ lines: [String]) throws -> String {
        let text = Array(lines.map { $0 + "\n" }.joined().utf8)
        let packed = [UInt8](unsafeUninitializedCapacity: millrace_gzip_bound(text.count)) { bytes, count in
            count = millrace_gzip(text, text.count, bytes.baseAddress, bytes.count)
        }
        try FileTree.write(scratch.path(name), packed)
        return scratch.path(name)
    }

    private func base64(_ text: String) -> String {
        var encoded: [UInt8] = []
        Array(text.utf8).withUnsafeBytes {
            TrafficArchiveLine.append(key: .init(start: nil, count: 0), value: $0, to: &encoded)
        }
        return String(decoding: encoded.dropFirst().dropLast(), as: UTF8.self)
    }

    @Test func everyFormOfTheReferenceIsRead() throws {
        let text = base64("hello")
        for path in [
            try writeZipped("a.proto.gz", ["k1|\(text)", "k2|\(text)"]), try write("b.txt", [text, text]),
            try write("c.ndjson", [#"{"timestamp":77,"key":"k1","value":"\#(text)"}"#, #"{"value":"\#(text)"}"#]),
        ] {
            let member = try member(path)
            try readAll(member)
            #expect(member.records.map(\.value) == ["hello", "hello"])
            #expect(member.records.map(\.offset) == [0, 1] && member.ended == [0: 2])
            #expect(try !member.turn(.zero))
        }
        let reader = try ArchiveGroupReader(path: scratch.path("c.ndjson"), group: nil)
        _ = try reader.next(within: .zero, recordLimit: 10)
        guard case .records(let records)? = try reader.next(within: .zero, recordLimit: 10) else {
            Issue.record("no records")
            return
        }
        #expect(records.map(\.timestampMilliseconds) == [77, -1])
        #expect(records[0].key?.elementsEqual("k1".utf8) == true && records[1].key == nil)
    }

    @Test func aFolderIsReadFileByFileAndItsPositionsKept() throws {
        _ = try write("1.txt", (0..<5).map { base64("a\($0)") })
        _ = try writeZipped("2.gz", (0..<5).map { "k|" + base64("b\($0)") })
        let first = try member(scratch.path, "g")
        try readAll(first)
        #expect(first.records.map(\.value) == (0..<5).map { "a\($0)" } + (0..<5).map { "b\($0)" })
        #expect(first.records.map(\.partition) == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
        #expect(first.ended == [0: 5, 1: 5])
        #expect(throws: TrafficLogError.self) { try member(scratch.path, "g") }
        try first.reader.commit([0: GroupPosition(offset: 5), 1: GroupPosition(offset: 3, note: "n")])
        first.reader.close()
        let second = try member(scratch.path, "g")
        try readAll(second)
        #expect(second.starts.map(\.offset) == [5, 3] && second.starts.map(\.note) == ["", "n"])
        #expect(second.records.map(\.value) == ["b3", "b4"] && second.ended == [0: 5, 1: 5])
        second.reader.close()
        let reset = try member(scratch.path, "g") { $0.resetsPositions = true }
        try readAll(reset)
        #expect(reset.records.count == 10)
    }

    @Test func badLinesAreToldWithTheirPlaceAndTheOthersRead() throws {
        let path = try write("x.txt", [base64("a"), "k|***", "", base64("b"), "{", base64("c")])
        let member = try member(path)
        try readAll(member)
        #expect(member.records.map(\.value) == ["a", "b", "c"] && member.records.map(\.offset) == [0, 3, 5])
        #expect(member.unreadable.map(\.position.offset) == [1, 4] && member.ended == [0: 6])
        #expect(member.unreadable[0].bytes == Array("k|***".utf8))
        #expect(member.unreadable[0].reason.contains("x.txt, line 2:"))
    }

    @Test func aDamagedArchiveIsReadUpToTheDamageAndDoesNotEnd() throws {
        var random = SeededGenerator(seed: 4)
        let lines = (0..<400).map { number in "k|" + base64("\(number) \(random.bytes(30))") }
        let path = try writeZipped("cut.gz", lines)
        let whole = try FileTree.read(path)
        for count in [whole.count / 3, whole.count - 9, whole.count - 1] {
            try FileTree.write(path, Array(whole.prefix(count)))
            let member = try member(path)
            for _ in 0..<2 {
                #expect {
                    try readAll(member)
                } throws: { ($0 as? TrafficLogError)?.code == .corrupt }
            }
            #expect(member.ended.isEmpty)
            let numbers = member.records.map { Int($0.value.prefix { $0 != " " }) ?? -1 }
            #expect(numbers == Array(0..<numbers.count) && (count < whole.count - 9 || numbers.count == 400))
        }
    }

    @Test func timesStartAndEndWhereTheArchiveHasThem() throws {
        let lines = (0..<10).map { #"{"timestamp":\#(1000 + $0 * 10),"value":"\#(base64("t\($0)"))"}"# }
        let path = try write("t.ndjson", lines)
        let member = try member(path) {
            $0.start = .timestamp(milliseconds: 1035)
            $0.end = .time(milliseconds: 1070)
        }
        try readAll(member)
        #expect(member.records.map(\.value) == ["t4", "t5", "t6"] && member.ended == [0: 7])
        let plain = try write("p.txt", [base64("a")])
        let untimed = try self.member(plain) { $0.start = .timestamp(milliseconds: 5) }
        #expect {
            try readAll(untimed)
        } throws: { ($0 as? TrafficLogError)?.code == .invalidSetting }
        #expect(throws: TrafficLogError.self) { try self.member(plain) { $0.start = .latest } }
        let middle = try self.member(path) { $0.start = .offsets([0: 8]) }
        try readAll(middle)
        #expect(middle.records.map(\.value) == ["t8", "t9"])
    }

    /// The fixtures lie beside the project where it is developed.
    private static let fixtures: String? = {
        let project = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        var candidates = [project + "/../shared/fixtures/traffic"]
        if let named = getenv("MILLRACE_FIXTURES") { candidates.insert(String(cString: named) + "/traffic", at: 0) }
        return candidates.first { access($0 + "/reference-small.ndjson.gz", R_OK) == 0 }
    }()

    @Test(
        .enabled(if: ArchiveGroupReaderTests.fixtures != nil),
        arguments: [("reference-small", 12_000), ("reference-bulk", 150)])
    func theReferencesTopicsAreReadWhole(name: String, count: Int) throws {
        let folder = try #require(Self.fixtures)
        let reader = try ArchiveGroupReader(path: "\(folder)/\(name).ndjson.gz", group: nil)
        var found = 0
        while let event = try reader.next(within: .zero, recordLimit: 300) {
            guard case .records(let records) = event else { continue }
            for record in records {
                let stream = try TrafficStreamReader(record.value)
                let isItsKey = record.key.map { $0.elementsEqual(stream.header.connectionID) } ?? false
                let isInPlace = record.timestampMilliseconds > 1_700_000_000_000 && record.position.offset == found
                if isItsKey, isInPlace { found += 1 }
            }
        }
        #expect(found == count)
        #expect(reader.statistics.heldBytes == 0)
    }
}
