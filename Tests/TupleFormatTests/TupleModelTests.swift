import JSONBytes
import TestSupport
import Testing

@testable import TupleFormat

/// Seeded exchanges against an encoder made of `JSONValue`s that does what the shape says and nothing else.
@Suite struct TupleModelTests {
    @Test func thousandExchangesAgreeWithTheModel() throws {
        var forms: [String: Int] = [:]
        for seed in 0..<1000 {
            var random = SeededGenerator(seed: UInt64(seed))
            let (tuple, model) = ModelTuple.make(&random)
            let line = Array(tuple.line().utf8)
            let value = try JSONValue.parse(line)
            #expect(value == model, "seed \(seed): \(String(decoding: line, as: UTF8.self))")
            for message in value["targetResponses"]?.arrayValue ?? [] {
                for member in message["payload"]?.objectValue ?? [] { forms[member.key, default: 0] += 1 }
            }
            let reader = TupleReader()
            try line.withUnsafeBytes { line in
                let record = try reader.read(line)
                #expect(record.targetResponses.count == tuple.targetResponses.count && record.connectionID == "id.0")
                #expect(record.targetResponses.last?.status == 200)
            }
        }
        for form in ["inlinedJsonBody", "inlinedJsonSequenceBodies", "inlinedTextBody", "inlinedBase64Body"] {
            #expect(forms[form, default: 0] > 50, "\(form) was hardly tried")
        }
    }
}

private enum ModelTuple {
    static func make(_ random: inout SeededGenerator) -> (SampleTuple, JSONValue) {
        var tuple = SampleTuple(connection: "id", number: 0)
        var members: [JSONMember] = []
        var (request, fields) = head("POST /i\(random.below(9))/_search HTTP/1.1", &random)
        let (body, payload) = body(&random)
        tuple.sourceRequest = SampleMessage(request, body, framed: false)
        let target = request.split(separator: " ")[1]
        fields.append(JSONMember(key: "Request-URI", value: .string(String(target))))
        fields.append(JSONMember(key: "Method", value: .string("POST")))
        fields.append(JSONMember(key: "HTTP-Version", value: .string("HTTP/1.1")))
        fields.append(JSONMember(key: "payload", value: payload))
        members.append(JSONMember(key: "sourceRequest", value: .object(fields)))
        var responses: [JSONValue] = []
        for _ in 0...random.below(3) {
            (request, fields) = head("HTTP/1.1 200 OK", &random)
            let (body, payload) = Self.body(&random)
            let time = random.below(10_000)
            var message = SampleMessage(request, body, framed: false, time: time)
            message.cuts = (0..<random.below(4)).map { _ in random.below(body.count + 1) }.sorted()
            tuple.targetResponses.append(message)
            fields.append(JSONMember(key: "HTTP-Version", value: .string("HTTP/1.1")))
            fields.append(JSONMember(key: "Status-Code", value: .number("200")))
            fields.append(JSONMember(key: "Reason-Phrase", value: .string("OK")))
            fields.append(JSONMember(key: "response_time_ms", value: .number("\(time)")))
            fields.append(JSONMember(key: "payload", value: payload))
            responses.append(.object(fields))
        }
        members.append(JSONMember(key: "targetResponses", value: .array(responses)))
        return finish(&tuple, members, &random)
    }

    private static func finish(
        _ tuple: inout SampleTuple, _ members: [JSONMember], _ random: inout SeededGenerator
    ) -> (SampleTuple, JSONValue) {
        var members = members
        members.append(JSONMember(key: "connectionId", value: .string("id.\(tuple.number)")))
        if random.below(4) == 0 {
            tuple.error = text(&random)
            members.append(JSONMember(key: "error", value: .string(tuple.error ?? "")))
        }
        tuple.numErrors = random.below(3)
        members.append(JSONMember(key: "numRequests", value: .number("1")))
        members.append(JSONMember(key: "numErrors", value: .number("\(tuple.numErrors)")))
        return (tuple, .object(members))
    }

    private static func head(_ first: String, _ random: inout SeededGenerator) -> (String, [JSONMember]) {
        var text = first + "\r\nHost: h\r\n"
        var fields: [(name: String, values: [String])] = [("Host", ["h"])]
        for _ in 0..<random.below(12) {
            let name = ["X-A", "x-a", "X-Bee", "x-BEE", "X-C_1", "X-c~1", "X-C^1"][random.below(7)]
            let value = ["", "a b", "q=\"1\"", "back\\slash", "é"][random.below(5)]
            text += "\(name): \(value)\r\n"
            if let place = fields.firstIndex(where: { $0.name.lowercased() == name.lowercased() }) {
                fields[place].values.append(value)
            } else {
                fields.append((name, [value]))
            }
        }
        return (
            text + "\r\n",
            fields.map { JSONMember(key: $0.name, value: .array($0.values.map { .string($0) })) }
        )
    }

    private static func body(_ random: inout SeededGenerator) -> ([UInt8], JSONValue) {
        let payload = { (key: String, value: JSONValue) in JSONValue.object([JSONMember(key: key, value: value)]) }
        switch random.below(5) {
        case 0:
            let value = value(&random, depth: 3, isRoot: true)
            return (written(value, &random), payload("inlinedJsonBody", value))
        case 1:
            let values = (0..<2 + random.below(4)).map { _ in value(&random, depth: 2, isRoot: true) }
            var bytes: [UInt8] = []
            for value in values { bytes += written(value, &random) + [0x0A] }
            return (bytes, payload("inlinedJsonSequenceBodies", .array(values)))
        case 2:
            let text = "t" + text(&random)
            return (Array(text.utf8), payload("inlinedTextBody", .string(text)))
        case 3: return ([], payload("inlinedTextBody", .string("")))
        default:
            let bytes = [0xFE] + random.bytes(random.below(40))
            return (bytes, payload("inlinedBase64Body", .string(Base64.encode(bytes))))
        }
    }

    private static func value(_ random: inout SeededGenerator, depth: Int, isRoot: Bool = false) -> JSONValue {
        switch depth == 0 ? random.below(4) : isRoot ? 4 + random.below(2) : random.below(6) {
        case 0: return .null
        case 1: return .bool(random.below(2) == 0)
        case 2:
            return .number(["0", "-0.0", "1.50", "12345678901234567890123", "1e-7", "3E+400"][random.below(6)])
        case 3: return .string(text(&random))
        case 4: return .array((0..<random.below(4)).map { _ in value(&random, depth: depth - 1) })
        default:
            return .object(
                (0..<random.below(5)).map { _ in
                    JSONMember(key: text(&random), value: value(&random, depth: depth - 1))
                })
        }
    }

    private static func text(_ random: inout SeededGenerator) -> String {
        let parts = ["a", "\"", "\\", "/", "\n", "\t", "\u{1}", "é", "\u{1F600}", "plain words of some length", ""]
        return (0..<random.below(5)).map { _ in parts[random.below(parts.count)] }.joined()
    }

    /// With blanks and line ends between tokens, where a writer may put them.
    private static func written(_ value: JSONValue, _ random: inout SeededGenerator) -> [UInt8] {
        var bytes: [UInt8] = []
        var isInString = false
        var isEscaped = false
        for byte in value.serialized() {
            bytes.append(byte)
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte
                    == UInt8(ascii: "\"")
                {
                    isInString = false
                }
                continue
            }
            if byte == UInt8(ascii: "\"") { isInString = true }
            if ",:[{".utf8.contains(byte), random.below(3) == 0 {
                bytes += [[0x20], [0x0A], [0x0D, 0x0A, 0x20], [0x09]][random.below(4)]
            }
        }
        return bytes
    }
}
