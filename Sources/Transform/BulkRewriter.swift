import BulkFormat
import CSystem
import JSONBytes

/// What the source answered to each item of a bulk, for ids that it made.
struct SourceItems {
    /// In the order of the request's items.
    private var items: [(status: Int, id: Range<Int>?)] = []
    private let bytes: UnsafeRawBufferPointer

    /// nil when `bytes` is not the answer to a bulk. The bytes outlive the value.
    init?(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        var items: [(status: Int, id: Range<Int>?)] = []
        guard (try? BulkResponseScanner.scan(bytes) { _, item in items.append((item.status, item.id)) }) != nil else {
            return nil
        }
        self.items = items
    }

    var count: Int { items.count }

    enum Answer: Equatable {
        case made([UInt8])
        case refused
        /// The response was filtered (`filter_path`).
        case unknown
    }

    func answer(to item: Int) -> Answer {
        guard item < items.count else { return .unknown }
        if items[item].status >= 300 { return .refused }
        guard let id = items[item].id else { return .unknown }
        return .made(JSONStrings.unescaped(bytes, id))
    }
}

/// Rewrites the body of a bulk line by line. Lines and items that nothing changes keep their bytes.
struct BulkRewriter {
    let rules: RuleSet?
    /// Of the path, in the source's words.
    let defaultIndex: [UInt8]?
    let defaultType: [UInt8]?
    /// What the path's index is in the target; `.same` without one.
    let defaultTarget: RuleSet.Target
    /// nil: actions without id stay so.
    let sourceItems: SourceItems?

    private(set) var edits = TextEdits()
    private(set) var changes = TransformChanges()
    /// Items of the body as sent whose id was made by the source and that create.
    private(set) var createdItems: [Int32] = []
    private(set) var hasGeneratedIDLeft = false
    private(set) var sentItemCount = 0

    private var itemCount = 0
    private var reference = DocumentReference()
    private var cachedKey: (index: [UInt8], type: [UInt8]?)?
    private var cachedTarget = RuleSet.Target.same
    private var cachedFields: (index: [UInt8], rules: DocumentRules)?

    init(
        rules: RuleSet?, defaultIndex: [UInt8]?, defaultType: [UInt8]?, defaultTarget: RuleSet.Target,
        sourceItems: SourceItems?
    ) {
        self.rules = rules
        self.defaultIndex = defaultIndex
        self.defaultType = defaultType
        self.defaultTarget = defaultTarget
        self.sourceItems = sourceItems
    }

    /// Whether every action has to be read, not only those without id.
    private var touchesNames: Bool { rules.map { $0.needsEndpoint } ?? false }

    mutating func rewrite(_ bytes: UnsafeRawBufferPointer) throws(TransformError) {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        var at = 0
        while at < bytes.count {
            let lineEnd = at + millrace_find_byte(base + at, bytes.count - at, 0x0A)
            let action = Int32(millrace_bulk_action(base + at, lineEnd - at))
            let operation = action & Int32(MILLRACE_BULK_OPERATION)
            if operation == Int32(MILLRACE_BULK_BLANK) {
                at = lineEnd + 1
                continue
            }
            var end = min(lineEnd + 1, bytes.count)
            var source: Range<Int>?
            var isDelete = operation == Int32(MILLRACE_BULK_DELETE)
            let needsReading =
                touchesNames || operation == Int32(MILLRACE_BULK_UNREADABLE)
                || (action & Int32(MILLRACE_BULK_HAS_ID) == 0 && operation <= Int32(MILLRACE_BULK_CREATE))
            var name: Range<Int>?
            if needsReading {
                name = try readAction(bytes, at..<lineEnd)
                isDelete = name.map { JSONStrings.equals(bytes, $0, "delete") } ?? false
            }
            if !isDelete {
                guard end < bytes.count else {
                    throw TransformError(.malformedBulk, in: place, at: end, "an action without its source line")
                }
                let sourceEnd = end + millrace_find_byte(base + end, bytes.count - end, 0x0A)
                source = end..<sourceEnd
                end = min(sourceEnd + 1, bytes.count)
            }
            if let name {
                try rewriteItem(bytes, action: name, source: source, whole: at..<end)
            } else {
                sentItemCount += 1
            }
            itemCount += 1
            at = end
        }
    }

    private var place: String { "bulk item \(itemCount)" }

    /// Reads the action on the line into `reference` and returns where the operation's name stands.
    private mutating func readAction(
        _ bytes: UnsafeRawBufferPointer, _ line: Range<Int>
    ) throws(TransformError) -> Range<Int> {
        var cursor = JSONByteCursor(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<line.upperBound]))
        cursor.offset = line.lowerBound
        do throws(JSONError) {
            try cursor.expect(UInt8(ascii: "{"))
            guard let name = try cursor.nextKey() else {
                throw JSONError(offset: cursor.offset, message: "an operation expected")
            }
            try reference.read(&cursor)
            try cursor.expect(UInt8(ascii: "}"))
            try cursor.expectEnd()
            return name
        } catch {
            throw TransformError(.malformedBulk, in: place, at: error.offset, error.message)
        }
    }

    private mutating func rewriteItem(
        _ bytes: UnsafeRawBufferPointer, action name: Range<Int>, source: Range<Int>?, whole: Range<Int>
    ) throws(TransformError) {
        let isIndex = JSONStrings.equals(bytes, name, "index")
        let isCreate = JSONStrings.equals(bytes, name, "create")
        guard isIndex || isCreate || JSONStrings.equals(bytes, name, "update") || source == nil else {
            throw TransformError(.malformedBulk, in: place, at: name.lowerBound, "an unknown operation")
        }
        let sourceIndex = reference.index ?? defaultIndex
        let target = target(of: sourceIndex, reference.type ?? defaultType)
        guard target != .dropped else {
            edits.delete(whole)
            changes.itemsDropped += 1
            return
        }
        var id: [UInt8]?
        if !reference.hasID, isIndex || isCreate {
            switch sourceItems?.answer(to: itemCount) {
            case .made(let made)?: id = made
            case .refused?:
                edits.delete(whole)
                changes.refusedItemsDropped += 1
                return
            case .unknown?, nil:
                hasGeneratedIDLeft = true
                if sourceItems != nil { changes.idsUnknown += 1 }
            }
        }
        if id != nil, isCreate || reference.hasCreateOperation { createdItems.append(Int32(clamping: sentItemCount)) }
        reference.edit(
            bytes, removesTypes: rules?.removesTypes ?? false, index: indexChange(target), adding: id, &edits, &changes)
        if let source, let sourceIndex {
            try rewriteSource(bytes, source, sourceIndex, isUpdate: !isIndex && !isCreate)
        }
        sentItemCount += 1
    }

    private mutating func target(of index: [UInt8]?, _ type: [UInt8]?) -> RuleSet.Target {
        guard let index, let rules, rules.renamesIndices else { return .same }
        if let key = cachedKey, key.index == index, key.type == type { return cachedTarget }
        switch IndexExpression(index).rewritten(rules, types: [type ?? RuleSet.typeless]) {
        case .same: cachedTarget = .same
        case .renamed(let name): cachedTarget = .renamed(name)
        case .dropped: cachedTarget = .dropped
        }
        cachedKey = (index, type)
        return cachedTarget
    }

    /// The item names its index only where it is not the path's.
    private func indexChange(_ target: RuleSet.Target) -> DocumentReference.IndexChange {
        guard touchesNames, rules?.renamesIndices == true || rules?.removesTypes == true else { return .keep }
        var pathName: [UInt8]?
        switch defaultTarget {
        case .same: pathName = defaultIndex
        case .renamed(let name): pathName = name
        case .dropped: pathName = nil
        }
        let itemName: [UInt8]?
        if case .renamed(let name) = target { itemName = name } else { itemName = reference.index ?? defaultIndex }
        guard let itemName else { return .keep }
        if itemName == pathName { return reference.index == nil ? .keep : .remove }
        if reference.index == itemName { return .keep }
        return .set(itemName)
    }

    private mutating func rewriteSource(
        _ bytes: UnsafeRawBufferPointer, _ source: Range<Int>, _ index: [UInt8], isUpdate: Bool
    ) throws(TransformError) {
        guard let rules, rules.hasFieldRules else { return }
        if cachedFields?.index != index { cachedFields = (index, DocumentRules(rules, index: index)) }
        guard let fields = cachedFields?.rules, !fields.isEmpty else { return }
        var cursor = JSONByteCursor(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<source.upperBound]))
        cursor.offset = source.lowerBound
        do throws(JSONError) {
            if isUpdate {
                try JSONBodies.applyToUpdate(fields, &cursor, &edits, &changes)
            } else {
                try fields.apply(&cursor, &edits, &changes)
            }
            try cursor.expectEnd()
        } catch {
            throw TransformError(.malformedBulk, in: place, at: error.offset, error.message)
        }
    }
}
