import TestSupport
import Testing

@testable import LuceneFormat

/// Damaged shards end in a `LuceneError` or, where the damage is in bytes that are not read, in the same documents.
@Suite("Damaged shards")
struct CorruptionTests {
    static let fixtures = [
        "lucene-7.7-and-8.7-ids", "lucene-7.7-deflate-soft", "lucene-8.1-lz4-nested", "lucene-8.7-lz4-soft-merged",
        "lucene-9.4-lz4-hard-and-soft", "lucene-9.12-four-codecs", "lucene-10.5-lz4-soft-merged",
    ]

    @Test("a flipped bit gives an error or the same documents", arguments: fixtures)
    func flippedBit(_ name: String) throws {
        let directory = ShardFixture(name: name).load()
        let expected = ShardFixture(name: name).expectedLines
        var generator = SeededGenerator(seed: 7)
        var errorCount = 0
        for (file, bytes) in directory.files.sorted(by: { $0.key < $1.key }) {
            for place in stride(
                from: Int.random(in: 0..<97, using: &generator), to: bytes.count, by: 1 + bytes.count / 40)
            {
                var damaged = directory
                damaged.files[file]?[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                do throws(LuceneError) {
                    #expect(try ShardListing.lines(damaged) == expected, "\(file) at \(place)")
                } catch {
                    errorCount += 1
                    #expect(!error.description.contains("\n"))
                }
            }
        }
        #expect(errorCount > 0)
    }

    @Test("a file that is cut off gives an error or the same documents", arguments: fixtures)
    func truncated(_ name: String) throws {
        let directory = ShardFixture(name: name).load()
        let expected = ShardFixture(name: name).expectedLines
        for (file, bytes) in directory.files {
            for kept in [0, 1, 3, 15, 16, 40, bytes.count / 2, bytes.count - 16, bytes.count - 1] {
                guard kept >= 0, kept < bytes.count else { continue }
                var damaged = directory
                damaged.files[file] = Array(bytes[..<kept])
                do throws(LuceneError) {
                    #expect(try ShardListing.lines(damaged) == expected, "\(file) to \(kept)")
                } catch {
                    #expect([.corrupt, .unsupported, .missingFile].contains(error.code), "\(error)")
                }
            }
            var missing = directory
            missing.files[file] = nil
            if let lines = try? ShardListing.lines(missing) {
                #expect(lines == expected, "without \(file)")
            }
        }
    }

    /// With the footer made right again the damage reaches the parsers behind the checksum. Documents may come out
    /// wrong then, but nothing may trap.
    @Test("damage behind a valid checksum never traps", arguments: fixtures)
    func damageWithValidChecksum(_ name: String) throws {
        let directory = ShardFixture(name: name).load()
        var generator = SeededGenerator(seed: 11)
        var errorCount = 0
        for (file, bytes) in directory.files.sorted(by: { $0.key < $1.key }) where bytes.count > 16 {
            let isMetadata = !file.hasSuffix(".cfs") && !file.hasSuffix(".fdt") && bytes.count < 3000
            for place in stride(from: 0, to: bytes.count - 16, by: isMetadata ? 3 : 1 + bytes.count / 60) {
                var content = Array(bytes[..<(bytes.count - 16)])
                content[place] = UInt8.random(in: 0...255, using: &generator)
                var damaged = directory
                damaged.files[file] = CodecFooter.appended(to: content)
                do throws(LuceneError) {
                    _ = try ShardListing.lines(damaged, isVerified: false)
                } catch {
                    errorCount += 1
                }
            }
        }
        #expect(errorCount > 0)
    }
}
