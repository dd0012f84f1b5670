/// The `.si` file of a segment (Lucene70, Lucene86, Lucene90 and Lucene99 `SegmentInfoFormat`):
///
///     IndexHeader | 3 × Int32 Lucene version | Byte has minimum version [3 × Int32] | Int32 docCount
///     Byte isCompound (1 yes, FF no) | [from 9.9 on: Byte hasBlocks] | map diagnostics | set files | map attributes
///     index sort | footer
///
/// Lucene 9.9 inserted a byte under the same codec name and version, so the layout is told by the Lucene version and
/// checked against the file's own list of files.
struct SegmentInfo: Sendable {
    let luceneVersion: LuceneVersion
    let documentCount: Int
    let isCompound: Bool
    let files: [String]
    let attributes: [String: String]

    static func read(_ files: SegmentFiles, _ commit: SegmentCommitInfo) throws(LuceneError) -> SegmentInfo {
        let file = try files.outerFile(commit.name + ".si")
        var input = try IndexInput.openChecked(files.directory, file, limitBytes: 1 << 26)
        let header = try IndexHeader.read(&input)
        switch header.codecName {
        case "Lucene70SegmentInfo", "Lucene86SegmentInfo": input.byteOrder = .bigEndian
        case "Lucene90SegmentInfo": input.byteOrder = .littleEndian
        case "Lucene50SegmentInfo", "Lucene62SegmentInfo", "Lucene46SegmentInfo", "Lucene40SegmentInfo":
            let text = header.codecName.dropFirst(6).prefix(1)
            throw input.unsupported(
                "segment \(commit.name) was written by Lucene \(text); Lucene 7 is the oldest that "
                    + "is read")
        default: throw input.unsupported("segment info format \(header.codecName)")
        }
        try header.check(input, versions: 0...1, id: commit.id)
        let version = try LuceneVersion.readInt32s(&input)
        switch try input.readByte() {
        case 0: break
        case 1: _ = try LuceneVersion.readInt32s(&input)
        case let flag: throw input.corrupt("flag \(flag) of the minimum version", at: input.position - 1)
        }
        let documentCount = Int(try input.readInt32())
        guard documentCount >= 0 else { throw input.corrupt("negative document count \(documentCount)") }
        let isCompound = try input.readByte() == 1
        let isLittleEndian = input.byteOrder == .littleEndian
        let hasBlocksByte = isLittleEndian && version >= LuceneVersion(9, 9, 0)
        let start = input.position
        var tail: (files: [String], attributes: [String: String])
        do {
            tail = try readTail(&input, commit.name, hasBlocksByte: hasBlocksByte)
        } catch {
            guard isLittleEndian else { throw error }
            try input.seek(to: start)
            guard let other = try? readTail(&input, commit.name, hasBlocksByte: !hasBlocksByte) else { throw error }
            tail = other
        }
        return SegmentInfo(
            luceneVersion: version, documentCount: documentCount, isCompound: isCompound, files: tail.files,
            attributes: tail.attributes)
    }

    private static func readTail(
        _ input: inout IndexInput, _ segmentName: String, hasBlocksByte: Bool
    ) throws(LuceneError) -> (files: [String], attributes: [String: String]) {
        if hasBlocksByte { _ = try input.readByte() }
        _ = try input.readStringMap()
        let filesStart = input.position
        let files = try input.readStringSet()
        // A segment taken over from another index (shrink) keeps the names that its files had there.
        guard files.contains(where: { $0.hasPrefix("_") && $0.hasSuffix(".si") }) else {
            throw input.corrupt("the list of files lacks the .si of \(segmentName)", at: filesStart)
        }
        return (files, try input.readStringMap())
    }
}
