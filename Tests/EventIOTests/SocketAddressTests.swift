import Testing

@testable import EventIO

@Suite struct SocketAddressTests {
    @Test(arguments: ["127.0.0.1:9200", "[::1]:9200", "[2001:db8::7]:1", "0.0.0.0:0", "255.255.255.255:65535"])
    func parsesWhatItPrints(text: String) throws {
        let address = try SocketAddress(parsing: text)
        #expect(address.description == text)
        #expect(address.withSocketAddress { pointer, _ in SocketAddress(pointer) } == address)
    }

    @Test(arguments: [
        "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "::1:9200", "[::1]9200",
        "[::1:9200", "[]:1", "[127.0.0.1]:1", ":9200", "localhost:9200", "1.2.3.4.5:1", "[::1]:",
    ])
    func refusesWhatIsNoAddress(text: String) {
        let error = #expect(throws: IOError.self) { try SocketAddress(parsing: text) }
        #expect(error?.code == .invalidAddress)
        #expect(error?.message.contains("\"\(text)\"") == true)
    }

    @Test func splitLeavesNamesAlone() throws {
        #expect(try SocketAddress.split("search.example:9200") == ("search.example", 9200))
        #expect(try SocketAddress.split("[::1]:443") == ("::1", 443))
    }

    @Test func resolvesLocalNamesAndLiterals() throws {
        let addresses = try SocketAddress.resolve(host: "localhost", port: 9200)
        #expect(addresses.allSatisfy { ["127.0.0.1", "::1"].contains($0.hostText) && $0.port == 9200 })
        #expect(!addresses.isEmpty)
        #expect(try SocketAddress.resolve(host: "::1", port: 5).map(\.description) == ["[::1]:5"])
    }

    @Test func instantsCompareAndSubtract() {
        let start = MonotonicInstant(nanoseconds: 1_000)
        let later = start.advanced(by: .milliseconds(3))
        #expect(later > start && later - start == .milliseconds(3) && start - later == .milliseconds(-3))
        #expect(start.advanced(by: .seconds(-1)).nanoseconds == 0)
        #expect(start.advanced(by: .seconds(Int64.max)).nanoseconds >= UInt64(Int64.max))
        #expect(MonotonicInstant.now() <= MonotonicInstant.now())
        #expect(Duration.seconds(Int64.max).wholeNanoseconds == .max)
        #expect(Duration.microseconds(-5).wholeNanoseconds == -5000)
    }
}
