import JSONBytes
import TestSupport

/// Random values.
extension SeededGenerator {
    mutating func text() -> String {
        switch below(6) {
        case 0: return ""
        case 1: return "key\(below(20))"
        case 2: return String(repeating: "x", count: 1 + below(140))
        case 3: return String(repeating: "ä", count: 1 + below(70))
        case 4: return "😀" + String(repeating: "€", count: below(40))
        default: return "k\(below(3000))"
        }
    }

    mutating func value(depth: Int) -> JSONValue {
        switch below(depth > 0 ? 10 : 7) {
        case 0: return .null
        case 1: return .bool(below(2) == 0)
        case 2: return .number(String(Int64(truncatingIfNeeded: next()) >> Int64(below(64))))
        case 3: return .number("\(Double(below(1_000_000)) / 997 + 0.5)")
        case 4: return .binary((0..<below(40)).map { _ in UInt8(truncatingIfNeeded: next()) })
        case 5, 6: return .string(text())
        case 7: return .array((0..<below(6)).map { _ in value(depth: depth - 1) })
        default: return .object((0..<below(6)).map { _ in JSONMember(key: text(), value: value(depth: depth - 1)) })
        }
    }
}
