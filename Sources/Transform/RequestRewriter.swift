import CapturedTraffic
import HTTPMessage
import JSONBytes

/// Where ids come from that the source made for creates without id.
package enum SourceIDs {
    /// `needsResponse` said no, or was not asked: actions without id go out without.
    case notNeeded
    case response(SourceResponse)
    /// `needsResponse` said yes, and there is no response to have: sent as captured, and told by `hasGeneratedIDLeft`.
    case unavailable
}

/// Makes the request to send out of a captured one: head, rules, ids that the source generated. Compiled once, without
/// state, used by every loop.
///
/// A request that no rule speaks of costs one pass over its head; its body is not looked at, but for action lines of
/// bulks while `generatedIDs` is on.
package struct RequestRewriter: Sendable {
    private let rules: RuleSet?
    private let generatedIDs: Bool
    private let headWriter: HeadWriter
    private let endpoints: EndpointTable
    private let classifier = RequestClassifier()

    /// `host` is the target's authority as Host has it (`os.example.com:9200`).
    package init(
        rules: RuleSet? = nil, host: [UInt8], authentication: Authentication = .keep, userAgentSuffix: [UInt8] = [],
        generatedIDs: Bool = true
    ) {
        self.rules = rules
        self.generatedIDs = generatedIDs
        headWriter = HeadWriter(
            host: host, authentication: authentication, userAgentSuffix: userAgentSuffix,
            headerRules: rules?.headerRules ?? [])
        endpoints = rules?.removesTypes == true ? .typed : .typeless
    }

    /// Whether ids have to be taken from the source's response before the request can be sent: a create without id.
    ///
    /// A bulk is scanned up to its first action without id, at several bytes a nanosecond; a compressed one is not
    /// inflated for this, and counts as having one.
    package func needsResponse(_ request: CapturedRequest) -> Bool {
        guard generatedIDs, request.head.method == .post || request.head.method == .put else { return false }
        let target = request.target
        let parts = TargetParts(target)
        guard case .endpoint(let endpoint) = endpoints.find(request.head.method, target, parts.path) else {
            return false
        }
        if endpoint.kind == .createWithoutID { return true }
        guard endpoint.kind == .bulk else { return false }
        guard ContentCoding(request.head, request.headBytes) == .identity else { return true }
        var scan = BulkIDScan()
        // Broken chunks end the scan: the rewriting that needs the content reports them.
        _ = try? BodyContent(request).forEachPiece { scan.take($0) }
        scan.finish()
        return scan.isFound
    }

    /// The request to send. It throws when a rule cannot be applied: then nothing may be sent.
    package func rewrite(
        _ request: CapturedRequest, ids: SourceIDs = .notNeeded
    ) throws(TransformError) -> RewrittenRequest {
        let target = request.target
        var result = RewrittenRequest()
        result.method = request.head.method
        result.isMutating = classifier.classify(method: request.methodBytes, target: target) == .mutating
        let parts = TargetParts(target)
        if let rules, !rules.pathRules.isEmpty, let rule = pathRule(rules, request, target, parts) {
            guard let template = rule.target, let captures = rule.pattern.match(target[parts.path]) else {
                result.skip = .filtered
                return result
            }
            var changed = template.filled(captures)
            if let query = parts.query { changed += [UInt8(ascii: "?")] + target[query] }
            let rewritten = changed.withUnsafeBytes { bytes in
                Result { () throws(TransformError) in
                    try rewrite(request, bytes, TargetParts(bytes), ids, isPathRewritten: true, result)
                }
            }
            return try rewritten.get()
        }
        return try rewrite(request, target, parts, ids, isPathRewritten: false, result)
    }

    private func pathRule(
        _ rules: RuleSet, _ request: CapturedRequest, _ target: UnsafeRawBufferPointer, _ parts: TargetParts
    ) -> RuleSet.PathRule? {
        rules.pathRules.first { rule in
            (rule.methods.isEmpty || rule.methods.contains { request.methodBytes.elementsEqual($0) })
                && rule.pattern.matches(target[parts.path])
        }
    }

    private func rewrite(
        _ request: CapturedRequest, _ target: UnsafeRawBufferPointer, _ parts: TargetParts, _ ids: SourceIDs,
        isPathRewritten: Bool, _ start: RewrittenRequest
    ) throws(TransformError) -> RewrittenRequest {
        var result = start
        var sent = HeadWriter.Request()
        var path: [UInt8]?
        var kind = EndpointKind.other
        let isWrite = request.head.method == .post || request.head.method == .put
        if rules?.needsEndpoint == true || isWrite {
            if let endpoint = try endpoint(request, target, parts) {
                kind = endpoint.kind
                result.isBulk = kind == .bulk
                if rules?.needsEndpoint == true || kind == .bulk || kind == .createWithoutID {
                    var plan = PathPlan(
                        endpoint, target, query: parts.query, removesTypes: rules?.removesTypes ?? false)
                    var created: (id: [UInt8], isCreate: Bool)?
                    try rewriteContent(request, target, &plan, ids, &result, &sent, &created)
                    if result.skip != nil { return result }
                    path = plan.path(target, created: created)
                    noteNames(plan, &result)
                    if created != nil {
                        sent.method = "PUT"
                        result.method = .put
                    } else if endpoint.row.newMethod == .post {
                        sent.method = "POST"
                        result.method = .post
                    } else if endpoint.row.newMethod == .put {
                        sent.method = "PUT"
                        result.method = .put
                    }
                }
            }
        }
        var query: [UInt8]?
        if let range = parts.query, rules != nil || headWriter.authentication == .signed {
            let queries = QueryRewriter(
                rules: rules, kind: kind, removesSignature: headWriter.authentication == .signed)
            query = queries.rewritten(target, range, &result.changes)
        }
        if path != nil || query != nil || isPathRewritten || !parts.isOriginForm {
            sent.target = Self.target(target, parts, path: path, query: query)
            if sent.target?.elementsEqual(request.target) == false, parts.isOriginForm {
                result.changes.pathsChanged = 1
            }
        }
        result.head = headWriter.write(request, sent, &result.changes)
        return result
    }

    private static func target(
        _ target: UnsafeRawBufferPointer, _ parts: TargetParts, path: [UInt8]?, query: [UInt8]?
    ) -> [UInt8] {
        var result = path ?? Array(target[parts.path])
        if result.isEmpty { result = [UInt8(ascii: "/")] }
        if let query {
            if !query.isEmpty { result += [UInt8(ascii: "?")] + query }
        } else if let range = parts.query {
            result += [UInt8(ascii: "?")] + target[range]
        }
        return result
    }

    /// nil for a path that the engines read in a way of their own, and that no rule speaks of.
    private func endpoint(
        _ request: CapturedRequest, _ target: UnsafeRawBufferPointer, _ parts: TargetParts
    ) throws(TransformError) -> Endpoint? {
        let hasTypeRules = rules?.removesTypes == true
        switch endpoints.find(request.head.method, target, parts.path) {
        case .endpoint(let endpoint):
            if endpoint.kind == .gone, hasTypeRules {
                throw TransformError(
                    .noTypelessForm, in: "path", at: parts.path.lowerBound, "an endpoint that typeless engines lack")
            }
            return endpoint
        case .unknownTyped:
            guard hasTypeRules else { return nil }
            throw TransformError(
                .noTypelessForm, in: "path", at: parts.path.lowerBound,
                "an index and a type in no form that has a typeless one")
        case .unknown:
            guard let rules, rules.renamesIndices || rules.removesTypes, !parts.path.isEmpty, target.count > 1 else {
                return nil
            }
            throw TransformError(
                .malformedTarget, in: "path", at: parts.path.lowerBound,
                "empty segments, or more than \(PathSegments.limit); index names in it cannot be told")
        }
    }

    private func noteNames(_ plan: PathPlan, _ result: inout RewrittenRequest) {
        if case .renamed = plan.index { result.changes.indexNamesRenamed += 1 }
        if case .renamed = plan.newIndex { result.changes.indexNamesRenamed += 1 }
        guard rules?.removesTypes == true, plan.endpoint.type != nil else { return }
        result.changes.typesRemoved += 1
        if plan.endpoint.kind == .search { result.changes.typeFiltersLost += 1 }
    }

    // MARK: Content

    private func rewriteContent(
        _ request: CapturedRequest, _ target: UnsafeRawBufferPointer, _ plan: inout PathPlan, _ ids: SourceIDs,
        _ result: inout RewrittenRequest, _ sent: inout HeadWriter.Request,
        _ created: inout (id: [UInt8], isCreate: Bool)?
    ) throws(TransformError) {
        let kind = plan.endpoint.kind
        if kind == .createWithoutID {
            try takeID(ids, request, target, plan, &result, &created)
            if result.skip != nil { return }
        }
        if kind == .bulk {
            if let rules { try plan.resolve(rules, target, bodyType: nil) }
            return try rewriteBulk(request, plan, ids, &result, &sent)
        }
        guard let rules, rules.needsEndpoint else { return }
        var bodyType: [UInt8]?
        if needsBody(rules, kind, request) {
            var bodies = JSONBodies(rules: rules, pathIndex: plan.indexName, pathTypes: plan.types)
            let replaced = try rewriteBody(request, &result) { (bytes) throws(TransformError) in
                try bodies.rewrite(kind, bytes)
                return bodies.edits
            }
            bodyType = bodies.mappingType
            result.changes.add(bodies.changes)
            replace(replaced, &result, &sent)
        }
        try plan.resolve(rules, target, bodyType: kind == .createIndex || kind == .putMapping ? bodyType : nil)
        if plan.index == .dropped { result.skip = .droppedByRule }
    }

    private func needsBody(_ rules: RuleSet, _ kind: EndpointKind, _ request: CapturedRequest) -> Bool {
        guard request.head.framing != .none else { return false }
        switch kind {
        case .document, .createWithoutID, .update: return rules.hasFieldRules
        case .createIndex, .putMapping, .putTemplate: return true
        case .multiSearch, .multiGet, .aliases, .reindex: return rules.renamesIndices || rules.removesTypes
        case .other, .indexOnly, .search, .bulk, .gone: return false
        }
    }

    /// Runs `edit` over the content and returns the new body in the captured coding, nil when nothing is edited.
    private func rewriteBody(
        _ request: CapturedRequest, _ result: inout RewrittenRequest,
        _ edit: (UnsafeRawBufferPointer) throws(TransformError) -> TextEdits
    ) throws(TransformError) -> [UInt8]? {
        var trailerCount = 0
        let body = try BodyContent(request).withContent(trailerCount: &trailerCount) {
            (bytes, coding) throws(TransformError) -> [UInt8]? in
            let edits = try edit(bytes)
            return edits.isEmpty ? nil : try BodyContent.encoded(edits.applied(to: bytes), coding)
        }
        if body != nil { result.changes.trailersDropped += trailerCount }
        return body
    }

    private func replace(_ body: [UInt8]?, _ result: inout RewrittenRequest, _ sent: inout HeadWriter.Request) {
        guard let body else { return }
        sent.contentLength = body.count
        result.body = .replaced(body)
    }

    private func rewriteBulk(
        _ request: CapturedRequest, _ plan: PathPlan, _ ids: SourceIDs, _ result: inout RewrittenRequest,
        _ sent: inout HeadWriter.Request
    ) throws(TransformError) {
        var response: SourceResponse?
        if generatedIDs, case .response(let given) = ids { response = given }
        if generatedIDs, case .unavailable = ids {
            result.hasGeneratedIDLeft = true
            result.changes.idsUnknown += 1
        }
        guard response != nil || rules?.needsEndpoint == true else { return }
        if let response, response.status >= 400 {
            // The source refused all of it: what had no id never existed there.
            if needsResponse(request) {
                result.skip = .refusedBySource
                return
            }
        }
        var itemCount = 0
        let replaced = try withSourceItems(response, &result) { (items, result) throws(TransformError) in
            let defaultTarget: RuleSet.Target
            switch plan.index {
            case .none, .same: defaultTarget = .same
            case .renamed(let name): defaultTarget = .renamed(name)
            case .dropped: defaultTarget = .dropped
            }
            var bulk = BulkRewriter(
                rules: rules, defaultIndex: plan.indexName.isEmpty ? nil : plan.indexName,
                defaultType: plan.types.first,
                defaultTarget: defaultTarget, sourceItems: items)
            let replaced = try rewriteBody(request, &result) { (bytes) throws(TransformError) in
                try bulk.rewrite(bytes)
                return bulk.edits
            }
            itemCount = bulk.sentItemCount
            result.changes.add(bulk.changes)
            if generatedIDs { result.hasGeneratedIDLeft = bulk.hasGeneratedIDLeft }
            if !bulk.createdItems.isEmpty { result.conflict = .doneForItems(bulk.createdItems) }
            return replaced
        }
        if replaced != nil, itemCount == 0 {
            result.skip = result.changes.itemsDropped > 0 ? .droppedByRule : .refusedBySource
            return
        }
        replace(replaced, &result, &sent)
    }

    private func withSourceItems<R>(
        _ response: SourceResponse?, _ result: inout RewrittenRequest,
        _ use: (SourceItems?, inout RewrittenRequest) throws(TransformError) -> R
    ) throws(TransformError) -> R {
        guard let response else { return try use(nil, &result) }
        // The bytes must live as long as the items; a response that cannot be read tells no ids.
        var trailerCount = 0
        var readable = false
        do throws(TransformError) {
            return try BodyContent(response).withContent(trailerCount: &trailerCount) {
                (bytes, _) throws(TransformError) -> R in
                readable = true
                let items = SourceItems(bytes)
                if items == nil { result.changes.idsUnknown += 1 }
                return try use(items, &result)
            }
        } catch {
            if readable { throw error }
            result.changes.idsUnknown += 1
            return try use(nil, &result)
        }
    }

    /// The id that the source made for a create without id, from `{"_index":…,"_id":…}`.
    private func takeID(
        _ ids: SourceIDs, _ request: CapturedRequest, _ target: UnsafeRawBufferPointer, _ plan: PathPlan,
        _ result: inout RewrittenRequest, _ created: inout (id: [UInt8], isCreate: Bool)?
    ) throws(TransformError) {
        guard generatedIDs else { return }
        result.hasGeneratedIDLeft = true
        guard case .response(let response) = ids else {
            if case .unavailable = ids { result.changes.idsUnknown += 1 }
            return
        }
        guard response.status < 300 else {
            result.skip = .refusedBySource
            return
        }
        var trailerCount = 0
        let answer = try? BodyContent(response).withContent(trailerCount: &trailerCount) {
            (bytes, _) throws(TransformError) in Self.idAndIndex(bytes)
        }
        guard let id = answer?.id, !id.isEmpty else {
            result.changes.idsUnknown += 1
            return
        }
        // The write index of a data stream; it takes creates alone (DataStream.getDefaultBackingIndexName).
        let isDataStream =
            answer?.index?.starts(with: Array(".ds-".utf8)) == true && !plan.indexName.starts(with: Array(".ds-".utf8))
        let operation = TargetParts(target).query.flatMap { QueryRewriter.value(of: "op_type", target, $0) }
        let isCreate = isDataStream || operation.map { EndpointRow.equals(target, $0, "create") } == true
        created = (id, isDataStream)
        if isCreate { result.conflict = .done }
        result.hasGeneratedIDLeft = false
        result.changes.idsAdded += 1
    }

    private static func idAndIndex(_ bytes: UnsafeRawBufferPointer) -> (id: [UInt8]?, index: [UInt8]?) {
        var cursor = JSONByteCursor(bytes: bytes)
        var id: [UInt8]?
        var index: [UInt8]?
        do throws(JSONError) {
            try cursor.expect(UInt8(ascii: "{"))
            while let key = try cursor.nextKey() {
                let text = try cursor.stringRange().text
                guard let text else { continue }
                if JSONStrings.equals(bytes, key, "_id") { id = JSONStrings.unescaped(bytes, text) }
                if JSONStrings.equals(bytes, key, "_index") { index = JSONStrings.unescaped(bytes, text) }
            }
        } catch {
            return (nil, nil)
        }
        return (id, index)
    }
}

extension TransformChanges {
    /// Adds the counts of a part of the same request.
    mutating func add(_ other: TransformChanges) {
        pathsChanged += other.pathsChanged
        indexNamesRenamed += other.indexNamesRenamed
        typesRemoved += other.typesRemoved
        legacyNamesChanged += other.legacyNamesChanged
        typeFiltersLost += other.typeFiltersLost
        idsAdded += other.idsAdded
        idsUnknown += other.idsUnknown
        itemsDropped += other.itemsDropped
        refusedItemsDropped += other.refusedItemsDropped
        fieldsRenamed += other.fieldsRenamed
        fieldsDropped += other.fieldsDropped
        scriptsKept += other.scriptsKept
        headerLinesChanged += other.headerLinesChanged
        trailersDropped += other.trailersDropped
        defaultMappingsDropped += other.defaultMappingsDropped
    }
}
