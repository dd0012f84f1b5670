import CSystem
import HTTPMessage
import JSONBytes

/// Writes tuples, one JSON object a line, in the shape that OpenSearch Migration Assistant gives them
/// (`ParsedHttpMessagesAsDicts`, `ResultsToLogsConsumer`):
///
///     {"sourceRequest":  {<Header>:[..], "Request-URI":s, "Method":s, "HTTP-Version":s, "payload":{..}},
///      "sourceResponse": {<Header>:[..], "HTTP-Version":s, "Status-Code":n, "Reason-Phrase":s, "response_time_ms":n,
///                         "payload":{..}},
///      "targetRequest":  as sourceRequest,
///      "targetResponses":[as sourceResponse, one for each answered attempt],
///      "connectionId":"<connection>.<request>", "error":s, "numRequests":n, "numErrors":n,
///      "source_time_ms":n, "comparison":{..}}
///
/// What is not there is left out; `targetResponses` never is. Values of fields with one name, in whatever case, share
/// an array under the first spelling. `payload` holds the content without chunks and content coding:
///
///     inlinedJsonBody              one JSON text
///     inlinedJsonSequenceBodies    an array of several, one behind the other in the body
///     inlinedFormEncodedBody       a form, as text
///     inlinedTextBody              other UTF-8, also "" and the rest of a body whose JSON ends in the middle
///     inlinedBase64Body            other bytes
///     cutBody                      in place of these, a body longer than `bodyBytesLimit`:
///                                  {"bytes":n, "crc32":"8 hex digits", "coding":"gzip"|"deflate"|"other", "start":s}
///
/// JSON is copied as it is, numbers, order and duplicate keys included; line ends in it become blanks. `coding` tells
/// that bytes and checksum are of the still coded content; `start` is the first bytes as text, `startBase64` when they
/// are none. A message whose head is not HTTP becomes {"Exception":s}; when only its body is broken, the member stands
/// beside the others and `payload` has what could be read. `cutBody`, `source_time_ms` and `comparison` are ours.
///
/// Not copyable: its scratch memory belongs to one event loop. It does not allocate once that has grown, except for
/// compressed and binary bodies.
package struct TupleEncoder: ~Copyable {
    package struct Settings: Sendable {
        /// Content of more bytes is cut; 0 never cuts, and then compressed content of more than 1 GiB is kept as it is.
        package var bodyBytesLimit = 32 << 10
        /// Whether credentials are written. The reference does; otherwise their values become `credentialMark`.
        package var keepsCredentials = false

        package init() {}
    }

    package static let credentialMark: StaticString = "[removed]"
    /// What is shown of a cut body.
    static let startBytes = 256

    private let settings: Settings
    private let limit: Int
    private var text = TupleBuffer()
    private let content = TupleContent()
    private var tape = JSONTape()
    private var requestScanner = HTTPHeadScanner()
    private var responseScanner = HTTPHeadScanner(responseTo: .get)
    private var fields: ContiguousArray<Field> = []
    private var hasCutBody = false

    package init(_ settings: Settings = Settings()) {
        self.settings = settings
        limit = settings.bodyBytesLimit > 0 ? settings.bodyBytesLimit : 1 << 30
    }

    /// Adds the tuple's line with its line feed.
    package mutating func encode(_ tuple: Tuple, into output: inout [UInt8]) {
        text.removeAll()
        hasCutBody = false
        text.append("{")
        var method = HTTPMethod.other
        if let message = tuple.sourceRequest {
            text.append("\"sourceRequest\":")
            method = request(message)
            text.append(",")
        }
        if let message = tuple.sourceResponse {
            text.append("\"sourceResponse\":")
            response(message, to: method)
            text.append(",")
        }
        if let message = tuple.targetRequest {
            text.append("\"targetRequest\":")
            method = request(message)
            text.append(",")
        }
        text.append("\"targetResponses\":[")
        for (index, message) in tuple.targetResponses.enumerated() {
            if index > 0 { text.append(",") }
            response(message, to: method)
        }
        text.append("],\"connectionId\":")
        text.append(quoted: tuple.connectionID)
        text.truncate(to: text.count - 1)
        text.append(".")
        text.append(Int64(tuple.requestNumber))
        text.append("\"")
        if let error = tuple.error {
            text.append(",\"error\":")
            text.append(quoted: error)
        }
        member(",\"numRequests\":", tuple.numRequests)
        member(",\"numErrors\":", tuple.numErrors)
        if let time = tuple.sourceTimeMilliseconds { member(",\"source_time_ms\":", Int(time)) }
        if hasCutBody, let verdict = tuple.verdict { verdict.append(to: &text) }
        text.append("}\n")
        output.append(contentsOf: text.bytes)
    }

    private mutating func member(_ key: StaticString, _ number: Int) {
        text.append(key)
        text.append(Int64(number))
    }

    // MARK: Messages

    private mutating func request(_ message: TupleMessage) -> HTTPMethod {
        text.append("{")
        requestScanner.reset()
        guard Self.scan(&requestScanner, message.head, &text) else { return .other }
        let head = requestScanner.head
        append(fieldsOf: head, message.head)
        text.append("\"Request-URI\":")
        text.append(quoted: slice(message.head, head.target))
        text.append(",\"Method\":")
        text.append(quoted: slice(message.head, head.methodRange))
        version(head)
        payload(message, head)
        return head.method
    }

    private mutating func response(_ message: TupleMessage, to method: HTTPMethod) {
        text.append("{")
        responseScanner.reset(responseTo: method)
        guard Self.scan(&responseScanner, message.head, &text) else { return }
        let head = responseScanner.head
        append(fieldsOf: head, message.head)
        text.truncate(to: text.count - (head.fields.isEmpty ? 0 : 1))
        if head.fields.isEmpty { version(head, "\"HTTP-Version\":") } else { version(head) }
        member(",\"Status-Code\":", head.status)
        text.append(",\"Reason-Phrase\":")
        text.append(quoted: slice(message.head, head.reason))
        if let time = message.responseTimeMilliseconds { member(",\"response_time_ms\":", time) }
        payload(message, head)
    }

    /// False when the head is none: the object is closed then.
    private static func scan(
        _ scanner: inout HTTPHeadScanner, _ bytes: UnsafeRawBufferPointer, _ text: inout TupleBuffer
    ) -> Bool {
        do throws(HTTPError) {
            if try scanner.scan(bytes) { return true }
            text.append("\"Exception\":\"Message couldn't be parsed as a full http message\"}")
        } catch {
            text.append("\"Exception\":")
            text.append(quoted: error.description)
            text.append("}")
        }
        return false
    }

    private mutating func version(_ head: HTTPHead, _ key: StaticString = ",\"HTTP-Version\":") {
        text.append(key)
        if head.minorVersion == 1 { text.append("\"HTTP/1.1\"") } else { text.append("\"HTTP/1.0\"") }
    }

    private func slice(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[range])
    }

    /// Each name with the values of all fields of that name, and a comma behind.
    private mutating func append(fieldsOf head: HTTPHead, _ bytes: UnsafeRawBufferPointer) {
        fields.removeAll(keepingCapacity: true)
        for index in 0..<head.fields.endIndex {
            let field = head.fields[index]
            fields.append(Field(name: slice(bytes, field.name), value: slice(bytes, field.value)))
        }
        var index = 0
        while index < fields.count {
            let field = fields[index]
            index += 1
            if field.isWritten { continue }
            let isSecret = !settings.keepsCredentials && TupleCredentials.isCredential(field.name)
            text.append(quoted: field.name)
            text.append(":[")
            append(value: field, isSecret)
            var other = index
            while other < fields.count {
                if fields[other].hasName(field.name) {
                    fields[other].isWritten = true
                    text.append(",")
                    append(value: fields[other], isSecret)
                }
                other += 1
            }
            text.append("],")
        }
    }

    private mutating func append(value field: Field, _ isSecret: Bool) {
        if isSecret {
            text.append("\"")
            text.append(Self.credentialMark)
            text.append("\"")
        } else {
            text.append(quoted: field.value)
        }
    }

    private struct Field {
        let name: UnsafeRawBufferPointer
        let value: UnsafeRawBufferPointer
        /// Beside an earlier one of its name.
        var isWritten = false

        @inline(__always)
        func hasName(_ other: UnsafeRawBufferPointer) -> Bool {
            name.count == other.count && TupleCredentials.equalsIgnoringCase(name, other)
        }
    }

    // MARK: Bodies

    /// Writes the payload and closes the message.
    private mutating func payload(_ message: TupleMessage, _ head: HTTPHead) {
        let found = content.find(message, head, limit: limit)
        if let fault = found.fault {
            text.append(",\"Exception\":")
            text.append(quoted: "body, " + fault.description)
        }
        text.append(",\"payload\":{")
        switch found.form {
        case .long(let byteCount, let checksum, let start):
            hasCutBody = true
            append(cut: byteCount, checksum, start, found.coding)
        case .whole(let bytes):
            if found.coding != .none {
                text.append("\"inlinedBase64Body\":")
                text.append(base64: bytes)
            } else {
                append(body: bytes, isForm: isForm(head, message.head))
            }
        }
        text.append("}}")
    }

    private mutating func append(
        cut byteCount: Int, _ checksum: UInt32, _ start: UnsafeRawBufferPointer, _ coding: TupleContent.Coding
    ) {
        text.append("\"cutBody\":{\"bytes\":")
        text.append(Int64(byteCount))
        text.append(",\"crc32\":")
        text.append(hex: checksum)
        switch coding {
        case .none: break
        case .gzip: text.append(",\"coding\":\"gzip\"")
        case .deflate: text.append(",\"coding\":\"deflate\"")
        case .other: text.append(",\"coding\":\"other\"")
        }
        let shown = TupleText.wholeCharacters(start)
        if coding == .none, let shown {
            text.append(",\"start\":")
            text.append(quoted: shown)
        } else {
            text.append(",\"startBase64\":")
            text.append(base64: start)
        }
        text.append("}")
    }

    private mutating func append(body: UnsafeRawBufferPointer, isForm: Bool) {
        guard !body.isEmpty else { return text.append("\"inlinedTextBody\":\"\"") }
        var tail = body
        switch tape.scan(body) {
        case .whole where !tape.roots.isEmpty:
            tail = UnsafeRawBufferPointer(start: nil, count: 0)
            appendJSON(body)
        case .cutOff(let offset) where !tape.roots.isEmpty:
            tail = UnsafeRawBufferPointer(rebasing: body[offset...])
            appendJSON(body)
            text.append(",")
        case .whole, .cutOff, .invalid: break
        }
        guard !tail.isEmpty else { return }
        guard TupleText.isUTF8(tail) else {
            text.append("\"inlinedBase64Body\":")
            return text.append(base64: tail)
        }
        if isForm { text.append("\"inlinedFormEncodedBody\":") } else { text.append("\"inlinedTextBody\":") }
        text.append(quoted: tail)
    }

    private mutating func appendJSON(_ body: UnsafeRawBufferPointer) {
        let isSequence = tape.roots.count > 1
        text.append(isSequence ? "\"inlinedJsonSequenceBodies\":[" : "\"inlinedJsonBody\":")
        for (number, root) in tape.roots.enumerated() {
            if number > 0 { text.append(",") }
            let entry = tape.entries[root]
            text.append(json: UnsafeRawBufferPointer(rebasing: body[Int(entry.start)..<Int(entry.end)]))
        }
        if isSequence { text.append("]") }
    }

    private func isForm(_ head: HTTPHead, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let value = head.value(of: .contentType) else { return false }
        let form: StaticString = "application/x-www-form-urlencoded"
        guard value.count >= form.utf8CodeUnitCount else { return false }
        return HTTPHead.equals(bytes, value.lowerBound..<value.lowerBound + form.utf8CodeUnitCount, form)
    }
}

/// UTF-8 in bodies.
enum TupleText {
    static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool { wholeCharacters(bytes)?.count == bytes.count }

    /// The bytes without a character that is cut off at their end; nil when they are not UTF-8.
    static func wholeCharacters(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return bytes }
        let ascii = millrace_ascii_end(base, 0, bytes.count)
        guard ascii < bytes.count else { return bytes }
        guard let bad = UTF8Check.firstInvalidOffset(UnsafeRawBufferPointer(rebasing: bytes[ascii...])) else {
            return bytes
        }
        let rest = bytes[(ascii + bad)...]
        let isLead = rest[rest.startIndex] >= 0xC2 && rest[rest.startIndex] <= 0xF4
        guard rest.count < 4, isLead, rest.dropFirst().allSatisfy({ $0 & 0xC0 == 0x80 }) else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[..<(ascii + bad)])
    }
}

/// Header fields that prove who somebody is.
package enum TupleCredentials {
    private static let names: [StaticString] = [
        "authorization", "proxy-authorization", "cookie", "set-cookie", "x-amz-security-token", "x-api-key",
        "x-auth-token", "es-secondary-authorization",
    ]

    package static func isCredential(_ name: UnsafeRawBufferPointer) -> Bool {
        switch name.count {
        case 6, 9, 10, 12, 13, 19, 20, 26: break
        default: return false
        }
        return names.contains { HTTPHead.equals(name, 0..<name.count, $0) }
    }

    /// Of two names of one length.
    @inline(__always)
    static func equalsIgnoringCase(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        for index in 0..<left.count {
            let (one, other) = (left[index], right[index])
            if one == other { continue }
            guard one ^ other == 0x20, one | 0x20 >= UInt8(ascii: "a"), one | 0x20 <= UInt8(ascii: "z") else {
                return false
            }
        }
        return true
    }
}
