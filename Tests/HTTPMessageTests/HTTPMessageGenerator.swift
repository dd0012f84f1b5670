/// Seeded HTTP messages: mostly valid, then mutated.
struct HTTPMessageGenerator {
    var numbers: SeededNumbers

    mutating func request() -> [UInt8] {
        var text = numbers.below(8) == 0 ? "\r\n" : ""
        let method = numbers.pick([
            "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "SEARCH",
        ])
        text +=
            method + " " + target(method) + " " + numbers.pick(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"])
            + "\r\n"
        var fields = ["Host: " + numbers.pick(["a", "a.example:9200", "[::1]:9200", "10.0.0.1", ""])]
        if numbers.below(4) == 0 {
            fields.append("Connection: " + numbers.pick(["close", "keep-alive", "Upgrade, x", "Keep-Alive, close"]))
        }
        if numbers.below(10) == 0 { fields.append("Upgrade: " + numbers.pick(["websocket", "h2c"])) }
        if numbers.below(10) == 0 { fields.append("Expect: 100-continue") }
        let body = appendBody(&fields, isResponse: false)
        return Array((text + finish(&fields)).utf8) + body
    }

    mutating func response() -> [UInt8] {
        let status = numbers.pick([
            "200 OK", "201 Created", "404 Not Found", "204 No Content", "304 Not Modified",
            "100 Continue", "101 Switching Protocols", "500 ", "429", "503 Caf\u{e9} \t closed",
        ])
        var fields: [String] = []
        if numbers.below(4) == 0 { fields.append("Connection: " + numbers.pick(["close", "keep-alive", "upgrade"])) }
        if status.hasPrefix("101") { fields.append("Upgrade: websocket") }
        let mayHaveBody = !status.hasPrefix("1") && !status.hasPrefix("204")
        let body = mayHaveBody || numbers.below(6) == 0 ? appendBody(&fields, isResponse: true) : []
        return Array((numbers.pick(["HTTP/1.1 ", "HTTP/1.1 ", "HTTP/1.0 "]) + status + "\r\n" + finish(&fields)).utf8)
            + body
    }

    private mutating func target(_ method: String) -> String {
        if method == "CONNECT" { return numbers.pick(["a.example:443", "[::1]:9200", "10.0.0.1:1"]) }
        if method == "OPTIONS", numbers.below(2) == 0 { return "*" }
        return numbers.pick([
            "/", "/_bulk", "/i%2Fj/_doc/1?routing=a&x=%7B", "/_search?q=a|\"b\"", "//x", "/?",
            "http://a.example:9200/x?y", "https://[::1]/",
        ])
    }

    /// Adds framing fields and returns the content, often with bytes of a next message behind it.
    private mutating func appendBody(_ fields: inout [String], isResponse: Bool) -> [UInt8] {
        var body = ""
        switch numbers.below(5) {
        case 0, 1:
            let content = String(repeating: numbers.pick(["x", "{\"a\":1}\n", "\u{e9}\r\n"]), count: numbers.below(5))
            fields.append(
                numbers.pick(["Content-Length: ", "content-length:", "Content-Length:  "]) + "\(content.utf8.count)")
            body = content
        case 2, 3:
            fields.append("Transfer-Encoding: " + numbers.pick(["chunked", "Chunked"]))
            for _ in 0..<numbers.below(4) {
                let content = String(repeating: "c", count: numbers.below(40) + 1)
                body += String(content.utf8.count, radix: 16, uppercase: numbers.below(2) == 0)
                body += numbers.pick(["", "", ";a", ";a=b", "; a=\"b c\""]) + "\r\n" + content + "\r\n"
            }
            body += numbers.pick(["0\r\n\r\n", "000\r\n\r\n", "0\r\nX-Sum: 1\r\nY:\r\n\r\n", "0;last\r\n\r\n"])
        default: body = isResponse ? "until the end" : ""
        }
        if numbers.below(3) == 0 { body += numbers.pick(["GET / HTTP/1.1\r\n\r\n", "\r\n", "x"]) }
        return Array(body.utf8)
    }

    private mutating func finish(_ fields: inout [String]) -> String {
        for _ in 0..<numbers.below(4) {
            let name = numbers.pick(["Accept", "X-Opaque-Id", "user-agent", "A!#$%&'*+-.^_`|~z", "Content-Type"])
            fields.append(
                name + numbers.pick([":", ": ", ":\t "]) + numbers.pick(["*/*", "", "a b", "caf\u{e9}", "x \t"]))
        }
        fields.shuffle(&numbers)
        return fields.map { $0 + "\r\n" }.joined() + "\r\n"
    }

    /// One to three small changes, most of them of the kind that attacks are made of.
    mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0...numbers.below(3) {
            guard !bytes.isEmpty else { return bytes }
            let at = numbers.below(bytes.count)
            switch numbers.below(8) {
            case 0: bytes[at] = UInt8(truncatingIfNeeded: numbers.next())
            case 1: bytes.remove(at: at)
            case 2: bytes.insert(numbers.pick(Array(" \t\r\n\0:;,\u{7f}0aA\"".utf8)), at: at)
            case 3: bytes[at] ^= 0x20
            case 4: bytes.removeSubrange(at..<min(bytes.count, at + numbers.below(6)))
            case 5:
                let line = numbers.pick([
                    "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Host: b\r\n",
                    "Transfer-Encoding: gzip, chunked\r\n", "Content-Length: 4 \r\n", " fold\r\n", "X : y\r\n", "\n",
                ])
                // Behind some line break.
                if let end = bytes[at...].firstIndex(of: 0x0A) { bytes.insert(contentsOf: line.utf8, at: end + 1) }
            case 6: bytes = Array(bytes[..<at])
            default: bytes.swapAt(at, numbers.below(bytes.count))
            }
        }
        return bytes
    }
}

extension Array {
    fileprivate mutating func shuffle(_ numbers: inout SeededNumbers) {
        guard count > 1 else { return }
        for index in 1..<count { swapAt(index, numbers.below(index + 1)) }
    }
}
