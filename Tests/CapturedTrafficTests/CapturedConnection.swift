import CapturedTraffic

/// Records of one connection made event by event, and what the reassembler makes of them.
struct CapturedConnection {
    enum Step {
        case read(String), write(String), readSegment(String), writeSegment(String)
        case end, dropped, close, segmentEnd
        case exception(String)
        /// A new record begins here.
        case cut
    }

    private(set) var records: [[UInt8]] = []

    init(_ steps: [Step], from position: TrafficStreamPosition = TrafficStreamPosition()) {
        var buffer = RecordBuffer(byteCount: 1 << 16, position: position)
        var time = TrafficTimestamp.golden
        for step in steps {
            time.seconds += 1
            switch step {
            case .read(let text): _ = buffer.land(Array(text.utf8), .read, at: time)
            case .write(let text): _ = buffer.land(Array(text.utf8), .write, at: time)
            case .readSegment(let text): _ = buffer.land(Array(text.utf8), .readSegment, at: time)
            case .writeSegment(let text): _ = buffer.land(Array(text.utf8), .writeSegment, at: time)
            case .end: buffer.writer.appendEndOfMessage(firstLineBytes: 1, headerBytes: 1, at: time)
            case .dropped: buffer.writer.appendRequestDropped(at: time)
            case .close: buffer.writer.appendClose(at: time)
            case .segmentEnd: buffer.writer.appendSegmentEnd(at: time)
            case .exception(let text): buffer.writer.appendException(text, at: time)
            case .cut:
                let next = buffer.writer.nextPosition
                records.append(buffer.finish())
                buffer = RecordBuffer(byteCount: 1 << 16, position: next)
            }
        }
        records.append(buffer.finish())
    }

    /// Feeds the records that `indices` name, all in order by default.
    func reassembled(
        _ indices: [Int]? = nil
    ) throws -> (
        exchanges: [CapturedExchange], reassembler: ExchangeReassembler, outcomes: [ExchangeReassembler.RecordOutcome]
    ) {
        var reassembler = ExchangeReassembler()
        var collector = ExchangeCollector()
        var outcomes: [ExchangeReassembler.RecordOutcome] = []
        for index in indices ?? Array(records.indices) {
            try records[index].withUnsafeBytes { bytes in
                outcomes.append(try reassembler.receive(TrafficStreamReader(bytes), into: &collector))
            }
        }
        reassembler.finish(into: &collector)
        return (collector.takeFinished(), reassembler, outcomes)
    }
}

extension CapturedExchange {
    var requestText: String { String(decoding: request, as: UTF8.self) }
    var responseText: String { String(decoding: response, as: UTF8.self) }
}
