import JSONBytes

/// Whether an index's documents have a stored `_source`.
package enum SourceMode: Sendable, Equatable {
    /// The document as it was sent.
    case stored
    /// None.
    case disabled
    /// With fields left out by `includes` or `excludes`.
    case filtered
    /// None: the engine puts it together from doc values and stored fields.
    case synthetic
}

extension IndexMetadata {
    /// Elasticsearch 8.7: time series indices have a synthetic source unless told otherwise. (8.5.3 stores theirs.)
    private static let syntheticTimeSeriesID = 8_070_099
    /// The index version from which on Elasticsearch 9 ignores `_source.mode` in mappings.
    private static let mappingModeIgnoredID = 9_007_000

    /// Follows SourceFieldMapper of Elasticsearch: the setting, else the mapping's mode, else what the index mode
    /// implies. OpenSearch's derived source counts as synthetic.
    package var sourceMode: SourceMode {
        let sources = (mappings.objectValue ?? []).compactMap { Self.sourceMapping($0) }
        if let mode = Self.settingText(settings, "index.mapping.source.mode") {
            return Self.mode(mode) ?? Self.mode(sources)
        }
        if Self.settingText(settings, "index.derived_source.enabled") == "true" { return .synthetic }
        if createdVersionID < Self.mappingModeIgnoredID || EngineVersion.isOpenSearch(createdVersionID) {
            for source in sources {
                if let text = source["mode"]?.stringValue, let mode = Self.mode(text), mode != .stored { return mode }
                if source["synthetic"] == .bool(true) || source["synthetic"] == .string("true") { return .synthetic }
            }
        }
        let explicit = Self.mode(sources)
        if explicit != .stored { return explicit }
        if sources.contains(where: { $0["mode"]?.stringValue?.lowercased() == "stored" }),
            createdVersionID < Self.mappingModeIgnoredID
        {
            return .stored
        }
        switch Self.settingText(settings, "index.mode")?.lowercased() {
        case "time_series":
            return createdVersionID >= Self.syntheticTimeSeriesID && !sources.contains { $0["enabled"] != nil }
                ? .synthetic : .stored
        case "logsdb", "logs": return .synthetic
        default: return .stored
        }
    }

    /// `_source` of one mapping type, or of a mapping that is not wrapped in a type.
    private static func sourceMapping(_ type: JSONMember) -> JSONValue? {
        type.key == "_source" ? type.value : type.value["_source"]
    }

    private static func mode(_ text: String) -> SourceMode? {
        switch text.lowercased() {
        case "stored": return .stored
        case "disabled": return .disabled
        case "synthetic", "columnar_stored": return .synthetic
        default: return nil
        }
    }

    private static func mode(_ sources: [JSONValue]) -> SourceMode {
        if sources.contains(where: { $0["enabled"] == .bool(false) || $0["enabled"] == .string("false") }) {
            return .disabled
        }
        let isFiltered = sources.contains { source in
            ["includes", "excludes", "include", "exclude"].contains { key in
                switch source[key] {
                case .array(let patterns): return !patterns.isEmpty
                case .string(let pattern): return !pattern.isEmpty
                default: return false
                }
            }
        }
        return isFiltered ? .filtered : .stored
    }
}
