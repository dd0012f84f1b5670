import JSONBytes

/// The members of one action of a bulk, or of one document of an `_mget`: which document is meant.
///
///     {"_index":"a","_type":"t","_id":"1","_routing":"r","_version":2}      as typed engines take it
///     {"_index":"b","_id":"1","routing":"r","version":2}                    as typeless ones do
struct DocumentReference {
    private struct Member {
        var key: Range<Int>
        var value: Range<Int>
    }

    private var members: [Member] = []
    private(set) var index: [UInt8]?
    private(set) var type: [UInt8]?
    private(set) var hasID = false
    private(set) var hasCreateOperation = false
    private var hasRouting = false
    private var brace = 0

    /// Reads the object at the cursor and moves behind it; what an earlier call read is forgotten.
    mutating func read(_ cursor: inout JSONByteCursor) throws(JSONError) {
        members.removeAll(keepingCapacity: true)
        index = nil
        type = nil
        hasID = false
        hasCreateOperation = false
        hasRouting = false
        let bytes = cursor.bytes
        try cursor.expect(UInt8(ascii: "{"))
        while let key = try cursor.nextKey() {
            let (value, text) = try cursor.stringRange()
            members.append(Member(key: key, value: value))
            guard let text else {
                // Numbers are ids too; null is none.
                if JSONStrings.equals(bytes, key, "_id"), bytes[value.lowerBound] != UInt8(ascii: "n") { hasID = true }
                if isRouting(bytes, key), bytes[value.lowerBound] != UInt8(ascii: "n") { hasRouting = true }
                continue
            }
            if JSONStrings.equals(bytes, key, "_index") {
                index = JSONStrings.unescaped(bytes, text)
            } else if JSONStrings.equals(bytes, key, "_type") {
                type = JSONStrings.unescaped(bytes, text)
            } else if JSONStrings.equals(bytes, key, "_id") {
                hasID = true
            } else if JSONStrings.equals(bytes, key, "op_type") {
                hasCreateOperation = JSONStrings.equals(bytes, text, "create")
            } else if isRouting(bytes, key) {
                hasRouting = true
            }
        }
        brace = cursor.offset - 1
    }

    private func isRouting(_ bytes: UnsafeRawBufferPointer, _ key: Range<Int>) -> Bool {
        JSONStrings.equals(bytes, key, "routing") || JSONStrings.equals(bytes, key, "_routing")
    }

    enum IndexChange {
        case keep
        /// Named here, but no longer: the path says it.
        case remove
        /// Replaced, or added when it is not named here.
        case set([UInt8])
    }

    /// Notes the edits of what was read last. `id`, when given, is added.
    func edit(
        _ bytes: UnsafeRawBufferPointer, removesTypes: Bool, index change: IndexChange, adding id: [UInt8]?,
        _ edits: inout TextEdits, _ changes: inout TransformChanges
    ) {
        var object = ObjectEdit()
        var added: [UInt8] = []
        for member in members {
            let start = member.key.lowerBound - 1
            object.memberStarts(at: start, &edits)
            var isKept = true
            if JSONStrings.equals(bytes, member.key, "_index") {
                switch change {
                case .keep: break
                case .remove: isKept = false
                case .set(let name):
                    edits.replace(member.value, with: JSONStrings.quoted(name))
                    changes.indexNamesRenamed += 1
                }
            } else if JSONStrings.equals(bytes, member.key, "_id"), id != nil {
                isKept = false  // null; the one that the source made takes its place
            } else if removesTypes {
                isKept = editLegacy(bytes, member, &edits, &changes)
            }
            if isKept {
                object.keep(valueEnd: member.value.upperBound)
            } else {
                object.drop(memberStart: start, valueEnd: member.value.upperBound, &edits)
            }
        }
        if case .set(let name) = change, index == nil {
            added += Array("\"_index\":".utf8) + JSONStrings.quoted(name)
            changes.indexNamesRenamed += 1
        }
        if let id {
            if !added.isEmpty { added.append(UInt8(ascii: ",")) }
            added += Array("\"_id\":".utf8) + JSONStrings.quoted(id)
            changes.idsAdded += 1
        }
        object.end(brace: brace, adding: added, &edits)
    }

    /// Members under names that typeless engines refuse (RestBulkAction and MultiGetRequest of Elasticsearch 7).
    /// Returns whether the member stays.
    private func editLegacy(
        _ bytes: UnsafeRawBufferPointer, _ member: Member, _ edits: inout TextEdits, _ changes: inout TransformChanges
    ) -> Bool {
        let key = member.key
        let newName: StaticString
        if JSONStrings.equals(bytes, key, "_type") {
            changes.typesRemoved += 1
            return false
        } else if JSONStrings.equals(bytes, key, "_parent") || JSONStrings.equals(bytes, key, "parent") {
            // A child lies on its parent's shard: without a routing of its own, the parent's id is its routing.
            guard !hasRouting, bytes[member.value.lowerBound] != UInt8(ascii: "n") else {
                changes.legacyNamesChanged += 1
                return false
            }
            newName = "routing"
        } else if JSONStrings.equals(bytes, key, "_routing") {
            newName = "routing"
        } else if JSONStrings.equals(bytes, key, "_version") {
            newName = "version"
        } else if JSONStrings.equals(bytes, key, "_version_type") {
            newName = "version_type"
        } else if JSONStrings.equals(bytes, key, "_retry_on_conflict") {
            newName = "retry_on_conflict"
        } else if JSONStrings.equals(bytes, key, "_timestamp") || JSONStrings.equals(bytes, key, "timestamp")
            || JSONStrings.equals(bytes, key, "_ttl") || JSONStrings.equals(bytes, key, "ttl")
        {
            changes.legacyNamesChanged += 1
            return false
        } else {
            return true
        }
        edits.replace(key, with: UnsafeBufferPointer(start: newName.utf8Start, count: newName.utf8CodeUnitCount))
        changes.legacyNamesChanged += 1
        return true
    }
}
