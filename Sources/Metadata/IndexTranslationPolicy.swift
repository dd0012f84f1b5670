import JSONBytes
import SnapshotFormat
import SnapshotRepository

/// What an index of the source becomes in the target, and what was left out or changed on the way.
package struct TargetIndex: Sendable, Equatable {
    package let name: String
    /// `{"settings":…,"mappings":…,"aliases":…}`, the body of `PUT /<name>`.
    package let body: JSONValue
    /// In the order of the document.
    package let changes: [MetadataChange]

    package init(name: String, body: JSONValue, changes: [MetadataChange]) {
        self.name = name
        self.body = body
        self.changes = changes
    }

    package var shardCount: Int? {
        body["settings"]?["index"]?["number_of_shards"]?.stringValue.flatMap { Int($0) }
    }
}

/// One thing that is not in the target as it was in the source.
package struct MetadataChange: Sendable, Equatable {
    package enum Kind: String, Sendable {
        /// It is not there.
        case dropped
        /// It is there in another form.
        case changed
        /// The target has its own, as it has for every index.
        case renewed
    }

    package let kind: Kind
    /// Such as `settings.index.uuid` or `mappings._all`.
    package let place: String
    package let reason: String

    package init(_ kind: Kind, _ place: String, _ reason: String) {
        self.kind = kind
        self.place = place
        self.reason = reason
    }
}

/// Why an index cannot be made in the target.
package struct TranslationProblem: Error, Sendable, Equatable {
    package let message: String
}

/// Turns the metadata of an index in a snapshot into the body of its creation. Pure; asks nobody.
///
/// Kept: everything that is not listed here. A setting that the target does not know is found when the index is made,
/// see `CreationRepairPolicy`.
package enum IndexTranslationPolicy {
    private static let renewal = "the target gives its own"

    /// Settings whose name begins so, without `index.`, and why they stay behind. The longest that fits counts.
    static let droppedSettings: [(prefix: String, reason: String)] = [
        ("uuid", renewal),
        ("creation_date", renewal),
        ("provided_name", renewal),
        ("version.", renewal),
        ("history.uuid", renewal),
        ("blocks.", "a block would refuse the documents that are to come"),
        ("frozen", "a frozen index takes no documents"),
        ("search.throttled", "belongs to frozen indices"),
        ("verified_before_close", "belongs to closed indices"),
        ("resize.", "says what the index was made from in the source"),
        ("shrink.", "says what the index was made from in the source"),
        ("split.", "says what the index was made from in the source"),
        ("routing.allocation.", "names nodes and tiers of the source"),
        ("recovery.", "belongs to the nodes of the source"),
        ("store.snapshot.", "the index was mounted from a snapshot"),
        ("store.type", "depends on the machines of the source"),
        ("lifecycle.", "a lifecycle policy of Elasticsearch, which OpenSearch does not have"),
        ("plugins.index_state_management.", "the policy is not moved, so it would not be found"),
        ("opendistro.index_state_management.", "the policy is not moved, so it would not be found"),
        ("default_pipeline", "the pipeline is not moved, so that every document would be refused"),
        ("final_pipeline", "the pipeline is not moved, so that every document would be refused"),
        ("soft_deletes.retention_lease.", "belongs to the replication of the source"),
        ("mapper.dynamic", "was removed with Elasticsearch 6"),
        ("mapping.single_type", "was removed with mapping types"),
        ("xpack.", "a feature of Elasticsearch, which OpenSearch does not have"),
        ("mode", "a feature of Elasticsearch, which OpenSearch does not have"),
        ("time_series.", "a feature of Elasticsearch, which OpenSearch does not have"),
        ("replication.", "how the source copied its shards"),
        ("remote_store.", "where the source kept its files"),
    ]

    /// - Parameter replicas: instead of the source's number, when given.
    package static func translate(
        _ index: SnapshotIndex, replicas: Int? = nil
    ) throws(TranslationProblem) -> TargetIndex {
        try translate(
            name: index.name, settings: index.settings, mappings: index.mappings, aliases: index.aliases,
            replicas: replicas)
    }

    /// As snapshots hold them: settings flat or nested with text values, mappings by type, aliases by name.
    package static func translate(
        name: String, settings: JSONValue, mappings: JSONValue, aliases: JSONValue, replicas: Int? = nil
    ) throws(TranslationProblem) -> TargetIndex {
        var changes: [MetadataChange] = []
        var kept: [JSONMember] = []
        for setting in flattened(settings) {
            let short = setting.key.hasPrefix("index.") ? String(setting.key.dropFirst("index.".count)) : setting.key
            if let reason = reasonToDrop(short) {
                changes.append(
                    MetadataChange(
                        reason == Self.renewal ? .renewed : .dropped, "settings.index.\(short)", reason))
            } else if short == "number_of_replicas", let replicas {
                if setting.value.stringValue != String(replicas) {
                    changes.append(
                        MetadataChange(
                            .changed, "settings.index.number_of_replicas", "\(replicas), as it was asked for"))
                }
            } else {
                kept.append(JSONMember(key: short, value: setting.value))
            }
        }
        if let replicas { kept.append(JSONMember(key: "number_of_replicas", value: .string(String(replicas)))) }
        let mapping = try untyped(mappings, index: name, &changes)
        return TargetIndex(
            name: name,
            body: .object([
                JSONMember(key: "settings", value: .object([JSONMember(key: "index", value: .object(kept))])),
                JSONMember(key: "mappings", value: mapping),
                JSONMember(key: "aliases", value: aliases),
            ]),
            changes: changes)
    }

    static func reasonToDrop(_ setting: String) -> String? {
        droppedSettings.filter { rule in
            rule.prefix.hasSuffix(".") ? setting.hasPrefix(rule.prefix) : setting == rule.prefix
        }.max { $0.prefix.utf8.count < $1.prefix.utf8.count }?.reason
    }

    /// Leaves by their dotted names. Arrays are leaves; an object without members is nothing.
    static func flattened(_ settings: JSONValue, under prefix: String = "") -> [JSONMember] {
        (settings.objectValue ?? []).flatMap { member -> [JSONMember] in
            let name = prefix.isEmpty ? member.key : "\(prefix).\(member.key)"
            guard member.value.objectValue != nil else {
                return member.value == .null ? [] : [JSONMember(key: name, value: member.value)]
            }
            return flattened(member.value, under: name)
        }
    }

    /// The mapping without its type. `_default_` was a template for types that were still to come (up to 6.x).
    private static func untyped(
        _ mappings: JSONValue, index: String, _ changes: inout [MetadataChange]
    ) throws(TranslationProblem) -> JSONValue {
        var types = mappings.objectValue ?? []
        if types.contains(where: { $0.key == "_default_" }) {
            types.removeAll { $0.key == "_default_" }
            changes.append(
                MetadataChange(.dropped, "mappings._default_", "a template for mapping types, which are gone"))
        }
        guard types.count <= 1 else {
            throw TranslationProblem(
                message: "index \(index) has \(types.count) mapping types "
                    + "(\(types.map(\.key).sorted().joined(separator: ", "))), which one mapping cannot hold: "
                    + "reindex it by type in the source")
        }
        guard let type = types.first else { return .object([]) }
        if type.key != "_doc" {
            changes.append(
                MetadataChange(.changed, "mappings.\(type.key)", "its fields are the mapping: types are gone"))
        }
        guard let members = type.value.objectValue else {
            throw TranslationProblem(message: "index \(index): mapping type \(type.key) is no object")
        }
        return .object(
            members.filter { member in
                guard member.key == "_all" else { return true }
                changes.append(MetadataChange(.dropped, "mappings._all", "was removed with Elasticsearch 7"))
                return false
            })
    }
}
