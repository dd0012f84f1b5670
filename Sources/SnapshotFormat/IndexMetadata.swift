import JSONBytes

/// An index's metadata, `indices/<id>/meta-<…>.dat`: `{"<index name>":{…}}`, codec name `index-metadata`.
package struct IndexMetadata: Sendable, Equatable {
    package static let codec = "index-metadata"
    /// Shards that an index can have; the engines' own limit is 1 024 unless raised.
    private static let shardCountLimit: Int64 = 1 << 20

    package let name: String
    package let shardCount: Int
    /// `index.version.created` as written.
    package let createdVersionID: Int
    /// `open` or `close`.
    package let stateText: String
    package let settings: JSONValue
    /// Mapping types to their mappings; a single `_doc` from 7.x on. Binary mappings are decoded.
    package let mappings: JSONValue
    /// Alias names to their properties; binary filters are decoded.
    package let aliases: JSONValue
    package let isSystem: Bool

    package static func parse(_ blob: [UInt8], object: String) throws(SnapshotFormatError) -> IndexMetadata {
        try IndexMetadata(try MetadataBlob.decode(blob, codec: codec, object: object), object: object)
    }

    /// From the decoded body.
    package init(_ value: JSONValue, object: String) throws(SnapshotFormatError) {
        guard let members = value.objectValue, members.count == 1, let root = members.first else {
            throw SnapshotFormatError(object: object, message: "one index expected at the root")
        }
        let index = try MetadataObject(root.value, object: object, path: root.key)
        name = root.key
        stateText = try index.optionalString("state") ?? "open"
        isSystem = try index.optionalBool("system") ?? false
        let settings = index.member("settings") ?? .object([])
        self.settings = settings
        guard let shards = Self.integer(settings, "index.number_of_shards"), (1...Self.shardCountLimit).contains(shards)
        else { throw index.failure("\(index.place("settings")): index.number_of_shards is missing or out of range") }
        shardCount = Int(shards)
        createdVersionID = Int(Self.integer(settings, "index.version.created") ?? 0)
        mappings = try Self.mappings(index)
        aliases = try Self.aliases(index)
    }

    /// A setting by its full name, whether the object is flat (`"index.mode"`), nested or a mixture of both.
    package static func setting(_ settings: JSONValue, _ name: String) -> JSONValue? {
        if let value = settings[name], value != .null { return value }
        var end = name.startIndex
        while let dot = name[end...].firstIndex(of: ".") {
            end = name.index(after: dot)
            if let inner = settings[String(name[..<dot])], inner.objectValue != nil,
                let value = setting(inner, String(name[end...]))
            {
                return value
            }
        }
        return nil
    }

    package static func settingText(_ settings: JSONValue, _ name: String) -> String? {
        switch setting(settings, name) {
        case .string(let text): return text
        case .number(let text): return text
        case .bool(let flag): return flag ? "true" : "false"
        default: return nil
        }
    }

    private static func integer(_ settings: JSONValue, _ name: String) -> Int64? {
        settingText(settings, name).flatMap { Int64($0) }
    }

    /// An array of objects or of compressed bytes up to 7.x and in repositories still; an object where an engine wrote
    /// one. Several types (up to 5.x) are joined into one object.
    private static func mappings(_ index: MetadataObject) throws(SnapshotFormatError) -> JSONValue {
        guard let member = index.member("mappings") else { return .object([]) }
        var types: [JSONMember] = []
        switch member {
        case .array(let elements):
            for (number, element) in elements.enumerated() {
                let path = "\(index.place("mappings"))[\(number)]"
                let mapping = try decoded(element, object: index.object, path: path)
                guard let members = mapping.objectValue else { throw index.failure("\(path) is no object") }
                types += members
            }
        case .object(let members):
            for entry in members {
                let path = "\(index.place("mappings")).\(entry.key)"
                types.append(
                    JSONMember(key: entry.key, value: try decoded(entry.value, object: index.object, path: path)))
            }
        default: throw index.failure("\(index.place("mappings")) is neither an array nor an object")
        }
        return .object(types)
    }

    private static func aliases(_ index: MetadataObject) throws(SnapshotFormatError) -> JSONValue {
        guard let table = try index.child("aliases") else { return .object([]) }
        var aliases: [JSONMember] = []
        for alias in table.value.objectValue ?? [] {
            guard let properties = alias.value.objectValue else {
                throw table.failure("\(table.place(alias.key)) is no object")
            }
            var decodedProperties: [JSONMember] = []
            for property in properties {
                let path = "\(table.place(alias.key)).\(property.key)"
                decodedProperties.append(
                    JSONMember(key: property.key, value: try decoded(property.value, object: index.object, path: path)))
            }
            aliases.append(JSONMember(key: alias.key, value: .object(decodedProperties)))
        }
        return .object(aliases)
    }

    /// Bytes hold a whole document of their own (CompressedXContent); other values are themselves.
    private static func decoded(
        _ value: JSONValue, object: String, path: String
    ) throws(SnapshotFormatError) -> JSONValue {
        guard case .binary(let bytes) = value else { return value }
        let result: Result<JSONValue, SnapshotFormatError> = bytes.withUnsafeBytes { raw in
            do throws(SnapshotFormatError) {
                return .success(try MetadataBody.decode(raw, object: "\(object) \(path)"))
            } catch { return .failure(error) }
        }
        return try result.get()
    }
}

/// The cluster's metadata, `meta-<uuid>.dat` at the root: `{"meta-data":{…}}`, codec name `metadata`.
package enum GlobalMetadata {
    package static let codec = "metadata"

    package static func parse(_ blob: [UInt8], object: String) throws(SnapshotFormatError) -> JSONValue {
        try MetadataBlob.decode(blob, codec: codec, object: object)
    }
}
