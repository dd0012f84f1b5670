/// How a message of a captured connection ended.
package enum MessageEnding: Sendable, Equatable {
    /// A request: its end of message was recorded. A response: its own framing, or the close it lasts until, ended it.
    case complete
    /// A response whose framing is not understood, or a broken one: the next request ended it.
    case nextRequest
    /// A response that changed the protocol; what follows on the connection is opaque.
    case upgraded
    /// The connection was closed.
    case closed
    /// The proxy recorded an error of the connection.
    case exception
    /// Records are missing, or one cannot be read.
    case gap
    /// The log has no more records.
    case endOfLog
}

/// Takes the messages of one connection, bytes in place. Requests have numbers that rise; for each one that bytes were
/// reported of comes either `requestDropped`, or `requestEnded` and `responseEnded` once each, in either order.
package protocol ExchangeReceiver {
    /// Bytes of a request in order. The slice lives as long as the record.
    mutating func requestBytes(_ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp)
    mutating func requestEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp)
    /// What was reported of the request is not to be kept.
    mutating func requestDropped(_ request: Int)
    mutating func responseBytes(_ bytes: UnsafeRawBufferPointer, of request: Int, at time: TrafficTimestamp)
    /// The response bytes so far were an interim response (1xx); the final one follows.
    mutating func interimResponseEnded(_ request: Int)
    /// A request without any response gets this too.
    mutating func responseEnded(_ request: Int, _ ending: MessageEnding, at time: TrafficTimestamp)
}
