import CISAL
import CZstd
import Glibc
import TestSupport
import TupleFormat

/// What a tuple costs: encoding a small exchange and one of 1 MiB bulks, comparing, compressing groups of lines.
/// Arguments: the number of rounds (default 200 000).
func runTupleBenchmark(arguments: [String]) {
    let rounds = arguments.first.flatMap { Int($0) } ?? 200_000
    var seeds = SeededGenerator(seed: 1)
    let small = TupleSample(bodyBytes: 300, &seeds)
    let bulk = TupleSample(bodyBytes: 1 << 20, &seeds)
    var line: [UInt8] = []
    var encoder = TupleEncoder()
    report("encode small", best(rounds) { small.encode(&encoder, &line) }, line.count)
    var comparator = TupleComparator()
    report("compare small, took differs", best(rounds) { small.compare(&comparator) }, small.responseBytes)
    report("encode bulk of 1 MiB", best(max(1, rounds / 1000)) { bulk.encode(&encoder, &line) }, line.count)
    var group: [UInt8] = []
    var random = SeededGenerator(seed: 7)
    var lines = 0
    while group.count < 1 << 20 {
        TupleSample(bodyBytes: 300, &random).encode(&encoder, &line)
        group += line
        lines += 1
    }
    var packed = [UInt8](repeating: 0, count: max(millrace_gzip_bound(group.count), ZSTD_compressBound(group.count)))
    let groups = max(1, rounds / 10_000)
    var size = 0
    let gzip = best(groups) { size = millrace_gzip(group, group.count, &packed, packed.count) }
    report("gzip a line, isa-l level 1", gzip / Double(lines), size / lines)
    for level in [Int32(-5), -1, 1, 3] {
        let context = ZSTD_createCCtx()
        let time = best(groups) {
            size = ZSTD_compressCCtx(context, &packed, packed.count, group, group.count, level)
        }
        ZSTD_freeCCtx(context)
        report("zstd a line, level \(level)", time / Double(lines), size / lines)
    }
}

private func report(_ name: String, _ nanoseconds: Double, _ bytes: Int) {
    print("tuple, \(name): \(Int(nanoseconds.rounded())) ns, \(bytes) bytes")
}

/// Nanoseconds of CPU a round, the best of five series.
private func best(_ rounds: Int, _ body: () -> Void) -> Double {
    var best = Double.infinity
    for _ in 0..<5 {
        let start = cpuNanoseconds()
        for _ in 0..<rounds { body() }
        best = min(best, Double(cpuNanoseconds() - start) / Double(rounds))
    }
    return best
}

private func cpuNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// An exchange of an Elasticsearch client: heads of about 200 bytes, bodies of about `bodyBytes`.
private struct TupleSample {
    let requestHead: [UInt8]
    let responseHead: [UInt8]
    let requestBody: [UInt8]
    let sourceBody: [UInt8]
    let targetBody: [UInt8]

    init(bodyBytes: Int, _ random: inout SeededGenerator) {
        var request = ""
        var items = ""
        var number = random.below(1_000_000)
        let first = number
        while request.utf8.count < bodyBytes {
            let id = random.uuid()
            request += "{\"index\":{\"_id\":\"\(id)\"}}\n"
            request +=
                "{\"user\":\"user-\(number)\",\"message\":\"the quick brown fox jumps\",\"bytes\":\(number * 37),"
            request += "\"when\":\"2026-03-01T10:00:00Z\",\"tags\":[\"a\",\"b\"],\"ok\":true}\n"
            items += number > first ? "," : ""
            items += "{\"index\":{\"_index\":\"logs\",\"_id\":\"\(id)\",\"_version\":1,\"result\":\"created\","
            items += "\"_shards\":{\"total\":2,\"successful\":1,\"failed\":0},\"_seq_no\":\(number),\"status\":201}}"
            number += 1
        }
        requestBody = Array(request.utf8)
        sourceBody = Array("{\"took\":30,\"errors\":false,\"items\":[\(items)]}".utf8)
        targetBody = Array("{\"took\":7,\"errors\":false,\"items\":[\(items)]}".utf8)
        requestHead = Array(
            """
            POST /logs-2026.03/_bulk?refresh=false HTTP/1.1\r
            Host: es-cluster.internal.example.com:9200\r
            User-Agent: elastic-java/8.13.2 (Java/17.0.11)\r
            Content-Type: application/x-ndjson\r
            Connection: keep-alive\r
            Content-Length: \(request.utf8.count)\r
            \r

            """.utf8)
        responseHead = Array(
            """
            HTTP/1.1 200 OK\r
            X-elastic-product: Elasticsearch\r
            content-type: application/json; charset=UTF-8\r
            X-Opaque-Id: \(random.uuid())-\(number)\r
            content-length: \(items.utf8.count)\r
            \r

            """.utf8)
    }

    var responseBytes: Int { sourceBody.count }

    private func withTuple(_ body: (Tuple) -> Void) {
        requestHead.withUnsafeBytes { requestHead in
            responseHead.withUnsafeBytes { responseHead in
                requestBody.withUnsafeBytes { requestBody in
                    sourceBody.withUnsafeBytes { source in
                        targetBody.withUnsafeBytes { target in
                            let request = TupleMessage(head: requestHead, body: [requestBody])
                            body(
                                Tuple(
                                    connectionID: UnsafeRawBufferPointer(rebasing: requestHead[..<40]),
                                    requestNumber: 7, sourceTimeMilliseconds: 1_772_359_200_000,
                                    sourceRequest: request,
                                    sourceResponse: TupleMessage(
                                        head: responseHead, body: [source], isBodyFramed: false,
                                        responseTimeMilliseconds: 31),
                                    targetRequest: request,
                                    targetResponses: [
                                        TupleMessage(
                                            head: responseHead, body: [target], isBodyFramed: false,
                                            responseTimeMilliseconds: 8)
                                    ]))
                        }
                    }
                }
            }
        }
    }

    func encode(_ encoder: inout TupleEncoder, _ line: inout [UInt8]) {
        line.removeAll(keepingCapacity: true)
        withTuple { encoder.encode($0, into: &line) }
    }

    func compare(_ comparator: inout TupleComparator) {
        withTuple { precondition(comparator.compare($0) == .match, "the bodies differ") }
    }
}
