import Testing

@testable import BulkFormat

@Suite struct BulkActionLineTests {
    private func line(_ id: [UInt8], routing: [UInt8]? = nil) -> String {
        let limit = BulkActionLine.byteLimit(idByteCount: id.count, routingByteCount: routing?.count ?? 0)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: limit, alignment: 1)
        defer { buffer.deallocate() }
        let count = id.withUnsafeBytes { id in
            if let routing {
                return routing.withUnsafeBytes {
                    BulkActionLine.write(id: id, routing: $0, to: buffer.baseAddress!)
                }
            }
            return BulkActionLine.write(id: id, routing: nil, to: buffer.baseAddress!)
        }
        #expect(count <= limit)
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    @Test func writesIdAndRouting() {
        #expect(line(Array("a1".utf8)) == "\n{\"index\":{\"_id\":\"a1\"}}\n")
        #expect(line(Array("a".utf8), routing: Array("r".utf8)) == "\n{\"index\":{\"_id\":\"a\",\"routing\":\"r\"}}\n")
    }

    @Test func escapesWhatJSONDemands() {
        #expect(
            line(Array("q\"b\\t\t€\u{1F600}\u{7f}".utf8))
                == "\n{\"index\":{\"_id\":\"q\\\"b\\\\t\\u0009€\u{1F600}\u{7f}\"}}\n")
    }

    @Test func everyControlCharacterIsEscapedAndNothingElseChanges() throws {
        for byte in UInt8(0)..<128 {
            let text = line([byte], routing: [byte])
            #expect(text.hasPrefix("\n{\"index\":{\"_id\":\"") && text.hasSuffix("\"}}\n"))
            let value = String(decoding: text.utf8.dropFirst(18).prefix { $0 != 0x2C }, as: UTF8.self)
            switch byte {
            case 0x22: #expect(value == "\\\"\"")
            case 0x5C: #expect(value == "\\\\\"")
            case 0x2C: #expect(text.contains("\"_id\":\",\","))
            case ..<0x20:
                let hex = String(byte, radix: 16)
                #expect(value == "\\u" + String(repeating: "0", count: 4 - hex.count) + hex + "\"")
            default: #expect(value == String(UnicodeScalar(byte)) + "\"")
            }
        }
    }

    @Test func unicodeLineSeparatorsAreNoLineBreaksInNDJSON() {
        #expect(line(Array("a\u{2028}b\u{2029}c\u{85}".utf8)).contains("\"a\u{2028}b\u{2029}c\u{85}\""))
    }

    @Test func bytesThatAreNotUTF8KeepTheirIdentity() {
        // Two different ids never become the same one.
        var lines: Set<[UInt8]> = []
        for byte in UInt8(0x80)...0xFF {
            let limit = BulkActionLine.byteLimit(idByteCount: 1, routingByteCount: 0)
            var buffer = [UInt8](repeating: 0, count: limit)
            let count = [byte].withUnsafeBytes { id in
                buffer.withUnsafeMutableBytes { BulkActionLine.write(id: id, routing: nil, to: $0.baseAddress!) }
            }
            lines.insert(Array(buffer[..<count]))
        }
        #expect(lines.count == 128)
    }

    @Test func emptyIdAndRoutingStayEmptyStrings() {
        #expect(line([], routing: []) == "\n{\"index\":{\"_id\":\"\",\"routing\":\"\"}}\n")
    }

    @Test func worstCaseFitsTheLimit() {
        #expect(line([UInt8](repeating: 1, count: 512), routing: [UInt8](repeating: 31, count: 300)).utf8.count > 4800)
    }
}
