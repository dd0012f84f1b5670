/// A request that cannot be rewritten as the rules ask. Nothing is sent then: the captured bytes could reach the target
/// with the source's credentials, or do something else there.
package struct TransformError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable, CaseIterable {
        /// A content coding other than gzip, deflate and identity, in a body that a rule needs.
        case unsupportedCoding
        /// Chunks or compressed data that cannot be read.
        case corruptBody
        /// Content beyond the limit.
        case bodyTooLarge
        /// Not JSON where a rule needs JSON: another format, or malformed.
        case notJSON
        case malformedBulk
        /// More than one mapping type where the target can have one.
        case severalTypes
        /// A typed endpoint that the target has no other form of.
        case noTypelessForm
        /// One request that would have to become several.
        case severalTargets
        /// A path or a head that a rule cannot be applied to.
        case malformedTarget
    }

    package let code: Code
    /// `path`, `body`, `response`, `bulk line 3` …
    package let object: String
    /// Bytes from the start of the object; of a compressed body, in the inflated content.
    package let offset: Int
    package let message: String

    init(_ code: Code, in object: String, at offset: Int, _ message: String) {
        self.code = code
        self.object = object
        self.offset = offset
        self.message = message
    }

    package var description: String { "\(object), byte \(offset): \(message)" }
}

/// What rewriting did to one request, as counts of places. All zero: nothing but the head's own lines changed.
package struct TransformChanges: Equatable, Sendable {
    /// Path or query differ from the captured ones.
    package var pathsChanged = 0
    package var indexNamesRenamed = 0
    /// Mapping types taken out of paths, parameters, bodies and mappings.
    package var typesRemoved = 0
    /// Parameters and members that only a typed engine knows, renamed or taken out.
    package var legacyNamesChanged = 0
    /// A typed search or count covers the whole index now.
    package var typeFiltersLost = 0
    package var idsAdded = 0
    /// Creates without id whose source response does not tell it: sent as captured.
    package var idsUnknown = 0
    /// Bulk items left out because a rule drops their index or type.
    package var itemsDropped = 0
    /// Bulk items without id that the source refused: left out, or the target would hold documents that the source
    /// lacks.
    package var refusedItemsDropped = 0
    package var fieldsRenamed = 0
    package var fieldsDropped = 0
    /// Scripts in updates, which field rules do not reach.
    package var scriptsKept = 0
    package var headerLinesChanged = 0
    /// Trailer fields lost with the chunks of a replaced body.
    package var trailersDropped = 0
    /// `_default_` mappings, which no target knows.
    package var defaultMappingsDropped = 0

    package init() {}
}

/// Why a request is not to be sent although nothing is wrong with it.
package enum SkipReason: String, Sendable, CaseIterable {
    /// A `skip-request` rule.
    case filtered
    /// A rule drops the index or type, or every item of the bulk.
    case droppedByRule
    /// A create without id that the source refused.
    case refusedBySource
}
