import HTTPMessage

/// The parts of a request target, whatever its form.
struct TargetParts {
    /// From the first slash on; empty when there is none.
    let path: Range<Int>
    /// Without the question mark.
    let query: Range<Int>?
    /// It begins with the path already.
    let isOriginForm: Bool

    init(_ target: UnsafeRawBufferPointer) {
        var start = 0
        let isOriginForm = target.first == UInt8(ascii: "/")
        if !isOriginForm, let slash = target.firstIndex(of: UInt8(ascii: "/")), slash + 2 < target.count {
            // `scheme://authority/path?query`
            start = slash + 2
            while start < target.count, target[start] != UInt8(ascii: "/"), target[start] != UInt8(ascii: "?") {
                start += 1
            }
        }
        let mark = target[start...].firstIndex(of: UInt8(ascii: "?"))
        path = start..<(mark ?? target.count)
        query = mark.map { ($0 + 1)..<target.count }
        self.isOriginForm = isOriginForm
    }
}

/// The names in the path of a request, in the source's words, and what the path becomes.
struct PathPlan {
    /// What the index part becomes.
    enum Index: Equatable {
        case none
        case same
        case renamed([UInt8])
        case dropped
    }

    let endpoint: Endpoint
    /// Decoded; empty for none.
    let indexName: [UInt8]
    let types: [[UInt8]]
    private(set) var index = Index.none
    private(set) var newIndex = Index.none

    init(_ endpoint: Endpoint, _ bytes: UnsafeRawBufferPointer, query: Range<Int>?, removesTypes: Bool) {
        self.endpoint = endpoint
        indexName = endpoint.index.map { PercentCoding.decoded(bytes, $0) } ?? []
        var names = endpoint.type.map { PercentCoding.decoded(bytes, $0) } ?? []
        if removesTypes, names.isEmpty, let query, let type = QueryRewriter.value(of: "type", bytes, query) {
            names = PercentCoding.decoded(bytes, type, isQuery: true)
        }
        let all = names.split(separator: UInt8(ascii: ",")).map(Array.init)
        types = all.contains { $0 == Array("_all".utf8) || $0.contains(UInt8(ascii: "*")) } ? [] : all
    }

    /// `bodyType` is the type that the body names: of the mapping in it.
    mutating func resolve(
        _ rules: RuleSet, _ bytes: UnsafeRawBufferPointer, bodyType: [UInt8]?
    ) throws(TransformError) {
        guard rules.renamesIndices else { return }
        if let range = endpoint.index {
            let isOne = endpoint.kind.writesToOneIndex
            var types = types
            if let bodyType { types = [bodyType] } else if types.isEmpty, isOne { types = [RuleSet.typeless] }
            index = Self.index(IndexExpression(indexName).rewritten(rules, types: types))
            if isOne, case .renamed(let name) = index, IndexExpression(name).elements.count > 1,
                !indexName.contains(UInt8(ascii: ","))
            {
                let shown = String(decoding: indexName, as: UTF8.self)
                throw TransformError(
                    .severalTargets, in: "path", at: range.lowerBound,
                    "\"\(shown)\" is several indices in the target, and the request is for one")
            }
        }
        if let range = endpoint.newIndex {
            let name = IndexExpression(PercentCoding.decoded(bytes, range))
            newIndex = Self.index(name.rewritten(rules, types: [RuleSet.typeless]))
        }
    }

    private static func index(_ outcome: IndexExpression.Outcome) -> Index {
        switch outcome {
        case .same: .same
        case .renamed(let name): .renamed(name)
        case .dropped: .dropped
        }
    }

    /// The path to send; nil when it is the captured one. `created` is the id that a create without id gets.
    func path(_ bytes: UnsafeRawBufferPointer, created: (id: [UInt8], isCreate: Bool)?) -> [UInt8]? {
        let row = endpoint.row
        var isChanged = created != nil
        if case .renamed = index { isChanged = true }
        if case .renamed = newIndex { isChanged = true }
        if index == .dropped { return Array("/_bulk".utf8) }  // bulks only: their items name indices of their own
        if !row.isSamePath { isChanged = true }
        guard isChanged else { return nil }
        var path: [UInt8] = []
        for (place, part) in row.parts.enumerated() {
            path.append(UInt8(ascii: "/"))
            switch part {
            case .literal(let text):
                // `_doc` of a create without id, where only creates are allowed.
                let isLast = place == row.parts.count - 1
                path += isLast && created?.isCreate == true && text == RuleSet.typeless ? Array("_create".utf8) : text
            case .segment(let number):
                if number == row.indexPlace, case .renamed(let name) = index {
                    PercentCoding.append(name, to: &path)
                } else if number == row.newIndexPlace, case .renamed(let name) = newIndex {
                    PercentCoding.append(name, to: &path)
                } else {
                    path.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[endpoint.segments[number]]))
                }
            }
        }
        if let created {
            path.append(UInt8(ascii: "/"))
            PercentCoding.append(created.id, to: &path)
        }
        return path
    }
}

/// Parameters of a query, one by one; what no rule speaks of keeps its bytes.
struct QueryRewriter {
    let rules: RuleSet?
    let kind: EndpointKind
    let removesSignature: Bool

    /// Where the value of the first parameter of this name stands.
    static func value(of name: StaticString, _ bytes: UnsafeRawBufferPointer, _ query: Range<Int>) -> Range<Int>? {
        for range in parameters(bytes, query) {
            let (key, value) = split(bytes, range)
            if EndpointRow.equals(bytes, key, name) { return value }
        }
        return nil
    }

    /// Where the parameters stand; empty ones (`a&&b`) are left out.
    private static func parameters(_ bytes: UnsafeRawBufferPointer, _ query: Range<Int>) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var start = query.lowerBound
        for at in query.lowerBound...query.upperBound
        where at == query.upperBound || bytes[at] == UInt8(ascii: "&") {
            if at > start { ranges.append(start..<at) }
            start = at + 1
        }
        return ranges
    }

    private static func split(
        _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>
    ) -> (key: Range<Int>, value: Range<Int>) {
        let sign = bytes[range].firstIndex(of: UInt8(ascii: "=")) ?? range.upperBound
        return (range.lowerBound..<sign, min(sign + 1, range.upperBound)..<range.upperBound)
    }

    private enum Change {
        case keep
        case drop
        case rename(StaticString)
        case value([UInt8])
    }

    /// The query to send without its question mark; nil when it is the captured one.
    func rewritten(
        _ bytes: UnsafeRawBufferPointer, _ query: Range<Int>, _ changes: inout TransformChanges
    ) -> [UInt8]? {
        var result: [UInt8] = []
        var isChanged = false
        for range in Self.parameters(bytes, query) {
            let (key, value) = Self.split(bytes, range)
            let change = change(bytes, key, value, query, &changes)
            if case .drop = change {
                isChanged = true
                continue
            }
            if !result.isEmpty { result.append(UInt8(ascii: "&")) }
            switch change {
            case .keep, .drop: result.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[range]))
            case .rename(let name):
                isChanged = true
                result.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
                result.append(
                    contentsOf: UnsafeRawBufferPointer(rebasing: bytes[key.upperBound..<range.upperBound]))
            case .value(let text):
                isChanged = true
                result.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[key]))
                result.append(UInt8(ascii: "="))
                PercentCoding.append(text, to: &result)
            }
        }
        return isChanged ? result : nil
    }

    private func change(
        _ bytes: UnsafeRawBufferPointer, _ key: Range<Int>, _ value: Range<Int>, _ query: Range<Int>,
        _ changes: inout TransformChanges
    ) -> Change {
        if removesSignature, key.count >= 6,
            HTTPHead.equals(bytes, key.lowerBound..<(key.lowerBound + 6), "x-amz-")
        {
            return .drop
        }
        guard let rules else { return .keep }
        if rules.renamesIndices, EndpointRow.equals(bytes, key, "index") {
            let name = IndexExpression(PercentCoding.decoded(bytes, value, isQuery: true))
            let type = rules.removesTypes ? Self.value(of: "type", bytes, query) : nil
            let types = type.map { PercentCoding.decoded(bytes, $0, isQuery: true) } ?? []
            let named = types.split(separator: UInt8(ascii: ",")).map(Array.init)
            guard case .renamed(let target) = name.rewritten(rules, types: named) else { return .keep }
            changes.indexNamesRenamed += 1
            return .value(target)
        }
        guard rules.removesTypes, kind != .other else { return .keep }
        if EndpointRow.equals(bytes, key, "include_type_name") { return noteLegacy(.drop, &changes) }
        if EndpointRow.equals(bytes, key, "type"), kind.hasDocumentParameters || kind == .multiSearch {
            changes.typesRemoved += 1
            if kind == .search { changes.typeFiltersLost += 1 }
            return .drop
        }
        guard kind.hasDocumentParameters else { return .keep }
        if EndpointRow.equals(bytes, key, "parent") {
            // As in bulk actions: the parent's id is the routing of a document that has none of its own.
            let hasRouting = Self.value(of: "routing", bytes, query) != nil
            return noteLegacy(hasRouting ? .drop : .rename("routing"), &changes)
        }
        if EndpointRow.equals(bytes, key, "_source_include") {
            return noteLegacy(.rename("_source_includes"), &changes)
        }
        if EndpointRow.equals(bytes, key, "_source_exclude") {
            return noteLegacy(.rename("_source_excludes"), &changes)
        }
        for name in Self.gone where EndpointRow.equals(bytes, key, name) { return noteLegacy(.drop, &changes) }
        return .keep
    }

    private func noteLegacy(_ change: Change, _ changes: inout TransformChanges) -> Change {
        changes.legacyNamesChanged += 1
        return change
    }

    /// Parameters of document APIs up to Elasticsearch 5 that later engines refuse.
    private static let gone: [StaticString] = ["timestamp", "ttl", "consistency", "replication", "percolate"]
}
