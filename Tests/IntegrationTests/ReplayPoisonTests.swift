import Foundation
import TestSupport
import Testing

/// Records that nobody can read, at the head of every partition.
@Suite("Replay and poison records", .serialized, .enabled(if: TestEnvironment.millraced != nil))
struct ReplayPoisonTests {
    /// What the letter has to say, and the record.
    private static var poison: [(reason: String, value: [UInt8])] {
        let whole = ReplayTraffic(requestCount: 1).record(0)
        var random = SeededGenerator(seed: 4)
        var observed = ProtobufRecord()
        observed.end(ReplayTraffic.startTime)
        let nameless = observed.value(connection: "", number: 1, isLast: false)
        return [
            ("no TrafficStream", random.bytes(200).map { $0 | 0x80 }), ("no observation", []),
            ("no observation", ProtobufRecord().value(connection: "empty", number: 1, isLast: false)),
            ("names no connection", nameless),
            // Cut within the observations.
            ("no TrafficStream", Array(whole[..<(whole.count / 2)])),
        ]
    }

    @Test(
        "they go to the dead letters, the rest is replayed and the position moves on",
        arguments: ReplayLogKind.available)
    func poisonAtTheHead(_ kind: ReplayLogKind) throws {
        let scratch = try TemporaryFolder("replay-poison")
        let traffic = ReplayTraffic(requestCount: 400)
        let log = try kind.make("poison", scratch)
        // Keys enough that each partition has some.
        let poison = Self.poison
        let first = (0..<40).flatMap { key in poison.map { ("p\(key)", $0.value) } }
        try traffic.write(to: log, first: first)
        var options = SinkOptions()
        options.journalPath = scratch.path("journal")
        let sink = try BulkSink(options)
        defer { sink.stop() }
        let run = try ReplayRun(log: log + "?group=g", target: sink.url, scratch: scratch)
        #expect(run.end() == .exited(0), "\(run.process.errorText)")
        let journal = try ReplayJournal(scratch.path("journal"))
        journal.check(traffic, "\(kind)")
        #expect(journal.repeated.isEmpty)
        #expect(try ReplayRun.lag(log + "?group=g", partitions: kind.partitionCount) == 0)

        let letters = try run.deadLetters()
        #expect(letters.count == first.count, "each is there, once")
        var places: Set<String> = []
        var contents: [[UInt8]] = []
        for letter in letters {
            let partition = try #require(letter["partition"]?.intValue)
            let offset = try #require(letter["offset"]?.intValue)
            #expect(places.insert("\(partition)/\(offset)").inserted, "one letter a record")
            let content = Array(Data(base64Encoded: letter["content"]?.stringValue ?? "?") ?? Data([1]))
            contents.append(content)
            let reason = letter["reason"]?.stringValue ?? ""
            let expected = try #require(poison.first { $0.value == content }, "the whole record is kept").reason
            #expect(!reason.isEmpty && reason.contains(expected), "\(reason)")
            #expect(letter["time"]?.intValue != nil)
        }
        #expect(Set(letters.compactMap { $0["partition"]?.intValue }).count == kind.partitionCount)
        #expect(FileTree.names(run.deadLettersFolder).allSatisfy { !$0.hasSuffix(".part") }, "all files are finished")

        let again = try ReplayRun(log: log + "?group=g", target: sink.url, scratch: scratch, name: "again")
        #expect(again.end() == .exited(0), "\(again.process.errorText)")
        #expect(try again.deadLetters().count == first.count, "they are not read a second time")
    }

    @Test("fields that are not known yet do not make a record poison")
    func unknownFields() throws {
        let scratch = try TemporaryFolder("replay-unknown")
        let traffic = ReplayTraffic(requestCount: 1, connectionCount: 1)
        let log = "file://" + scratch.path("log")
        // Fields 100 (a number) and 101 (text), before and behind what is known.
        let more: [UInt8] = [0xA0, 0x06, 0x07, 0xAA, 0x06, 0x03, 0x61, 0x62, 0x63]
        try ReplayTraffic(requestCount: 0).write(to: log, first: [("c0", more + traffic.record(0) + more)])
        var options = SinkOptions()
        options.journalPath = scratch.path("journal")
        let sink = try BulkSink(options)
        defer { sink.stop() }
        let run = try ReplayRun(log: log, target: sink.url, scratch: scratch)
        #expect(run.end() == .exited(0), "\(run.process.errorText)")
        try ReplayJournal(scratch.path("journal")).check(traffic)
        #expect(try run.deadLetters().isEmpty)
    }
}
