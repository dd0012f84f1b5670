/// A strict recursive-descent parser of RFC 8259 over bytes that stay where they are.
struct JSONParser {
    private let bytes: UnsafeRawBufferPointer
    private let depthLimit: Int
    private var offset = 0
    private var depth = 0

    init(bytes: UnsafeRawBufferPointer, depthLimit: Int) {
        self.bytes = bytes
        self.depthLimit = depthLimit
    }

    mutating func document() throws(JSONError) -> JSONValue {
        let value = try value()
        skipWhiteSpace()
        guard offset == bytes.count else { throw failure("unexpected text after the value") }
        return value
    }

    private func failure(_ message: String) -> JSONError { JSONError(offset: offset, message: message) }

    private mutating func skipWhiteSpace() {
        while offset < bytes.count {
            switch bytes[offset] {
            case 0x20, 0x0A, 0x0D, 0x09: offset += 1
            default: return
            }
        }
    }

    /// The next byte after white space; the end of the text is an error.
    private mutating func next(_ expected: StaticString) throws(JSONError) -> UInt8 {
        skipWhiteSpace()
        guard offset < bytes.count else { throw failure("the text ends, \(expected) expected") }
        return bytes[offset]
    }

    private mutating func value() throws(JSONError) -> JSONValue {
        switch try next("a value") {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"):
            try word("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try word("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try word("null")
            return .null
        case UInt8(ascii: "-"), 0x30...0x39: return .number(try number())
        default: throw failure("a value expected")
        }
    }

    private mutating func word(_ text: StaticString) throws(JSONError) {
        let count = text.utf8CodeUnitCount
        for index in 0..<count {
            guard offset + index < bytes.count, bytes[offset + index] == text.utf8Start[index] else {
                throw failure("\(text) expected")
            }
        }
        offset += count
    }

    private mutating func enter() throws(JSONError) {
        depth += 1
        guard depth <= depthLimit else { throw failure("nested deeper than \(depthLimit) levels") }
        offset += 1
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        try enter()
        var members: [JSONMember] = []
        if try next("a key or }") == UInt8(ascii: "}") {
            offset += 1
            depth -= 1
            return .object(members)
        }
        while true {
            guard try next("a key") == UInt8(ascii: "\"") else { throw failure("a key expected") }
            let key = try string()
            guard try next(":") == UInt8(ascii: ":") else { throw failure(": expected") }
            offset += 1
            members.append(JSONMember(key: key, value: try value()))
            let byte = try next(", or }")
            guard byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") else { throw failure(", or } expected") }
            offset += 1
            if byte == UInt8(ascii: "}") { break }
        }
        depth -= 1
        return .object(members)
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        try enter()
        var elements: [JSONValue] = []
        if try next("a value or ]") == UInt8(ascii: "]") {
            offset += 1
            depth -= 1
            return .array(elements)
        }
        while true {
            elements.append(try value())
            let byte = try next(", or ]")
            guard byte == UInt8(ascii: ",") || byte == UInt8(ascii: "]") else { throw failure(", or ] expected") }
            offset += 1
            if byte == UInt8(ascii: "]") { break }
        }
        depth -= 1
        return .array(elements)
    }

    /// RFC 8259 section 6.
    private mutating func number() throws(JSONError) -> String {
        let start = offset
        if bytes[offset] == UInt8(ascii: "-") { offset += 1 }
        if offset < bytes.count, bytes[offset] == UInt8(ascii: "0") {
            offset += 1
            if offset < bytes.count, isDigit(bytes[offset]) { throw failure("a digit after a leading zero") }
        } else {
            try digits()
        }
        if offset < bytes.count, bytes[offset] == UInt8(ascii: ".") {
            offset += 1
            try digits()
        }
        if offset < bytes.count, bytes[offset] | 0x20 == UInt8(ascii: "e") {
            offset += 1
            if offset < bytes.count, bytes[offset] == UInt8(ascii: "+") || bytes[offset] == UInt8(ascii: "-") {
                offset += 1
            }
            try digits()
        }
        return text(start..<offset)
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    private mutating func digits() throws(JSONError) {
        let start = offset
        while offset < bytes.count, isDigit(bytes[offset]) { offset += 1 }
        guard offset > start else { throw failure("a digit expected") }
    }

    /// Valid UTF-8 as text.
    private func text(_ range: Range<Int>) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
    }

    /// RFC 8259 section 7, from the opening quote on.
    private mutating func string() throws(JSONError) -> String {
        offset += 1
        var start = offset
        var isASCII = true
        var head: [UInt8]?
        while offset < bytes.count {
            let byte = bytes[offset]
            switch byte {
            case UInt8(ascii: "\""):
                try checkUTF8(start..<offset, isASCII)
                let tail = start..<offset
                offset += 1
                guard var whole = head else { return text(tail) }
                whole.append(contentsOf: bytes[tail])
                return String(decoding: whole, as: UTF8.self)
            case UInt8(ascii: "\\"):
                try checkUTF8(start..<offset, isASCII)
                var whole = head ?? []
                whole.append(contentsOf: bytes[start..<offset])
                whole.append(contentsOf: try escape().utf8)
                head = whole
                start = offset
                isASCII = true
            case 0..<0x20: throw failure("a control character in a string")
            default:
                if byte >= 0x80 { isASCII = false }
                offset += 1
            }
        }
        throw failure("the text ends in a string")
    }

    private func checkUTF8(_ range: Range<Int>, _ isASCII: Bool) throws(JSONError) {
        if isASCII { return }
        if let bad = UTF8Check.firstInvalidOffset(UnsafeRawBufferPointer(rebasing: bytes[range])) {
            throw JSONError(offset: range.lowerBound + bad, message: "invalid UTF-8")
        }
    }

    /// An escape from its backslash on.
    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        let start = offset
        guard offset + 1 < bytes.count else {
            offset = bytes.count
            throw failure("the text ends in an escape")
        }
        let letter = bytes[offset + 1]
        offset += 2
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{08}"
        case UInt8(ascii: "f"): return "\u{0C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default: throw JSONError(offset: start, message: "unknown escape")
        }
        let first = try fourHexDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        // A high surrogate needs a low one right after it. A lone one has no UTF-8 form: it is refused, not replaced.
        guard first < 0xDC00, offset + 1 < bytes.count, bytes[offset] == UInt8(ascii: "\\"),
            bytes[offset + 1] == UInt8(ascii: "u")
        else { throw JSONError(offset: start, message: "a lone surrogate") }
        offset += 2
        let second = try fourHexDigits()
        guard second >= 0xDC00, second < 0xE000,
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw JSONError(offset: start, message: "a lone surrogate") }
        return scalar
    }

    private mutating func fourHexDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard offset < bytes.count else { throw failure("the text ends in an escape") }
            let byte = bytes[offset]
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw failure("four hexadecimal digits expected")
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }
}
