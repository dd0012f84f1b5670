/// The soft-deleted documents of a segment: those that have a value in its soft deletes field.
enum SoftDeletes {
    /// The documents as bits, and the `.dvd` file when it was read; nil when there are none.
    ///
    /// The values are in doc-values files of their own generation when documents were deleted after the segment was
    /// written, else in the segment's: a merge keeps recently deleted documents. The segment's go by its own fields.
    static func read(
        _ files: SegmentFiles, _ commit: SegmentCommitInfo, own: FieldInfos, updated: FieldInfos?, maxDoc: Int
    ) throws(LuceneError) -> (bits: [UInt64], data: LuceneFile)? {
        guard commit.softDeletedCount > 0 else { return nil }
        let location = files.directory.location
        let newest = updated ?? own
        guard let newestField = newest.fields.first(where: { $0.isSoftDeletesField }) else {
            throw LuceneError(
                .corrupt, location: location, file: commit.name,
                message: "\(commit.softDeletedCount) documents are soft-deleted but no field says which")
        }
        guard !commit.overlaidFields.contains(newestField.number) else {
            throw LuceneError(
                .unsupported, location: location, file: commit.name, message: "soft deletes as doc values overlays")
        }
        let fields = newestField.docValuesGen == -1 ? own : newest
        guard let field = fields.field(newestField.name),
            let format = field.attributes["PerFieldDocValuesFormat.format"],
            let formatSuffix = field.attributes["PerFieldDocValuesFormat.suffix"]
        else {
            throw LuceneError(
                .corrupt, location: location, file: commit.name, message: "\(newestField.name) has no doc values format"
            )
        }
        let generation = field.docValuesGen == -1 ? "" : "_" + String(field.docValuesGen, radix: 36)
        let stem = "\(generation)_\(format)_\(formatSuffix)"
        let metadataFile = try files.file(suffix: stem + ".dvm")
        var metadata = try DocValuesMetadata(files.directory, metadataFile, id: commit.id)
        guard let documents = try metadata.findNumeric(field, fields) else {
            throw LuceneError(
                .corrupt, location: location, file: metadataFile.name, message: "no entry of field \(field.name)")
        }
        let data = try files.file(suffix: stem + ".dvd")
        let bits = try readBits(files, data, metadata, documents, id: commit.id, maxDoc: maxDoc)
        return (bits, data)
    }

    private static func readBits(
        _ files: SegmentFiles, _ data: LuceneFile, _ metadata: DocValuesMetadata, _ documents: DocumentsWithField,
        id: [UInt8], maxDoc: Int
    ) throws(LuceneError) -> [UInt64] {
        let wordCount = (maxDoc + 63) / 64
        switch documents.offset {
        case -2: return [UInt64](repeating: 0, count: wordCount)
        case -1: return [UInt64](repeating: .max, count: wordCount)
        default: break
        }
        let location = files.directory.location
        try StoredFieldsFiles.checkHeader(files.directory, data, codecName: metadata.dataCodecName, id: id)
        guard documents.offset >= 0, documents.length >= 0, documents.length <= 1 << 30,
            documents.offset <= data.length, documents.length <= data.length - documents.offset
        else {
            throw LuceneError(
                .corrupt, location: location, file: data.name, offset: documents.offset,
                message: "\(documents.length) bytes of soft deletes leave the file of \(data.length)")
        }
        let slice = LuceneFile(
            name: data.name, physicalName: data.physicalName, offset: data.offset + documents.offset,
            length: documents.length)
        let bytes = try slice.readAll(files.directory, limitBytes: 1 << 30)
        var input = IndexInput(location: location, fileName: data.name, bytes: bytes)
        input.byteOrder = metadata.byteOrder
        let bits = try IndexedDISI.read(&input, rankPower: documents.rankPower, maxDoc: maxDoc)
        let count = bits.reduce(0) { $0 + $1.nonzeroBitCount }
        guard Int64(count) == documents.valueCount else {
            throw LuceneError(
                .corrupt, location: location, file: data.name, offset: documents.offset,
                message: "\(count) documents have a value, the metadata says \(documents.valueCount)")
        }
        return bits
    }
}
