import JSONBytes

/// Edits of JSON bodies other than bulks: index names, types and mappings in the places where the engines take them.
/// Queries are not looked into.
struct JSONBodies {
    let rules: RuleSet
    /// Of the path, in the source's words; empty for none.
    let pathIndex: [UInt8]
    let pathTypes: [[UInt8]]
    private(set) var edits = TextEdits()
    private(set) var changes = TransformChanges()
    /// The type that a mapping was taken out of.
    private(set) var mappingType: [UInt8]?

    init(rules: RuleSet, pathIndex: [UInt8], pathTypes: [[UInt8]]) {
        self.rules = rules
        self.pathIndex = pathIndex
        self.pathTypes = pathTypes
    }

    private enum Member {
        case keep, drop
    }

    /// Notes the edits of a body of this kind.
    mutating func rewrite(_ kind: EndpointKind, _ bytes: UnsafeRawBufferPointer) throws(TransformError) {
        if kind == .multiSearch { return try multiSearch(bytes) }
        var cursor = JSONByteCursor(bytes: bytes)
        guard cursor.peek() != nil else { return }  // no body
        do throws(JSONError) {
            switch kind {
            case .document, .createWithoutID:
                try DocumentRules(rules, index: pathIndex).apply(&cursor, &edits, &changes)
            case .update:
                try Self.applyToUpdate(DocumentRules(rules, index: pathIndex), &cursor, &edits, &changes)
            case .multiGet: try multiGet(&cursor)
            case .createIndex, .putTemplate: try indexBody(&cursor)
            case .putMapping: try mapping(&cursor, mayBeTyped: rules.removesTypes)
            case .aliases: try aliases(&cursor)
            case .reindex: try reindex(&cursor)
            case .other, .indexOnly, .search, .bulk, .multiSearch, .gone: try cursor.skipValue()
            }
            try cursor.expectEnd()
        } catch {
            if let severalTypes { throw severalTypes }
            throw TransformError(.notJSON, in: "body", at: error.offset, error.message)
        }
    }

    /// What stopped the walk when it is not the JSON.
    private var severalTypes: TransformError?

    /// Walks the object at the cursor. `member` gets each key with the cursor before its value, and moves behind it.
    private mutating func object(
        _ cursor: inout JSONByteCursor,
        _ member: (inout JSONBodies, inout JSONByteCursor, Range<Int>) throws(JSONError) -> Member
    ) throws(JSONError) {
        guard cursor.peek() == UInt8(ascii: "{") else { return try cursor.skipValue() }
        var object = ObjectEdit()
        try cursor.expect(UInt8(ascii: "{"))
        while let key = try cursor.nextKey() {
            object.memberStarts(at: key.lowerBound - 1, &edits)
            switch try member(&self, &cursor, key) {
            case .keep: object.keep(valueEnd: cursor.offset)
            case .drop: object.drop(memberStart: key.lowerBound - 1, valueEnd: cursor.offset, &edits)
            }
        }
        object.end(brace: cursor.offset - 1, adding: [], &edits)
    }

    private mutating func elements(
        _ cursor: inout JSONByteCursor,
        _ element: (inout JSONBodies, inout JSONByteCursor) throws(JSONError) -> Void
    ) throws(JSONError) {
        guard cursor.peek() == UInt8(ascii: "[") else { return try cursor.skipValue() }
        try cursor.expect(UInt8(ascii: "["))
        while try cursor.nextElement() { try element(&self, &cursor) }
    }

    /// An index expression as a string, or several in an array. An expression that nothing is left of stays: the target
    /// says that there is no such index.
    private mutating func indexValue(_ cursor: inout JSONByteCursor, types: [[UInt8]] = []) throws(JSONError) {
        if cursor.peek() == UInt8(ascii: "[") {
            return try elements(&cursor) { (bodies, cursor) throws(JSONError) in
                try bodies.indexValue(&cursor, types: types)
            }
        }
        let (value, text) = try cursor.stringRange()
        guard let text, rules.renamesIndices else { return }
        let name = IndexExpression(JSONStrings.unescaped(cursor.bytes, text))
        guard case .renamed(let target) = name.rewritten(rules, types: types) else { return }
        edits.replace(value, with: JSONStrings.quoted(target))
        changes.indexNamesRenamed += 1
    }

    // MARK: Documents

    static func applyToUpdate(
        _ fields: DocumentRules, _ cursor: inout JSONByteCursor, _ edits: inout TextEdits,
        _ changes: inout TransformChanges
    ) throws(JSONError) {
        guard cursor.peek() == UInt8(ascii: "{") else { return try cursor.skipValue() }
        try cursor.expect(UInt8(ascii: "{"))
        while let key = try cursor.nextKey() {
            if JSONStrings.equals(cursor.bytes, key, "doc") || JSONStrings.equals(cursor.bytes, key, "upsert") {
                try fields.apply(&cursor, &edits, &changes)
            } else {
                if !fields.isEmpty, JSONStrings.equals(cursor.bytes, key, "script") { changes.scriptsKept += 1 }
                try cursor.skipValue()
            }
        }
    }

    /// `{"docs":[{"_index":…,"_type":…,"_id":…}],"ids":[…]}`
    private mutating func multiGet(_ cursor: inout JSONByteCursor) throws(JSONError) {
        try object(&cursor) { (bodies, cursor, key) throws(JSONError) in
            guard JSONStrings.equals(cursor.bytes, key, "docs") else {
                try cursor.skipValue()
                return .keep
            }
            try bodies.elements(&cursor) { (bodies, cursor) throws(JSONError) in
                guard cursor.peek() == UInt8(ascii: "{") else { return try cursor.skipValue() }
                var reference = DocumentReference()
                try reference.read(&cursor)
                var change = DocumentReference.IndexChange.keep
                let types = (reference.type.map { [$0] } ?? bodies.pathTypes)
                let name = reference.index ?? bodies.pathIndex
                if bodies.rules.renamesIndices, !name.isEmpty,
                    case .renamed(let target) = IndexExpression(name).rewritten(
                        bodies.rules, types: types.isEmpty ? [RuleSet.typeless] : types),
                    reference.index != nil || reference.type != nil
                {
                    change = .set(target)
                }
                reference.edit(
                    cursor.bytes, removesTypes: bodies.rules.removesTypes, index: change, adding: nil, &bodies.edits,
                    &bodies.changes)
            }
            return .keep
        }
    }

    /// Lines in pairs: a header, which may be empty, and a search.
    private mutating func multiSearch(_ bytes: UnsafeRawBufferPointer) throws(TransformError) {
        var at = bytes.first == 0x0A ? 1 : 0
        var number = 0
        while at < bytes.count {
            let headerEnd = bytes[at...].firstIndex(of: 0x0A) ?? bytes.count
            var cursor = JSONByteCursor(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<headerEnd]))
            cursor.offset = at
            do throws(JSONError) {
                if cursor.peek() != nil {
                    try searchHeader(&cursor)
                    try cursor.expectEnd()
                }
            } catch {
                throw TransformError(.notJSON, in: "search \(number)", at: error.offset, error.message)
            }
            guard headerEnd < bytes.count else { return }
            at = (bytes[(headerEnd + 1)...].firstIndex(of: 0x0A) ?? bytes.count - 1) + 1
            number += 1
        }
    }

    private mutating func searchHeader(_ cursor: inout JSONByteCursor) throws(JSONError) {
        // The types stand beside the index, in any order: they are read first.
        var types = pathTypes
        var ahead = cursor
        if rules.removesTypes, ahead.peek() == UInt8(ascii: "{") {
            try ahead.expect(UInt8(ascii: "{"))
            while let key = try ahead.nextKey() {
                let isType = isTypeKey(ahead.bytes, key)
                let value = try ahead.valueRange()
                if isType { types = strings(ahead.bytes, value) }
            }
        }
        try object(&cursor) { (bodies, cursor, key) throws(JSONError) in
            if bodies.rules.removesTypes, bodies.isTypeKey(cursor.bytes, key) {
                try cursor.skipValue()
                bodies.changes.typesRemoved += 1
                bodies.changes.typeFiltersLost += 1
                return .drop
            }
            let isIndex =
                JSONStrings.equals(cursor.bytes, key, "index") || JSONStrings.equals(cursor.bytes, key, "indices")
            if isIndex { try bodies.indexValue(&cursor, types: types) } else { try cursor.skipValue() }
            return .keep
        }
    }

    private func isTypeKey(_ bytes: UnsafeRawBufferPointer, _ key: Range<Int>) -> Bool {
        JSONStrings.equals(bytes, key, "type") || JSONStrings.equals(bytes, key, "types")
    }

    /// The names in a string with commas, or in an array of strings.
    private func strings(_ bytes: UnsafeRawBufferPointer, _ value: Range<Int>) -> [[UInt8]] {
        guard let parsed = try? JSONValue.parse(UnsafeRawBufferPointer(rebasing: bytes[value])) else { return [] }
        let names: [String]
        switch parsed {
        case .string(let text): names = [text]
        case .array(let elements): names = elements.compactMap(\.stringValue)
        default: names = []
        }
        return names.flatMap { $0.utf8.split(separator: UInt8(ascii: ",")).map(Array.init) }
    }

    // MARK: Indices

    /// `{"mappings":{…},"aliases":{…},"settings":{…}}`, and templates of either age around it.
    private mutating func indexBody(_ cursor: inout JSONByteCursor) throws(JSONError) {
        try object(&cursor) { (bodies, cursor, key) throws(JSONError) in
            let bytes = cursor.bytes
            if JSONStrings.equals(bytes, key, "mappings") {
                try bodies.mapping(&cursor, mayBeTyped: bodies.rules.removesTypes, isUnderMappings: true)
            } else if JSONStrings.equals(bytes, key, "index_patterns") {
                try bodies.indexValue(&cursor)
            } else if JSONStrings.equals(bytes, key, "template") {
                if cursor.peek() == UInt8(ascii: "\"") {
                    try bodies.oldTemplatePattern(&cursor, key)
                } else {
                    try bodies.indexBody(&cursor)
                }
            } else {
                try cursor.skipValue()
            }
            return .keep
        }
    }

    /// Before Elasticsearch 6: `"template":"logs-*"`, now `"index_patterns":["logs-*"]`.
    private mutating func oldTemplatePattern(_ cursor: inout JSONByteCursor, _ key: Range<Int>) throws(JSONError) {
        guard rules.removesTypes else { return try indexValue(&cursor) }
        edits.replace(key, with: "index_patterns".utf8)
        changes.legacyNamesChanged += 1
        _ = cursor.peek()
        let start = cursor.offset
        edits.replace(start..<start, with: [UInt8(ascii: "[")])
        try indexValue(&cursor)
        edits.replace(cursor.offset..<cursor.offset, with: [UInt8(ascii: "]")])
    }

    /// Members of a mapping's root in any version; what has another name is a type (RootObjectMapper, MapperService).
    private static let rootMembers: Set<String> = [
        "properties", "dynamic", "dynamic_templates", "dynamic_date_formats", "date_detection", "numeric_detection",
        "date_formats", "_source", "_routing", "_meta", "_all", "_field_names", "_parent", "_timestamp", "_ttl",
        "_size",
        "_id", "_index", "_type", "_analyzer", "_boost", "_uid", "_version", "_tier", "runtime", "subobjects",
        "enabled",
        "index_analyzer", "search_analyzer", "analyzer", "transform", "_data_stream_timestamp", "include_in_all",
        "derived", "_doc_count", "_ignored", "_seq_no", "_nested_path", "properties_limit",
    ]

    /// A mapping, or `{"type":mapping}`, which is taken out of its type.
    private mutating func mapping(
        _ cursor: inout JSONByteCursor, mayBeTyped: Bool, isUnderMappings: Bool = false
    ) throws(JSONError) {
        let fields = DocumentRules(rules, index: pathIndex)
        var ahead = cursor
        guard mayBeTyped, let types = try typesOfMapping(&ahead), !types.isEmpty else {
            return try fields.applyToMapping(&cursor, &edits, &changes)
        }
        let named = types.filter { $0.name != "_default_" }
        guard named.count <= 1 else {
            let names = named.map { "\"\($0.name)\"" }.joined(separator: ", ")
            severalTypes = TransformError(
                .severalTypes, in: "body", at: cursor.offset, "a mapping for the types \(names); the target has one")
            throw JSONError(offset: cursor.offset, message: "several types")
        }
        let taken = named.first ?? types[0]
        changes.defaultMappingsDropped += types.count - 1
        changes.typesRemoved += 1
        if taken.name != "_default_" { mappingType = Array(taken.name.utf8) }
        _ = cursor.peek()
        edits.delete(cursor.offset..<taken.value.lowerBound)
        var inner = cursor
        inner.offset = taken.value.lowerBound
        try fields.applyToMapping(&inner, &edits, &changes)
        try cursor.skipValue()
        edits.delete(taken.value.upperBound..<cursor.offset)
    }

    /// The members of the object at the cursor when they are types; nil when they are a mapping's own.
    private mutating func typesOfMapping(
        _ cursor: inout JSONByteCursor
    ) throws(JSONError) -> [(name: String, value: Range<Int>)]? {
        guard cursor.peek() == UInt8(ascii: "{") else { return nil }
        var types: [(name: String, value: Range<Int>)] = []
        var ownCount = 0
        let start = cursor.offset
        try cursor.expect(UInt8(ascii: "{"))
        while let key = try cursor.nextKey() {
            let name = String(decoding: JSONStrings.unescaped(cursor.bytes, key), as: UTF8.self)
            let isObject = cursor.peek() == UInt8(ascii: "{")
            let value = try cursor.valueRange()
            if Self.rootMembers.contains(name) || !isObject { ownCount += 1 } else { types.append((name, value)) }
        }
        guard ownCount > 0, !types.isEmpty else { return ownCount > 0 ? nil : types }
        // A type may be called like a member of a mapping only when it is the only one; this is neither.
        severalTypes = TransformError(
            .severalTypes, in: "body", at: start, "a mapping with \"\(types[0].name)\" beside a mapping's own members")
        throw JSONError(offset: start, message: "types and members")
    }

    /// `{"actions":[{"add":{"index":"a","alias":"b"}},{"remove_index":{"index":"c"}}]}`
    private mutating func aliases(_ cursor: inout JSONByteCursor) throws(JSONError) {
        try object(&cursor) { (bodies, cursor, key) throws(JSONError) in
            guard JSONStrings.equals(cursor.bytes, key, "actions") else {
                try cursor.skipValue()
                return .keep
            }
            try bodies.elements(&cursor) { (bodies, cursor) throws(JSONError) in
                try bodies.object(&cursor) { (bodies, cursor, _) throws(JSONError) in
                    try bodies.object(&cursor) { (bodies, cursor, key) throws(JSONError) in
                        let isIndex =
                            JSONStrings.equals(cursor.bytes, key, "index")
                            || JSONStrings.equals(cursor.bytes, key, "indices")
                        if isIndex { try bodies.indexValue(&cursor) } else { try cursor.skipValue() }
                        return .keep
                    }
                    return .keep
                }
            }
            return .keep
        }
    }

    /// `{"source":{"index":…,"type":…},"dest":{"index":…,"type":…}}`; a remote source is another cluster's.
    private mutating func reindex(_ cursor: inout JSONByteCursor) throws(JSONError) {
        try object(&cursor) { (bodies, cursor, key) throws(JSONError) in
            let isSource = JSONStrings.equals(cursor.bytes, key, "source")
            guard isSource || JSONStrings.equals(cursor.bytes, key, "dest") else {
                try cursor.skipValue()
                return .keep
            }
            var ahead = cursor
            let value = try ahead.valueRange()
            var types: [[UInt8]] = []
            var isRemote = false
            if ahead.bytes[value.lowerBound] == UInt8(ascii: "{") {
                ahead.offset = value.lowerBound + 1
                while let key = try ahead.nextKey() {
                    isRemote = isRemote || JSONStrings.equals(ahead.bytes, key, "remote")
                    let isType = bodies.isTypeKey(ahead.bytes, key)
                    let value = try ahead.valueRange()
                    if isType { types = bodies.strings(ahead.bytes, value) }
                }
            }
            guard !isRemote else {
                try cursor.skipValue()
                return .keep
            }
            if types.isEmpty, !isSource { types = [RuleSet.typeless] }
            try bodies.object(&cursor) { (bodies, cursor, key) throws(JSONError) in
                if JSONStrings.equals(cursor.bytes, key, "index") {
                    try bodies.indexValue(&cursor, types: types)
                } else {
                    try cursor.skipValue()
                    if bodies.rules.removesTypes, bodies.isTypeKey(cursor.bytes, key) {
                        bodies.changes.typesRemoved += 1
                        return .drop
                    }
                }
                return .keep
            }
            return .keep
        }
    }
}
