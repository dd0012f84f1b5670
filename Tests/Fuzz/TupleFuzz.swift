import TestSupport
import TupleFormat

/// A line, read and compared with itself; then the same bytes as head and body of every message of a tuple, which must
/// become one line that can be read. The first byte chooses the settings.
@Sendable func fuzzTuple(_ bytes: UnsafeRawBufferPointer) {
    guard let choice = bytes.first else { return }
    let rest = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
    let reader = TupleReader()
    if let record = try? reader.read(rest) {
        for message in [record.sourceRequest, record.sourceResponse] + record.targetResponses {
            guard let message else { continue }
            _ = reader.fields(message)
            _ = reader.bytes(message.payload)
        }
        _ = reader.verdict(record, TupleRules(ignoring: ["a", "b.*.c"]))
    }
    fuzzEncoding(rest, choice)
}

private func fuzzEncoding(_ bytes: UnsafeRawBufferPointer, _ choice: UInt8) {
    var settings = TupleEncoder.Settings()
    settings.bodyBytesLimit = [0, 1, 40, 32 << 10][Int(choice & 3)]
    settings.keepsCredentials = choice & 4 != 0
    var encoder = TupleEncoder(settings)
    var comparator = TupleComparator()
    let end = bytes.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound ?? bytes.count
    let head = UnsafeRawBufferPointer(rebasing: bytes[..<end])
    let body = UnsafeRawBufferPointer(rebasing: bytes[end...])
    let cut = Int(choice >> 3) * body.count / 31
    let request = Array("POST /i/_doc HTTP/1.1\r\nHost: h\r\n\r\n".utf8)
    request.withUnsafeBytes { request in
        let message = TupleMessage(
            head: head,
            body: [UnsafeRawBufferPointer(rebasing: body[..<cut]), UnsafeRawBufferPointer(rebasing: body[cut...])],
            isBodyFramed: choice & 8 != 0, responseTimeMilliseconds: 1)
        var tuple = Tuple(
            connectionID: UnsafeRawBufferPointer(rebasing: body.prefix(9)), requestNumber: 3, sourceRequest: message,
            sourceResponse: message, targetRequest: TupleMessage(head: request, body: [body], isBodyFramed: false),
            targetResponses: [message, message], error: "an error")
        tuple.verdict = comparator.compare(tuple)
        if case .bodyDiffers = tuple.verdict { preconditionFailure("a body differs from itself") }
        if case .statusDiffers = tuple.verdict { preconditionFailure("a status differs from itself") }
        var line: [UInt8] = []
        encoder.encode(tuple, into: &line)
        precondition(line.last == 0x0A && !line.dropLast().contains { $0 == 0x0A || $0 == 0x0D }, "not one line")
        let reader = TupleReader()
        line.withUnsafeBytes { line in
            do throws(TupleError) {
                let record = try reader.read(UnsafeRawBufferPointer(rebasing: line.dropLast()))
                precondition(record.targetResponses.count == 2 && record.error == "an error", "a member is lost")
            } catch {
                preconditionFailure("a line of the encoder cannot be read: \(error)")
            }
        }
    }
}
