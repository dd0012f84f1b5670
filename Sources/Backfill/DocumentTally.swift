/// What became of a span of Lucene documents. Every document of a segment is counted in exactly one field, so that
/// over a finished segment `documentCount` equals Lucene's `maxDoc`.
package struct DocumentTally: Equatable, Sendable {
    /// Acknowledged by the target.
    package var migrated = 0
    /// Refused by the target for good; each is in the dead-letter file.
    package var rejected = 0
    /// Live documents that cannot be sent (no stored source, an encoding that is not JSON); each is in the dead-letter
    /// file.
    package var omitted = 0
    /// Children of nested fields: their content is in the parent's source.
    package var nested = 0
    /// Deleted or replaced before the snapshot.
    package var deleted = 0
    /// Bytes of `_source` of the migrated documents.
    package var sourceBytes: Int64 = 0

    package init() {}

    package var documentCount: Int { migrated + rejected + omitted + nested + deleted }

    package static func += (left: inout DocumentTally, right: DocumentTally) {
        left.migrated += right.migrated
        left.rejected += right.rejected
        left.omitted += right.omitted
        left.nested += right.nested
        left.deleted += right.deleted
        left.sourceBytes += right.sourceBytes
    }
}
