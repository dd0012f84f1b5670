import CSystem
import Glibc
import HTTPMessage

/// Nanoseconds for one request head, of an Elasticsearch client (493 bytes, 10 fields) and of a small one.
/// Arguments: the number of rounds (default 2 000 000), the name of the only sample to scan.
func runHTTPHeadBenchmark(arguments: [String]) {
    let rounds = arguments.first.flatMap { Int($0) } ?? 2_000_000
    for (name, head) in HTTPHeadSamples.all where arguments.count < 2 || arguments[1] == name {
        let bytes = Array(head.utf8)
        var best = Int64.max
        var checksum = 0
        for _ in 0..<5 {
            let start = HTTPHeadSamples.nanoseconds()
            checksum = HTTPHeadSamples.scan(bytes, rounds: rounds)
            best = min(best, HTTPHeadSamples.nanoseconds() - start)
        }
        let picoseconds = best * 1000 / Int64(max(rounds, 1))
        let tenths = picoseconds / 100
        print("http-head \(name): \(bytes.count) bytes, \(tenths / 10).\(tenths % 10) ns/request, checksum \(checksum)")
    }
}

private enum HTTPHeadSamples {
    static let all = [
        (
            "client",
            """
            POST /logs-2024.05.07/_search?typed_keys=true&ignore_unavailable=false&expand_wildcards=open HTTP/1.1\r
            Host: es-cluster.internal.example.com:9200\r
            User-Agent: elastic-java/8.13.2 (Java/17.0.11)\r
            Authorization: Basic ZWxhc3RpYzpjaGFuZ2VtZS1wbGVhc2U=\r
            Accept: application/vnd.elasticsearch+json; compatible-with=8\r
            Content-Type: application/json\r
            X-Elastic-Client-Meta: es=8.13.2,jv=17\r
            X-Opaque-Id: 7f3a90b1-2d4c-4e1a-9b0e\r
            Connection: keep-alive\r
            Accept-Encoding: gzip\r
            Content-Length: 512\r
            \r

            """
        ),
        ("small", "GET /_cluster/health HTTP/1.1\r\nHost: localhost:9200\r\nAccept: */*\r\n\r\n"),
    ]

    /// The sum depends on every head, so that no round can be left out.
    static func scan(_ bytes: [UInt8], rounds: Int) -> Int {
        var scanner = HTTPHeadScanner()
        var sum = 0
        bytes.withUnsafeBytes { bytes in
            for _ in 0..<rounds {
                scanner.reset()
                guard let isComplete = try? scanner.scan(bytes), isComplete else { return }
                sum &+= scanner.head.byteCount &+ scanner.head.fields.count
                if case .length(let count) = scanner.head.framing { sum &+= Int(count) }
            }
        }
        return sum
    }

    static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
