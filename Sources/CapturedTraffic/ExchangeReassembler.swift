import HTTPMessage

/// Puts the observations of one connection together again: which bytes are which request, which response answers it.
///
///     read… endOfMessage   a request; the next one begins with the next read
///     write…               responses, in order of the requests; each ends by its own framing (HTTP), for which an
///                          end of message does not exist in the records
///
/// A response that is not readable HTTP ends with the next request, as the reference project ends all of them. Records
/// must come in order; one that was there already is dropped, missing ones are noticed: messages that they cut in two
/// end as `gap` and reading goes on where the next record's header says. It keeps no bytes but an unfinished response
/// head (`HTTPLimits.relayedResponse`), and requests that wait for their response.
package struct ExchangeReassembler {
    package enum RecordOutcome: Sendable, Equatable {
        case inOrder
        /// This record, or a later one, was there before. Nothing was done.
        case duplicate
        /// `count` records are missing before this one, which was taken.
        case gap(count: Int)
    }

    private enum Reading {
        /// The next read begins a request.
        case betweenRequests
        /// The last open request.
        case request
        /// The rest of a request whose beginning is missing.
        case unknownRequest
    }

    private struct OpenRequest {
        let number: Int
        var method: RequestMethodPrefix
        var isEnded = false
        var isAnswered = false
    }

    private var lastNumber: Int32?
    /// The next record's header says where the connection stands: the first record seen, or one behind a broken one.
    private var mustGoOnByHeader = true
    private var reading = Reading.betweenRequests
    private var nextRequest = 0
    /// In order; the last one may be still under way. Those before are whole and wait for their response.
    private var open: [OpenRequest] = []
    private var response = ResponseTracker()
    private var lastTime = TrafficTimestamp()

    /// The connection speaks another protocol now.
    package private(set) var isOpaque = false
    /// A close or the last record was seen.
    package private(set) var isClosed = false
    package private(set) var droppedRequestCount = 0
    /// Bytes after a change of protocol, both ways.
    package private(set) var opaqueByteCount = 0
    /// Bytes that belong to no message: the rest of one whose beginning is missing, a response without a request.
    package private(set) var strayByteCount = 0
    package private(set) var duplicateRecordCount = 0
    package private(set) var missingRecordCount = 0

    package init() {}

    /// Takes the next record of the connection. When an observation is broken, those before it count, the rest of the
    /// record is a gap, and the error is thrown; the reassembler can go on.
    package mutating func receive(
        _ record: TrafficStreamReader, into receiver: inout some ExchangeReceiver
    ) throws(TrafficStreamError) -> RecordOutcome {
        let outcome = begin(record.header, &receiver)
        if outcome == .duplicate { return outcome }
        var record = record
        do throws(TrafficStreamError) {
            while let observation = try record.next() { observe(observation, &receiver) }
        } catch {
            recordIsUnreadable(into: &receiver)
            throw error
        }
        if record.header.isLast { close(&receiver) }
        return outcome
    }

    /// A record of this connection exists but cannot be read.
    package mutating func recordIsUnreadable(into receiver: inout some ExchangeReceiver) {
        interrupt(.gap, &receiver)
        reading = .unknownRequest
        mustGoOnByHeader = true
    }

    /// The log has no more records of the connection: what is under way ends here.
    package mutating func finish(into receiver: inout some ExchangeReceiver) {
        interrupt(.endOfLog, &receiver)
    }

    private mutating func begin(
        _ header: TrafficStreamHeader, _ receiver: inout some ExchangeReceiver
    ) -> RecordOutcome {
        if let number = header.number, let last = lastNumber, number <= last {
            duplicateRecordCount += 1
            return .duplicate
        }
        var missing = 0
        if let number = header.number {
            if let last = lastNumber { missing = Int(number) - Int(last) - 1 }
            lastNumber = number
        }
        if missing > 0 {
            missingRecordCount += missing
            interrupt(.gap, &receiver)
        }
        if missing > 0 || mustGoOnByHeader { goOn(header) }
        return missing > 0 ? .gap(count: missing) : .inOrder
    }

    private mutating func goOn(_ header: TrafficStreamHeader) {
        mustGoOnByHeader = false
        // The one whose rest comes first counts when it ends: it may be taken back, as if it had been read whole.
        nextRequest = Int(max(0, header.priorRequests ?? 0))
        reading = header.isReadUnterminated ? .unknownRequest : .betweenRequests
    }

    private mutating func observe(_ observation: TrafficObservation, _ receiver: inout some ExchangeReceiver) {
        lastTime = observation.timestamp
        switch observation.event {
        case .read(let bytes), .readSegment(let bytes): if !bytes.isEmpty { read(bytes, &receiver) }
        case .write(let bytes), .writeSegment(let bytes): if !bytes.isEmpty { write(bytes, &receiver) }
        case .endOfMessage: endOfMessage(&receiver)
        case .requestDropped: requestDropped(&receiver)
        case .connectionException(let message): exception(message, &receiver)
        case .close: close(&receiver)
        case .bind, .connect, .requestReleased, .disconnect, .segmentEnd, .unknown: break
        }
    }

    // MARK: Requests

    private mutating func read(_ bytes: UnsafeRawBufferPointer, _ receiver: inout some ExchangeReceiver) {
        if isOpaque {
            opaqueByteCount += bytes.count
            return
        }
        if isClosed {
            strayByteCount += bytes.count
            return
        }
        switch reading {
        case .unknownRequest:
            strayByteCount += bytes.count
            return
        case .betweenRequests: beginRequest(&receiver)
        case .request: break
        }
        let last = open.endIndex - 1
        open[last].method.append(bytes)
        receiver.requestBytes(bytes, of: open[last].number, at: lastTime)
    }

    private mutating func beginRequest(_ receiver: inout some ExchangeReceiver) {
        if let first = open.first, first.isEnded, response.isUnframed { endResponse(.nextRequest, &receiver) }
        open.append(OpenRequest(number: nextRequest, method: RequestMethodPrefix()))
        if open.count == 1 { response.begin(responseTo: .get) }
        reading = .request
    }

    private mutating func endOfMessage(_ receiver: inout some ExchangeReceiver) {
        defer { reading = .betweenRequests }
        if isOpaque || isClosed { return }
        switch reading {
        case .unknownRequest, .betweenRequests: nextRequest += 1
        case .request:
            nextRequest += 1
            endRequest(.complete, &receiver)
        }
    }

    /// The last open request, which is under way.
    private mutating func endRequest(_ ending: MessageEnding, _ receiver: inout some ExchangeReceiver) {
        let last = open.endIndex - 1
        open[last].isEnded = true
        receiver.requestEnded(open[last].number, ending, at: lastTime)
        // It was answered before it was whole.
        if open[last].isAnswered { open.removeLast() }
    }

    private mutating func requestDropped(_ receiver: inout some ExchangeReceiver) {
        droppedRequestCount += 1
        dropRequest(&receiver)
        reading = .betweenRequests
    }

    private mutating func dropRequest(_ receiver: inout some ExchangeReceiver) {
        guard case .request = reading, let request = open.popLast() else { return }
        receiver.requestDropped(request.number)
        if open.isEmpty { response.begin(responseTo: .get) }
        reading = .betweenRequests
    }

    // MARK: Responses

    private mutating func write(_ bytes: UnsafeRawBufferPointer, _ receiver: inout some ExchangeReceiver) {
        var rest = bytes
        while !rest.isEmpty {
            if isOpaque {
                opaqueByteCount += rest.count
                return
            }
            guard !isClosed, let first = open.first, !first.isAnswered else {
                strayByteCount += rest.count
                return
            }
            // The method is known by now: a server does not answer what it has not begun to read.
            if !response.hasBytes { response.begin(responseTo: first.method.method) }
            let step = response.advance(rest)
            var count = rest.count
            switch step {
            case .goesOn: break
            case .ended(let end), .interimEnded(let end), .upgraded(let end): count = end
            }
            let part = UnsafeRawBufferPointer(rebasing: rest[..<count])
            receiver.responseBytes(part, of: first.number, at: lastTime)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            switch step {
            case .goesOn: break
            case .interimEnded: receiver.interimResponseEnded(first.number)
            case .ended: endResponse(.complete, &receiver)
            case .upgraded: upgrade(&receiver)
            }
        }
    }

    /// Of the first open request.
    private mutating func endResponse(_ ending: MessageEnding, _ receiver: inout some ExchangeReceiver) {
        receiver.responseEnded(open[0].number, ending, at: lastTime)
        open[0].isAnswered = true
        if open[0].isEnded { open.removeFirst() }
        response.begin(responseTo: open.first?.method.method ?? .get)
    }

    private mutating func upgrade(_ receiver: inout some ExchangeReceiver) {
        endResponse(.upgraded, &receiver)
        // Bytes that the client sent in anticipation are no request.
        dropRequest(&receiver)
        interrupt(.closed, &receiver)
        isOpaque = true
    }

    // MARK: The connection

    private mutating func exception(_ message: UnsafeRawBufferPointer, _ receiver: inout some ExchangeReceiver) {
        if message.elementsEqual(CaptureMark.upgraded.utf8) {
            isOpaque = true
        } else {
            interrupt(message.elementsEqual(CaptureMark.gap.utf8) ? .gap : .exception, &receiver)
        }
        reading = .betweenRequests
    }

    private mutating func close(_ receiver: inout some ExchangeReceiver) {
        guard !isClosed else { return }
        if response.lastsUntilClose, let first = open.first, !first.isAnswered { endResponse(.complete, &receiver) }
        interrupt(.closed, &receiver)
        isClosed = true
    }

    /// Ends everything that is open.
    private mutating func interrupt(_ ending: MessageEnding, _ receiver: inout some ExchangeReceiver) {
        for request in open {
            if !request.isEnded { receiver.requestEnded(request.number, ending, at: lastTime) }
            if !request.isAnswered { receiver.responseEnded(request.number, ending, at: lastTime) }
        }
        open.removeAll(keepingCapacity: true)
        response.begin(responseTo: .get)
        reading = .betweenRequests
    }
}

/// The first bytes of a request, enough to know the methods whose responses have no content.
struct RequestMethodPrefix {
    private var bytes: UInt64 = 0
    private var count = 0

    mutating func append(_ piece: UnsafeRawBufferPointer) {
        for byte in piece {
            if count == 8 { return }
            // Empty lines before a request are tolerated (RFC 9112 §2.2).
            if count == 0, byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\n") { continue }
            bytes = bytes << 8 | UInt64(byte)
            count += 1
        }
    }

    var method: HTTPMethod {
        if count == 8, bytes == 0x434F_4E4E_4543_5420 { return .connect }  // "CONNECT "
        let first = count >= 5 ? bytes >> UInt64(8 * (count - 5)) : 0
        return first == 0x48_4541_4420 ? .head : .get  // "HEAD "
    }
}
