import CapturedTraffic

/// Memory for records, and a writer over it.
final class RecordBuffer {
    static let identity = TrafficStreamIdentity(
        connectionID: "02fc00fffe000001-00003180-00000001", nodeID: "8abcde47-da63-4232-b414-db5a1be3c4bb")

    let bytes: UnsafeMutableRawBufferPointer
    var writer: TrafficStreamWriter

    init(
        byteCount: Int, position: TrafficStreamPosition = TrafficStreamPosition(),
        identity: TrafficStreamIdentity = RecordBuffer.identity
    ) {
        bytes = .allocate(byteCount: byteCount, alignment: 16)
        // Old content must not show through.
        bytes.initializeMemory(as: UInt8.self, repeating: 0xA5)
        writer = TrafficStreamWriter(into: bytes, identity: identity, position: position)
    }

    deinit { bytes.deallocate() }

    /// As a socket would: reserve, land, commit. False when there is no room.
    func land(
        _ data: [UInt8], _ kind: TrafficStreamWriter.DataKind = .read, at time: TrafficTimestamp = .golden,
        keepingBytes: Int = 0
    ) -> Bool {
        guard let place = writer.reserve(keepingBytes: keepingBytes, leastBytes: data.count) else { return false }
        place.copyBytes(from: data)
        writer.commit(kind, count: data.count, at: time)
        return true
    }

    func finish(isLast: Bool = false) -> [UInt8] { Array(writer.finish(isLast: isLast)) }

    // The writer's own, for expressions that take no mutating member.

    func reserve(keepingBytes: Int = TrafficStreamWriter.endOfMessageBytes) -> UnsafeMutableRawBufferPointer? {
        writer.reserve(keepingBytes: keepingBytes)
    }
    @discardableResult
    func commit(_ kind: TrafficStreamWriter.DataKind, count: Int) -> UnsafeMutableRawBufferPointer {
        writer.commit(kind, count: count, at: .golden)
    }
    func commitRequest(count: Int, landedCount: Int) -> (
        request: UnsafeMutableRawBufferPointer, rest: UnsafeMutableRawBufferPointer
    )? {
        writer.commitRequest(count: count, landedCount: landedCount, firstLineBytes: 9, headerBytes: 20, at: .golden)
    }
    func append(_ kind: TrafficStreamWriter.DataKind, copying data: UnsafeRawBufferPointer) -> Bool {
        writer.append(kind, copying: data, at: .golden)
    }
    @discardableResult
    func appendEndOfMessage(_ firstLineBytes: Int32, _ headerBytes: Int32) -> Bool {
        writer.appendEndOfMessage(firstLineBytes: firstLineBytes, headerBytes: headerBytes, at: .golden)
    }
    func appendSegmentEnd() -> Bool { writer.appendSegmentEnd(at: .golden) }
    func appendClose() -> Bool { writer.appendClose(at: .golden) }
    func appendException(_ text: String) -> Bool { writer.appendException(text, at: .golden) }
}
