import CapturedTraffic
import Glibc

/// One connection of a client to the source: puts its records together to exchanges and keeps their order. Confined to
/// its loop.
final class SourceConnection: ExchangeReceiver {
    /// As the proxy named it.
    let id: String
    let key: ReplayEngine.ConnectionKey
    /// The same, and the node's name, as they stand in records.
    let idBytes: [UInt8]
    private let nodeBytes: [UInt8]
    private var reassembler = ExchangeReassembler()
    private var queue = ExchangeQueue()
    /// The record that is being read.
    private var record: HeldRecord?
    private unowned let observer: any SourceConnectionObserver
    private let budget: ByteBudget

    /// Source's time of the newest observation; arrival of the newest record by the wall. Nanoseconds since 1970.
    private(set) var newestTime = Int64.min
    private(set) var arrivalTime = Int64.min

    init(
        _ header: TrafficStreamHeader, key: ReplayEngine.ConnectionKey, budget: ByteBudget,
        observer: any SourceConnectionObserver
    ) {
        id = String(decoding: header.connectionID, as: UTF8.self)
        idBytes = Array(header.connectionID)
        nodeBytes = Array(header.nodeID)
        self.key = key
        self.budget = budget
        self.observer = observer
    }

    func isNamed(_ partition: Int32, node: UnsafeRawBufferPointer, id: UnsafeRawBufferPointer) -> Bool {
        key.partition == partition && Self.equals(idBytes, id) && Self.equals(nodeBytes, node)
    }

    private static func equals(_ bytes: [UInt8], _ other: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == other.count else { return false }
        guard let start = other.baseAddress else { return true }
        return bytes.withUnsafeBytes { $0.baseAddress.map { memcmp($0, start, other.count) == 0 } ?? true }
    }

    /// Behind the last request that was whole.
    private(set) var nextNumber = 0

    /// Those that are not resolved, by number.
    var exchanges: [ReplayExchange] { queue.all }
    var isIdle: Bool { queue.isEmpty }
    var isClosed: Bool { reassembler.isClosed }
    /// An exchange whose request is not whole, or whose response has not ended.
    var isWaitingForInput: Bool { exchanges.contains { $0.phase == .reading || $0.responseEnding == nil } }

    func receive(
        _ reader: TrafficStreamReader, in record: HeldRecord, at arrival: Int64
    ) throws(TrafficStreamError) -> ExchangeReassembler.RecordOutcome {
        self.record = record
        arrivalTime = arrival
        defer { self.record = nil }
        var receiver = self
        return try reassembler.receive(reader, into: &receiver)
    }

    /// Nothing more comes for what is under way.
    func finish() {
        var receiver = self
        reassembler.finish(into: &receiver)
    }

    /// The next one to send: all before it got their answer.
    var next: ReplayExchange? {
        guard let exchange = queue.firstUnanswered(), exchange.phase == .waiting else { return nil }
        return exchange
    }

    func remove(_ exchange: ReplayExchange) {
        let wasHere = queue.remove(exchange)
        precondition(wasHere, "exchange \(exchange.number) is not of connection \(id)")
    }

    func removeAll() -> [ReplayExchange] {
        defer { queue.removeAll() }
        return queue.all
    }

    // MARK: ExchangeReceiver

    func requestBytes(_ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp) {
        guard let record else { preconditionFailure("bytes without a record") }
        newestTime = max(newestTime, time.totalNanoseconds)
        let exchange: ReplayExchange
        if let last = queue.last, last.number == request, last.phase == .reading {
            exchange = last
        } else {
            exchange = ReplayExchange(number: request, connection: self, budget: budget)
            queue.append(exchange)
        }
        exchange.appendRequest(bytes, record)
    }

    func requestEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp) {
        guard let exchange = queue.exchange(request) else { return }
        exchange.requestEndTime = time.totalNanoseconds
        newestTime = max(newestTime, exchange.requestEndTime)
        guard ending == .complete, let record else {
            observer.requestIsIncomplete(exchange, ending)
            remove(exchange)
            exchange.letGo()
            return
        }
        exchange.endRequest(in: record)
        nextNumber = request + 1
        observer.requestIsWhole(exchange)
    }

    func requestDropped(_ request: Int) {
        guard let exchange = queue.exchange(request) else { return }
        observer.requestWasDropped(exchange)
        remove(exchange)
        exchange.letGo()
    }

    func responseBytes(_ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp) {
        newestTime = max(newestTime, time.totalNanoseconds)
        guard let exchange = queue.exchange(request), let record else { return }
        if exchange.responseTime == .min {
            exchange.responseTime = time.totalNanoseconds
            exchange.sourceStatus = Self.status(bytes)
        }
        exchange.responseEndTime = time.totalNanoseconds
        exchange.appendResponse(bytes, record, keptBytes: observer.keptResponseBytes)
    }

    func interimResponseEnded(_ request: Int) { queue.exchange(request)?.forgetResponse() }

    func responseEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp) {
        guard let exchange = queue.exchange(request), exchange.responseEnding == nil else { return }
        exchange.responseEnding = ending
        if exchange.sourceStatus == nil { exchange.sourceStatus = Self.status(exchange.response) }
        observer.responseEnded(exchange)
    }

    /// `HTTP/1.1 200`; nil when the piece is too short or no HTTP.
    private static func status(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= 12, bytes[0] == UInt8(ascii: "H"), bytes[8] == UInt8(ascii: " ") else { return nil }
        var status = 0
        for byte in bytes[9..<12] {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            status = status * 10 + Int(byte - 0x30)
        }
        return status
    }

    private static func status(_ pieces: [UnsafeRawBufferPointer]) -> Int? {
        let head = Array(pieces.joined().prefix(12))
        return head.withUnsafeBytes { status($0) }
    }
}

/// Learns what a connection's records bring. Called from within `SourceConnection.receive` and `finish`.
protocol SourceConnectionObserver: AnyObject {
    /// Of a response of which nothing is needed but the tuple.
    var keptResponseBytes: Int { get }
    func requestIsWhole(_ exchange: ReplayExchange)
    /// Its bytes are still there during the call.
    func requestIsIncomplete(_ exchange: ReplayExchange, _ ending: MessageEnding)
    func requestWasDropped(_ exchange: ReplayExchange)
    func responseEnded(_ exchange: ReplayExchange)
}

extension TrafficTimestamp {
    /// Since 1970; clamped, for a record may hold anything.
    var totalNanoseconds: Int64 {
        let (scaled, overflows) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflows { return seconds < 0 ? .min + 1 : .max }
        return scaled.addingSaturating(Int64(nanoseconds))
    }
}
