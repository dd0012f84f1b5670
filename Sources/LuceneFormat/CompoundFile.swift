/// The `.cfe` file: where each file of a segment lies within its `.cfs` (Lucene50 and Lucene90 `CompoundFormat`).
///
///     IndexHeader "LuceneNNCompoundEntries" | VInt count × (String name without the segment's, Int64 offset,
///     Int64 length) | footer
enum CompoundFile {
    static func readEntries(
        _ files: SegmentFiles, _ commit: SegmentCommitInfo
    ) throws(LuceneError) -> [String: LuceneFile] {
        let data = try files.outerFile(commit.name + ".cfs")
        let table = try files.outerFile(commit.name + ".cfe")
        var input = try IndexInput.openChecked(files.directory, table, limitBytes: 1 << 26)
        let header = try IndexHeader.read(&input)
        switch header.codecName {
        case "Lucene50CompoundEntries": input.byteOrder = .bigEndian
        case "Lucene90CompoundEntries": input.byteOrder = .littleEndian
        default: throw input.unsupported("compound format \(header.codecName)")
        }
        try header.check(input, versions: 0...1, id: commit.id)
        let count = try input.readCount(itemBytes: 17)
        let end = data.length - Int64(CodecFooter.byteCount)
        var entries: [String: LuceneFile] = [:]
        for _ in 0..<count {
            let start = input.position
            let name = try input.readString()
            let offset = try input.readInt64()
            let length = try input.readInt64()
            guard offset >= 0, length >= 0, offset <= end, length <= end - offset else {
                throw input.corrupt(
                    "\(name) at \(offset) of \(length) bytes leaves the .cfs of \(data.length)", at: start)
            }
            let file = LuceneFile(
                name: "\(data.name)/\(name)", physicalName: data.name, offset: offset, length: length)
            guard entries.updateValue(file, forKey: name) == nil else {
                throw input.corrupt("\(name) occurs twice", at: start)
            }
        }
        return entries
    }
}
