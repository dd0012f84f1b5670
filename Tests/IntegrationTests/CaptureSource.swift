import Foundation
import TestSupport

/// The cluster behind `millraced capture`: executes every request that has come as a whole, that is, notes it, and
/// answers with 200 and the request's id. Blocking sockets, a thread a connection.
// Sound: everything mutable is used only with `condition` held.
final class CaptureSource: @unchecked Sendable {
    struct Execution: Sendable {
        /// Number of the connection it came on.
        let connection: Int
        let request: WireMessage
        var id: String { CaptureRequest.id(of: request.body) }
    }

    let port: Int
    private let listener: Int32
    private let condition = NSCondition()
    private var executed: [Execution] = []
    private var connectionCount = 0
    private var openCount = 0

    init() throws {
        (listener, port) = try LoopbackSocket.listen()
        Thread.detachNewThread { [self] in acceptAll() }
    }

    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    /// Writing requests so far, in the order of their ends.
    var writes: [Execution] { condition.withLock { executed } }

    /// False when there are not so many writing requests after `seconds`.
    @discardableResult
    func waitForWrites(_ count: Int, seconds: Double = 60) -> Bool {
        wait(seconds) { executed.count >= count }
    }

    /// Every connection has been read to its end.
    func waitForIdle(seconds: Double = 60) -> Bool { wait(seconds) { openCount == 0 } }

    private func wait(_ seconds: Double, _ isDone: () -> Bool) -> Bool {
        let deadline = Date(timeIntervalSinceNow: seconds)
        return condition.withLock {
            while !isDone() { if !condition.wait(until: deadline) { return isDone() } }
            return true
        }
    }

    private func acceptAll() {
        while true {
            let descriptor = accept(listener, nil, nil)
            if descriptor < 0 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                break
            }
            let number = condition.withLock {
                connectionCount += 1
                openCount += 1
                return connectionCount
            }
            Thread.detachNewThread { [self] in serve(WireConnection(descriptor: descriptor), number) }
        }
        close(listener)
    }

    private func serve(_ connection: WireConnection, _ number: Int) {
        while let request = connection.receive() {
            if request.method != "GET" {
                condition.withLock {
                    executed.append(Execution(connection: number, request: request))
                    condition.broadcast()
                }
            }
            let body = "{\"id\":\"\(CaptureRequest.id(of: request.body))\"}"
            let answer =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n"
            guard connection.send(Array((answer + body).utf8)) else { break }
        }
        condition.withLock {
            openCount -= 1
            condition.broadcast()
        }
    }
}

/// Requests with an id of their own as the first line of the body.
enum CaptureRequest {
    static func id(of body: [UInt8]) -> String { String(decoding: body.prefix { $0 != 0x0A }, as: UTF8.self) }

    /// A writing request.
    static func write(_ id: String, padding: [UInt8] = [], isChunked: Bool = false) -> [UInt8] {
        let body = Array("\(id)\n".utf8) + padding
        var request = Array(
            "POST /logs/_doc?refresh=false HTTP/1.1\r\nHost: source\r\nContent-Type: text/plain\r\n".utf8)
        guard isChunked else { return request + Array("Content-Length: \(body.count)\r\n\r\n".utf8) + body }
        request += Array("Transfer-Encoding: chunked\r\n\r\n".utf8)
        for start in stride(from: 0, to: body.count, by: 10_000) {
            let chunk = body[start..<min(start + 10_000, body.count)]
            request += Array("\(String(chunk.count, radix: 16))\r\n".utf8) + chunk + [0x0D, 0x0A]
        }
        return request + Array("0\r\n\r\n".utf8)
    }

    static let read = read("")

    /// A read with a key of its own in its target.
    static func read(_ key: String) -> [UInt8] {
        Array("GET /logs/_doc/1?k=\(key) HTTP/1.1\r\nHost: source\r\nAccept: */*\r\n\r\n".utf8)
    }
}
