import Foundation
import Synchronization
import TestSupport

/// Clients that send numbered requests, reads and writes in turn, each at a steady pace on one connection that it
/// keeps, and note what became of each.
final class CapturePacedLoad: Sendable {
    struct Outcome: Sendable {
        let id: String
        let isWrite: Bool
        /// When it was sent and how long its answer took, seconds.
        let sentAt: Double
        let seconds: Double
        /// nil: the connection ended without one.
        let status: Int?
    }

    let clientCount: Int
    private let port: Int
    private let label: String
    private let pauseSeconds: Double
    private let noted = Mutex<[Outcome]>([])
    private let isStopping = Atomic<Bool>(false)
    private let clients = DispatchGroup()

    /// - Parameter perSecond: requests of all clients together; a client that waits for an answer sends none.
    init(port: Int, label: String, clientCount: Int = 16, perSecond: Double) {
        self.port = port
        self.label = label
        self.clientCount = clientCount
        pauseSeconds = Double(clientCount) / perSecond
        for client in 0..<clientCount {
            clients.enter()
            Thread.detachNewThread { [self] in
                defer { clients.leave() }
                guard let connection = try? WireConnection(port: port) else { return }
                run(connection, client)
            }
        }
    }

    static var now: Double { ProcessInfo.processInfo.systemUptime }

    /// So far.
    var outcomes: [Outcome] { noted.withLock { $0 } }

    /// Each client ends with the answer that it waits for.
    func stop() -> [Outcome] {
        isStopping.store(true, ordering: .relaxed)
        clients.wait()
        return outcomes
    }

    /// Waits until every client's connection ends by itself.
    func wait() -> [Outcome] {
        clients.wait()
        return outcomes
    }

    /// False when not every client had `count` requests answered with 200 after the time `since` in `seconds`.
    func waitForAnswers(_ count: Int, since: Double, seconds: Double = 60) -> Bool {
        let deadline = Self.now + seconds
        while Self.now < deadline {
            let answered = outcomes.filter { $0.status == 200 && $0.sentAt + $0.seconds > since }
            let each = Dictionary(grouping: answered, by: { $0.id.prefix { $0 != "." } })
            if each.count == clientCount, each.values.allSatisfy({ $0.count >= count }) { return true }
            usleep(10_000)
        }
        return false
    }

    private func run(_ connection: WireConnection, _ client: Int) {
        let start = Self.now + pauseSeconds * Double(client) / Double(clientCount)
        var number = 0
        while !isStopping.load(ordering: .relaxed) {
            let due = start + pauseSeconds * Double(number)
            let early = due - Self.now
            if early > 0 { usleep(UInt32(early * 1_000_000)) }
            let id = "\(label)-c\(client).\(number)"
            let isWrite = number % 2 == 0
            let sentAt = Self.now
            let answer = connection.exchange(isWrite ? CaptureRequest.write(id) : CaptureRequest.read(id))
            noted.withLock {
                $0.append(
                    Outcome(
                        id: id, isWrite: isWrite, sentAt: sentAt, seconds: Self.now - sentAt, status: answer?.status))
            }
            if answer == nil { return }
            number += 1
        }
    }
}
