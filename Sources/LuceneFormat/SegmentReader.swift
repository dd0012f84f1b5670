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
        let ownFields = try FieldInfos.readOwn(files, commit)
        let updatedFields = try FieldInfos.readUpdated(files, commit)
        // The stored fields come before the bits: they vouch for maxDoc, by which the bits are allocated.
        storedFields = try StoredFieldsFiles.open(files, commit, maxDoc: maxDoc)
        var live = try LiveDocuments(files, commit, maxDoc: maxDoc)
        var softDeletesData: LuceneFile?
        if let soft = try SoftDeletes.read(files, commit, own: ownFields, updated: updatedFields, maxDoc: maxDoc) {
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
        fieldRoles = FieldRoles(ownFields)
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

    /// Checks the checksums of the large files on this thread alone; see `SegmentVerification`. The other files were
    /// checked on opening.
    package func verifyChecksums(isCancelled: () -> Bool) throws(LuceneError) {
        _ = try SegmentVerification(self).work(isCancelled: isCancelled)
    }

    /// The files of which opening looked at parts only.
    var largeFiles: [LuceneFile] { [storedFields.data] + (softDeletesData.map { [$0] } ?? []) }
}

/// Numbers of the fields that a migration reads; -1 for one that the segment does not have.
struct FieldRoles: Sendable {
    let id: Int64
    /// `_uid`, "type#id" as text: indices that Elasticsearch 5 made.
    let uid: Int64
    let routing: Int64
    let source: Int64

    init(_ fields: FieldInfos) {
        func number(_ name: String) -> Int64 { fields.field(name).map { Int64($0.number) } ?? -1 }
        id = number("_id")
        uid = number("_uid")
        routing = number("_routing")
        source = number("_source")
    }
}
