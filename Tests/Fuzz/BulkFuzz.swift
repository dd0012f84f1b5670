import BulkFormat

/// A `_bulk` response: no trap, and every range lies inside the response, in order.
@Sendable func fuzzBulkResponse(_ bytes: UnsafeRawBufferPointer) {
    var end = 0
    var count = 0
    let summary = try? BulkResponseScanner.scan(bytes) { index, item in
        precondition(index == count, "items are counted wrong")
        precondition(item.range.lowerBound >= end && item.range.upperBound <= bytes.count, "an item overlaps another")
        if let error = item.error {
            precondition(item.range.contains(error.lowerBound) && error.upperBound <= item.range.upperBound)
            _ = EngineError(UnsafeRawBufferPointer(rebasing: bytes[error]))
        }
        end = item.range.upperBound
        count += 1
    }
    if let summary { precondition(summary.itemCount == count, "items are counted wrong") }
    _ = EngineError(bytes)
}

/// A stored source: put on one line it holds no line break, keeps its length or grows by its escapes only, and the
/// action line of an id made of the same bytes is one line within its limit.
@Sendable func fuzzDocumentSource(_ bytes: UnsafeRawBufferPointer) {
    _ = SourceEncoding(detecting: bytes)
    let breaks = bytes.count { $0 == 0x0A }
    let line = SourceLine.joined(bytes)
    precondition(!line.contains(0x0A), "a line break is left")
    precondition(line.count >= bytes.count && line.count <= bytes.count + breaks, "the line has another length")

    var copy = Array(bytes)
    if copy.withUnsafeMutableBytes({ SourceLine.joinInPlace($0) }) {
        precondition(copy == line, "joined in place and by copy differ")
    } else {
        precondition(line.count > bytes.count, "nothing stood in the way of joining in place")
        precondition(copy.withUnsafeBytes { SourceLine.joined($0) } == line, "joining in place went too far")
    }
    fuzzActionLine(bytes)
}

private func fuzzActionLine(_ bytes: UnsafeRawBufferPointer) {
    let id = UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)])
    let routing = UnsafeRawBufferPointer(rebasing: bytes[(bytes.count / 2)...])
    let limit = BulkActionLine.byteLimit(idByteCount: id.count, routingByteCount: routing.count)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: limit, alignment: 1)
    defer { buffer.deallocate() }
    guard let base = buffer.baseAddress else { return }
    let count = BulkActionLine.write(id: id, routing: routing, to: base)
    precondition(count <= limit, "longer than its limit")
    let inside = buffer[1..<(count - 1)]
    precondition(buffer[0] == 0x0A && buffer[count - 1] == 0x0A, "the line does not stand alone")
    precondition(!inside.contains { $0 < 0x20 }, "a control character is left")
    let isText = String(validating: id, as: UTF8.self) != nil && String(validating: routing, as: UTF8.self) != nil
    guard isText else { return }
    precondition(String(validating: inside, as: UTF8.self) != nil, "the line is not UTF-8")
}
