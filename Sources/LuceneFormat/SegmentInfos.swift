/// The newest commit of an index: which segments there are and how much of each is deleted (Lucene's `SegmentInfos`).
///
///     IndexHeader "segments", version 7–11, suffix = generation in base 36
///     3 × VInt Lucene version | VInt major version at creation | Int64 version
///     counter (Int32 before 8, VLong from 8 on) | Int32 segment count | [if any: 3 × VInt oldest segment's version]
///     per segment: see `readSegment`
///     map user data | footer
///
/// These numbers are big-endian in every Lucene version.
package struct SegmentInfos: Sendable {
    package let segments: [SegmentCommitInfo]
    /// Version of Lucene that wrote the commit, such as "9.12.1".
    package let luceneVersion: LuceneVersion
    /// Major version of the Lucene that made the index.
    package let createdMajorVersion: Int
    package let generation: Int64
    package let userData: [String: String]

    /// Version 7 is the first with Lucene 7, 9 brought the number of soft deletes, 10 commit ids, 11 overlays.
    private static let knownVersions = 7...11

    /// Reads the `segments_N` of the highest generation.
    package static func read(_ directory: any LuceneDirectory) throws(LuceneError) -> SegmentInfos {
        var newest: (generation: Int64, file: String)?
        for name in directory.fileNames where name.hasPrefix("segments_") {
            guard let generation = Int64(name.dropFirst(9), radix: 36), generation >= 0 else { continue }
            if generation > newest?.generation ?? -1 { newest = (generation, name) }
        }
        guard let newest else {
            throw LuceneError(
                .missingFile, location: directory.location, file: "segments_N",
                message: "the directory of \(directory.fileNames.count) files holds no commit")
        }
        let file = try SegmentFiles(directory, segmentName: "").outerFile(newest.file)
        try refuseOldFormats(directory, file)
        var input = try IndexInput.openChecked(directory, file, limitBytes: 1 << 28)
        return try read(&input, generation: newest.generation)
    }

    /// Lucene 4 to 6, told by the version in the header before anything that they write differently is looked at.
    private static func refuseOldFormats(
        _ directory: any LuceneDirectory, _ file: LuceneFile
    ) throws(LuceneError) {
        let bytes = try file.readAll(directory, limitBytes: 1 << 28)
        var input = IndexInput(location: directory.location, fileName: file.name, bytes: bytes)
        guard bytes.count >= 4 else { throw input.corrupt("cut off after \(bytes.count) bytes") }
        let magic = try input.readBigEndianInt32()
        if magic < 0, magic >= -16 {
            throw input.unsupported("written by Lucene 3 or older; Lucene 7 is the oldest that is read")
        }
        try input.seek(to: 0)
        let (codecName, version) = try IndexHeader.readPlain(&input)
        guard codecName == "segments" else { throw input.corrupt("a commit has codec name \(codecName)", at: 4) }
        guard version < knownVersions.lowerBound else { return }
        var text = version < 4 ? "4" : "5"
        if version == 6 {
            try input.skip(IndexHeader.idByteCount)
            try input.skip(Int(try input.readByte()))
            text = try LuceneVersion.readVInts(&input).description
        }
        throw input.unsupported("written by Lucene \(text); Lucene 7 is the oldest that is read")
    }

    private static func read(_ input: inout IndexInput, generation: Int64) throws(LuceneError) -> SegmentInfos {
        let header = try IndexHeader.read(&input, codecName: "segments", versions: knownVersions, id: nil)
        guard header.suffix == String(generation, radix: 36) else {
            throw input.corrupt("holds generation \(header.suffix)", at: 0)
        }
        let luceneVersion = try LuceneVersion.readVInts(&input)
        let createdMajorVersion = try input.readVInt()
        _ = try input.readBigEndianInt64()
        if header.version >= 8 { _ = try input.readVLong() } else { _ = try input.readBigEndianInt32() }
        let countPosition = input.position
        let segmentCount = Int(try input.readBigEndianInt32())
        guard segmentCount >= 0, segmentCount <= input.remaining / SegmentCommitInfo.leastByteCount else {
            throw input.corrupt("\(segmentCount) segments cannot be", at: countPosition)
        }
        if segmentCount > 0 { _ = try LuceneVersion.readVInts(&input) }
        var segments: [SegmentCommitInfo] = []
        segments.reserveCapacity(segmentCount)
        for _ in 0..<segmentCount {
            segments.append(try SegmentCommitInfo.read(&input, commitVersion: header.version))
        }
        let userData = try input.readStringMap()
        return SegmentInfos(
            segments: segments, luceneVersion: luceneVersion, createdMajorVersion: createdMajorVersion,
            generation: generation, userData: userData)
    }
}

/// A version of Lucene.
package struct LuceneVersion: Sendable, Comparable, CustomStringConvertible {
    package let major: Int
    package let minor: Int
    package let patch: Int

    package init(_ major: Int, _ minor: Int, _ patch: Int) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    package var description: String { "\(major).\(minor).\(patch)" }

    package static func < (left: LuceneVersion, right: LuceneVersion) -> Bool {
        (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
    }

    static func readVInts(_ input: inout IndexInput) throws(LuceneError) -> LuceneVersion {
        let major = try input.readVInt()
        let minor = try input.readVInt()
        return LuceneVersion(major, minor, try input.readVInt())
    }

    static func readInt32s(_ input: inout IndexInput) throws(LuceneError) -> LuceneVersion {
        let major = try input.readInt32()
        let minor = try input.readInt32()
        return LuceneVersion(Int(major), Int(minor), Int(try input.readInt32()))
    }
}

/// One segment as a commit sees it (Lucene's `SegmentCommitInfo`).
package struct SegmentCommitInfo: Sendable {
    /// Such as "_0"; the files of the segment begin with it.
    package let name: String
    package let id: [UInt8]
    /// Such as "Lucene912" or "Elasticsearch816"; says little about the formats within, so nothing depends on it.
    package let codecName: String
    /// Generation of the `.liv` file, -1 without hard deletes.
    package let delGen: Int64
    /// Hard-deleted documents.
    package let deletedCount: Int
    /// Generation of the `.fnm` file, -1 for the segment's own.
    package let fieldInfosGen: Int64
    package let docValuesGen: Int64
    /// Documents that are soft-deleted and not hard-deleted; 0 before Lucene 7.4, which had none.
    package let softDeletedCount: Int
    package let fieldInfosFiles: [String]
    package let docValuesUpdateFiles: [DocValuesUpdate]
    /// Numbers of the fields whose doc values are laid over others (Lucene 10.6).
    package let overlaidFields: [Int]

    package struct DocValuesUpdate: Sendable {
        package let fieldNumber: Int
        package let files: [String]
    }

    static let leastByteCount = 1 + 16 + 1 + 8 + 4 + 8 + 8 + 1 + 4

    static func read(_ input: inout IndexInput, commitVersion: Int) throws(LuceneError) -> SegmentCommitInfo {
        let name = try input.readString()
        let id = Array(try input.readBytes(IndexHeader.idByteCount))
        let codecName = try input.readString()
        let delGen = try input.readBigEndianInt64()
        let deletedCount = Int(try input.readBigEndianInt32())
        let fieldInfosGen = try input.readBigEndianInt64()
        let docValuesGen = try input.readBigEndianInt64()
        let softDeletedCount = commitVersion >= 9 ? Int(try input.readBigEndianInt32()) : 0
        guard deletedCount >= 0, softDeletedCount >= 0 else {
            throw input.corrupt("segment \(name) has \(deletedCount) and \(softDeletedCount) deleted documents")
        }
        if commitVersion >= 10 {
            switch try input.readByte() {
            case 0: break
            case 1: try input.skip(IndexHeader.idByteCount)
            case let marker: throw input.corrupt("marker \(marker) of a commit id", at: input.position - 1)
            }
        }
        let fieldInfosFiles = try input.readStringSet()
        var updates: [DocValuesUpdate] = []
        for _ in 0..<(try readFieldCount(&input)) {
            let fieldNumber = Int(try input.readBigEndianInt32())
            updates.append(DocValuesUpdate(fieldNumber: fieldNumber, files: try input.readStringSet()))
        }
        return SegmentCommitInfo(
            name: name, id: id, codecName: codecName, delGen: delGen, deletedCount: deletedCount,
            fieldInfosGen: fieldInfosGen, docValuesGen: docValuesGen, softDeletedCount: softDeletedCount,
            fieldInfosFiles: fieldInfosFiles, docValuesUpdateFiles: updates,
            overlaidFields: commitVersion >= 11 ? try readOverlays(&input) : [])
    }

    private static func readFieldCount(_ input: inout IndexInput) throws(LuceneError) -> Int {
        let count = Int(try input.readBigEndianInt32())
        guard count >= 0, count <= input.remaining / 5 else { throw input.corrupt("\(count) fields cannot be") }
        return count
    }

    /// Int32 count × (Int32 field, Int64 base generation, Int32 count × Int64 generation).
    private static func readOverlays(_ input: inout IndexInput) throws(LuceneError) -> [Int] {
        var fields: [Int] = []
        for _ in 0..<(try readFieldCount(&input)) {
            fields.append(Int(try input.readBigEndianInt32()))
            _ = try input.readBigEndianInt64()
            let generationCount = Int(try input.readBigEndianInt32())
            guard generationCount >= 0, generationCount <= input.remaining / 8 else {
                throw input.corrupt("\(generationCount) generations cannot be")
            }
            try input.skip(generationCount * 8)
        }
        return fields
    }
}
