import CapturedTraffic
import JSONBytes

/// Promises of `ExchangeReceiver` as the reassembler must keep them.
private struct ReceiverCheck: ExchangeReceiver {
    var collector = ExchangeCollector(messageBytesLimit: 1 << 16)
    var byteCount = 0

    mutating func requestBytes(_ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp) {
        precondition(!bytes.isEmpty && request >= 0, "an empty piece, or request \(request)")
        byteCount += bytes.count
        collector.requestBytes(bytes, of: request, at: time)
    }
    mutating func requestEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp) {
        collector.requestEnded(request, ending, at: time)
    }
    mutating func requestDropped(_ request: Int) { collector.requestDropped(request) }
    mutating func responseBytes(_ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp) {
        precondition(!bytes.isEmpty, "an empty piece")
        byteCount += bytes.count
        collector.responseBytes(bytes, of: request, at: time)
    }
    mutating func interimResponseEnded(_ request: Int) { collector.interimResponseEnded(request) }
    mutating func responseEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp) {
        collector.responseEnded(request, ending, at: time)
    }
}

/// A record, twice as two records of a connection: no trap, slices inside of the record, every byte told at most once,
/// every exchange ended at the end, and its JSON is JSON.
@Sendable func fuzzTrafficStream(_ bytes: UnsafeRawBufferPointer) {
    var reassembler = ExchangeReassembler()
    var check = ReceiverCheck()
    var dataBytes = 0
    for _ in 0..<2 {
        guard let reader = try? TrafficStreamReader(bytes) else { break }
        dataBytes += inspect(reader, bytes)
        _ = try? reassembler.receive(reader, into: &check)
    }
    reassembler.finish(into: &check)
    precondition(
        check.byteCount + reassembler.strayByteCount + reassembler.opaqueByteCount <= dataBytes, "bytes are told twice")
    for exchange in check.collector.takeFinished() {
        var json = JSONWriter()
        exchange.append(to: &json, connection: "c", node: "n")
        let isJSON = (try? JSONValue.parse(json.bytes)) != nil
        precondition(isJSON, "an exchange that is no JSON")
    }
    precondition(check.collector.isEmpty, "an exchange is left open")
    fuzzTexts(bytes)
}

/// The bytes of all reads and writes.
private func inspect(_ start: TrafficStreamReader, _ record: UnsafeRawBufferPointer) -> Int {
    var reader = start
    var count = 0
    var dataBytes = 0
    let check = { (slice: UnsafeRawBufferPointer) in
        guard let base = slice.baseAddress, let first = record.baseAddress else { return }
        let offset = base - first
        precondition(offset >= 0 && offset + slice.count <= record.count, "a slice outside of the record")
    }
    check(reader.header.connectionID)
    check(reader.header.nodeID)
    var hasFailed = false
    while count <= record.count {
        do throws(TrafficStreamError) {
            guard let observation = try reader.next() else { break }
            switch observation.event {
            case .read(let data), .readSegment(let data), .write(let data), .writeSegment(let data):
                check(data)
                dataBytes += data.count
            case .connectionException(let data): check(data)
            default: break
            }
        } catch {
            precondition(error.offset >= 0 && error.offset <= record.count, "an error outside of the record")
            hasFailed = true
        }
        count += 1
    }
    precondition(hasFailed || count == reader.header.observationCount, "observations are counted wrong")
    return dataBytes
}

/// The same bytes as an archive line, as a request's target and as base64.
private func fuzzTexts(_ bytes: UnsafeRawBufferPointer) {
    if let line = try? TrafficArchiveLine.parse(bytes), let key = line.key {
        precondition(key.count + line.value.count < bytes.count, "a line has more content than bytes")
    }
    if let decoded = Base64.decode(bytes) {
        var text: [UInt8] = []
        decoded.withUnsafeBytes { Base64.append($0, to: &text) }
        precondition(text.starts(with: bytes.prefix { $0 != UInt8(ascii: "=") }), "base64 differs")
    }
    let post = Array("POST".utf8)
    _ = post.withUnsafeBytes { RequestClassifier().classify(method: $0, target: bytes) }
    if bytes.count > 0 { _ = Murmur2.partition(key: bytes, count: 7) }
}
