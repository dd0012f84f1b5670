import CapturedTraffic
import TestSupport
import Testing

/// A record as plain values, the model that the writer is compared with.
private enum Event: Equatable {
    case data(TrafficStreamWriter.DataKind, [UInt8])
    case endOfMessage(Int32, Int32)
    case segmentEnd, close, dropped
    case exception(String)

    init?(_ event: TrafficEvent) {
        switch event {
        case .read(let data): self = .data(.read, Array(data))
        case .readSegment(let data): self = .data(.readSegment, Array(data))
        case .write(let data): self = .data(.write, Array(data))
        case .writeSegment(let data): self = .data(.writeSegment, Array(data))
        case .endOfMessage(let firstLine?, let headers?): self = .endOfMessage(firstLine, headers)
        case .segmentEnd: self = .segmentEnd
        case .close: self = .close
        case .requestDropped: self = .dropped
        case .connectionException(let text): self = .exception(String(decoding: text, as: UTF8.self))
        default: return nil
        }
    }
}

private func events(_ record: [UInt8]) throws -> [Event?] {
    try record.withUnsafeBytes { bytes in
        var reader = try TrafficStreamReader(bytes)
        var events: [Event?] = []
        while let observation = try reader.next() { events.append(Event(observation.event)) }
        #expect(events.count == reader.header.observationCount)
        return events
    }
}

@Suite struct TrafficStreamWriterTests {
    @Test(arguments: 0..<40)
    func recordsComeBackAsTheyWereWritten(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let buffer = RecordBuffer(byteCount: 300 + random.below(6000))
        var expected: [Event] = []
        for _ in 0..<random.below(40) {
            let time = TrafficTimestamp(
                seconds: Int64(random.below(1 << 31)), nanoseconds: Int32(random.below(1_000_000_000)))
            let free = buffer.writer.freeBytes
            switch random.below(8) {
            case 0...3:
                let kind = TrafficStreamWriter.DataKind(rawValue: UInt8(random.below(4))) ?? .read
                let data = random.bytes(1 + random.below(400))
                let fits = buffer.land(data, kind, at: time)
                #expect(fits == (TrafficStreamWriter.dataHeadBytes + data.count <= free))
                guard fits else { continue }
                expected.append(.data(kind, data))
                #expect(buffer.writer.freeBytes == free - TrafficStreamWriter.dataHeadBytes - data.count)
            case 4:
                let lengths = (Int32(random.below(1 << 31)), Int32(random.below(300)))
                let fits = buffer.writer.appendEndOfMessage(firstLineBytes: lengths.0, headerBytes: lengths.1, at: time)
                #expect(fits == (TrafficStreamWriter.endOfMessageBytes <= free))
                if fits { expected.append(.endOfMessage(lengths.0, lengths.1)) }
            case 5:
                let fits = buffer.writer.appendSegmentEnd(at: time)
                #expect(fits == (TrafficStreamWriter.emptyEventBytes <= free))
                if fits { expected.append(.segmentEnd) }
            case 6:
                let fits = buffer.writer.appendRequestDropped(at: time)
                #expect(fits == (TrafficStreamWriter.requestDroppedBytes <= free))
                if fits { expected.append(.dropped) }
            default:
                let text = String(repeating: "ü", count: random.below(30))
                let fits = buffer.writer.appendException(text, at: time)
                #expect(fits == (TrafficStreamWriter.exceptionBytes(messageBytes: text.utf8.count) <= free))
                if fits { expected.append(.exception(text)) }
            }
        }
        #expect(buffer.writer.observationCount == expected.count)
        let isLast = random.below(2) == 0
        let byteCount = buffer.writer.byteCount
        let record = buffer.finish(isLast: isLast)
        #expect(record.count == byteCount + TrafficStreamWriter.indexBytes && record.count <= buffer.bytes.count)
        #expect(try events(record) == expected)
        try record.withUnsafeBytes { bytes in
            let header = try TrafficStreamReader(bytes).header
            #expect(header.isLast == isLast && header.number == 1 && header.priorRequests == nil)
            #expect(Array(header.connectionID) == RecordBuffer.identity.connectionID)
            #expect(String(decoding: header.nodeID, as: UTF8.self) == "8abcde47-da63-4232-b414-db5a1be3c4bb")
        }
    }

    @Test func committedBytesStayWhereTheyLanded() throws {
        let buffer = RecordBuffer(byteCount: 4096)
        let place = try #require(buffer.reserve())
        place.copyBytes(from: Array("GET / HTTP/1.1".utf8))
        let committed = buffer.commit(.read, count: 14)
        #expect(committed.baseAddress == place.baseAddress && committed.count == 14)
        _ = buffer.land(Array("answer".utf8), .write)
        let record = buffer.finish()
        #expect(Array(committed) == Array("GET / HTTP/1.1".utf8))
        #expect(buffer.bytes.prefix(record.count).elementsEqual(record), "the record starts where the buffer does")
    }

    @Test func aBodyAtTheRecordsEndLeavesNoEmptySegment() throws {
        let probe = RecordBuffer(byteCount: 1000)
        let free = probe.writer.dataBytesFree(keepingBytes: 0)
        for difference in [-1, 0, 1] {
            let buffer = RecordBuffer(byteCount: 1000)
            let data = [UInt8](repeating: 7, count: free + difference)
            #expect(buffer.land(data) == (difference <= 0))
            let record = buffer.finish()
            #expect(record.count == (difference == -1 ? 999 : difference == 0 ? 1000 : record.count))
            #expect(try events(record) == (difference <= 0 ? [.data(.read, data)] : []))
            let copied = data.withUnsafeBytes { bytes in
                RecordBuffer(byteCount: 1000).append(.read, copying: bytes)
            }
            #expect(copied == (difference <= 0))
        }
        let full = RecordBuffer(byteCount: 1000)
        _ = full.land([UInt8](repeating: 7, count: free))
        #expect(full.reserve(keepingBytes: 0) == nil && full.writer.dataBytesFree() == 0)
        #expect(full.append(.read, copying: UnsafeRawBufferPointer(start: nil, count: 0)))
    }

    @Test func anEndOfMessageIsKeptFree() throws {
        let buffer = RecordBuffer(byteCount: 600)
        let place = try #require(buffer.reserve())
        buffer.commit(.read, count: place.count)
        #expect(buffer.writer.freeBytes == TrafficStreamWriter.endOfMessageBytes)
        #expect(buffer.appendEndOfMessage(1, 2))
        #expect(!buffer.appendClose())
        #expect(buffer.finish().count == 600)
    }

    @Test func aBodyOfFiveMegabytesGoesOverRecordsOfOne() throws {
        var random = SeededGenerator(seed: 5)
        let body = random.bytes(5 << 20)
        var position = TrafficStreamPosition()
        var sent = 0
        var records: [[UInt8]] = []
        while sent < body.count {
            let buffer = RecordBuffer(byteCount: 2 << 20, position: position)
            let count = min(
                body.count - sent, buffer.writer.dataBytesFree(keepingBytes: TrafficStreamWriter.emptyEventBytes))
            body.withUnsafeBytes { bytes in
                let part = UnsafeRawBufferPointer(rebasing: bytes[sent..<sent + count])
                #expect(buffer.append(.readSegment, copying: part))
            }
            sent += count
            if sent == body.count { #expect(buffer.appendSegmentEnd()) }
            position = buffer.writer.nextPosition
            records.append(buffer.finish())
        }
        #expect(records.count == 6 && records.allSatisfy { $0.count <= 1 << 20 })
        #expect(position.isReadUnterminated && position.priorRequests == 0 && position.number == 7)
        let all = try records.flatMap { try events($0) }
        #expect(all.last == .segmentEnd)
        let joined = all.flatMap { event -> [UInt8] in
            if case .data(.readSegment, let data)? = event { data } else { [] }
        }
        #expect(joined == body)
    }

    @Test func threePipelinedRequestsInOneReadHaveThreeEnds() throws {
        let requests = ["PUT /a HTTP/1.1\r\n\r\n1", "PUT /bb HTTP/1.1\r\n\r\n22", "PUT /ccc HTTP/1.1\r\n\r\n333"].map {
            Array($0.utf8)
        }
        let buffer = RecordBuffer(byteCount: 4096)
        let landed = requests.flatMap { $0 }
        var rest = try #require(buffer.reserve())
        rest.copyBytes(from: landed)
        rest = UnsafeMutableRawBufferPointer(rebasing: rest[..<landed.count])
        for request in requests.dropLast() {
            let parts = try #require(
                buffer.commitRequest(count: request.count, landedCount: rest.count))
            #expect(Array(parts.request) == request)
            rest = parts.rest
        }
        buffer.commit(.read, count: rest.count)
        buffer.appendEndOfMessage(9, 20)
        #expect(buffer.writer.nextPosition.priorRequests == 3 && !buffer.writer.nextPosition.isReadUnterminated)
        let expected = requests.flatMap { [Event.data(.read, $0), .endOfMessage(9, 20)] }
        #expect(try events(buffer.finish()) == expected)
    }

    @Test func aRestThatDoesNotFitIsLeftToTheNextRecord() throws {
        let buffer = RecordBuffer(byteCount: 600)
        let place = try #require(buffer.reserve())
        let landed = [UInt8](0..<200) + [UInt8](repeating: 1, count: place.count - 200)
        place.copyBytes(from: landed)
        #expect(
            buffer.commitRequest(count: 200, landedCount: landed.count) == nil)
        let rest = Array(place[200..<landed.count])
        buffer.commit(.read, count: 200)
        #expect(buffer.appendEndOfMessage(1, 2))
        #expect(try events(buffer.finish()) == [.data(.read, [UInt8](0..<200)), .endOfMessage(1, 2)])
        #expect(rest == Array(landed[200...]))
    }

    @Test func theNextRecordSaysWhereTheConnectionStands() throws {
        var position = TrafficStreamPosition()
        var headers: [(Int32?, Bool, Int32?)] = []
        for step in 0..<4 {
            let buffer = RecordBuffer(byteCount: 600, position: position)
            _ = buffer.land([1])
            if step % 2 == 0 { buffer.appendEndOfMessage(1, 1) }
            if step == 3 { buffer.writer.appendRequestDropped(at: .golden) }
            position = buffer.writer.nextPosition
            try buffer.finish().withUnsafeBytes { bytes in
                let header = try TrafficStreamReader(bytes).header
                headers.append((header.priorRequests, header.isReadUnterminated, header.number))
            }
        }
        #expect(headers.map(\.0) == [nil, 1, 1, 2])
        #expect(headers.map(\.1) == [false, false, true, false])
        #expect(headers.map(\.2) == [1, 2, 3, 4])
        #expect(!position.isReadUnterminated && position.priorRequests == 2)
    }

    @Test func longExceptionsAreCutAtACharacter() throws {
        let buffer = RecordBuffer(byteCount: 4096)
        #expect(buffer.appendException("x" + String(repeating: "\u{2603}", count: 2000)))
        let found = try events(buffer.finish())
        #expect(found == [.exception("x" + String(repeating: "\u{2603}", count: 341))])
    }

    @Test func smallBuffersLastForTheHeadAtLeast() {
        let identity = TrafficStreamIdentity(
            connectionID: String(repeating: "c", count: 64), nodeID: String(repeating: "n", count: 36))
        var position = TrafficStreamPosition()
        position.priorRequests = 5
        position.isReadUnterminated = true
        let least =
            TrafficStreamWriter.headBytesLimit(identity) + TrafficStreamWriter.dataHeadBytes
            + TrafficStreamWriter.indexBytes + 1
        let buffer = RecordBuffer(byteCount: least, position: position, identity: identity)
        #expect(buffer.land([9]) && buffer.writer.freeBytes == 0)
        #expect(buffer.finish().count == least)
    }
}
