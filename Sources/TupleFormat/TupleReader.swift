import JSONBytes

/// A tuple as it was read from its line. Ranges are of bytes in the line.
package struct TupleRecord: Sendable {
    package struct Message: Sendable {
        package var method: String?
        package var target: String?
        package var status: Int?
        package var responseTimeMilliseconds: Int?
        /// What was wrong with the message when it was written.
        package var exception: String?
        package var payload: [Payload] = []
        /// The message's object.
        var entry = 0
    }

    /// One or more make a body: JSON may have a tail.
    package enum Payload: Sendable, Equatable {
        /// One value, or a sequence of them.
        case json([Range<Int>])
        case text(String)
        case form(String)
        /// As base64 text.
        case base64(String)
        case cut(CutBody)

        var isJSON: Bool { if case .json = self { true } else { false } }
    }

    package struct CutBody: Sendable, Equatable {
        package var byteCount: Int
        package var checksum: String
        package var coding: String?
    }

    /// With the request's number behind the last dot.
    package var connectionID = ""
    package var sourceTimeMilliseconds: Int64?
    package var sourceRequest: Message?
    package var sourceResponse: Message?
    package var targetRequest: Message?
    package var targetResponses: [Message] = []
    package var error: String?
    package var numRequests = 0
    package var numErrors = 0
    package var verdict: TupleVerdict?
}

/// What is wrong with a line, and at which byte of it.
package struct TupleError: Error, Equatable, Sendable, CustomStringConvertible {
    package let offset: Int
    package let message: String

    package var description: String { "byte \(offset): \(message)" }
}

/// Reads tuples of `TupleEncoder`'s and of the reference's, a line at a time. Members that it does not know are passed
/// over. Its scratch memory belongs to one thread.
package final class TupleReader {
    private var tape = JSONTape()
    private var line = UnsafeRawBufferPointer(start: nil, count: 0)

    package init() {}

    package func read(_ line: UnsafeRawBufferPointer) throws(TupleError) -> TupleRecord {
        self.line = line
        switch tape.scan(line) {
        case .whole where tape.roots.count == 1 && tape.entries[0].kind == .object: break
        case .whole: throw TupleError(offset: 0, message: "not one JSON object")
        case .cutOff: throw TupleError(offset: line.count, message: "the line ends inside its object")
        case .invalid(let offset): throw TupleError(offset: offset, message: "no JSON")
        }
        var record = TupleRecord()
        var hasResponses = false
        forEachMember(0) { key, value in
            switch key {
            case "sourceRequest": record.sourceRequest = message(value)
            case "sourceResponse": record.sourceResponse = message(value)
            case "targetRequest": record.targetRequest = message(value)
            case "targetResponses":
                hasResponses = true
                record.targetResponses = elements(value).map(message)
            case "connectionId": record.connectionID = string(value) ?? ""
            case "error": record.error = string(value)
            case "numRequests": record.numRequests = number(value) ?? 0
            case "numErrors": record.numErrors = number(value) ?? 0
            case "source_time_ms": record.sourceTimeMilliseconds = number(value).map(Int64.init)
            case "comparison": record.verdict = verdict(value)
            default: break
            }
        }
        let isTuple = hasResponses || record.sourceRequest != nil || !record.connectionID.isEmpty
        guard isTuple else { throw TupleError(offset: 0, message: "an object that is no tuple") }
        return record
    }

    /// The header fields of a message of the line that was read last, and whose memory is still there.
    package func fields(_ message: TupleRecord.Message) -> [(name: String, values: [String])] {
        var fields: [(name: String, values: [String])] = []
        forEachMember(message.entry) { key, value in
            guard tape.entries[value].kind == .array else { return }
            fields.append((key, elements(value).compactMap(string)))
        }
        return fields
    }

    /// Compares the responses of the record that was read last. A verdict that the tuple brings along stands where a
    /// body was cut.
    package func verdict(_ record: TupleRecord, _ rules: TupleRules) -> TupleVerdict {
        guard let target = record.targetResponses.last else { return .targetMissing }
        guard let source = record.sourceResponse else { return .sourceMissing }
        guard let status = source.status, let targetStatus = target.status else { return .notComparable(.unreadable) }
        guard rules.areEqual(status, targetStatus) else { return .statusDiffers(source: status, target: targetStatus) }
        guard source.exception == nil, target.exception == nil else { return .notComparable(.unreadable) }
        for (one, other) in [(source, target), (target, source)] {
            guard case .cut(let body)? = one.payload.first else { continue }
            if case .cut(let otherBody)? = other.payload.first, body == otherBody { return .match }
            return record.verdict ?? .notComparable(.bodyCut)
        }
        if case .base64? = source.payload.first, case .base64? = target.payload.first {
            guard source.payload != target.payload else { return .match }
            return .notComparable(.unknownCoding)
        }
        return bodies(source, target, rules)
    }

    private func bodies(
        _ source: TupleRecord.Message, _ target: TupleRecord.Message, _ rules: TupleRules
    ) -> TupleVerdict {
        let (one, other) = (source.payload, target.payload)
        if one.count == 1, other.count == 1, one[0].isJSON, other[0].isJSON {
            return TupleComparator.compare(
                tape, roots(source), line, tape, roots(target), line, rules)
        }
        let (text, otherText) = (bytes(one), bytes(other))
        if text == otherText { return .match }
        return text.withUnsafeBytes { text in
            otherText.withUnsafeBytes { .bodyDiffers(TupleComparator.textDifference(text, $0)) }
        }
    }

    /// A body put together again, as far as the line has it; JSON with the blanks that it was written with.
    package func bytes(_ payload: [TupleRecord.Payload]) -> [UInt8] {
        var bytes: [UInt8] = []
        for part in payload {
            switch part {
            case .json(let values):
                for value in values {
                    bytes += line[value]
                    if values.count > 1 { bytes.append(0x0A) }
                }
            case .text(let text), .form(let text), .base64(let text): bytes += text.utf8
            case .cut: break
            }
        }
        return bytes
    }

    // MARK: Values

    /// The entries of the JSON values of a message's body.
    private func roots(_ message: TupleRecord.Message) -> [Int] {
        guard let payload = member("payload", of: message.entry) else { return [] }
        if let value = member("inlinedJsonBody", of: payload) { return [value] }
        return member("inlinedJsonSequenceBodies", of: payload).map(elements) ?? []
    }

    private func message(_ entry: Int) -> TupleRecord.Message {
        var message = TupleRecord.Message()
        message.entry = entry
        forEachMember(entry) { key, value in
            switch key {
            case "Method": message.method = string(value)
            case "Request-URI": message.target = string(value)
            case "Status-Code": message.status = number(value)
            case "response_time_ms": message.responseTimeMilliseconds = number(value)
            case "Exception": message.exception = string(value)
            case "payload": message.payload = payload(value)
            default: break
            }
        }
        return message
    }

    private func payload(_ entry: Int) -> [TupleRecord.Payload] {
        var parts: [TupleRecord.Payload] = []
        forEachMember(entry) { key, value in
            switch key {
            case "inlinedJsonBody": parts.append(.json([range(value)]))
            case "inlinedJsonSequenceBodies": parts.append(.json(elements(value).map(range)))
            case "inlinedTextBody": if let text = string(value), !text.isEmpty { parts.append(.text(text)) }
            case "inlinedFormEncodedBody": if let text = string(value) { parts.append(.form(text)) }
            case "inlinedBase64Body": if let text = string(value) { parts.append(.base64(text)) }
            case "cutBody":
                var body = TupleRecord.CutBody(byteCount: 0, checksum: "")
                forEachMember(value) { key, value in
                    switch key {
                    case "bytes": body.byteCount = number(value) ?? 0
                    case "crc32": body.checksum = string(value) ?? ""
                    case "coding": body.coding = string(value)
                    default: break
                    }
                }
                parts.append(.cut(body))
            default: break
            }
        }
        return parts
    }

    private func verdict(_ entry: Int) -> TupleVerdict? {
        func text(_ key: StaticString) -> String { member(key, of: entry).flatMap(string) ?? "" }
        switch text("result") {
        case "match": return .match
        case "targetMissing": return .targetMissing
        case "sourceMissing": return .sourceMissing
        case "statusDiffers":
            func status(_ key: StaticString) -> Int { member(key, of: entry).flatMap(number) ?? 0 }
            return .statusDiffers(source: status("source"), target: status("target"))
        case "bodyDiffers":
            guard let kind = BodyDifference.Kind(rawValue: text("kind")) else { return nil }
            return .bodyDiffers(
                BodyDifference(path: text("path"), kind: kind, source: text("source"), target: text("target")))
        case "notComparable": return TupleVerdict.Reason(rawValue: text("reason")).map { .notComparable($0) }
        default: return nil
        }
    }

    private func range(_ entry: Int) -> Range<Int> { Int(tape.entries[entry].start)..<Int(tape.entries[entry].end) }

    private func text(_ entry: Int) -> String {
        let bytes = UnsafeRawBufferPointer(rebasing: line[range(entry)])
        if tape.entries[entry].hasEscapes { return String(decoding: JSONText.unescaped(bytes), as: UTF8.self) }
        return String(decoding: bytes.dropFirst().dropLast(), as: UTF8.self)
    }

    private func string(_ entry: Int) -> String? { tape.entries[entry].kind == .string ? text(entry) : nil }

    private func number(_ entry: Int) -> Int? {
        guard tape.entries[entry].kind == .number else { return nil }
        return Int(String(decoding: line[range(entry)], as: UTF8.self))
    }

    private func elements(_ entry: Int) -> [Int] {
        guard tape.entries[entry].kind == .array else { return [] }
        var elements: [Int] = []
        var index = entry + 1
        while index < Int(tape.entries[entry].next) {
            elements.append(index)
            index = Int(tape.entries[index].next)
        }
        return elements
    }

    private func forEachMember(_ entry: Int, _ body: (String, Int) -> Void) {
        guard tape.entries[entry].kind == .object else { return }
        var key = entry + 1
        while key < Int(tape.entries[entry].next) {
            body(text(key), key + 1)
            key = Int(tape.entries[key + 1].next)
        }
    }

    /// The last member of that name, as Java's maps take it.
    private func member(_ name: StaticString, of entry: Int) -> Int? {
        var found: Int?
        let name = name.description
        forEachMember(entry) { key, value in if key == name { found = value } }
        return found
    }
}
