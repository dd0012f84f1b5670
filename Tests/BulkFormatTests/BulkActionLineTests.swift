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
        #expect(line(Array("q\"b\\t\t€\u{1F600}\u{7f}".utf8)) == "\n{\"index\":{\"_id\":\"q\\\"b\\\\t\\u0009€\u{1F600}\u{7f}\"}}\n")
    }

    @Test func worstCaseFitsTheLimit() {
        #expect(line([UInt8](repeating: 1, count: 512), routing: [UInt8](repeating: 31, count: 300)).utf8.count > 4800)
    }
}
