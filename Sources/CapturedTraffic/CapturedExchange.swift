/// A request with its response as they went over the wire.
package struct CapturedExchange: Sendable, Equatable {
    /// On the connection, from 0.
    package let number: Int
    /// Head and body; cut at the collector's limit.
    package fileprivate(set) var request: [UInt8] = []
    package fileprivate(set) var requestByteCount = 0
    /// Of the first byte.
    package fileprivate(set) var requestTime: TrafficTimestamp?
    package fileprivate(set) var requestEndTime: TrafficTimestamp?
    /// nil while under way.
    package fileprivate(set) var requestEnding: MessageEnding?
    /// Of the final response, interim ones excluded.
    package fileprivate(set) var response: [UInt8] = []
    package fileprivate(set) var responseByteCount = 0
    package fileprivate(set) var responseTime: TrafficTimestamp?
    package fileprivate(set) var responseEndTime: TrafficTimestamp?
    package fileprivate(set) var responseEnding: MessageEnding?
    package fileprivate(set) var interimResponseCount = 0

    init(number: Int) { self.number = number }
}

/// Copies the messages of one connection into exchanges. Bounds: bytes a message, `messageBytesLimit`.
package struct ExchangeCollector: ExchangeReceiver {
    /// Elasticsearch takes 100 MB requests by default.
    package static let defaultMessageBytesLimit = 128 << 20

    private let messageBytesLimit: Int
    private var open: [CapturedExchange] = []
    private var finished: [CapturedExchange] = []

    package init(messageBytesLimit: Int = Self.defaultMessageBytesLimit) {
        self.messageBytesLimit = messageBytesLimit
    }

    package var isEmpty: Bool { open.isEmpty && finished.isEmpty }

    /// The exchanges that ended since the last call, in order of their end.
    package mutating func takeFinished() -> [CapturedExchange] {
        defer { finished.removeAll() }
        return finished
    }

    package mutating func requestBytes(
        _ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp
    ) {
        if open.last?.number != request { open.append(CapturedExchange(number: request)) }
        let index = open.endIndex - 1
        if open[index].requestTime == nil { open[index].requestTime = time }
        open[index].requestByteCount += bytes.count
        open[index].request.append(contentsOf: bytes.prefix(messageBytesLimit - open[index].request.count))
    }

    package mutating func requestEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp) {
        guard let index = index(of: request) else { return }
        open[index].requestEnding = ending
        open[index].requestEndTime = time
        finish(index)
    }

    package mutating func requestDropped(_ request: Int) {
        if let index = index(of: request) { open.remove(at: index) }
    }

    package mutating func responseBytes(
        _ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp
    ) {
        guard let index = index(of: request) else { return }
        if open[index].responseTime == nil { open[index].responseTime = time }
        open[index].responseByteCount += bytes.count
        open[index].response.append(contentsOf: bytes.prefix(messageBytesLimit - open[index].response.count))
    }

    package mutating func interimResponseEnded(_ request: Int) {
        guard let index = index(of: request) else { return }
        open[index].response.removeAll()
        open[index].responseByteCount = 0
        open[index].responseTime = nil
        open[index].interimResponseCount += 1
    }

    package mutating func responseEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp) {
        guard let index = index(of: request) else { return }
        open[index].responseEnding = ending
        if open[index].responseTime != nil { open[index].responseEndTime = time }
        finish(index)
    }

    /// The first with this number: after a gap another one may have the same.
    private func index(of request: Int) -> Int? { open.firstIndex { $0.number == request } }

    private mutating func finish(_ index: Int) {
        guard open[index].requestEnding != nil, open[index].responseEnding != nil else { return }
        finished.append(open.remove(at: index))
    }
}
