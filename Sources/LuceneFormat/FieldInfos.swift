/// One field of a segment, as far as a reader of stored fields needs it.
struct FieldInfo: Sendable {
    let name: String
    let number: Int
    let isSoftDeletesField: Bool
    let hasDocValuesSkipIndex: Bool
    /// Generation of the doc-values files that hold the field, -1 for the segment's own.
    let docValuesGen: Int64
    let attributes: [String: String]
}

/// The `.fnm` file (Lucene60, Lucene90 and Lucene94 `FieldInfosFormat`):
///
///     IndexHeader, suffix = generation in base 36 | VInt count × field | footer
///     field: String name | VInt number | Byte bits | Byte indexOptions | Byte docValuesType
///            [94 version 2: Byte skip index] | Int64 docValuesGen | map attributes
///            VInt point dimensions [≠ 0: (60 version 2, 90, 94: VInt index dimensions) VInt bytes a dimension]
///            [90: VInt vector dimension, Byte similarity] [94: VInt vector dimension, Byte encoding, Byte similarity]
///
/// The numbers of a later generation are good for the doc values of later generations only: with Lucene 7.4 to 8.5.0, a
/// segment taken over from another index (shrink, split, clone) gets the numbers of its new index when the file is
/// written again, while its stored fields and own doc values keep the old ones. Lucene reads these by the segment's own
/// file (`SegmentCoreReaders.coreFieldInfos`).
struct FieldInfos: Sendable {
    let fields: [FieldInfo]

    private enum Layout { case lucene60, lucene90, lucene94 }

    func field(_ name: String) -> FieldInfo? { fields.first { $0.name == name } }

    /// The fields by the segment's own file.
    static func readOwn(_ files: SegmentFiles, _ commit: SegmentCommitInfo) throws(LuceneError) -> FieldInfos {
        try read(files, commit, files.file(suffix: ".fnm"))
    }

    /// The fields by the file of the commit's generation; nil when that is the segment's own.
    static func readUpdated(_ files: SegmentFiles, _ commit: SegmentCommitInfo) throws(LuceneError) -> FieldInfos? {
        guard commit.fieldInfosGen != -1 else { return nil }
        let generation = String(commit.fieldInfosGen, radix: 36)
        return try read(files, commit, files.outerFile("\(commit.name)_\(generation).fnm"))
    }

    private static func read(
        _ files: SegmentFiles, _ commit: SegmentCommitInfo, _ file: LuceneFile
    ) throws(LuceneError) -> FieldInfos {
        var input = try IndexInput.openChecked(files.directory, file, limitBytes: 1 << 28)
        let header = try IndexHeader.read(&input)
        let layout: Layout
        switch header.codecName {
        case "Lucene60FieldInfos": layout = .lucene60
        case "Lucene90FieldInfos": layout = .lucene90
        case "Lucene94FieldInfos": layout = .lucene94
        default: throw input.unsupported("field infos format \(header.codecName)")
        }
        input.byteOrder = layout == .lucene60 ? .bigEndian : .littleEndian
        try header.check(input, versions: 0...2, id: commit.id)
        let count = try input.readCount(itemBytes: 15)
        var fields: [FieldInfo] = []
        fields.reserveCapacity(count)
        for _ in 0..<count {
            fields.append(try readField(&input, layout, version: header.version))
        }
        guard input.remaining == 0 else { throw input.corrupt("\(input.remaining) bytes behind the last field") }
        return FieldInfos(fields: fields)
    }

    private static func readField(
        _ input: inout IndexInput, _ layout: Layout, version: Int
    ) throws(LuceneError) -> FieldInfo {
        let name = try input.readString()
        let number = try input.readVInt()
        let bits = try input.readByte()
        try input.skip(2)
        let skipIndex = layout == .lucene94 && version >= 2 ? try input.readByte() : 0
        let docValuesGen = try input.readInt64()
        let attributes = try input.readStringMap()
        if try input.readVInt() != 0 {
            if layout != .lucene60 || version >= 2 { _ = try input.readVInt() }
            _ = try input.readVInt()
        }
        if layout != .lucene60 {
            _ = try input.readVInt()
            try input.skip(layout == .lucene94 ? 2 : 1)
        }
        return FieldInfo(
            name: name, number: number, isSoftDeletesField: bits & 0x8 != 0, hasDocValuesSkipIndex: skipIndex != 0,
            docValuesGen: docValuesGen, attributes: attributes)
    }
}
