import HTTPMessage
import JSONBytes
import Settings
import TupleFormat

/// Makes the line of an exchange's tuple, and compares the two answers on the way. Confined to its loop.
struct TupleWriter: ~Copyable {
    private var encoder: TupleEncoder
    private var comparator: TupleComparator

    init(_ settings: ReplaySettings.Tuples) {
        var encoding = TupleEncoder.Settings()
        encoding.bodyBytesLimit = settings.bodyBytes
        encoder = TupleEncoder(encoding)
        comparator = TupleComparator(TupleRules(ignoring: TupleRules.ignoredByDefault + settings.ignoredPaths))
    }

    mutating func line(_ exchange: ReplayExchange, _ messages: MessageReader) -> ([UInt8], TupleVerdict) {
        let request = messages.request(exchange.request)
        let response = messages.response(exchange.response, to: request?.head.method ?? .get)
        var line: [UInt8] = []
        line.reserveCapacity(2048)
        let sourceTime = exchange.responseEndTime.subtractingSaturating(exchange.requestEndTime)
        var id = exchange.connectionID
        let verdict = id.withUTF8 { id -> TupleVerdict in
            var tuple = Tuple(connectionID: UnsafeRawBufferPointer(id), requestNumber: exchange.number)
            tuple.sourceTimeMilliseconds = exchange.requestEndTime / 1_000_000
            tuple.sourceRequest = request.map { TupleMessage(head: $0.headBytes, body: $0.body) }
            tuple.sourceResponse = response.map {
                TupleMessage(
                    head: $0.headBytes, body: $0.body, responseTimeMilliseconds: Int(sourceTime / 1_000_000))
            }
            tuple.numRequests = exchange.attemptCount
            tuple.numErrors = max(0, exchange.attemptCount - 1)
            tuple.error = exchange.problem
            return encode(&tuple, exchange, into: &line)
        }
        return (line, verdict)
    }

    /// Adds what lies in arrays, whose memory holds only within the calls that lend it.
    private mutating func encode(
        _ tuple: inout Tuple, _ exchange: ReplayExchange, into line: inout [UInt8]
    ) -> TupleVerdict {
        guard let outgoing = exchange.outgoing else { return finish(&tuple, exchange, 0, into: &line) }
        return outgoing.head.withUnsafeBytes { head in
            tuple.targetRequest = TupleMessage(head: head, body: outgoing.body)
            return finish(&tuple, exchange, 0, into: &line)
        }
    }

    private mutating func finish(
        _ tuple: inout Tuple, _ exchange: ReplayExchange, _ next: Int, into line: inout [UInt8]
    ) -> TupleVerdict {
        guard next < exchange.answers.count else {
            let verdict = comparator.compare(tuple)
            tuple.verdict = verdict
            encoder.encode(tuple, into: &line)
            return verdict
        }
        let answer = exchange.answers[next]
        return answer.head.withUnsafeBytes { head in
            answer.body.withUnsafeBytes { body in
                tuple.targetResponses.append(
                    TupleMessage(
                        head: head, body: [body], isBodyFramed: false,
                        responseTimeMilliseconds: Int((answer.endTime - answer.sentTime) / 1_000_000)))
                return finish(&tuple, exchange, next + 1, into: &line)
            }
        }
    }
}

extension ReplayExchange {
    /// For the tuple: why there is no answer, or none that counts.
    var problem: String? {
        switch outcome {
        case .done?, .different?, .refusedBySource?, nil: lastFailure?.message
        case .filtered?: "left out by a rule"
        case .neverExecuted?: "not sent: the source did not execute it"
        case .untransformable(let reason)?: "not sent: \(reason)"
        case .gaveUp(let reason)?: "given up after \(attemptCount) attempts: \(lastFailure?.message ?? reason)"
        }
    }
}

extension DeadLetter {
    /// One JSON object with its line feed: `time` (milliseconds since 1970), `partition`, `offset`, `connection`,
    /// `request`, `reason`, `content` (base64).
    func line(at time: Int64) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("time")
        writer.int(time / 1_000_000)
        writer.key("partition")
        writer.int(partition)
        writer.key("offset")
        writer.int(offset)
        if let connection {
            writer.key("connection")
            writer.string(connection)
        }
        if let request {
            writer.key("request")
            writer.int(request)
        }
        writer.key("reason")
        writer.string(reason)
        writer.key("content")
        var text: [UInt8] = [UInt8(ascii: "\"")]
        let bytes = Array(content.joined())
        bytes.withUnsafeBytes { Base64.append($0, to: &text) }
        text.append(UInt8(ascii: "\""))
        writer.raw(text)
        writer.endObject()
        return writer.bytes + [0x0A]
    }
}
