import JSONBytes
import SnapshotFormat
import TestSupport
import Testing

@Suite("SmileDecoder")
struct SmileDecoderTests {
    private func decode(_ body: [UInt8], flags: UInt8 = 0x07) throws(JSONError) -> JSONValue {
        try SmileDecoder.decode([0x3A, 0x29, 0x0A, flags] + body)
    }

    private func failureOffset(_ body: [UInt8], flags: UInt8 = 0x07) -> Int? {
        do throws(JSONError) {
            _ = try decode(body, flags: flags)
            return nil
        } catch { return error.offset }
    }

    @Test(
        "Every kind of token",
        arguments: [
            ([0x20], .string("")), ([0x21], .null), ([0x22], .bool(false)), ([0x23], .bool(true)),
            ([0xC0], .number("0")), ([0xC1], .number("-1")), ([0xDF], .number("-16")), ([0xDE], .number("15")),
            ([0x24, 0xA0], .number("16")), ([0x24, 0x1F, 0x7F, 0x7F, 0x7F, 0xBF], .number("-2147483648")),
            ([0x25, 0x03, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0xBF], .number("-9223372036854775808")),
            ([0x25, 0x03, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0xBE], .number("9223372036854775807")),
            // 1.5 as Float is 0x3FC00000.
            ([0x28, 0x03, 0x7E, 0x00, 0x00, 0x00], .number("1.5")),
            ([0x28, 0x07, 0x7C, 0x00, 0x00, 0x00], .string("Infinity")),
            // -2.0 as Double is 0xC000000000000000.
            ([0x29, 0x01, 0x40, 0, 0, 0, 0, 0, 0, 0, 0], .number("-2.0")),
            ([0x29, 0x00, 0x7F, 0x7C, 0, 0, 0, 0, 0, 0, 0], .string("NaN")),
            ([0x40, 0x61], .string("a")),
            ([0x61] + [UInt8](repeating: 0x62, count: 34), .string(String(repeating: "b", count: 34))),
            ([0x80, 0xC3, 0xA4], .string("ä")),
            (
                [0xA0] + [UInt8](repeating: 0xC3, count: 0) + Array(String(repeating: "ä", count: 17).utf8),
                .string(String(repeating: "ä", count: 17))
            ),
            ([0xE0, 0x61, 0x62, 0xFC], .string("ab")), ([0xE0, 0xFC], .string("")),
            ([0xE4, 0xE2, 0x82, 0xAC, 0xFC], .string("€")),
            ([0xFD, 0x83, 1, 0xFC, 0xFF], .binary([1, 0xFC, 0xFF])), ([0xFD, 0x80], .binary([])),
            ([0xE8, 0x80], .binary([])),
            ([0xE8, 0x81, 0x7F, 0x01], .binary([0xFF])),
            ([0xF8, 0xF9], .array([])), ([0xFA, 0xFB], .object([])), ([0x21, 0xFF], .null),
        ] as [([UInt8], JSONValue)])
    func tokens(_ body: [UInt8], _ expected: JSONValue) throws { #expect(try decode(body) == expected) }

    @Test(
        "Whole numbers of any length",
        arguments: [
            ([], "0"), ([0x00], "0"), ([0x7F], "127"), ([0x80], "-128"), ([0xFF], "-1"), ([0x00, 0xFF], "255"),
            ([0xFF, 0x00], "-256"),
            ([0x00, 0xDE, 0x0B, 0x6B, 0x3A, 0x76, 0x40, 0x00, 0x00], "16000000000000000000"),
            ([0x01, 0, 0, 0, 0, 0, 0, 0, 0], "18446744073709551616"),
            ([0xFE, 0, 0, 0, 0, 0, 0, 0, 0], "-36893488147419103232"),
            (
                [0x04, 0xEE, 0x2D, 0x6D, 0x41, 0x5B, 0x85, 0xAC, 0xEF, 0x81, 0, 0, 0, 0],
                "100000000000000000000000000000000"
            ),
        ] as [([UInt8], String)])
    func bigIntegers(_ data: [UInt8], _ expected: String) throws {
        let body = [0x26] + SmileEncoder.variable(UInt64(data.count)) + SmileEncoder.sevenBit(data)
        #expect(try decode(body) == .number(expected))
    }

    @Test(
        "Decimals",
        arguments: [
            (12345, 2, "123.45"), (-5, 3, "-0.005"), (7, 0, "7"), (7, -3, "7e3"), (1, 70, "1e-70"), (10, 1, "1.0"),
            (0, 2, "0.00"),
        ])
    func bigDecimals(_ unscaled: Int, _ scale: Int, _ expected: String) throws {
        let data = (0..<8).map { UInt8(truncatingIfNeeded: unscaled >> (56 - 8 * $0)) }
        let body =
            [0x2A] + SmileEncoder.variable(SmileEncoder.zigZag(Int64(scale))) + SmileEncoder.variable(8)
            + SmileEncoder.sevenBit(data)
        #expect(try decode(body) == .number(expected))
        #expect(try JSONValue.parse(Array(expected.utf8)) == .number(expected))
    }

    @Test("References count names and strings apart, and only as far as the header allows")
    func references() throws {
        let body: [UInt8] = [0xFA, 0x80, 0x61, 0x40, 0x78, 0x80, 0x62, 0x01, 0x40, 0x40, 0x79, 0x41, 0x02, 0xFB]
        let expected = JSONValue.object([
            JSONMember(key: "a", value: .string("x")), JSONMember(key: "b", value: .string("x")),
            JSONMember(key: "a", value: .string("y")), JSONMember(key: "b", value: .string("y")),
        ])
        #expect(try decode(body, flags: 0x03) == expected)
        #expect(failureOffset(body, flags: 0x01) == 11)
        #expect(failureOffset(body, flags: 0x02) == 12)
        #expect(failureOffset([0xFA, 0x40, 0x21, 0xFB]) == 5)
        #expect(failureOffset([0x1F]) == 4)
        #expect(failureOffset([0xEF, 0xFF]) == 5)
    }

    @Test(
        "Errors name the byte",
        arguments: [
            ([0x00], 4), ([0x27], 4), ([0x3A], 4), ([0xE1], 4), ([0xF0], 4), ([0xF9], 4), ([0xFB], 4), ([0xFE], 4),
            ([0xFF], 4),
            ([0xFA, 0x21], 5), ([0xFA, 0xFC], 5), ([0x21, 0x21], 5), ([0x21, 0xFF, 0x21], 5),
            ([0x40, 0x80], 5), ([0x80, 0xC3, 0x28], 5), ([0xE4, 0x61, 0xED, 0xA0, 0x80, 0xFC], 6),
            ([0xE0, 0x61, 0x80, 0xFC], 6),
            ([0x24, 0x20, 0x00, 0x00, 0x00, 0x80], 9), ([0x25] + [UInt8](repeating: 0x7F, count: 10) + [0x80], 14),
            ([0x24, 0xC1], 5),
            ([0xFD, 0x84, 1, 2, 3], 9), ([0xE8, 0x81, 0x7F, 0x02], 7), ([0xE8, 0x82, 0x80], 6),
            ([0xFD, 0x85, 1, 2], 5), ([0x28, 0x80], 5),
            ([0x26, 0x01, 0x00, 0x81], 7),
            ([], 4), ([0xF8], 5), ([0xFA], 5), ([0xFA, 0x80, 0x61], 7), ([0x41, 0x61], 6), ([0xE0, 0x61], 6),
            ([0x25, 0x01], 6), ([0x29, 0, 0], 7),
        ] as [([UInt8], Int)])
    func failures(_ body: [UInt8], _ expected: Int) { #expect(failureOffset(body) == expected) }

    @Test("No header, another version")
    func headers() {
        #expect(throws: JSONError.self) { try SmileDecoder.decode([]) }
        #expect(throws: JSONError.self) { try SmileDecoder.decode([0x3A, 0x29, 0x0A]) }
        #expect(throws: JSONError.self) { try SmileDecoder.decode([0x3A, 0x29, 0x0B, 0x00, 0x21]) }
        #expect(failureOffset([0x21], flags: 0x10) == 3)
    }

    @Test("Nesting is limited")
    func depth() throws {
        func nested(_ count: Int) -> [UInt8] {
            [UInt8](repeating: 0xF8, count: count) + [UInt8](repeating: 0xF9, count: count)
        }
        #expect(throws: Never.self) { try decode(nested(SmileDecoder.depthLimit)) }
        #expect(failureOffset(nested(SmileDecoder.depthLimit + 1)) == 4 + SmileDecoder.depthLimit)
        #expect(failureOffset([UInt8](repeating: 0xF8, count: 1_000_000)) == 4 + SmileDecoder.depthLimit)
    }

    @Test("Tables start anew at 1 024, long references reach all of them")
    func tableReset() throws {
        // Each key and value twice in a row, so that every index is referred to while it is the newest, and after all.
        let members = (0..<2100).flatMap { number in
            [0, number / 2, number].map { JSONMember(key: "name\($0)", value: .string("text\($0)")) }
        }
        let value = JSONValue.object(members)
        var encoder = SmileEncoder()
        #expect(try SmileDecoder.decode(encoder.encode(value)) == value)
    }

    @Test("Any value survives, in every mode; cut anywhere it is an error", arguments: 0..<60)
    func roundTrip(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let value = JSONValue.object([JSONMember(key: "root", value: random.value(depth: 4))])
        var encoder = SmileEncoder(
            sharesNames: seed & 1 == 0, sharesStrings: seed & 2 == 0, usesRawBinary: seed & 4 == 0,
            writesEndMarker: seed & 8 == 0)
        let bytes = encoder.encode(value)
        #expect(try SmileDecoder.decode(bytes) == value)
        let endCount = bytes.count - (encoder.writesEndMarker ? 1 : 0)
        let acceptedCount = (0..<endCount).count { (try? SmileDecoder.decode(Array(bytes[..<$0]))) != nil }
        #expect(acceptedCount == 0)
    }

    @Test("Damaged bytes never trap", arguments: 0..<60)
    func damage(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed &+ 5000)
        var encoder = SmileEncoder(usesRawBinary: seed & 1 == 0)
        let bytes = encoder.encode(random.value(depth: 5))
        var invalidCount = 0
        for _ in 0..<300 {
            var damaged = bytes
            for _ in 0...random.below(3) {
                damaged[random.below(damaged.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            // What is accepted can also be written: numbers are valid, strings are UTF-8.
            if let value = try? SmileDecoder.decode(damaged),
                (try? JSONValue.parse(value.serialized(), depthLimit: 300)) == nil
            {
                invalidCount += 1
            }
        }
        #expect(invalidCount == 0)
    }
}
