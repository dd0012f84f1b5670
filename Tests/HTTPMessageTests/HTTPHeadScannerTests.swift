import Testing

@testable import HTTPMessage

@Suite struct HTTPHeadScannerTests {
    @Test func readsARequestHead() throws {
        let bytes = Array(
            "POST /a/_bulk?x=1 HTTP/1.1\r\nHost: h:9200\r\nX-A:  b c \t\r\ncontent-LENGTH: 12\r\n\r\nbody".utf8)
        var scanner = HTTPHeadScanner()
        #expect(try bytes.withUnsafeBytes { try scanner.scan($0) })
        let head = scanner.head
        #expect(head.method == .post)
        #expect(String(decoding: bytes[head.target], as: UTF8.self) == "/a/_bulk?x=1")
        #expect(head.framing == .length(12))
        #expect(head.byteCount == bytes.count - 4)
        #expect(head.isPersistent)
        let value = try #require(bytes.withUnsafeBytes { head.value(of: "x-a", in: $0) })
        #expect(String(decoding: bytes[value], as: UTF8.self) == "b c")
    }

    @Test func readsAResponseHead() throws {
        let bytes = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
        var scanner = HTTPHeadScanner(responseTo: .post)
        #expect(try bytes.withUnsafeBytes { try scanner.scan($0) })
        #expect(scanner.head.status == 200)
        #expect(scanner.head.framing == .chunked)
        scanner.reset(responseTo: .head)
        #expect(try bytes.withUnsafeBytes { try scanner.scan($0) })
        #expect(scanner.head.framing == .none)
    }
}
