import JSONBytes
import TestSupport
import Testing

@Suite("JSONValue")
struct JSONValueTests {
    private func parse(_ text: String) throws(JSONError) -> JSONValue { try JSONValue.parse(Array(text.utf8)) }

    private func offset(_ bytes: [UInt8]) -> Int? {
        do throws(JSONError) {
            _ = try JSONValue.parse(bytes)
            return nil
        } catch { return error.offset }
    }

    @Test("Values keep their order, duplicates and the text of numbers")
    func values() throws {
        let value = try parse(#" { "a" : [ 1.50e+2 , -0 , true , null ] , "b" : {} , "a" : "x" } "#)
        #expect(
            value
                == .object([
                    JSONMember(key: "a", value: .array([.number("1.50e+2"), .number("-0"), .bool(true), .null])),
                    JSONMember(key: "b", value: .object([])),
                    JSONMember(key: "a", value: .string("x")),
                ]))
        #expect(value["a"] == .string("x"))
        #expect(value["c"] == nil)
        #expect(String(decoding: value.serialized(), as: UTF8.self) == #"{"a":[1.50e+2,-0,true,null],"b":{},"a":"x"}"#)
    }

    @Test("Accessors answer for their own kind only")
    func accessors() throws {
        let value = try parse(#"{"n":9223372036854775807,"f":1.0,"s":"7","t":false,"a":[1]}"#)
        #expect(value["n"]?.intValue == Int64.max)
        #expect(value["f"]?.intValue == nil)
        #expect(value["s"]?.intValue == nil)
        #expect(value["s"]?.stringValue == "7")
        #expect(value["t"]?.boolValue == false)
        #expect(value["a"]?.arrayValue?.count == 1)
        #expect(value["a"]?.objectValue == nil)
        #expect(JSONValue.binary([1, 2]).binaryValue == [1, 2])
    }

    @Test(
        "Escapes",
        arguments: [
            (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u00e4\u20AC""#, "ä€"), (#""\ud83D\uDE00x""#, "😀x"),
            (#""\u0000""#, "\u{0}"), (#""é😀""#, "é😀"), ("\"\u{7F}\"", "\u{7F}"), (#""""#, ""),
        ])
    func escapes(_ text: String, _ expected: String) throws { #expect(try parse(text) == .string(expected)) }

    @Test(
        "What RFC 8259 forbids is refused at its byte",
        arguments: [
            ("", 0), (" ", 1), ("nul", 0), ("truE", 0), ("01", 1), ("-", 1), ("-a", 1), ("1.", 2), ("1.e1", 2),
            ("1e", 2),
            ("1e+", 3), (".5", 0), ("+1", 0), ("[1,]", 3), ("[1 2]", 3), ("[", 1), ("{", 1), ("{}x", 2), ("{a:1}", 1),
            (#"{"a" 1}"#, 5), (#"{"a":1,}"#, 7), (#"{"a":}"#, 5), (#"{"a":1"#, 6), (#"""#, 1), (#""a"#, 2),
            ("\"a\nb\"", 2),
            (#""\x""#, 1), (#""\u12G4""#, 5), (#""\u12"#, 5), (#""\ud800""#, 1), (#""\ud800\n""#, 1),
            (#""\ud800\ud800""#, 1),
            (#""\udc00""#, 1), ("'a'", 0), ("NaN", 0), ("[1] [", 4), ("1 //", 2), ("\u{FEFF}1", 0), (#""\"#, 2),
        ])
    func refusals(_ text: String, _ expected: Int) { #expect(offset(Array(text.utf8)) == expected, "\(text)") }

    @Test(
        "Invalid UTF-8 is refused at its byte",
        arguments: [
            ([0x22, 0x61, 0xFF, 0x22], 2), ([0x22, 0xC3, 0x22], 1), ([0x22, 0xC0, 0x80, 0x22], 1),
            ([0x22, 0xED, 0xA0, 0x80, 0x22], 1), ([0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], 1),
            ([0x22, 0xE2, 0x82, 0x22], 1),
            ([0x22, 0x5C, 0x6E, 0x80, 0x22], 3),
        ] as [([UInt8], Int)])
    func invalidUTF8(_ bytes: [UInt8], _ expected: Int) { #expect(offset(bytes) == expected) }

    @Test("Nesting is limited, at exactly the limit it is not")
    func depth() throws {
        func nested(_ count: Int) -> [UInt8] {
            Array((String(repeating: "[", count: count) + String(repeating: "]", count: count)).utf8)
        }
        #expect(throws: Never.self) { try JSONValue.parse(nested(128)) }
        #expect(offset(nested(129)) == 128)
        #expect(offset([UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)) == 128)
        #expect(throws: Never.self) { try JSONValue.parse(nested(3), depthLimit: 3) }
        #expect(throws: JSONError.self) { try JSONValue.parse(nested(4), depthLimit: 3) }
    }

    @Test("Any value survives writing and reading; cut anywhere it is an error", arguments: 0..<40)
    func roundTrip(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let value = JSONValue.object([JSONMember(key: "root", value: random.value(depth: 4))])
        let bytes = value.serialized()
        #expect(try JSONValue.parse(bytes) == value)
        for count in 0..<bytes.count { #expect(offset(Array(bytes[..<count])) != nil, "cut at \(count)") }
    }

    @Test("Damaged bytes never trap, and what is accepted survives another round", arguments: 0..<40)
    func damage(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed &+ 1000)
        let bytes = random.value(depth: 4).serialized()
        for _ in 0..<200 {
            var damaged = bytes
            for _ in 0...random.below(3) where !damaged.isEmpty {
                damaged[random.below(damaged.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            guard let value = try? JSONValue.parse(damaged) else { continue }
            #expect(try JSONValue.parse(value.serialized()) == value)
        }
    }
}

@Suite("UTF8Check")
struct UTF8CheckTests {
    @Test("Agrees with the standard library", arguments: 0..<20)
    func agrees(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            let alphabet: [UInt8] = [
                0x41, 0x80, 0xBF, 0x9F, 0xA0, 0x8F, 0x90, 0xC2, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xC1,
            ]
            let bytes = (0..<random.below(8)).map { _ in alphabet[random.below(alphabet.count)] }
            let bad = bytes.withUnsafeBytes { UTF8Check.firstInvalidOffset($0) }
            #expect((bad == nil) == (String(validating: bytes, as: UTF8.self) != nil), "\(bytes)")
            if let bad { #expect(String(validating: bytes[..<bad], as: UTF8.self) != nil, "\(bytes)") }
        }
    }
}

@Suite("JSONWriter")
struct JSONWriterTests {
    @Test("Commas, colons and escapes")
    func text() {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("a\"\\\u{1F}\u{7F}ü")
        writer.beginArray()
        writer.int(-5)
        writer.double(0.1)
        writer.double(.infinity)
        writer.null()
        writer.bool(true)
        writer.beginObject()
        writer.endObject()
        writer.string("\n\r\t\u{8}\u{C}")
        writer.endArray()
        writer.key("b")
        writer.raw("{\"x\":1}".utf8)
        writer.endObject()
        #expect(
            String(decoding: writer.bytes, as: UTF8.self)
                == "{\"a\\\"\\\\\\u001f\u{7F}ü\":"
                + "[-5,0.1,\"Infinity\",null,true,{},\"\\n\\r\\t\\b\\f\"],\"b\":{\"x\":1}}"
        )
        writer.removeAll()
        writer.string("anew")
        #expect(writer.bytes == Array("\"anew\"".utf8))
    }

    @Test(
        "Binary is base64",
        arguments: [
            ([], ""), ([0x66], "Zg=="), ([0x66, 0x6F], "Zm8="), ([0x66, 0x6F, 0x6F], "Zm9v"),
            ([0xFF, 0xFE, 0xFD, 0xFC], "//79/A=="),
        ] as [([UInt8], String)])
    func binary(_ bytes: [UInt8], _ expected: String) {
        #expect(String(decoding: JSONValue.binary(bytes).serialized(), as: UTF8.self) == "\"\(expected)\"")
    }
}

/// Random values.
extension SeededGenerator {
    mutating func text() -> String {
        let pieces = ["a", "\"", "\\", "\n", "\u{1}", "ä", "€", "😀", "long piece of text", "/"]
        return (0..<below(5)).map { _ in pieces[below(pieces.count)] }.joined()
    }

    mutating func value(depth: Int) -> JSONValue {
        switch below(depth > 0 ? 8 : 5) {
        case 0: return .null
        case 1: return .bool(below(2) == 0)
        case 2: return .number(String(Int64(truncatingIfNeeded: next())))
        case 3: return .number("\(Double(below(1_000_000)) / 997)")
        case 4: return .string(text())
        case 5: return .array((0..<below(5)).map { _ in value(depth: depth - 1) })
        default: return .object((0..<below(5)).map { _ in JSONMember(key: text(), value: value(depth: depth - 1)) })
        }
    }
}
