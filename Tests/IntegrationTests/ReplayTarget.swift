import Foundation
import TestSupport

/// The cluster behind `millraced replay`: notes every request that has come as a whole, in the order of their ends, and
/// accepts it. Blocking sockets, a thread a connection.
// Sound: everything mutable is used only with `condition` held.
final class ReplayTarget: @unchecked Sendable {
    let port: Int
    var url: String { "http://127.0.0.1:\(port)" }
    /// Before each answer.
    private let delayMicroseconds: UInt32
    private let listener: Int32
    private let condition = NSCondition()
    private var noted: [WireMessage] = []

    init(delayMicroseconds: UInt32 = 0) throws {
        self.delayMicroseconds = delayMicroseconds
        (listener, port) = try LoopbackSocket.listen()
        Thread.detachNewThread { [self] in acceptAll() }
    }

    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    var arrivals: [WireMessage] { condition.withLock { noted } }

    /// False when there are not so many after `seconds`.
    func waitForArrivals(_ count: Int, seconds: Double = 60) -> Bool {
        let deadline = Date(timeIntervalSinceNow: seconds)
        return condition.withLock {
            while noted.count < count { if !condition.wait(until: deadline) { return noted.count >= count } }
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
            Thread.detachNewThread { [self] in serve(WireConnection(descriptor: descriptor)) }
        }
        close(listener)
    }

    private func serve(_ connection: WireConnection) {
        while let request = connection.receive() {
            condition.withLock {
                noted.append(request)
                condition.broadcast()
            }
            if delayMicroseconds > 0 { usleep(delayMicroseconds) }
            let isBulk = request.firstLine.contains("/_bulk")
            let body = isBulk ? "{\"took\":1,\"errors\":false,\"items\":[]}" : "{}"
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n"
            guard connection.send(Array((head + body).utf8)) else { return }
        }
    }
}
