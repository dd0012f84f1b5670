import JSONBytes

/// Reads a target's refusal to make an index, and takes out what it names. What the target does not know at all cannot
/// be listed beforehand: it depends on its version and plugins.
///
/// | the target says | what is taken out |
/// |---|---|
/// | `unknown setting [index.x]`, also several and with a hint | the setting |
/// | `private index setting [index.x] can not be set explicitly` | the setting |
/// | `unknown parameter [p] on mapper [f] of type [t]` | the parameter of every such field |
///
/// The texts are those of AbstractScopedSettings.validate and ParametrizedFieldMapper.Builder.parse.
enum CreationRepairPolicy {
    /// nil when the answer names nothing that is in the body: asking again would bring the same answer.
    static func repaired(_ index: TargetIndex, after answer: JSONValue) -> TargetIndex? {
        let reasons = texts(of: answer["error"] ?? answer)
        for reason in reasons {
            if let change = settingChange(index, reason) ?? parameterChange(index, reason) { return change }
        }
        return nil
    }

    private static func settingChange(_ index: TargetIndex, _ reason: String) -> TargetIndex? {
        guard reason.contains("unknown setting [") || reason.contains("private index setting [") else { return nil }
        let names = bracketed(reason, after: "setting [").map { name in
            name.hasPrefix("index.") ? String(name.dropFirst("index.".count)) : name
        }
        guard case .object(var root) = index.body, let place = root.firstIndex(where: { $0.key == "settings" }),
            let settings = root[place].value["index"]?.objectValue
        else { return nil }
        let kept = settings.filter { !names.contains($0.key) }
        guard kept.count < settings.count else { return nil }
        root[place] = JSONMember(
            key: "settings", value: .object([JSONMember(key: "index", value: .object(kept))]))
        let changes = settings.filter { names.contains($0.key) }.map { setting in
            MetadataChange(.dropped, "settings.index.\(setting.key)", "the target does not take it: \(reason)")
        }
        return TargetIndex(name: index.name, body: .object(root), changes: index.changes + changes)
    }

    private static func parameterChange(_ index: TargetIndex, _ reason: String) -> TargetIndex? {
        guard let parameter = bracketed(reason, after: "unknown parameter [").first,
            let field = bracketed(reason, after: "on mapper [").first,
            let type = bracketed(reason, after: "of type [").first
        else { return nil }
        guard case .object(var root) = index.body, let place = root.firstIndex(where: { $0.key == "mappings" }) else {
            return nil
        }
        var places: [String] = []
        let mapping = without(
            parameter, field: field, type: type, root[place].value, at: "mappings", &places)
        guard !places.isEmpty else { return nil }
        root[place] = JSONMember(key: "mappings", value: mapping)
        let changes = places.map { MetadataChange(.dropped, $0, "the target does not take it: \(reason)") }
        return TargetIndex(name: index.name, body: .object(root), changes: index.changes + changes)
    }

    /// Every field of that name and type, wherever it stands: the message does not say its path.
    private static func without(
        _ parameter: String, field: String, type: String, _ value: JSONValue, at place: String,
        _ places: inout [String]
    ) -> JSONValue {
        guard let members = value.objectValue else { return value }
        return .object(
            members.map { member in
                let here = "\(place).\(member.key)"
                var inner = member.value
                if member.key == field || member.key.hasSuffix(".\(field)"), inner["type"]?.stringValue == type,
                    let fields = inner.objectValue, fields.contains(where: { $0.key == parameter })
                {
                    inner = .object(fields.filter { $0.key != parameter })
                    places.append("\(here).\(parameter)")
                }
                return JSONMember(
                    key: member.key,
                    value: without(parameter, field: field, type: type, inner, at: here, &places))
            })
    }

    /// Every `reason` of the answer, the outermost first.
    private static func texts(of value: JSONValue) -> [String] {
        switch value {
        case .object(let members):
            return members.filter { $0.key == "reason" }.compactMap(\.value.stringValue)
                + members.filter { $0.key != "reason" }.flatMap { texts(of: $0.value) }
        case .array(let elements): return elements.flatMap(texts(of:))
        default: return []
        }
    }

    /// What stands in brackets after each occurrence of `mark`.
    private static func bracketed(_ text: String, after mark: String) -> [String] {
        var found: [String] = []
        var rest = Substring(text)
        while let range = rest.firstRange(of: mark), let end = rest[range.upperBound...].firstIndex(of: "]") {
            found.append(String(rest[range.upperBound..<end]))
            rest = rest[end...]
        }
        return found
    }
}
