/// Why a text is not a value, for a person.
package struct ValueProblem: Error, Sendable, Equatable {
    package let message: String

    package init(_ message: String) { self.message = message }
}

/// A number of bytes as text: `65536`, `10MB` (powers of 1000), `256MiB` or `256Mi` (powers of 1024).
package enum ByteSize {
    private static let units: [(name: String, bytes: Int64)] = [
        ("B", 1), ("kB", 1000), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
        ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40),
    ]

    package static func parse(_ text: String) throws(ValueProblem) -> Int64 {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count)
        guard let number = Int64(digits), let factor = unit.isEmpty ? 1 : units.first(where: { $0.name == unit })?.bytes
        else { throw ValueProblem("\"\(text)\" is not a size; write a whole number with B, kB, MB, KiB, MiB or GiB") }
        let (bytes, isTooLarge) = number.multipliedReportingOverflow(by: factor)
        guard !isTooLarge else { throw ValueProblem("\"\(text)\" is too large") }
        return bytes
    }

    /// In the largest unit of 1024 that leaves a whole number.
    package static func text(_ bytes: Int64) -> String {
        for (name, size) in [("GiB", Int64(1) << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        where bytes >= size && bytes % size == 0 {
            return "\(bytes / size)\(name)"
        }
        return "\(bytes)B"
    }
}

/// A span of time as text: `250ms`, `30s`, `5m`, `2h`, `1d`, also joined, the larger unit first: `1h30m`.
package enum DurationText {
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]

    package static func parse(_ text: String) throws(ValueProblem) -> Duration {
        let problem = ValueProblem("\"\(text)\" is not a time; write 250ms, 30s, 5m or 2h")
        var rest = text[...]
        var total: Int64 = 0
        var nextUnit = 0
        guard !rest.isEmpty else { throw problem }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let number = Int64(digits), let index = units.firstIndex(where: { $0.name == unit }),
                index >= nextUnit
            else { throw problem }
            let (span, isTooLong) = number.multipliedReportingOverflow(by: units[index].milliseconds)
            let (sum, isSumTooLong) = total.addingReportingOverflow(span)
            // A hundred years: `Duration` arithmetic on what is accepted cannot overflow.
            guard !isTooLong, !isSumTooLong, sum <= 3_155_760_000_000 else {
                throw ValueProblem("\"\(text)\" is too long")
            }
            total = sum
            nextUnit = index + 1
        }
        return .milliseconds(total)
    }

    /// In units that `parse` takes.
    package static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        var milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        guard milliseconds > 0 else { return "0s" }
        var result = ""
        for (name, size) in units where milliseconds >= size {
            result += "\(milliseconds / size)\(name)"
            milliseconds %= size
        }
        return result
    }
}

/// A whole number within bounds.
package enum WholeNumber {
    package static func parse(_ text: String) throws(ValueProblem) -> Int {
        guard let number = Int(text), text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            throw ValueProblem("\"\(text)\" is not a whole number")
        }
        return number
    }
}

/// `true` or `false`, as templates write it.
package enum TruthText {
    package static func parse(_ text: String) throws(ValueProblem) -> Bool {
        switch text.lowercased() {
        case "true", "1", "yes", "on": return true
        case "false", "0", "no", "off": return false
        default: throw ValueProblem("\"\(text)\" is neither true nor false")
        }
    }
}

/// `NAME=VALUE`; the value may be empty and may hold further equals signs.
enum NameAndValue {
    static func parse(_ text: String) throws(ValueProblem) -> (name: String, value: String) {
        guard let equals = text.firstIndex(of: "="), equals > text.startIndex else {
            throw ValueProblem("is not NAME=VALUE")
        }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }
}
