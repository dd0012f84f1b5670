import CSystem

/// Scans field lines up to the empty line that ends them, in a head or in a trailer section (RFC 9112 §5).
///
///     field-line = field-name ":" OWS field-value OWS CRLF
///
/// It goes on where it stopped when more bytes arrive, so the cost is linear however the bytes are cut, and each error
/// depends on the bytes up to the offending one only.
struct HTTPFieldScanner {
    private enum Stage: UInt8 {
        /// Before the first byte of a line.
        case lineStart
        /// Inside a name; `position` is where scanning goes on.
        case name
        /// In the white space before a value.
        case space
        /// Inside a value.
        case value
    }

    private var stage = Stage.lineStart
    private(set) var position: Int
    private var nameStart = 0
    private var nameEnd = 0
    private var valueStart = 0

    init(from position: Int) { self.position = position }

    /// True when the empty line was passed; `position` is then the byte after it.
    mutating func scan(
        _ base: UnsafePointer<UInt8>, to end: Int, fieldCountLimit: Int, into fields: inout HTTPFieldList
    ) throws(HTTPError) -> Bool {
        while true {
            // The steady path: what it leaves is incomplete or wrong, or the empty line.
            if stage == .lineStart {
                fields.takeWholeLines(base, &position, to: end, fieldCountLimit: fieldCountLimit)
            }
            switch stage {
            case .lineStart:
                guard position < end else { return false }
                let byte = base[position]
                if byte == UInt8(ascii: "\r") {
                    guard position + 1 < end else { return false }
                    guard base[position + 1] == UInt8(ascii: "\n") else { throw bareCarriageReturn(position) }
                    position += 2
                    return true
                }
                guard byte != 0x20, byte != 0x09 else {
                    throw HTTPError(.obsoleteFold, at: position, "a field line starts with white space")
                }
                guard fields.count < fieldCountLimit else {
                    throw HTTPError(.tooManyFields, at: position, "more than \(fieldCountLimit) fields")
                }
                nameStart = position
                stage = .name
                fallthrough
            case .name:
                position = millrace_http_token_end(base, position, end)
                guard position < end else { return false }
                guard base[position] == UInt8(ascii: ":"), position > nameStart else { throw badName(base[position]) }
                nameEnd = position
                position += 1
                stage = .space
                fallthrough
            case .space:
                while position < end, base[position] == 0x20 || base[position] == 0x09 { position += 1 }
                guard position < end else { return false }
                valueStart = position
                stage = .value
                fallthrough
            case .value:
                position = millrace_http_value_end(base, position, end)
                guard position < end else { return false }
                guard base[position] == UInt8(ascii: "\r") else { throw badValue(base[position]) }
                guard position + 1 < end else { return false }
                guard base[position + 1] == UInt8(ascii: "\n") else { throw bareCarriageReturn(position) }
                var valueEnd = position
                while valueEnd > valueStart, base[valueEnd - 1] == 0x20 || base[valueEnd - 1] == 0x09 { valueEnd -= 1 }
                fields.append(
                    HTTPField(
                        line: millrace_http_field(
                            name_start: UInt32(truncatingIfNeeded: nameStart),
                            name_end: UInt32(truncatingIfNeeded: nameEnd),
                            value_start: UInt32(truncatingIfNeeded: valueStart),
                            value_end: UInt32(truncatingIfNeeded: valueEnd),
                            name: UInt32(millrace_http_name(base + nameStart, nameEnd - nameStart)))))
                position += 2
                stage = .lineStart
            }
        }
    }

    private func badName(_ byte: UInt8) -> HTTPError {
        switch byte {
        case 0x20, 0x09:
            HTTPError(.spaceBeforeColon, at: position, "white space in or after a field name")
        case UInt8(ascii: "\n"):
            HTTPError(.bareLineFeed, at: position, "a line feed without a carriage return")
        case UInt8(ascii: ":"):
            HTTPError(.invalidFieldName, at: position, "an empty field name")
        default:
            HTTPError(.invalidFieldName, at: position, "a field name holds byte \(byte)")
        }
    }

    private func badValue(_ byte: UInt8) -> HTTPError {
        if byte == UInt8(ascii: "\n") {
            return HTTPError(.bareLineFeed, at: position, "a line feed without a carriage return")
        }
        return HTTPError(.invalidFieldValue, at: position, "a field value holds control character \(byte)")
    }

    private func bareCarriageReturn(_ offset: Int) -> HTTPError {
        HTTPError(.bareCarriageReturn, at: offset, "a carriage return without a line feed")
    }
}
