/// Writes one log line, line break included.
struct LogLine {
    /// Longer texts are cut, and the line says by how much: a target's answer may be megabytes.
    static let valueLimitBytes = 8192

    typealias Pair = (key: LogKey, value: LogValue)

    private(set) var bytes: [UInt8] = []

    init(
        time: LogTime, level: LogLevel, message: StaticString, context: [Pair],
        metadata: KeyValuePairs<LogKey, LogValue>, suppressedCount: Int = 0, format: LogFormat
    ) {
        bytes.reserveCapacity(256)
        switch format {
        case .json:
            bytes += "{\"time\":\"".utf8
            time.append(to: &bytes)
            bytes += "\",\"level\":\"".utf8
            bytes += level.name.utf8
            bytes += "\",\"message\":\"".utf8
            JSONText.append(message, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        case .text:
            time.append(to: &bytes)
            bytes.append(UInt8(ascii: " "))
            bytes += level.name.utf8
            for _ in level.name.utf8.count..<8 { bytes.append(UInt8(ascii: " ")) }
            JSONText.append(message, to: &bytes)
        }
        for (key, value) in context { append(key, value, format) }
        for (key, value) in metadata { append(key, value, format) }
        if suppressedCount > 0 { append(.suppressed, LogValue(suppressedCount), format) }
        if format == .json { bytes.append(UInt8(ascii: "}")) }
        bytes.append(0x0A)
    }

    private mutating func append(_ key: LogKey, _ value: LogValue, _ format: LogFormat) {
        switch format {
        case .json:
            bytes += ",\"".utf8
            bytes += key.rawValue.utf8
            bytes += "\":".utf8
        case .text:
            bytes.append(UInt8(ascii: " "))
            bytes += key.rawValue.utf8
            bytes.append(UInt8(ascii: "="))
        }
        switch value {
        case .text(let text): append(text: text, format)
        case .bytes(let raw):
            // One byte may become three (U+FFFD), so the cut comes before the repair as well as after it.
            let kept = raw.prefix(Self.valueLimitBytes)
            append(text: String(decoding: kept, as: UTF8.self), format, omittedBytes: raw.count - kept.count)
        case .integer(let number): bytes += String(number).utf8
        case .number(let number): append(number: number)
        case .truth(let isTrue): bytes += (isTrue ? "true" : "false").utf8
        case .duration(let duration):
            let (seconds, attoseconds) = duration.components
            append(number: Double(seconds) + (Double(attoseconds / 1_000_000_000_000) / 1e6))
        }
    }

    /// JSON has no infinities and no NaN; they are written as text.
    private mutating func append(number: Double) {
        let text = number.description
        bytes += (number.isFinite ? text : "\"\(text)\"").utf8
    }

    private mutating func append(text: String, _ format: LogFormat, omittedBytes: Int = 0) {
        let isQuoted = format == .json || omittedBytes > 0 || Self.needsQuotes(text)
        if isQuoted { bytes.append(UInt8(ascii: "\"")) }
        var omittedBytes = omittedBytes
        if text.utf8.count > Self.valueLimitBytes {
            var kept = text.utf8.prefix(Self.valueLimitBytes)
            // The cut goes before a character's first byte: 10xxxxxx continues one.
            while let next = text.utf8[kept.endIndex...].first, next & 0xC0 == 0x80 { kept = kept.dropLast() }
            JSONText.append(kept, to: &bytes)
            omittedBytes += text.utf8.count - kept.count
        } else {
            JSONText.append(text.utf8, to: &bytes)
        }
        if omittedBytes > 0 { bytes += "… (\(omittedBytes) bytes more)".utf8 }
        if isQuoted { bytes.append(UInt8(ascii: "\"")) }
    }

    private static func needsQuotes(_ text: String) -> Bool {
        text.isEmpty
            || text.utf8.contains { $0 <= 0x20 || $0 == 0x7F || $0 == 0x22 || $0 == 0x3D || $0 == 0x5C || $0 == 0xC2 }
    }
}

/// The inside of a JSON string (RFC 8259 §7).
enum JSONText {
    private static let hexDigits: StaticString = "0123456789abcdef"

    /// Appends valid UTF-8, escaped. Beyond what JSON asks for, DEL and the C1 controls (U+0080–U+009F) are escaped, so
    /// that a value taken from outside cannot steer the terminal that shows the log.
    static func append(_ text: some Sequence<UInt8>, to bytes: inout [UInt8]) {
        var isAfterC2 = false
        for byte in text {
            if isAfterC2 {
                isAfterC2 = false
                if byte < 0xA0 {
                    appendEscape(byte, to: &bytes)
                } else {
                    bytes.append(0xC2)
                    bytes.append(byte)
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0x0A:
                bytes += "\\n".utf8
            case 0x09:
                bytes += "\\t".utf8
            case 0..<0x20, 0x7F:
                appendEscape(byte, to: &bytes)
            case 0xC2:
                isAfterC2 = true
            default:
                bytes.append(byte)
            }
        }
        assert(!isAfterC2, "text ends inside a character")
    }

    static func append(_ text: StaticString, to bytes: inout [UInt8]) {
        text.withUTF8Buffer { append($0, to: &bytes) }
    }

    /// `text` as a JSON string with its quotes.
    static func quoted(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = [UInt8(ascii: "\"")]
        append(text.utf8, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
        return bytes
    }

    private static func appendEscape(_ byte: UInt8, to bytes: inout [UInt8]) {
        bytes += "\\u00".utf8
        bytes.append(hexDigits.utf8Start[Int(byte >> 4)])
        bytes.append(hexDigits.utf8Start[Int(byte & 15)])
    }
}
