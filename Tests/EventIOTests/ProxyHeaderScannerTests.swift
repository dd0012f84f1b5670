import Testing

@testable import EventIO

@Suite struct ProxyHeaderScannerTests {
    private static let signature: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]
    private static let headers: [[UInt8]] = [
        Array("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".utf8), Array("PROXY UNKNOWN\r\n".utf8),
        signature + [0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1, 0, 80, 0, 81], signature + [0x20, 0, 0, 0],
        signature + [0x21, 0x11, 0x04, 0xB0] + [UInt8](repeating: 0x0A, count: 1200),
    ]

    /// What is left when the header is taken, bytes coming as the cuts say; nil when it is refused or not whole.
    private func rest(_ bytes: [UInt8], arrivals: [Int]) -> [UInt8]? {
        var scanner = ProxyHeaderScanner()
        var position = 0
        for arrival in arrivals + [bytes.count] {
            while position < arrival {
                let window = bytes[position..<min(arrival, position + ProxyHeaderScanner.windowBytes)]
                let step = Array(window).withUnsafeBytes { scanner.step($0) }
                switch step {
                case .wait: break
                case .malformed: return nil
                case .take(let count, let isComplete):
                    position += count
                    if isComplete { return Array(bytes[position...]) }
                    continue
                }
                break
            }
        }
        return nil
    }

    @Test func exactlyTheHeaderIsTakenHoweverItComes() {
        let following = Array("\u{16}\u{03}\u{01}hello".utf8)
        for header in Self.headers {
            let bytes = header + following
            #expect(rest(bytes, arrivals: []) == following)
            #expect(rest(bytes, arrivals: Array(1..<bytes.count)) == following)
            for cut in 1..<bytes.count { #expect(rest(bytes, arrivals: [cut]) == following) }
        }
    }

    @Test func whatIsNoHeaderIsRefusedAsSoonAsItShows() {
        let wrong: [[UInt8]] = [
            Array("GET / HTTP/1.1\r\n".utf8), [0x16, 3, 1], Array("PROXY TCP4\n".utf8),
            Self.signature + [0x11, 0x11, 0, 0], Self.signature + [0x22, 0x11, 0, 0],
            Array("PROXY ".utf8) + [UInt8](repeating: 0x61, count: 120), Array(Self.signature.dropLast()) + [0x0B],
        ]
        for bytes in wrong {
            var scanner = ProxyHeaderScanner()
            #expect(bytes.withUnsafeBytes { scanner.step($0) } == .malformed)
        }
        for header in Self.headers { #expect(rest(Array(header.dropLast()), arrivals: []) == nil) }
    }
}
