/// The files of a segment's stored fields, opened: format, chunk size and chunk index, but no data yet.
struct StoredFieldsFiles: Sendable {
    let format: StoredFieldsFormat
    let data: LuceneFile
    /// Decompressed bytes of a slice of a sliced chunk.
    let chunkSizeBytes: Int
    let index: StoredFieldsIndex

    /// Bytes of the start of a file that hold its header and the two numbers behind it.
    private static let headByteLimit = IndexHeader.byteLimit + 10
    /// A chunk size is at most 600 KiB in every known format; slices of more would defeat the memory bound.
    private static let chunkSizeLimit = 1 << 26

    static func open(
        _ files: SegmentFiles, _ commit: SegmentCommitInfo, maxDoc: Int
    ) throws(LuceneError) -> StoredFieldsFiles {
        let data = try files.file(suffix: ".fdt")
        var head = try readHead(files.directory, data)
        let header = try IndexHeader.read(&head)
        guard let format = StoredFieldsFormat(codecName: header.codecName, version: header.version) else {
            throw head.unsupported("stored fields format \(header.codecName)")
        }
        try header.check(head, versions: format.knownVersions, id: commit.id)
        try checkFooterShape(files.directory, data)
        head.byteOrder = format.byteOrder

        var metadata: IndexInput?
        if format.hasMonotonicIndex {
            var input = try IndexInput.openChecked(files.directory, try files.file(suffix: ".fdm"))
            _ = try IndexHeader.read(
                &input, codecName: format.metadataCodecName, versions: 0...16, id: commit.id)
            input.byteOrder = format.byteOrder
            metadata = input
        }
        let chunkSize: Int
        if format.hasChunkSizeInMetadata, var input = metadata {
            chunkSize = try input.readVInt()
            if !format.isLucene90 { try checkPackedVersion(&input) }
            metadata = input
        } else {
            chunkSize = try head.readVInt()
            try checkPackedVersion(&head)
        }
        guard chunkSize > 0, chunkSize <= chunkSizeLimit else {
            throw (metadata ?? head).corrupt("chunk size \(chunkSize)")
        }
        var indexInput = try IndexInput.openChecked(files.directory, try files.file(suffix: ".fdx"))
        _ = try IndexHeader.read(
            &indexInput, codecName: format.indexCodecName, versions: 0...16, id: commit.id)
        indexInput.byteOrder = format.byteOrder
        let dataLimit = data.length - Int64(CodecFooter.byteCount)
        let index: StoredFieldsIndex
        if var input = metadata {
            index = try StoredFieldsIndex(metadata: &input, indexInput, maxDoc: maxDoc, dataLimit: dataLimit)
        } else {
            index = try StoredFieldsIndex(legacy: &indexInput, maxDoc: maxDoc, dataLimit: dataLimit)
        }
        if let first = index.startPointers.first, first < Int64(head.position) {
            throw indexInput.corrupt("the first chunk is at \(first), within the header")
        }
        return StoredFieldsFiles(format: format, data: data, chunkSizeBytes: chunkSize, index: index)
    }

    /// Version 1 made packed integers end at a whole byte, 2 changed monotonic ones only.
    private static func checkPackedVersion(_ input: inout IndexInput) throws(LuceneError) {
        let version = try input.readVInt()
        guard (1...2).contains(version) else { throw input.unsupported("packed integers of version \(version)") }
    }

    private static func readHead(
        _ directory: any LuceneDirectory, _ file: LuceneFile
    ) throws(LuceneError) -> IndexInput {
        let count = Int64(min(Int64(headByteLimit), file.length))
        let head = LuceneFile(name: file.name, physicalName: file.physicalName, offset: file.offset, length: count)
        let bytes = try head.readAll(directory, limitBytes: count)
        return IndexInput(location: directory.location, fileName: file.name, bytes: bytes)
    }

    /// Checks the header of a file that is too large to be read on opening, and that it ends with a footer.
    static func checkHeader(
        _ directory: any LuceneDirectory, _ file: LuceneFile, codecName: String, id: [UInt8]
    ) throws(LuceneError) {
        var head = try readHead(directory, file)
        _ = try IndexHeader.read(&head, codecName: codecName, versions: 0...16, id: id)
        try checkFooterShape(directory, file)
    }

    private static func checkFooterShape(
        _ directory: any LuceneDirectory, _ file: LuceneFile
    ) throws(LuceneError) {
        let count = Int64(CodecFooter.byteCount)
        let start = file.length - count
        guard start >= 0 else {
            throw LuceneError(
                .corrupt, location: directory.location, file: file.name, message: "cut off after \(file.length) bytes")
        }
        let footer = LuceneFile(
            name: file.name, physicalName: file.physicalName, offset: file.offset + start, length: count)
        let bytes = try footer.readAll(directory, limitBytes: count)
        guard bytes.withUnsafeBytes({ CodecFooter.parse($0) }) != nil else {
            throw LuceneError(
                .corrupt, location: directory.location, file: file.name, offset: start,
                message: "no valid checksum footer; the file may be cut off")
        }
    }
}
