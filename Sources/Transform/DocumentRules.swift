import JSONBytes

/// The field rules that hold for one index, applied to documents and to the `properties` of mappings.
///
/// A dotted path goes through objects, through arrays of them, and through keys that have dots themselves: the engines
/// take all three for the same field.
struct DocumentRules {
    private struct Rule {
        /// What is left of the path from the object at hand on.
        var path: ArraySlice<UInt8>
        var target: ArraySlice<UInt8>?
    }

    private let rules: [Rule]

    /// Deeper arrays and objects on a rule's path are passed over.
    private static let depthLimit = 64

    var isEmpty: Bool { rules.isEmpty }

    /// The rules for the index that the source calls `name`.
    init(_ set: RuleSet, index name: [UInt8]) {
        rules = set.fieldRules.filter { $0.index.matches(name) }.map {
            Rule(path: $0.path[...], target: $0.target?[...])
        }
    }

    /// Edits the document at the cursor and moves behind it. What is not an object is left alone.
    func apply(
        _ cursor: inout JSONByteCursor, _ edits: inout TextEdits, _ changes: inout TransformChanges
    ) throws(JSONError) {
        try value(rules, &cursor, &edits, &changes, depth: 0)
    }

    private func value(
        _ rules: [Rule], _ cursor: inout JSONByteCursor, _ edits: inout TextEdits, _ changes: inout TransformChanges,
        depth: Int
    ) throws(JSONError) {
        let first = cursor.peek()
        guard !rules.isEmpty, depth < Self.depthLimit else { return try cursor.skipValue() }
        if first == UInt8(ascii: "[") {
            try cursor.expect(UInt8(ascii: "["))
            while try cursor.nextElement() { try value(rules, &cursor, &edits, &changes, depth: depth + 1) }
        } else if first == UInt8(ascii: "{") {
            try object(rules, &cursor, &edits, &changes, depth: depth, isMapping: false)
        } else {
            try cursor.skipValue()
        }
    }

    /// Edits the mapping at the cursor: rules speak of the members of its `properties`.
    func applyToMapping(
        _ cursor: inout JSONByteCursor, _ edits: inout TextEdits, _ changes: inout TransformChanges
    ) throws(JSONError) {
        try mapping(rules, &cursor, &edits, &changes, depth: 0)
    }

    private func mapping(
        _ rules: [Rule], _ cursor: inout JSONByteCursor, _ edits: inout TextEdits, _ changes: inout TransformChanges,
        depth: Int
    ) throws(JSONError) {
        guard cursor.peek() == UInt8(ascii: "{"), !rules.isEmpty, depth < Self.depthLimit else {
            return try cursor.skipValue()
        }
        try cursor.expect(UInt8(ascii: "{"))
        while let key = try cursor.nextKey() {
            if JSONStrings.equals(cursor.bytes, key, "properties"), cursor.peek() == UInt8(ascii: "{") {
                try object(rules, &cursor, &edits, &changes, depth: depth, isMapping: true)
            } else {
                try cursor.skipValue()
            }
        }
    }

    private func object(
        _ rules: [Rule], _ cursor: inout JSONByteCursor, _ edits: inout TextEdits, _ changes: inout TransformChanges,
        depth: Int, isMapping: Bool
    ) throws(JSONError) {
        var object = ObjectEdit()
        try cursor.expect(UInt8(ascii: "{"))
        while let key = try cursor.nextKey() {
            object.memberStarts(at: key.lowerBound - 1, &edits)
            let name = JSONStrings.unescaped(cursor.bytes, key)
            if let hit = rules.first(where: { $0.path.elementsEqual(name) }) {
                let end = try cursor.valueRange().upperBound
                if let target = hit.target {
                    edits.replace((key.lowerBound - 1)..<(key.upperBound + 1), with: JSONStrings.quoted(target))
                    object.keep(valueEnd: end)
                    changes.fieldsRenamed += 1
                } else {
                    object.drop(memberStart: key.lowerBound - 1, valueEnd: end, &edits)
                    changes.fieldsDropped += 1
                }
                continue
            }
            let inner = rules.compactMap { rule -> Rule? in
                guard rule.path.count > name.count + 1, rule.path.starts(with: name),
                    rule.path[rule.path.startIndex + name.count] == UInt8(ascii: ".")
                else { return nil }
                // A target has the same parent: what is taken off the path is the same in it.
                return Rule(
                    path: rule.path.dropFirst(name.count + 1), target: rule.target?.dropFirst(name.count + 1))
            }
            if isMapping {
                try mapping(inner, &cursor, &edits, &changes, depth: depth + 1)
            } else {
                try value(inner, &cursor, &edits, &changes, depth: depth + 1)
            }
            object.keep(valueEnd: cursor.offset)
        }
        object.end(brace: cursor.offset - 1, adding: [], &edits)
    }
}

extension RuleSet {
    /// The document `source` of the index `name` as the target gets it, or nil when no rule changes it. All bytes that
    /// no rule speaks of stay as they are.
    package func rewrittenDocument(
        _ source: UnsafeRawBufferPointer, index name: [UInt8], _ changes: inout TransformChanges
    ) throws(TransformError) -> [UInt8]? {
        let rules = DocumentRules(self, index: name)
        guard !rules.isEmpty else { return nil }
        var cursor = JSONByteCursor(bytes: source)
        var edits = TextEdits()
        do throws(JSONError) {
            try rules.apply(&cursor, &edits, &changes)
            try cursor.expectEnd()
        } catch {
            throw TransformError(.notJSON, in: "document", at: error.offset, error.message)
        }
        return edits.isEmpty ? nil : edits.applied(to: source)
    }
}
