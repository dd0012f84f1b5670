import HTTPMessage
import Settings

/// What configuration does to single requests: which are not recorded, what is set for the source, and what the record
/// does not show. Pure; costs nothing where nothing is configured.
struct RequestRules: Sendable {
    private let suppression: CaptureSettings.Suppression
    private let setHeaders: [(name: [UInt8], line: [UInt8])]
    private let redacted: [[UInt8]]

    let suppresses: Bool
    let sets: Bool
    let redacts: Bool

    init(_ settings: CaptureSettings) {
        suppression = settings.suppression
        setHeaders = settings.setHeaders.map {
            (Array($0.name.lowercased().utf8), Array("\($0.name): \($0.value)\r\n".utf8))
        }
        redacted = settings.redactedHeaders.map { Array($0.utf8) }
        suppresses = !settings.suppression.isEmpty
        sets = !settings.setHeaders.isEmpty
        redacts = !settings.redactedHeaders.isEmpty
    }

    /// Whether the request is not to be recorded. `bytes` begin with `head`.
    func isSuppressed(_ head: borrowing HTTPHead, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let method = String(decoding: bytes[head.methodRange], as: UTF8.self)
        let target = String(decoding: bytes[head.target], as: UTF8.self)
        if let pattern = suppression.method, pattern.matchesWhole(method) { return true }
        if let pattern = suppression.path, pattern.matchesWhole(target) { return true }
        if let pattern = suppression.methodAndPath, pattern.matchesWhole("\(method) \(target)") { return true }
        for rule in suppression.headers {
            let name = Array(rule.name.utf8)
            for field in head.fields where Self.equals(bytes, field.name, name) {
                if rule.pattern.matchesWhole(String(decoding: bytes[field.value], as: UTF8.self)) { return true }
            }
        }
        return false
    }

    /// The head with the configured headers in place of those of their names, then what follows it in `bytes`.
    func rewritten(_ head: borrowing HTTPHead, _ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + setHeaders.reduce(0) { $0 + $1.line.count })
        let fields = head.fields
        let linesEnd = head.byteCount - 2
        result.append(contentsOf: bytes[..<(fields.first?.name.lowerBound ?? linesEnd)])
        for index in fields.indices {
            let field = fields[index]
            // Whole lines as they came: a field line ends where the next one begins, as folds are refused.
            let end = index + 1 < fields.endIndex ? fields[index + 1].name.lowerBound : linesEnd
            if !setHeaders.contains(where: { Self.equals(bytes, field.name, $0.name) }) {
                result.append(contentsOf: bytes[field.name.lowerBound..<end])
            }
        }
        for header in setHeaders { result.append(contentsOf: header.line) }
        result.append(contentsOf: bytes[linesEnd...])
        return result
    }

    /// Whether some field of the request is not to be shown in the record.
    func hasRedaction(_ head: borrowing HTTPHead, _ bytes: UnsafeRawBufferPointer) -> Bool {
        for field in head.fields {
            for name in redacted where Self.equals(bytes, field.name, name) { return true }
        }
        return false
    }

    /// Overwrites the values in place; the length and the framing stay.
    func redact(_ head: borrowing HTTPHead, _ bytes: UnsafeMutableRawBufferPointer) {
        let view = UnsafeRawBufferPointer(bytes)
        for field in head.fields {
            for name in redacted where Self.equals(view, field.name, name) {
                for index in field.value { bytes[index] = UInt8(ascii: "*") }
            }
        }
    }

    /// Without regard to the case of ASCII letters; `name` is in lower case.
    private static func equals(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ name: [UInt8]) -> Bool {
        guard range.count == name.count else { return false }
        for index in 0..<name.count {
            var byte = bytes[range.lowerBound + index]
            if byte >= UInt8(ascii: "A"), byte <= UInt8(ascii: "Z") { byte |= 0x20 }
            if byte != name[index] { return false }
        }
        return true
    }
}
