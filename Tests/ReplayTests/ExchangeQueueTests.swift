import CapturedTraffic
import TestSupport
import Testing

@testable import Replay

@Suite struct ExchangeQueueTests {
    private final class Listener: SourceConnectionObserver {
        var keptResponseBytes: Int { 0 }
        func requestIsWhole(_ exchange: ReplayExchange) {}
        func requestIsIncomplete(_ exchange: ReplayExchange, _ ending: MessageEnding) {}
        func requestWasDropped(_ exchange: ReplayExchange) {}
        func responseEnded(_ exchange: ReplayExchange) {}
    }

    private let listener = Listener()
    private let connection: SourceConnection

    init() throws {
        // Field 1 is the connection's id, field 5 the node's.
        let record: [UInt8] = [0x0A, 2, 0x63, 0x31, 0x2A, 1, 0x6E]
        let listener = listener
        connection = try record.withUnsafeBytes { bytes in
            SourceConnection(
                try TrafficStreamReader(bytes).header, key: .init(partition: 3, id: "n/c1"),
                budget: ByteBudget(limitBytes: 1 << 20), observer: listener)
        }
    }

    /// What the queue stands for, the slow way.
    private struct Model {
        var exchanges: [ReplayExchange] = []

        var firstUnanswered: ReplayExchange? {
            exchanges.first { $0.phase != .answered && $0.phase != .recorded }
        }
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func itDoesWhatAnArrayDoes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let budget = ByteBudget(limitBytes: 1 << 30)
        var queue = ExchangeQueue()
        var model = Model()
        // Headers behind a gap may set the numbers back.
        let goesBack = seed % 4 == 3
        var number = 0
        for _ in 0..<400 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                number += Int.random(in: 1...3, using: &random)
                if goesBack, Int.random(in: 0..<20, using: &random) == 0 { number = max(0, number - 5) }
                let exchange = ReplayExchange(number: number, connection: connection, budget: budget)
                queue.append(exchange)
                model.exchanges.append(exchange)
            case 5..<7: model.firstUnanswered?.phase = Bool.random(using: &random) ? .answered : .recorded
            default:
                guard !model.exchanges.isEmpty else { continue }
                let isFirst = Bool.random(using: &random)
                let place = isFirst ? 0 : Int.random(in: 0..<model.exchanges.count, using: &random)
                let exchange = model.exchanges.remove(at: place)
                #expect(queue.remove(exchange) && !queue.remove(exchange))
            }
            let wanted = Int.random(in: 0...number + 1, using: &random)
            #expect(queue.exchange(wanted) === model.exchanges.first { $0.number == wanted })
            #expect(queue.firstUnanswered() === model.firstUnanswered)
            #expect(queue.last === model.exchanges.last && queue.isEmpty == model.exchanges.isEmpty)
        }
        #expect(queue.all.map(\.number) == model.exchanges.map(\.number) && queue.count == model.exchanges.count)
    }

    @Test func aConnectionIsFoundByAllOfItsNames() {
        var recent = RecentConnections()
        recent.keep(connection)
        func find(_ partition: Int32, _ node: String, _ id: String) -> SourceConnection? {
            Array(node.utf8).withUnsafeBytes { node in
                Array(id.utf8).withUnsafeBytes { recent.find(partition, node: node, id: $0) }
            }
        }
        #expect(find(3, "n", "c1") === connection)
        #expect(find(2, "n", "c1") == nil && find(3, "m", "c1") == nil && find(3, "", "c1") == nil)
        #expect(find(3, "n", "c2") == nil && find(3, "n", "") == nil)
        recent.forget(connection)
        #expect(find(3, "n", "c1") == nil)
    }
}
