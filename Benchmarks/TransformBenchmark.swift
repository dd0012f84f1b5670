import Glibc
import HTTPMessage
import Transform

/// Nanoseconds for the head of a small request, and megabytes a second over a 1 MiB bulk: looking for actions without
/// id, renaming every action's index, adding ids from the response, keeping every tenth item.
/// Arguments: the number of rounds (default 300 000 heads, a thousandth of it in bulks).
func runTransformBenchmark(arguments: [String]) throws {
    let rounds = max(1, arguments.first.flatMap { Int($0) } ?? 300_000)
    let small = TransformSample(
        "POST /logs-2024.05.07/_doc/7f3a90b1 HTTP/1.1",
        "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: elastic-java/8.13.2\r\n"
            + "Authorization: Basic ZWxhc3RpYzpjaGFuZ2VtZQ==\r\nX-Opaque-Id: 7f3a90b1-2d4c-4e1a\r\nConnection: keep-alive",
        Array("{\"message\":\"hello\"}".utf8))
    let host = Array("os.example.com:9200".utf8)
    let plain = RequestRewriter(host: host, authentication: .basic(Array("Basic dTpw".utf8)))
    let text = """
        {"rules":[{"rule":"remove-types"},{"rule":"rename-index","from":"logs-*","to":"archive-$1"}]}
        """
    let renaming = RequestRewriter(rules: try RuleSet(json: Array(text.utf8), file: "benchmark"), host: host)
    try measure("head, no rules", rounds, bytes: nil) { sum in sum &+= try small.rewrite(plain).head.count }
    try measure("head, types and index", rounds, bytes: nil) { sum in
        sum &+= try small.rewrite(renaming).head.count
    }
    for documentBytes in [200, 1000] {
        let bulk = TransformSample.bulk(documentBytes: documentBytes, hasIDs: true)
        let noIDs = TransformSample.bulk(documentBytes: documentBytes, hasIDs: false)
        let bulkRounds = max(1, rounds / 1000)
        let size = bulk.body.count
        let name = "bulk of \(documentBytes) B documents"
        try measure("\(name), scan for ids", bulkRounds * 4, bytes: size) { sum in
            sum &+= bulk.needsResponse(plain) ? 1 : 2
        }
        try measure("\(name), no rules", bulkRounds * 4, bytes: size) { sum in
            sum &+= try bulk.rewrite(plain).head.count
        }
        try measure("\(name), rename", bulkRounds, bytes: size) { sum in
            if case .replaced(let body) = try bulk.rewrite(renaming).body { sum &+= body.count }
        }
        try measure("\(name), add ids", bulkRounds, bytes: noIDs.body.count) { sum in
            if case .replaced(let body) = try noIDs.rewriteWithIDs(plain).body { sum &+= body.count }
        }
        try measure("\(name), resend a tenth", bulkRounds, bytes: size) { sum in
            let kept = try bulk.body.withUnsafeBytes {
                try BulkResend.body($0, itemCount: bulk.itemCount) { $0 % 10 == 0 }
            }
            sum &+= kept.count
        }
    }
}

private func measure(_ name: String, _ rounds: Int, bytes: Int?, _ run: (inout Int) throws -> Void) throws {
    var best = Int64.max
    var checksum = 0
    for _ in 0..<5 {
        checksum = 0
        let start = TransformSample.nanoseconds()
        for _ in 0..<rounds { try run(&checksum) }
        best = min(best, TransformSample.nanoseconds() - start)
    }
    let each = Double(best) / Double(rounds)
    let speed = bytes.map { "\(Int(Double($0) / each * 1000)) MB/s" } ?? "\(Int(each)) ns"
    print("transform \(name): \(speed), checksum \(checksum)")
}

private struct TransformSample {
    let head: [UInt8]
    let scanned: HTTPHead
    let body: [UInt8]
    var itemCount = 0
    var answer: [UInt8] = []

    init(_ line: String, _ fields: String, _ body: [UInt8]) {
        head = Array("\(line)\r\nHost: old:9200\r\n\(fields)\r\nContent-Length: \(body.count)\r\n\r\n".utf8)
        var scanner = HTTPHeadScanner()
        _ = head.withUnsafeBytes { try? scanner.scan($0) }
        scanned = scanner.head
        self.body = body
    }

    /// About 1 MiB.
    static func bulk(documentBytes: Int, hasIDs: Bool) -> TransformSample {
        var body: [UInt8] = []
        var items: [String] = []
        let filler = String(repeating: "lorem ipsum ", count: documentBytes / 12)
        while body.count < 1 << 20 {
            let id = "doc-\(items.count)-7f3a90b1"
            let member = hasIDs ? ",\"_id\":\"\(id)\"" : ""
            body += Array("{\"index\":{\"_index\":\"logs-2024.05.07\"\(member)}}\n{\"m\":\"\(filler)\"}\n".utf8)
            items.append("{\"index\":{\"_index\":\"logs-2024.05.07\",\"_id\":\"\(id)\",\"status\":201}}")
        }
        var sample = TransformSample("POST /_bulk HTTP/1.1", "Content-Type: application/x-ndjson", body)
        sample.itemCount = items.count
        sample.answer = Array("{\"errors\":false,\"items\":[\(items.joined(separator: ","))]}".utf8)
        return sample
    }

    private func with<R>(_ use: (CapturedRequest) throws -> R) rethrows -> R {
        try head.withUnsafeBytes { head in
            try body.withUnsafeBytes { try use(CapturedRequest(headBytes: head, head: scanned, body: [$0])) }
        }
    }

    func rewrite(_ rewriter: RequestRewriter) throws -> RewrittenRequest { try with { try rewriter.rewrite($0) } }

    func needsResponse(_ rewriter: RequestRewriter) -> Bool { with { rewriter.needsResponse($0) } }

    func rewriteWithIDs(_ rewriter: RequestRewriter) throws -> RewrittenRequest {
        let responseHead = Array("HTTP/1.1 200 OK\r\ncontent-length: \(answer.count)\r\n\r\n".utf8)
        return try responseHead.withUnsafeBytes { bytes in
            var scanner = HTTPHeadScanner(responseTo: .post)
            _ = try? scanner.scan(bytes)
            return try answer.withUnsafeBytes { answer in
                let response = SourceResponse(headBytes: bytes, head: scanner.head, body: [answer])
                return try with { try rewriter.rewrite($0, ids: .response(response)) }
            }
        }
    }

    static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
