import CapturedTraffic
import JSONBytes

/// Exchanges for people.
///
///     connection 02fc00fffe000001-00003180-00000001
///     request 0, 2026-11-23T20:43:18.402213497Z, 440 bytes
///       > PUT /idx/_doc/1 HTTP/1.1
///       > Host: 127.0.0.1:26041
///       > {"ts":"2026-01-01T00:00:00Z"}
///     response, 3.120 ms later, 278 bytes
///       < HTTP/1.1 201 Created
struct TrafficText {
    /// Of a body; the rest is counted.
    private static let bodyPreviewBytes = 400

    private var lastConnection: String?

    mutating func exchange(_ exchange: CapturedExchange, connection: String) -> String {
        var text = ""
        if connection != lastConnection { text += "connection \(Self.visible(connection))\n" }
        lastConnection = connection
        text += "request \(exchange.number), \(exchange.requestTime?.text ?? "-"), \(exchange.requestByteCount) bytes"
        text += exchange.requestEnding == .complete ? "\n" : ", incomplete: \(Self.reason(exchange.requestEnding))\n"
        text += Self.message(exchange.request, "  > ")
        guard exchange.responseByteCount > 0 else {
            return text + "no response: \(Self.reason(exchange.responseEnding))\n\n"
        }
        text += "response, \(Self.delay(exchange)) ms later, \(exchange.responseByteCount) bytes"
        text += exchange.isResponseComplete ? "\n" : ", incomplete: \(Self.reason(exchange.responseEnding))\n"
        return text + Self.message(exchange.response, "  < ") + "\n"
    }

    private static func reason(_ ending: MessageEnding?) -> String {
        switch ending {
        case .complete, nil: "none was recorded"
        case .nextRequest: "the next request came"
        case .upgraded: "the protocol changed"
        case .closed: "the connection was closed"
        case .exception: "an error of the connection"
        case .gap: "records are missing"
        case .endOfLog: "the log ends here"
        }
    }

    private static func delay(_ exchange: CapturedExchange) -> String {
        guard let from = exchange.requestEndTime ?? exchange.requestTime, let to = exchange.responseTime else {
            return "?"
        }
        let seconds = to.seconds.subtractingReportingOverflow(from.seconds)
        guard !seconds.overflow, abs(seconds.partialValue) < 1 << 40 else { return "?" }
        let microseconds =
            (seconds.partialValue * 1_000_000_000 + Int64(to.nanoseconds) - Int64(from.nanoseconds)) / 1000
        let fraction = String(abs(microseconds % 1000))
        let sign = microseconds < 0 ? "-" : ""
        return "\(sign)\(abs(microseconds) / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
    }

    private static func message(_ bytes: [UInt8], _ prefix: String) -> String {
        let message = CapturedMessage(bytes)
        var text = prefix + visible(message.firstLine.joined(separator: " ")) + "\n"
        for field in message.fields { text += prefix + visible("\(field.name): \(field.value)") + "\n" }
        if message.body.isEmpty { return text }
        let preview = CapturedMessage.text(message.body.prefix(bodyPreviewBytes))
        for line in preview.split(whereSeparator: \.isNewline) { text += prefix + visible(String(line)) + "\n" }
        let rest = message.body.count - bodyPreviewBytes
        return rest > 0 ? text + prefix + "… and \(rest) bytes\n" : text
    }

    /// Control characters that others sent must not steer a terminal.
    static func visible(_ text: String) -> String {
        let isControl = { (scalar: Unicode.Scalar) in scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? "\u{FFFD}" : $0 }))
    }
}

/// Records and observations with their offsets.
enum RawRecord {
    private static let previewBytes = 64

    private struct Entry {
        var name = ""
        var data: UnsafeRawBufferPointer?
        var numbers: [(name: String, value: Int64)] = []

        init(_ event: TrafficEvent) {
            switch event {
            case .bind: name = "bind"
            case .connect: name = "connect"
            case .read(let bytes): (name, data) = ("read", bytes)
            case .readSegment(let bytes): (name, data) = ("readSegment", bytes)
            case .write(let bytes): (name, data) = ("write", bytes)
            case .writeSegment(let bytes): (name, data) = ("writeSegment", bytes)
            case .disconnect: name = "disconnect"
            case .close: name = "close"
            case .connectionException(let bytes): (name, data) = ("connectionException", bytes)
            case .segmentEnd: name = "segmentEnd"
            case .requestDropped: name = "requestDropped"
            case .unknown: name = "unknown"
            case .requestReleased(let isTimedOut):
                name = "requestReleasedDownstream"
                numbers = [("timedOut", isTimedOut ? 1 : 0)]
            case .endOfMessage(let firstLine, let headers):
                name = "endOfMessageIndicator"
                if let firstLine { numbers.append(("firstLineByteLength", Int64(firstLine))) }
                if let headers { numbers.append(("headersByteLength", Int64(headers))) }
            }
        }
    }

    /// Returns what is wrong with the record; the observations before it were appended.
    static func append(
        _ record: SourceRecord, _ reader: inout TrafficStreamReader, to text: inout [UInt8]
    ) -> TrafficStreamError? {
        let header = reader.header
        var line = "record \(record.position)"
        if let time = record.timestampMilliseconds { line += ", \(timeText(time))" }
        let visible = { (id: UnsafeRawBufferPointer) in TrafficText.visible(CapturedMessage.text(id)) }
        line += ", \(record.value.count) bytes, connection \(visible(header.connectionID))"
        line += ", node \(visible(header.nodeID))"
        line += header.number.map { ", number \($0)" } ?? ", without a number"
        if header.isLast { line += " (last)" }
        if let prior = header.priorRequests { line += ", prior requests \(prior)" }
        if header.isReadUnterminated { line += ", goes on with a read" }
        text += Array((line + "\n").utf8)
        do throws(TrafficStreamError) {
            while let observation = try reader.next() {
                let entry = Entry(observation.event)
                var line = "  +\(observation.range.lowerBound) \(observation.timestamp.text) \(entry.name)"
                for number in entry.numbers { line += " \(number.name)=\(number.value)" }
                if let data = entry.data {
                    let preview = quoted(data.prefix(previewBytes))
                    line += " \(data.count) bytes \"\(preview)\"" + (data.count > previewBytes ? "…" : "")
                }
                text += Array((line + "\n").utf8)
            }
            return nil
        } catch {
            return error
        }
    }

    static func append(
        _ record: SourceRecord, _ reader: inout TrafficStreamReader, to json: inout JSONWriter
    ) -> TrafficStreamError? {
        let header = reader.header
        var failure: TrafficStreamError?
        json.beginObject()
        json.key("position")
        json.string(record.position)
        json.key("timestamp")
        if let time = record.timestampMilliseconds { json.string(timeText(time)) } else { json.null() }
        json.key("key")
        if let key = record.key { json.string(CapturedMessage.text(key)) } else { json.null() }
        json.key("bytes")
        json.int(record.value.count)
        json.key("connection")
        json.string(CapturedMessage.text(header.connectionID))
        json.key("node")
        json.string(CapturedMessage.text(header.nodeID))
        json.key("number")
        if let number = header.number { json.int(number) } else { json.null() }
        json.key("isLast")
        json.bool(header.isLast)
        json.key("priorRequestsReceived")
        if let prior = header.priorRequests { json.int(prior) } else { json.null() }
        json.key("lastObservationWasUnterminatedRead")
        json.bool(header.isReadUnterminated)
        json.key("observations")
        json.beginArray()
        do throws(TrafficStreamError) {
            while let observation = try reader.next() { append(observation, to: &json) }
        } catch {
            failure = error
        }
        json.endArray()
        json.endObject()
        return failure
    }

    private static func append(_ observation: TrafficObservation, to json: inout JSONWriter) {
        let entry = Entry(observation.event)
        json.beginObject()
        json.key("offset")
        json.int(observation.range.lowerBound)
        json.key("time")
        json.string(observation.timestamp.text)
        json.key("event")
        json.string(entry.name)
        for number in entry.numbers {
            json.key(number.name)
            json.int(number.value)
        }
        if let data = entry.data {
            var text: [UInt8] = [UInt8(ascii: "\"")]
            Base64.append(data, to: &text)
            text.append(UInt8(ascii: "\""))
            json.key("data")
            json.raw(text)
        }
        json.endObject()
    }

    /// Line ends as escapes, so that a head stays on one line.
    private static func quoted(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        var text = ""
        for character in CapturedMessage.text(bytes).unicodeScalars {
            switch character {
            case "\r": text += "\\r"
            case "\n": text += "\\n"
            case "\"", "\\": text += "\\" + String(character)
            default: text += TrafficText.visible(String(character))
            }
        }
        return text
    }

    private static func timeText(_ milliseconds: Int64) -> String {
        TrafficTimestamp(
            seconds: milliseconds / 1000,
            nanoseconds: Int32(truncatingIfNeeded: max(0, milliseconds % 1000) * 1_000_000)
        ).text
    }
}
