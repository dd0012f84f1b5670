/// Documents in the style of server logs: about 2.2 KB of JSON each, words, addresses, numbers and user agents that
/// repeat as they do in real logs. Under Lucene's LZ4 they shrink to about 47 %. Equal seeds give equal documents.
package struct ServerLogDocuments {
    /// The JSON of the current document, on one line, without a line break.
    package private(set) var source: [UInt8] = []
    /// The current document's `_id` as stored: the 15 bytes of an id that the engine made.
    package private(set) var storedID: [UInt8] = []
    private var random: SeededGenerator
    private var milliseconds: Int64 = 1_767_225_600_000
    private var sequence = 0

    package init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
        source.reserveCapacity(8192)
    }

    /// The id as a client sees it.
    package var id: String { Self.idText(storedID) }

    package static func idText(_ stored: [UInt8]) -> String {
        URLSafeBase64.encode(stored.first == 0xFD ? Array(stored.dropFirst()) : stored)
    }

    private static let words: [[UInt8]] =
        ("request response timeout connection upstream retry backend accepted closed reset queue worker session user "
        + "account order payment invoice cart product search index shard replica cluster node leader follower election "
        + "token expired refresh login logout password policy role permission denied granted resource bucket object "
        + "upload download transfer bytes chunk segment merge flush commit rollback transaction lock wait deadlock "
        + "database table row column query plan cache hit miss evict warm cold memory heap thread pool task scheduled "
        + "executed failed succeeded warning error critical notice debug trace span parent child service gateway proxy "
        + "balancer health check probe ready live restart deploy rollout version build pipeline stage region zone rack "
        + "disk volume mount network interface packet latency jitter bandwidth throttle limit quota exceeded remaining "
        + "customer shipment tracking warehouse delivery carrier address country currency amount discount coupon tax "
        + "email message template notification subscriber channel topic partition offset consumer producer broker "
        + "batch certificate handshake cipher protocol negotiated verify issuer subject chain revoked renewed")
        .split(separator: " ").map { Array($0.utf8) + [UInt8(ascii: " ")] }
    private static let paths = [
        "/api/v1/orders/", "/api/v1/users/", "/api/v2/search", "/static/js/app.", "/checkout/",
        "/health", "/img/products/", "/api/v1/cart/", "/login", "/graphql",
    ].map { Array($0.utf8) }
    private static let agents = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6",
        "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
        "curl/8.11.0", "python-requests/2.32.3", "Go-http-client/2.0", "okhttp/4.12.0",
    ].map { Array($0.utf8) }
    private static let levels = ["info", "info", "info", "warn", "error", "debug"].map { Array($0.utf8) }
    private static let methods = ["GET", "GET", "GET", "POST", "PUT", "DELETE"].map { Array($0.utf8) }
    private static let hexDigits = Array("0123456789abcdef".utf8)

    /// Makes the next document.
    package mutating func next() {
        sequence += 1
        milliseconds += Int64(random.below(40))
        let bytes = random.bytes(15)
        storedID = bytes[0] >= 0xFD ? [0xFD] + bytes : bytes
        source.removeAll(keepingCapacity: true)
        add("{\"@timestamp\":")
        number(milliseconds)
        add(",\"host\":{\"name\":\"web-")
        number(Int64(random.below(48)))
        add(".eu.example.net\",\"ip\":\"10.2.")
        number(Int64(random.below(16)))
        add(".")
        number(Int64(random.below(256)))
        add("\"},\"log\":{\"level\":\"")
        choose(Self.levels)
        add("\",\"logger\":\"net.example.shop.")
        word()
        add("\",\"line\":")
        number(Int64(random.below(900)))
        add("},\"http\":{\"request\":{\"method\":\"")
        choose(Self.methods)
        add("\",\"path\":\"")
        choose(Self.paths)
        number(Int64(random.below(1_000_000)))
        add("\",\"bytes\":")
        number(Int64(random.below(20_000)))
        add(",\"id\":\"")
        hex(32)
        add("\"},\"response\":{\"status\":")
        number([200, 200, 200, 201, 204, 301, 304, 400, 404, 500][random.below(10)])
        add(",\"bytes\":")
        number(Int64(random.below(900_000)))
        add(",\"duration_us\":")
        number(Int64(random.below(2_000_000)))
        add("}},\"client\":{\"ip\":\"")
        address()
        add("\",\"port\":")
        number(Int64(1024 + random.below(64_000)))
        add(",\"geo\":{\"lat\":")
        number(Int64(random.below(90)))
        add(".")
        number(Int64(random.below(1_000_000)))
        add(",\"lon\":")
        number(Int64(random.below(180)))
        add(".")
        number(Int64(random.below(1_000_000)))
        add("}},\"user_agent\":{\"original\":\"")
        choose(Self.agents)
        add("\"},\"trace\":{\"id\":\"")
        hex(32)
        add("\",\"span\":\"")
        hex(16)
        add("\"},\"sequence\":")
        number(Int64(sequence))
        add(",\"tags\":[\"")
        word()
        add("\",\"")
        word()
        add("\",\"")
        word()
        add("\"],\"message\":\"")
        sentence(165 + random.below(64))
        add("\",\"labels\":{\"release\":\"2026.")
        number(Int64(random.below(12)))
        add(".")
        number(Int64(random.below(30)))
        add("\",\"canary\":false,\"tenant\":\"t-")
        number(Int64(random.below(5000)))
        add("\"}}")
    }

    private mutating func add(_ text: StaticString) {
        source.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func number(_ value: Int64) {
        var divisor: Int64 = 1
        while value / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            source.append(0x30 + UInt8((value / divisor) % 10))
            divisor /= 10
        }
    }

    private mutating func hex(_ count: Int) {
        var word: UInt64 = 0
        for position in 0..<count {
            if position & 15 == 0 { word = random.next() }
            source.append(Self.hexDigits[Int(word & 15)])
            word >>= 4
        }
    }

    private mutating func address() {
        let word = random.next()
        for shift in [0, 8, 16, 24] as [UInt64] {
            if shift > 0 { add(".") }
            number(Int64((word >> shift) & 255))
        }
    }

    private mutating func choose(_ list: [[UInt8]]) { source.append(contentsOf: list[random.below(list.count)]) }

    private mutating func word() {
        choose(Self.words)
        source.removeLast()
    }

    private mutating func sentence(_ count: Int) {
        for position in 0..<count {
            if position % 23 == 7 {
                number(Int64(random.below(100_000)))
                add(" ")
            } else {
                choose(Self.words)
            }
        }
        source.removeLast()
    }
}
