import CISAL
import CZstd
import Glibc
import JSONBytes
import TestSupport
import Testing

@testable import millrace

/// `millrace traffic report`, the built program, and its counting parts.
@Suite(.enabled(if: TrafficTool.path != nil)) struct TrafficReportTests {
    private static let fixtures =
        "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fixtures/tuples"
    private let scratch: TemporaryFolder

    init() throws { scratch = try TemporaryFolder("traffic-report") }

    private func run(_ words: [String]) throws -> (status: ChildProcess.Ending, output: String, errors: String) {
        let process = try ChildProcess([TrafficTool.path ?? "", "traffic", "report"] + words, folder: scratch.path)
        return (process.wait(), process.outputText, process.errorText)
    }

    private func lines() throws -> [[UInt8]] {
        try FileTree.read(Self.fixtures + "/report.ndjson").split(separator: 0x0A).map { Array($0) + [0x0A] }
    }

    private func packed(gzip text: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: millrace_gzip_bound(text.count)) { bytes, count in
            count = millrace_gzip(text, text.count, bytes.baseAddress, bytes.count)
        }
    }

    private func packed(zstd text: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(text.count)) { bytes, count in
            count = ZSTD_compress(bytes.baseAddress, bytes.count, text, text.count, 1)
        }
    }

    /// The tuples are made by hand. `millrace traffic report report.ndjson -o json --out report.expected.json`, in their
    /// folder, renews the report, which is then read against them.
    @Test func theReportIsTheGoldenOne() throws {
        let found = try run([Self.fixtures + "/report.ndjson", "-o", "json"])
        let expected = try FileTree.read(Self.fixtures + "/report.expected.json")
        let place = Self.fixtures + "/"
        let output = found.output.split(separator: place).joined()
        #expect(output == String(decoding: expected, as: UTF8.self))
        #expect(found.status == .exited(3) && found.errors.contains("match rate 42.86 % of 7 compared"))
    }

    @Test func everyPackingIsRead() throws {
        let lines = try lines()
        let (first, second) = (lines[0] + lines[3], lines[7])
        try scratch.write("t/tuples-a-20260301T100000Z-1.ndjson", first)
        try scratch.write("t/tuples-a-20260301T100000Z-2.ndjson.gz", packed(gzip: first) + packed(gzip: second))
        try scratch.write(
            "t/2026/03/tuples-a-20260301T100000Z-3.ndjson.zst", packed(zstd: first) + packed(zstd: second))
        try scratch.write("t/tuples-2026-03-01-10-00-001.log.gz", packed(gzip: second))
        try scratch.write("t/tuples-a-20260301T100000Z-4.ndjson.gz.part", packed(gzip: first))
        try scratch.write("t/notes.txt", [1, 2, 3])
        let found = try run([scratch.path("t"), "--output=json", "--threshold", "1"])
        #expect(found.status == .exited(0), "\(found.errors)")
        let value = try JSONValue.parse(Array(found.output.utf8))
        #expect(value["exchanges"]?.intValue == 11 && value["files"]?.intValue == 5)
        #expect(value["matchRate"] == .number("1.0"))
    }

    @Test func aTornFileCountsUpToItsLastWholeGroup() throws {
        let lines = try lines()
        let whole = packed(gzip: lines[0] + lines[3])
        let path = try scratch.write("torn.gz", whole + packed(gzip: lines[7]).dropLast(5))
        let found = try run([path, "-o", "json"])
        let value = try JSONValue.parse(Array(found.output.utf8))
        #expect(found.status == .exited(65) && (value["exchanges"]?.intValue ?? 0) >= 2)
        #expect(found.errors.contains("cut off") && value["unreadable"]?["count"]?.intValue == 1)
        let zstd = try scratch.write("torn.zst", packed(zstd: lines[0]) + packed(zstd: lines[3]).dropLast(2))
        #expect(try run([zstd, "-o", "json"]).status == .exited(65))
    }

    @Test func thePageNeedsNothingElseAndShowsNoSecrets() throws {
        let out = scratch.path("report.html")
        let found = try run([Self.fixtures + "/report.ndjson", "--out", out])
        #expect(found.status == .exited(3) && found.output == "")
        let page = String(decoding: try FileTree.read(out), as: UTF8.self)
        #expect(page.hasPrefix("<!doctype html>") && page.contains("</html>"))
        for forbidden in ["http://", "https://", "src=", "@import", "url(", "c2VjcmV0"] {
            #expect(!page.contains(forbidden), "\(forbidden)")
        }
        #expect(page.contains("$AUTH") && page.contains("it&#39;\\&#39;&#39;s"))
        for part in ["Match rate over time", "Statuses", "Worst differences", "hits.hits.*._score", "Not compared"] {
            #expect(page.contains(part), "\(part)")
        }
        let empty = try scratch.write("empty.ndjson", [])
        let nothing = try run([empty])
        #expect(nothing.status == .exited(3) && nothing.output.contains("Nothing could be compared"))
    }

    @Test func differencesCanBeAllowed() throws {
        let path = try scratch.write("one.ndjson", try lines()[1])
        #expect(try run([path, "-o", "json"]).status == .exited(3))
        #expect(try run([path, "--ignore", "hits.hits.*._score", "-o", "json"]).status == .exited(0))
        #expect(try run([path, "--threshold", "0", "-o", "json"]).status == .exited(0))
        let status = try scratch.write("status.ndjson", try lines()[2])
        #expect(try run([status, "--status", "class", "--ignore", "result", "-o", "json"]).status == .exited(0))
    }

    @Test(arguments: [
        [], ["a", "-o", "text"], ["a", "--threshold", "2"], ["a", "--status", "no"], ["a", "--what", "b"],
    ])
    func wrongUsageIsSaid(words: [String]) throws {
        let found = try run(words)
        #expect(found.status == .exited(64) && found.output == "" && found.errors.hasPrefix("millrace traffic"))
    }

    @Test func missingFilesAreUnavailable() throws {
        #expect(try run([scratch.path("no.gz")]).status == .exited(69))
        try scratch.write("none/notes.txt", [])
        #expect(try run([scratch.path("none")]).status == .exited(69))
    }

    @Test(arguments: [
        ("PUT", "/logs-1/_doc/abc?refresh=true", "PUT /{index}/_doc/{id}"), ("GET", "/", "GET /"),
        ("POST", "/_bulk", "POST /_bulk"), ("POST", "/a,b/_search", "POST /{index}/_search"),
        ("GET", "/_cluster/health/logs", "GET /_cluster/health/{name}"), ("PUT", "/i", "PUT /{index}"),
        ("PUT", "/i/t/7", "PUT /{index}/{type}/{id}"), ("POST", "/_search/scroll", "POST /_search/scroll"),
        ("POST", "/i/_update/7", "POST /{index}/_update/{id}"), ("GET", "/i/_doc/_Z2j", "GET /{index}/_doc/{id}"),
        ("GET", "/i/_doc/_search", "GET /{index}/_doc/_search"),
        ("PUT", "/_index_template/x", "PUT /_index_template/{name}"),
    ])
    func endpointsHaveNoNames(method: String, target: String, expected: String) {
        #expect(EndpointClass.of(method: method, target: target) == expected)
    }

    @Test func quantilesAreWithinABin() {
        for seed in 0..<50 {
            var random = SeededGenerator(seed: UInt64(seed))
            var histogram = LatencyHistogram()
            var values: [Int] = []
            for _ in 0...random.below(400) {
                let value = random.below(1 << (1 + random.below(20)))
                values.append(value)
                histogram.add(value)
            }
            values.sort()
            for share in [0.5, 0.95, 0.99] {
                let exact = values[max(0, Int((share * Double(values.count)).rounded(.up)) - 1)]
                let found = histogram.quantile(share) ?? -1
                #expect(abs(found - exact) * 16 <= exact + 16, "seed \(seed): \(found) for \(exact)")
            }
        }
        #expect(LatencyHistogram().quantile(0.5) == nil)
    }

    @Test func timeIsMergedIntoFewerSteps() {
        var timeline = ReportTimeline()
        for second in 0..<100_000 { timeline.add(Int64(second) * 1000) { $0.counts.add(.match) } }
        #expect(timeline.width == 1800 && timeline.steps.count == 56)
        #expect(timeline.steps.reduce(0) { $0 + $1.slice.counts.match } == 100_000)
        #expect(timeline.steps.dropLast().allSatisfy { $0.slice.counts.match == 1800 })
    }

    @Test(arguments: [
        ("tuples-a-20260301T100000Z-1.ndjson", Int64?(1_772_359_200_000)),
        ("x/tuples-2026-03-01-10-00-001.log.gz", 1_772_359_200_000),
        ("tuples-0-20260301T100001Z-12.log.gz", 1_772_359_201_000), ("tuples.ndjson", nil), ("tuples-12345678.gz", nil),
    ])
    func filesTellTheirTime(path: String, time: Int64?) { #expect(TupleFileList.time(path) == time) }
}
