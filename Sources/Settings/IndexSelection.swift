/// Which indices of a snapshot are meant.
package struct IndexSelection: Sendable, Equatable {
    package enum Pattern: Sendable, Equatable {
        /// The name itself.
        case exact(String)
        /// The whole name matches.
        case expression(LinearRegex)

        func matches(_ name: String) -> Bool {
            switch self {
            case .exact(let text): text == name
            case .expression(let expression): expression.matchesWhole(name)
            }
        }

        /// As it was given.
        package var text: String {
            switch self {
            case .exact(let text): text
            case .expression(let expression): "regex:\(expression.pattern)"
            }
        }
    }

    /// Empty: every index that is not a system index.
    package var patterns: [Pattern]
    package var includesSystemIndices: Bool

    package init(patterns: [Pattern] = [], includesSystemIndices: Bool = false) {
        self.patterns = patterns
        self.includesSystemIndices = includesSystemIndices
    }

    /// A name given exactly selects its index whatever it is. Without names, and with expressions, system indices are
    /// left out unless they are asked for: `regex:.*` should not write into the target's security index.
    package func selects(_ name: String) -> Bool {
        let isAllowed = includesSystemIndices || !Self.isSystemIndex(name)
        guard !patterns.isEmpty else { return isAllowed }
        return patterns.contains { pattern in
            if case .exact(let text) = pattern { return text == name }
            return isAllowed && pattern.matches(name)
        }
    }

    /// Patterns that select none of `names`. A run with one of these is a mistake of the user's to be told.
    package func unmatchedPatterns(in names: [String]) -> [Pattern] {
        patterns.filter { pattern in
            var alone = self
            alone.patterns = [pattern]
            return !names.contains { alone.selects($0) }
        }
    }

    /// Names that start with a dot belong to the engine and its plugins. Backing indices of data streams (`.ds-…`) hold
    /// users' data.
    package static func isSystemIndex(_ name: String) -> Bool {
        name.hasPrefix(".") && !name.hasPrefix(".ds-")
    }

    /// `NAME` or `regex:PATTERN`.
    package static func parsePattern(_ text: String) throws(ValueProblem) -> Pattern {
        if text.hasPrefix("regex:") {
            return .expression(try LinearRegex(String(text.dropFirst("regex:".count))))
        }
        guard !text.isEmpty else { throw ValueProblem("an index name is empty") }
        if text.contains("*") || text.contains("?") {
            throw ValueProblem("\"\(text)\" holds a wildcard, but names are exact; write e.g. regex:logs-.*")
        }
        // The engine's own rule for names of indices (MetadataCreateIndexService.validateIndexOrAliasName).
        if let wrong = text.first(where: { "\\/\"<>| ,#".contains($0) }) {
            throw ValueProblem("\"\(text)\" cannot be an index: names hold no '\(wrong)'")
        }
        guard text.utf8.count <= 255 else { throw ValueProblem("\"\(text.prefix(40))…\" is longer than 255 bytes") }
        return .exact(text)
    }
}
