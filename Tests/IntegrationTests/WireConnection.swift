import Foundation

/// An HTTP/1.1 message as it came.
struct WireMessage: Sendable {
    /// Every byte, head and body.
    let bytes: [UInt8]
    let firstLine: String
    /// Without the framing of chunks.
    let body: [UInt8]

    /// Of a response.
    var status: Int { Int(firstLine.split(separator: " ").dropFirst().first ?? "") ?? 0 }
    var method: String { String(firstLine.prefix { $0 != " " }) }
    var bodyText: String { String(decoding: body, as: UTF8.self) }
}

/// Reads and writes HTTP/1.1 messages over a blocking socket; knows the framings that these tests use. Used by one
/// thread at a time.
final class WireConnection {
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    init(descriptor: Int32) { self.descriptor = descriptor }

    convenience init(port: Int) throws { self.init(descriptor: try LoopbackSocket.connect(port: port)) }

    deinit { close(descriptor) }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool { LoopbackSocket.sendAll(descriptor, bytes) }

    /// Sends a request and waits for its answer; nil when the connection ended first.
    func exchange(_ bytes: [UInt8]) -> WireMessage? { send(bytes) ? receive() : nil }

    /// The next whole message; nil when the connection ends before.
    func receive() -> WireMessage? {
        var head: Range<Int>?
        while head == nil {
            head = buffer.firstRange(of: Array("\r\n\r\n".utf8))
            if head == nil, !fill() { return nil }
        }
        guard let headEnd = head?.upperBound else { return nil }
        let lines = String(decoding: buffer[..<headEnd], as: UTF8.self).components(separatedBy: "\r\n")
        var length = 0
        var isChunked = false
        for line in lines.dropFirst() {
            let field = line.lowercased()
            if field.hasPrefix("content-length:") {
                length = Int(field.dropFirst("content-length:".count).trimmingCharacters(in: .whitespaces)) ?? 0
            }
            if field.hasPrefix("transfer-encoding:") { isChunked = true }
        }
        var body: [UInt8] = []
        var end = headEnd
        if isChunked {
            guard let chunked = receiveChunks(from: headEnd) else { return nil }
            (body, end) = chunked
        } else {
            while buffer.count < headEnd + length { if !fill() { return nil } }
            end = headEnd + length
            body = Array(buffer[headEnd..<end])
        }
        let message = WireMessage(bytes: Array(buffer[..<end]), firstLine: lines[0], body: body)
        buffer.removeSubrange(..<end)
        return message
    }

    private func receiveChunks(from start: Int) -> (body: [UInt8], end: Int)? {
        var body: [UInt8] = []
        var position = start
        while true {
            var line: Range<Int>?
            while line == nil {
                line = buffer[position...].firstRange(of: [0x0D, 0x0A])
                if line == nil, !fill() { return nil }
            }
            guard let line,
                let count = Int(String(decoding: buffer[position..<line.lowerBound], as: UTF8.self), radix: 16)
            else { return nil }
            let end = line.upperBound + count + 2
            while buffer.count < end { if !fill() { return nil } }
            body += buffer[line.upperBound..<line.upperBound + count]
            position = end
            if count == 0 { return (body, end) }
        }
    }

    private func fill() -> Bool {
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = piece.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            buffer += piece[..<count]
            return true
        }
    }
}
