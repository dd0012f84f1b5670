import Testing

@testable import LuceneFormat

@Suite("Commits")
struct SegmentInfosTests {
    private static func error(_ file: String, _ bytes: [UInt8]) -> LuceneError? {
        #expect(throws: LuceneError.self) { try SegmentInfos.read(MemoryDirectory(files: [file: bytes])) }
    }

    @Test("Lucene 6 is refused by its version")
    func luceneSix() {
        var output = LuceneOutput()
        output.header("segments", version: 6, suffix: "3")
        for number in [6, 6, 1] { output.vInt(number) }
        let error = Self.error("segments_3", output.withFooter)
        #expect(error?.code == .unsupported)
        #expect(error?.description.contains("Lucene 6.6.1") == true)
    }

    @Test(
        "Lucene 4 and 5 are refused by their versions",
        arguments: [(0, "Lucene 4;"), (3, "Lucene 4;"), (4, "Lucene 5;"), (5, "Lucene 5;")])
    func older(_ version: Int, _ text: String) {
        var output = LuceneOutput()
        output.fixed(0x3FD7_6C17, count: 4)
        output.string("segments")
        output.int32(version)
        let error = Self.error("segments_1", output.bytes + [UInt8](repeating: 0, count: 40))
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains(text) == true)
    }

    @Test("Lucene 3 is refused")
    func luceneThree() {
        var output = LuceneOutput()
        output.int32(-11)
        #expect(Self.error("segments_1", output.bytes)?.code == .unsupported)
    }

    @Test("a directory without a commit")
    func noCommit() {
        #expect(Self.error("_0.si", [1])?.code == .missingFile)
    }

    @Test(
        "the highest generation counts, in base 36",
        arguments: [["segments_9", "segments_a"], ["segments_z", "segments_10"]])
    func highestGeneration(_ names: [String]) throws {
        var directory = MemoryDirectory()
        for (index, name) in names.enumerated() {
            var output = LuceneOutput()
            output.header("segments", version: 9, suffix: String(name.dropFirst(9)))
            for number in [7, 7, 3, 7] { output.vInt(number) }
            output.int64(1)
            output.vLong(1)
            output.int32(0)
            output.vInt(1)
            output.string("which")
            output.string("\(index)")
            directory.files[name] = output.withFooter
        }
        let infos = try SegmentInfos.read(directory)
        #expect(infos.userData == ["which": "1"])
        #expect(infos.luceneVersion == LuceneVersion(7, 7, 3))
        #expect(infos.createdMajorVersion == 7)
    }

    @Test("versions 7, 8, 9 and 11", arguments: [7, 8, 9, 11])
    func versions(_ version: Int) throws {
        var output = LuceneOutput()
        output.header("segments", version: version, suffix: "1")
        for number in [7, 0, 0, 7] { output.vInt(number) }
        output.int64(1)
        if version >= 8 { output.vLong(300) } else { output.int32(300) }
        output.int32(1)
        for number in [7, 0, 0] { output.vInt(number) }
        output.string("_5")
        output.bytes += SyntheticSegment.id
        output.string("Lucene70")
        output.int64(4)
        output.int32(2)
        output.int64(-1)
        output.int64(6)
        if version >= 9 { output.int32(1) }
        if version >= 10 { output.byte(0) }
        output.strings(["_5_1.fnm"])
        output.int32(1)
        output.int32(8)
        output.strings(["_5_6_Lucene70_0.dvd"])
        if version >= 11 {
            output.int32(1)
            output.int32(8)
            output.int64(2)
            output.int32(2)
            output.int64(3)
            output.int64(4)
        }
        output.vInt(0)
        let infos = try SegmentInfos.read(MemoryDirectory(files: ["segments_1": output.withFooter]))
        let segment = try #require(infos.segments.first)
        #expect(segment.name == "_5")
        #expect(segment.delGen == 4)
        #expect(segment.deletedCount == 2)
        #expect(segment.docValuesGen == 6)
        #expect(segment.softDeletedCount == (version >= 9 ? 1 : 0))
        #expect(segment.fieldInfosFiles == ["_5_1.fnm"])
        #expect(segment.docValuesUpdateFiles.first?.fieldNumber == 8)
        #expect(segment.overlaidFields == (version >= 11 ? [8] : []))
    }
}
