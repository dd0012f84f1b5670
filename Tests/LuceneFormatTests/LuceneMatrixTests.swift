import Glibc
import TestSupport
import Testing

@testable import LuceneFormat

/// Indices that many versions of Lucene wrote, made by Tests/Fixtures/lucene/matrix/renew.sh. The folder is named by
/// MILLRACE_LUCENE_MATRIX; without it, nothing is tried.
@Suite("Indices of many Lucene versions")
struct LuceneMatrixTests {
    static let root = getenv("MILLRACE_LUCENE_MATRIX").map { String(cString: $0) } ?? ""
    static let indices = root.isEmpty ? [] : ShardFixture.listed(in: root)

    @Test("gives every document, whole, cut and resumed", .enabled(if: !root.isEmpty), arguments: indices)
    func everyDocument(_ fixture: ShardFixture) throws {
        let expected = fixture.expectedLines
        let directory = fixture.load()
        #expect(expected.contains { $0.hasPrefix("segment") })
        try compare(ShardListing.lines(directory), expected, "whole")
        try compare(ShardListing.lines(directory, targetBytes: 1, isVerified: false), expected, "cut at every chunk")
        try compare(
            ShardListing.lines(directory, targetBytes: 30_000, isVerified: false), expected, "cut at some chunks")
        var random = SeededGenerator(seed: UInt64(expected.count))
        for info in try SegmentInfos.read(directory).segments {
            let segment = try SegmentReader.open(directory, info)
            let whole = expected.filter { line in
                !line.hasPrefix("segment") && line.split(separator: "\t")[1] == Substring(info.name)
            }
            for _ in 0..<4 {
                let cut = Int.random(in: 0...segment.maxDoc, using: &random)
                var parts: [String] = []
                var deletedCount = try ShardListing.appendDocuments(&parts, segment, 0, cut)
                deletedCount += try ShardListing.appendDocuments(&parts, segment, cut, segment.maxDoc)
                #expect(deletedCount == segment.deletedCount)
                try compare(parts, whole, "resumed at \(cut) of \(info.name)")
            }
        }
    }

    /// Names the first difference; whole lists would be thousands of lines.
    private func compare(_ actual: [String], _ expected: [String], _ manner: String) throws {
        if actual == expected { return }
        let place = zip(actual, expected).enumerated().first { $1.0 != $1.1 }
        Issue.record(
            """
            \(manner): \(actual.count) lines instead of \(expected.count), first difference \
            \(place.map { "at \($0.offset): \($0.element.0) instead of \($0.element.1)" } ?? "at the end")
            """)
    }
}
