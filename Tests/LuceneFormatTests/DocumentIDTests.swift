import TestSupport
import Testing

@testable import LuceneFormat

@Suite("Encoded ids")
struct DocumentIDTests {
    private static func decode(_ encoded: [UInt8]) throws -> String {
        var output = [UInt8](repeating: 0xAA, count: DocumentID.decodedByteLimit(encoded.count))
        let count = try output.withUnsafeMutableBytes { output in
            try encoded.withUnsafeBytes { try DocumentID.decode($0, into: output) }
        }
        return String(decoding: output[..<count], as: UTF8.self)
    }

    /// The engines' rule: a number, else base64url without padding where that is the canonical form, else UTF-8.
    private static func encode(_ id: String) -> [UInt8] {
        let text = Array(id.utf8)
        if text.allSatisfy({ (0x30...0x39).contains($0) }) {
            var bytes: [UInt8] = [0xFE]
            for index in stride(from: 0, to: text.count, by: 2) {
                let low = index + 1 < text.count ? text[index + 1] - 0x30 : 0xF
                bytes.append((text[index] - 0x30) << 4 | low)
            }
            return bytes
        }
        if let bytes = decodeBase64(text) { return (bytes.first ?? 0) >= 0xFD ? [0xFD] + bytes : bytes }
        return [0xFF] + text
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    private static func decodeBase64(_ text: [UInt8]) -> [UInt8]? {
        guard text.count % 4 != 1 else { return nil }
        var bits: [Bool] = []
        for letter in text {
            guard let value = alphabet.firstIndex(of: letter) else { return nil }
            for bit in stride(from: 5, through: 0, by: -1) { bits.append(value >> bit & 1 != 0) }
        }
        let whole = bits.count / 8 * 8
        guard bits[whole...].allSatisfy({ !$0 }) else { return nil }
        return stride(from: 0, to: whole, by: 8).map { start in
            bits[start..<(start + 8)].reduce(0) { $0 << 1 | ($1 ? 1 : 0) }
        }
    }

    @Test(
        "every form of id",
        arguments: [
            "1", "0", "007", "12345678", "123456789", "a", "ab", "abc", "abcd", "doc-1", "user:42", "ключ", "👍",
            "_8dUCqIBr4_wT_ts6F2H", "M2dUCqIBr4_wT_ts6F2H", "-___", "_w", "_f8", "_v__", "/", "with space",
            "\u{0}\u{1}",
            String(repeating: "9", count: 512), String(repeating: "z", count: 512), String(repeating: "é", count: 256),
        ])
    func forms(_ id: String) throws {
        #expect(try Self.decode(Self.encode(id)) == id)
    }

    @Test("random ids of every form")
    func randomIDs() throws {
        var generator = SeededGenerator(seed: 3)
        for round in 0..<3000 {
            let letters = [Array("0123456789".utf8), Self.alphabet, Array("abc:/ +=é".utf8)][round % 3]
            let count = Int.random(in: 1...40, using: &generator)
            let text = (0..<count).compactMap { _ in letters.randomElement(using: &generator) }
            let id = String(decoding: text, as: UTF8.self)
            #expect(try Self.decode(Self.encode(id)) == id)
        }
    }

    @Test("known bytes")
    func knownBytes() throws {
        #expect(try Self.decode([0xFE, 0x12, 0x3F]) == "123")
        #expect(try Self.decode([0xFE, 0x12, 0x34]) == "1234")
        #expect(try Self.decode([0xFF, 0x61, 0x2F]) == "a/")
        #expect(try Self.decode([0xFD, 0xFF]) == "_w")
        #expect(try Self.decode([0x00]) == "AA")
    }

    @Test("malformed ids are errors")
    func malformed() {
        #expect(throws: DocumentID.DecodingError.empty) { try Self.decode([]) }
        #expect(throws: DocumentID.DecodingError.badDigit(offset: 1)) { try Self.decode([0xFE, 0xA1]) }
        #expect(throws: DocumentID.DecodingError.badDigit(offset: 1)) { try Self.decode([0xFE, 0x1F, 0x22]) }
    }
}
