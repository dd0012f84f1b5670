/// What the stored fields of one document say that a migration needs. The slices point into the current chunk.
package struct StoredDocument {
    package enum Kind: Sendable {
        /// Hard- or soft-deleted; nothing else was read.
        case deleted
        /// Live, without a stored id: a nested child, whose content is in the root's source.
        case nested
        /// Live, with an id.
        case root
    }

    /// Lucene's document number within the segment.
    package let docID: Int
    package let kind: Kind
    /// As stored: encoded bytes (see `DocumentID`) or, when `isEncodedID` is false, UTF-8.
    package let id: UnsafeRawBufferPointer
    package let isEncodedID: Bool
    package let routing: UnsafeRawBufferPointer?
    /// nil when no `_source` is stored; `_recovery_source` is never taken for it.
    package let source: UnsafeMutableRawBufferPointer?

    init(
        docID: Int, kind: Kind, id: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        isEncodedID: Bool = false, routing: UnsafeRawBufferPointer? = nil,
        source: UnsafeMutableRawBufferPointer? = nil
    ) {
        self.docID = docID
        self.kind = kind
        self.id = id
        self.isEncodedID = isEncodedID
        self.routing = routing
        self.source = source
    }
}
