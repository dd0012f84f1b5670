import CSystem
import JSONBytes

/// The tokens of JSON text, where they lie: one entry a value or key, a container's entry before those within.
///
/// Scanning checks RFC 8259 strictly (UTF-8, escapes, no lone surrogates, no control characters in strings) and copies
/// nothing. The storage is kept between scans. Bounds: texts below 4 GiB, nesting up to `depthLimit`.
struct JSONTape {
    enum Kind: UInt8 {
        case object, array, string, number, yes, no, null

        /// A closing byte belongs to the text.
        var hasOwnEnd: Bool { self == .object || self == .array || self == .string }
    }

    struct Entry {
        var kind: Kind
        /// A string or key with escapes in it: equal texts may be written differently.
        var hasEscapes = false
        /// The text, quotation marks and brackets included.
        var start: UInt32
        var end: UInt32
        /// The entry behind this one and all within it.
        var next: UInt32
    }

    enum Outcome: Equatable {
        /// White space follows the last value, or nothing.
        case whole
        /// The text ends inside a value, which starts at this offset; those before are whole.
        case cutOff(Int)
        /// No JSON stands at this offset.
        case invalid(Int)
    }

    /// Deeper text is refused: every level costs the comparison a call. The engines take 1 000 (Jackson) or fewer.
    static let depthLimit = 256

    private(set) var entries: ContiguousArray<Entry> = []
    /// Entries of the values at the top, in order.
    private(set) var roots: ContiguousArray<Int> = []
    private var open: ContiguousArray<UInt32> = []

    /// Scans the values in `bytes`, any number one behind the other with white space or nothing between them.
    mutating func scan(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        entries.removeAll(keepingCapacity: true)
        roots.removeAll(keepingCapacity: true)
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return .whole }
        precondition(bytes.count < UInt32.max, "JSON text of \(bytes.count) bytes")
        let ascii = millrace_ascii_end(base, 0, bytes.count)
        if ascii < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[ascii...])
            if let bad = UTF8Check.firstInvalidOffset(rest) { return .invalid(ascii + bad) }
        }
        var scanner = JSONScanner(base: base, end: bytes.count)
        while true {
            scanner.skipWhiteSpace()
            guard scanner.position < scanner.end else { return .whole }
            let start = scanner.position
            let first = entries.count
            open.removeAll(keepingCapacity: true)
            switch value(&scanner) {
            case .good:
                // Numbers and words end where white space does: a date is text, not three numbers.
                guard scanner.isBetweenValues || entries[first].kind.hasOwnEnd else {
                    return .invalid(scanner.position)
                }
                roots.append(first)
            case .ended:
                entries.removeSubrange(first...)
                return .cutOff(start)
            case .bad:
                return .invalid(scanner.position)
            }
        }
    }

    private enum State {
        case value, firstElement, firstKey, key, after
    }

    /// One value with everything in it.
    private mutating func value(_ scanner: inout JSONScanner) -> JSONScanner.Step {
        var state = State.value
        while true {
            scanner.skipWhiteSpace()
            guard scanner.position < scanner.end else { return .ended }
            let byte = scanner.base[scanner.position]
            switch state {
            case .firstElement where byte == UInt8(ascii: "]"), .firstKey where byte == UInt8(ascii: "}"):
                scanner.position += 1
                close(at: scanner.position)
                state = .after
            case .firstKey, .key:
                guard byte == UInt8(ascii: "\"") else { return .bad }
                let step = string(&scanner)
                guard step == .good else { return step }
                scanner.skipWhiteSpace()
                guard scanner.position < scanner.end else { return .ended }
                guard scanner.base[scanner.position] == UInt8(ascii: ":") else { return .bad }
                scanner.position += 1
                state = .value
                continue
            case .value, .firstElement:
                switch byte {
                case UInt8(ascii: "\""):
                    let step = string(&scanner)
                    guard step == .good else { return step }
                    state = .after
                case UInt8(ascii: "{"), UInt8(ascii: "["):
                    guard open.count < Self.depthLimit else { return .bad }
                    let isObject = byte == UInt8(ascii: "{")
                    open.append(UInt32(truncatingIfNeeded: entries.count))
                    append(isObject ? .object : .array, scanner.position, scanner.position)
                    scanner.position += 1
                    state = isObject ? .firstKey : .firstElement
                    continue
                default:
                    let start = scanner.position
                    let (step, kind) = scanner.scalar(byte)
                    guard step == .good else { return step }
                    append(kind, start, scanner.position)
                    state = .after
                }
            case .after:
                guard let container = open.last else { return .bad }
                let isObject = entries[Int(container)].kind == .object
                scanner.position += 1
                if byte == UInt8(ascii: ",") {
                    state = isObject ? .key : .value
                } else if byte == (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
                    close(at: scanner.position)
                } else {
                    scanner.position -= 1
                    return .bad
                }
            }
            if state == .after, open.isEmpty { return .good }
        }
    }

    private mutating func string(_ scanner: inout JSONScanner) -> JSONScanner.Step {
        let start = scanner.position
        var hasEscapes = false
        let step = scanner.string(&hasEscapes)
        guard step == .good else { return step }
        append(.string, start, scanner.position)
        if hasEscapes { entries[entries.count - 1].hasEscapes = true }
        return .good
    }

    private mutating func append(_ kind: Kind, _ start: Int, _ end: Int) {
        entries.append(
            Entry(
                kind: kind, start: UInt32(truncatingIfNeeded: start), end: UInt32(truncatingIfNeeded: end),
                next: UInt32(truncatingIfNeeded: entries.count + 1)))
    }

    private mutating func close(at end: Int) {
        let index = Int(open.removeLast())
        entries[index].end = UInt32(truncatingIfNeeded: end)
        entries[index].next = UInt32(truncatingIfNeeded: entries.count)
    }
}

/// Moves over the leaves of JSON text whose UTF-8 is known to be well formed.
struct JSONScanner {
    enum Step {
        case good
        /// The text ends here.
        case ended
        /// Something else stands at `position`.
        case bad
    }

    let base: UnsafePointer<UInt8>
    let end: Int
    var position = 0

    /// At the end, or at white space.
    var isBetweenValues: Bool {
        if position >= end { return true }
        let byte = base[position]
        return byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    @inline(__always)
    mutating func skipWhiteSpace() {
        while position < end {
            let byte = base[position]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
            position &+= 1
        }
    }

    /// RFC 8259 §7, from the opening quotation mark on.
    @inline(__always)
    mutating func string(_ hasEscapes: inout Bool) -> Step {
        position &+= 1
        while true {
            position = millrace_json_plain_end(base, position, end)
            guard position < end else { return .ended }
            switch base[position] {
            case UInt8(ascii: "\""):
                position &+= 1
                return .good
            case UInt8(ascii: "\\"):
                hasEscapes = true
                let step = escape()
                guard step == .good else { return step }
            default: return .bad
            }
        }
    }

    private mutating func escape() -> Step {
        guard position + 1 < end else { return .ended }
        switch base[position + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 2
            return .good
        case UInt8(ascii: "u"): break
        default: return .bad
        }
        guard position + 6 <= end else { return .ended }
        guard let unit = JSONText.hexUnit(base + position + 2) else { return .bad }
        // A high surrogate needs a low one right behind it; a lone one has no UTF-8 form.
        guard unit >= 0xD800, unit < 0xE000 else {
            position += 6
            return .good
        }
        guard position + 12 <= end else { return .ended }
        guard unit < 0xDC00, base[position + 6] == UInt8(ascii: "\\"), base[position + 7] == UInt8(ascii: "u"),
            let low = JSONText.hexUnit(base + position + 8), low >= 0xDC00, low < 0xE000
        else { return .bad }
        position += 12
        return .good
    }

    /// A number, or one of the three words.
    mutating func scalar(_ byte: UInt8) -> (Step, JSONTape.Kind) {
        switch byte {
        case UInt8(ascii: "t"): return (word("true"), .yes)
        case UInt8(ascii: "f"): return (word("false"), .no)
        case UInt8(ascii: "n"): return (word("null"), .null)
        case UInt8(ascii: "-"), 0x30...0x39: return (number(), .number)
        default: return (.bad, .null)
        }
    }

    private mutating func word(_ text: StaticString) -> Step {
        for index in 0..<text.utf8CodeUnitCount {
            guard position < end else { return .ended }
            guard base[position] == text.utf8Start[index] else { return .bad }
            position += 1
        }
        return .good
    }

    /// RFC 8259 §6.
    private mutating func number() -> Step {
        if base[position] == UInt8(ascii: "-") { position += 1 }
        guard position < end else { return .ended }
        if base[position] == UInt8(ascii: "0") {
            position += 1
            if position < end, isDigit { return .bad }
        } else {
            let step = digits()
            guard step == .good else { return step }
        }
        if position < end, base[position] == UInt8(ascii: ".") {
            position += 1
            let step = digits()
            guard step == .good else { return step }
        }
        if position < end, base[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            if position < end, base[position] == UInt8(ascii: "+") || base[position] == UInt8(ascii: "-") {
                position += 1
            }
            return digits()
        }
        return .good
    }

    private var isDigit: Bool { base[position] &- 0x30 < 10 }

    private mutating func digits() -> Step {
        guard position < end else { return .ended }
        guard isDigit else { return .bad }
        while position < end, isDigit { position &+= 1 }
        return .good
    }
}

/// What JSON strings and numbers mean.
enum JSONText {
    /// Four hexadecimal digits.
    static func hexUnit(_ digits: UnsafePointer<UInt8>) -> UInt32? {
        var unit: UInt32 = 0
        for index in 0..<4 {
            let byte = digits[index]
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x41...0x46: digit = byte - 0x37
            case 0x61...0x66: digit = byte - 0x57
            default: return nil
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// The text of a scanned string, quotation marks included, without its escapes.
    static func unescaped(_ string: UnsafeRawBufferPointer) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(string.count)
        guard let base = string.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return text }
        var index = 1
        let end = string.count - 1
        while index < end {
            guard base[index] == UInt8(ascii: "\\") else {
                text.append(base[index])
                index += 1
                continue
            }
            let letter = base[index + 1]
            index += 2
            switch letter {
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "u"):
                var scalar = hexUnit(base + index) ?? 0xFFFD
                index += 4
                if scalar >= 0xD800, scalar < 0xDC00 {
                    scalar = 0x10000 + (scalar - 0xD800) << 10 + ((hexUnit(base + index + 2) ?? 0xDC00) - 0xDC00)
                    index += 6
                }
                text.append(contentsOf: String(Unicode.Scalar(scalar) ?? "\u{FFFD}").utf8)
            default: text.append(letter)
            }
        }
        return text
    }

    /// Whether two numbers have one value, exactly: 1, 1.0 and 10e-1 have.
    static func numbersAreEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        let left = Decimal(left)
        let right = Decimal(right)
        guard left.digitCount == right.digitCount else { return false }
        if left.digitCount == 0 { return true }
        guard left.isNegative == right.isNegative, left.exponent == right.exponent else { return false }
        var leftIndex = left.first
        var rightIndex = right.first
        for _ in 0..<left.digitCount {
            if left.text[leftIndex] == UInt8(ascii: ".") { leftIndex += 1 }
            if right.text[rightIndex] == UInt8(ascii: ".") { rightIndex += 1 }
            guard left.text[leftIndex] == right.text[rightIndex] else { return false }
            leftIndex += 1
            rightIndex += 1
        }
        return true
    }

    /// A number's significant digits, without zeros at either end, times a power of ten.
    private struct Decimal {
        let text: UnsafeRawBufferPointer
        var isNegative = false
        /// Where the first significant digit stands.
        var first = 0
        /// 0 for zero.
        var digitCount = 0
        /// Of the digit behind the last significant one. Exponents beyond 18 digits are taken as equal to 10^18.
        var exponent: Int64 = 0

        init(_ text: UnsafeRawBufferPointer) {
            self.text = text
            var index = 0
            if text.first == UInt8(ascii: "-") {
                isNegative = true
                index = 1
            }
            var pointShift: Int64 = 0
            var isBehindPoint = false
            var pendingZeros = 0
            while index < text.count, text[index] | 0x20 != UInt8(ascii: "e") {
                let byte = text[index]
                if byte == UInt8(ascii: ".") {
                    isBehindPoint = true
                } else {
                    if isBehindPoint { pointShift -= 1 }
                    if byte == UInt8(ascii: "0") {
                        if digitCount > 0 { pendingZeros += 1 }
                    } else {
                        if digitCount == 0 { first = index }
                        digitCount += pendingZeros + 1
                        pendingZeros = 0
                    }
                }
                index += 1
            }
            exponent = pointShift + Int64(pendingZeros)
            guard index < text.count else { return }
            index += 1
            var isMinus = false
            if index < text.count, text[index] == UInt8(ascii: "-") || text[index] == UInt8(ascii: "+") {
                isMinus = text[index] == UInt8(ascii: "-")
                index += 1
            }
            var written: Int64 = 0
            while index < text.count {
                written = min(written * 10 + Int64(text[index] - 0x30), 1_000_000_000_000_000_000)
                index += 1
            }
            exponent += isMinus ? -written : written
        }
    }
}
