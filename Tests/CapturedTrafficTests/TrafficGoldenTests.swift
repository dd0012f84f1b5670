import CapturedTraffic
import Glibc
import JSONBytes
import TestSupport
import Testing

/// Against code that protoc generates (Tests/Fixtures/traffic/renew.py).
@Suite struct TrafficGoldenTests {
    @Test func readsWhatProtobufEncodes() throws {
        let lines = try TrafficFixtures.lines(TrafficFixtures.folder + "/golden.ndjson")
        #expect(lines.count >= 14)
        for line in lines {
            let golden = try JSONValue.parse(line)
            let record = try #require(
                Array((golden["value"]?.stringValue ?? "").utf8).withUnsafeBytes { Base64.decode($0) })
            #expect(try RecordDescription.of(record) == golden["expected"], "\(golden["name"]?.stringValue ?? "?")")
        }
    }

    /// `renew.py check written.ndjson` decodes the same file with protobuf. To renew it after a change of the writer:
    /// `MILLRACE_RENEW_FIXTURES=1 swift test --filter TrafficGoldenTests`, then `renew.py check`.
    @Test func writesWhatProtobufDecodes() throws {
        let path = TrafficFixtures.folder + "/written.ndjson"
        var text: [UInt8] = []
        for (name, record) in Self.records() {
            var value: [UInt8] = []
            record.withUnsafeBytes { Base64.append($0, to: &value) }
            let line = RecordDescription.object([
                ("name", .string(name)), ("value", .string(String(decoding: value, as: UTF8.self))),
                ("expected", try RecordDescription.of(record)),
            ])
            text += line.serialized() + [UInt8(ascii: "\n")]
        }
        if getenv("MILLRACE_RENEW_FIXTURES") != nil { try FileTree.write(path, text) }
        #expect(try FileTree.read(path) == text)
    }

    private static func records() -> [(String, [UInt8])] {
        let get = Array("GET /_cat HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        var records: [(String, [UInt8])] = []
        let record = { (name: String, position: TrafficStreamPosition, isLast: Bool, body: (RecordBuffer) -> Void) in
            let buffer = RecordBuffer(byteCount: 8192, position: position)
            body(buffer)
            records.append((name, buffer.finish(isLast: isLast)))
        }
        var later = TrafficStreamPosition()
        later.number = 300
        later.priorRequests = 70_000
        later.isReadUnterminated = true
        record("nothing", TrafficStreamPosition(), false) { _ in }
        record("an exchange", TrafficStreamPosition(), false) { buffer in
            _ = buffer.land(get)
            buffer.writer.appendEndOfMessage(firstLineBytes: 20, headerBytes: 31, at: .golden)
            _ = buffer.land([UInt8](repeating: 0x61, count: 300), .write)
            buffer.writer.appendClose(at: .golden)
        }
        record("segments over the end, last", later, true) { buffer in
            _ = buffer.land(Array("abc".utf8), .readSegment)
            buffer.writer.appendSegmentEnd(at: .golden)
            _ = buffer.land(Array("de".utf8), .writeSegment)
            buffer.writer.appendRequestDropped(at: .golden)
            buffer.writer.appendException("zurückgesetzt \u{2603}", at: .golden)
        }
        record("times at the edges", TrafficStreamPosition(), false) { buffer in
            _ = buffer.land([1], at: TrafficTimestamp(seconds: 0, nanoseconds: 0))
            _ = buffer.land([2], at: TrafficTimestamp(seconds: (1 << 35) - 1, nanoseconds: 999_999_999))
            _ = buffer.land([3], at: TrafficTimestamp(seconds: -1, nanoseconds: -1))
        }
        record("largest numbers", largest, true) { buffer in
            buffer.writer.appendEndOfMessage(firstLineBytes: .max, headerBytes: 0, at: .golden)
        }
        record("pipelined", TrafficStreamPosition(), false) { buffer in
            guard let place = buffer.writer.reserve() else { return }
            place.copyBytes(from: get + get)
            let parts = buffer.writer.commitRequest(
                count: get.count, landedCount: 2 * get.count, firstLineBytes: 20, headerBytes: 31, at: .golden)
            buffer.writer.commit(.read, count: parts?.rest.count ?? 0, at: .golden)
            buffer.writer.appendEndOfMessage(firstLineBytes: 20, headerBytes: 31, at: .golden)
        }
        return records
    }

    private static var largest: TrafficStreamPosition {
        var position = TrafficStreamPosition()
        position.number = .max
        position.priorRequests = .max
        return position
    }
}
