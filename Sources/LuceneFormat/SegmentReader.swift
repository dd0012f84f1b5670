import Glibc

/// One segment, opened for reading its stored fields. Immutable; cursors over it may run on several threads.
package final class SegmentReader: Sendable {
    package let name: String
    /// Documents, the deleted ones included; numbers run from 0 to `maxDoc` - 1.
    package let maxDoc: Int
    /// Documents that are not live, hard- or soft-deleted, counted from the bits themselves.
    package let deletedCount: Int
    package let luceneVersion: LuceneVersion

    let directory: any LuceneDirectory
    let live: LiveDocuments
    let storedFields: StoredFieldsFiles
    let fieldRoles: FieldRoles
    private let softDeletesData: LuceneFile?

    /// Codec name in the header of the `.fdt` file.
    package var storedFieldsFormat: String { storedFields.format.codecName }
    /// Length of the `.fdt` file.
    package var storedFieldsBytes: Int64 { storedFields.data.length }

    /// Opens `.si`, `.cfe`, `.fnm`, `.liv`, soft deletes and the chunk index of the stored fields, each with its
    /// checksum; of the data only header and footer are looked at.
    package static func open(
        _ directory: any LuceneDirectory, _ info: SegmentCommitInfo
    ) throws(LuceneError) -> SegmentReader {
        try SegmentReader(directory, info)
    }

    private init(_ directory: any LuceneDirectory, _ commit: SegmentCommitInfo) throws(LuceneError) {
        var files = SegmentFiles(directory, segmentName: commit.name)
        let info = try SegmentInfo.read(files, commit)
        let maxDoc = info.documentCount
        guard commit.deletedCount <= maxDoc, commit.softDeletedCount <= maxDoc - commit.deletedCount else {
            throw LuceneError(
                .corrupt, location: directory.location, file: commit.name + ".si",
                message: "\(commit.deletedCount) + \(commit.softDeletedCount) of \(maxDoc) documents are deleted")
        }
        if info.isCompound { files.setCompoundEntries(try CompoundFile.readEntries(files, commit)) }
        let fields = try FieldInfos.read(files, commit)
        // The stored fields come before the bits: they vouch for maxDoc, by which the bits are allocated.
        storedFields = try StoredFieldsFiles.open(files, commit, maxDoc: maxDoc)
        var live = try LiveDocuments(files, commit, maxDoc: maxDoc)
        var softDeletesData: LuceneFile?
        if let soft = try SoftDeletes.read(files, commit, fields, maxDoc: maxDoc) {
            let count = live.delete(soft.bits)
            guard count == commit.softDeletedCount else {
                throw LuceneError(
                    .corrupt, location: directory.location, file: soft.data.name,
                    message: "\(count) documents are soft-deleted, the commit says \(commit.softDeletedCount)")
            }
            softDeletesData = soft.data
        }
        self.directory = directory
        self.live = live
        self.softDeletesData = softDeletesData
        name = commit.name
        self.maxDoc = maxDoc
        luceneVersion = info.luceneVersion
        deletedCount = maxDoc - live.liveCount
        fieldRoles = FieldRoles(fields)
    }

    /// First documents of chunks that cut the segment into ranges of about `targetBytes` compressed bytes; [0] when
    /// the segment is small. `maxDoc` is not among them.
    package func splitPoints(targetBytes: Int64) -> [Int] {
        let index = storedFields.index
        var points = [0]
        guard index.chunkCount > 0 else { return points }
        var start = index.startPointers[0]
        for chunk in 1..<max(index.chunkCount, 1) where index.startPointers[chunk] - start >= max(targetBytes, 1) {
            points.append(Int(index.documentBases[chunk]))
            start = index.startPointers[chunk]
        }
        return points
    }

    /// A sequential reader of the documents from `firstDoc` up to but not including `endDoc`; confined to one thread.
    package func documents(
        from firstDoc: Int, to endDoc: Int, pool: ChunkPool
    ) throws(LuceneError) -> DocumentCursor {
        guard firstDoc >= 0, firstDoc <= endDoc, endDoc <= maxDoc else {
            throw LuceneError(
                .corrupt, location: directory.location, file: storedFields.data.name,
                message: "documents \(firstDoc)..<\(endDoc) are not within 0..<\(maxDoc)")
        }
        return try DocumentCursor(self, from: firstDoc, to: endDoc, pool: pool)
    }

    /// Reads the stored-fields data, and the doc values that hold the soft deletes, through once and checks their
    /// CRC-32 footers; the other files were checked on opening. `isCancelled` is asked once per mebibyte.
    package func verifyChecksums(isCancelled: () -> Bool) throws(LuceneError) {
        try verifyChecksum(storedFields.data, isCancelled)
        if let softDeletesData { try verifyChecksum(softDeletesData, isCancelled) }
    }

    private func verifyChecksum(_ file: LuceneFile, _ isCancelled: () -> Bool) throws(LuceneError) {
        let blockBytes = 1 << 20
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 64)
        defer { buffer.deallocate() }
        let checkedBytes = file.length - 8
        var position: Int64 = 0
        var checksum: UInt32 = 0
        while position < checkedBytes {
            if isCancelled() {
                throw LuceneError(
                    .readFailed, location: directory.location, file: file.name, offset: position, message: "cancelled")
            }
            let count = Int(min(Int64(blockBytes), checkedBytes - position))
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            try file.read(directory, at: position, into: part)
            checksum = CodecFooter.checksum(seed: checksum, of: UnsafeRawBufferPointer(part))
            position += Int64(count)
        }
        let footer = UnsafeMutableRawBufferPointer(rebasing: buffer[..<CodecFooter.byteCount])
        try file.read(directory, at: file.length - Int64(CodecFooter.byteCount), into: footer)
        guard CodecFooter.parse(UnsafeRawBufferPointer(footer)) == checksum else {
            throw LuceneError(
                .corrupt, location: directory.location, file: file.name, offset: checkedBytes,
                message: "its bytes have the checksum 0x\(String(checksum, radix: 16)), not the one stored here")
        }
    }
}

/// Numbers of the fields that a migration reads; -1 for one that the segment does not have.
struct FieldRoles: Sendable {
    let id: Int64
    /// `_uid`, "type#id" as text: indices that Elasticsearch 5 made.
    let uid: Int64
    let routing: Int64
    let source: Int64

    init(_ fields: FieldInfos) {
        func number(_ name: String) -> Int64 { fields.number(of: name).map(Int64.init) ?? -1 }
        id = number("_id")
        uid = number("_uid")
        routing = number("_routing")
        source = number("_source")
    }
}
