/// The rules of one rule file, compiled once and applied to index names, to documents and to requests. Immutable.
///
/// Rules of one kind are tried in the order of the file and the first that matches decides. A type's own rule
/// (`map-type`, `drop-type`) goes before the index's (`drop-index`, `rename-index`).
package struct RuleSet: Sendable {
    struct IndexRule: Sendable {
        var pattern: NamePattern
        /// nil drops the index.
        var target: NameTemplate?
    }

    struct TypeRule: Sendable {
        var index: NamePattern
        var type: NamePattern
        /// Captures of the index, then of the type. nil drops the type.
        var target: NameTemplate?
    }

    struct FieldRule: Sendable {
        var index: NamePattern
        /// Dotted.
        var path: [UInt8]
        /// Dotted, with the same parent; nil drops the field.
        var target: [UInt8]?
    }

    struct HeaderRule: Sendable {
        /// In lower case.
        var name: [UInt8]
        /// The whole line without its end; nil drops the lines of this name.
        var line: [UInt8]?
    }

    struct PathRule: Sendable {
        /// Empty: every method.
        var methods: [[UInt8]]
        var pattern: NamePattern
        /// nil skips the request.
        var target: NameTemplate?
    }

    var indexRules: [IndexRule] = []
    var typeRules: [TypeRule] = []
    var fieldRules: [FieldRule] = []
    var headerRules: [HeaderRule] = []
    var pathRules: [PathRule] = []
    /// The source knows mapping types and the target does not.
    package internal(set) var removesTypes = false

    package init() {}

    /// Rules that need to know which endpoint a request is for.
    var needsEndpoint: Bool { renamesIndices || removesTypes || !fieldRules.isEmpty }
    var renamesIndices: Bool { !indexRules.isEmpty || !typeRules.isEmpty }
    package var hasFieldRules: Bool { !fieldRules.isEmpty }

    /// What becomes of an index, or of the documents of one type in it.
    package enum Target: Equatable, Sendable {
        case same
        case renamed([UInt8])
        case dropped
    }

    /// What becomes of the index `name`; `type` is nil for what has no type, or one that is called `_doc`.
    package func target(of name: some RandomAccessCollection<UInt8>, type: [UInt8]? = nil) -> Target {
        for rule in typeRules {
            guard let captures = rule.index.match(name), let more = rule.type.match(type ?? Self.typeless) else {
                continue
            }
            return Self.target(rule.target, captures + more, of: name)
        }
        for rule in indexRules {
            guard let captures = rule.pattern.match(name) else { continue }
            return Self.target(rule.target, captures, of: name)
        }
        return .same
    }

    private static func target(
        _ template: NameTemplate?, _ captures: [[UInt8]], of name: some RandomAccessCollection<UInt8>
    ) -> Target {
        guard let target = template?.filled(captures) else { return .dropped }
        return target.elementsEqual(name) ? .same : .renamed(target)
    }

    static let typeless = Array("_doc".utf8)

    /// All indices that the documents of `name` go to, whatever their type: the targets of the type rules that do not
    /// take the type into their name. Empty when no type rule speaks of this index.
    func targetsOfTypes(of name: some RandomAccessCollection<UInt8>) -> [[UInt8]] {
        var targets: [[UInt8]] = []
        for rule in typeRules {
            guard let captures = rule.index.match(name), let template = rule.target,
                template.highestCapture <= captures.count
            else { continue }
            let target = template.filled(captures + Array(repeating: [], count: rule.type.captureCount))
            if !targets.contains(target) { targets.append(target) }
        }
        return targets
    }

    /// Targets of names that are written out in rules and that the wildcard `pattern` covers.
    func targetsOfNames(coveredBy pattern: NamePattern) -> [[UInt8]] {
        var targets: [[UInt8]] = []
        for rule in indexRules where rule.pattern.isLiteral && pattern.matches(rule.pattern.literalBytes) {
            guard let target = rule.target?.filled([]), !pattern.matches(target) else { continue }
            if !targets.contains(target) { targets.append(target) }
        }
        for rule in typeRules where rule.index.isLiteral && pattern.matches(rule.index.literalBytes) {
            guard let template = rule.target, template.highestCapture == 0 else { continue }
            let target = template.filled([])
            if !pattern.matches(target), !targets.contains(target) { targets.append(target) }
        }
        return targets
    }
}

/// Index expressions as the engines read them: `a,b`, `logs-*`, `-excluded`, `<logs-{now/d}>`, `cluster:index`, `_all`.
struct IndexExpression {
    private(set) var elements: [[UInt8]] = []

    init(_ text: [UInt8]) {
        var element: [UInt8] = []
        var depth = 0
        for byte in text {
            switch byte {
            case UInt8(ascii: "<"), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: ">"), UInt8(ascii: "}"): depth -= 1
            case UInt8(ascii: ",") where depth <= 0:
                elements.append(element)
                element = []
                continue
            default: break
            }
            element.append(byte)
        }
        elements.append(element)
    }

    enum Outcome: Equatable {
        case same
        case renamed([UInt8])
        /// Nothing is left of it.
        case dropped
    }

    /// The expression for the target. `types` is what a typed path or body names beside it; empty: every type.
    func rewritten(_ rules: RuleSet, types: [[UInt8]] = []) -> Outcome {
        var result: [[UInt8]] = []
        var isChanged = false
        for element in elements {
            let targets = Self.targets(of: element, rules, types: types)
            if targets != [element] { isChanged = true }
            for target in targets where !result.contains(target) || targets == [element] { result.append(target) }
        }
        guard isChanged else { return .same }
        guard !result.isEmpty else { return .dropped }
        return .renamed(Array(result.joined(separator: [UInt8(ascii: ",")])))
    }

    private static func targets(of element: [UInt8], _ rules: RuleSet, types: [[UInt8]]) -> [[UInt8]] {
        // Of all indices, and of another cluster's, the rules say nothing.
        if element.isEmpty || element == Array("_all".utf8) || element == [UInt8(ascii: "*")] { return [element] }
        if element[0] == UInt8(ascii: "-") || element[0] == UInt8(ascii: "+") {
            return targets(of: Array(element[1...]), rules, types: types).map { [element[0]] + $0 }
        }
        if element[0] == UInt8(ascii: "<"), element[element.count - 1] == UInt8(ascii: ">") {
            let inner = Array(element[1..<(element.count - 1)])
            return targets(of: inner, rules, types: types).map { [UInt8(ascii: "<")] + $0 + [UInt8(ascii: ">")] }
        }
        if element.contains(UInt8(ascii: ":")), !element.contains(UInt8(ascii: "{")) { return [element] }
        if types.isEmpty {
            let ofTypes = rules.targetsOfTypes(of: element)
            if !ofTypes.isEmpty { return ofTypes }
        }
        var result: [[UInt8]] = []
        let isDateMath = element.contains(UInt8(ascii: "{"))
        for type in types.isEmpty ? [nil] : types.map({ Optional($0) }) {
            switch rules.target(of: element, type: type) {
            case .renamed(let target): if !result.contains(target) { result.append(target) }
            case .dropped: break
            case .same:
                if !result.contains(element) { result.append(element) }
                guard !isDateMath, element.contains(UInt8(ascii: "*")) else { continue }
                let pattern = NamePattern(String(decoding: element, as: UTF8.self))
                for target in rules.targetsOfNames(coveredBy: pattern) where !result.contains(target) {
                    result.append(target)
                }
            }
        }
        return result
    }
}
