import JSONBytes

/// An object within a decoded blob, with its path for messages. Unknown members are left alone: newer engines add some.
struct MetadataObject {
    let value: JSONValue
    /// The blob's name.
    let object: String
    /// Such as `files[3]`; empty at the root.
    let path: String

    init(_ value: JSONValue, object: String, path: String = "") throws(SnapshotFormatError) {
        self.value = value
        self.object = object
        self.path = path
        guard value.objectValue != nil else {
            throw failure(path.isEmpty ? "an object expected" : "\(path) is no object")
        }
    }

    func failure(_ message: String) -> SnapshotFormatError { SnapshotFormatError(object: object, message: message) }

    func place(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// nil when the member is absent or null.
    func member(_ key: String) -> JSONValue? {
        guard let member = value[key], member != .null else { return nil }
        return member
    }

    func child(_ key: String) throws(SnapshotFormatError) -> MetadataObject? {
        guard let member = member(key) else { return nil }
        return try MetadataObject(member, object: object, path: place(key))
    }

    func string(_ key: String) throws(SnapshotFormatError) -> String {
        guard let text = try optionalString(key) else { throw failure("\(place(key)) is missing") }
        return text
    }

    func optionalString(_ key: String) throws(SnapshotFormatError) -> String? {
        guard let member = member(key) else { return nil }
        guard let text = member.stringValue else { throw failure("\(place(key)) is no string") }
        return text
    }

    /// A string that becomes part of a blob's name and must not lead out of its folder; nil when absent.
    func blobNamePart(_ key: String) throws(SnapshotFormatError) -> String? {
        guard let text = try optionalString(key) else { return nil }
        guard Self.isBlobNamePart(text) else { throw failure("\(place(key)) cannot be part of a blob's name") }
        return text
    }

    static func isBlobNamePart(_ text: String) -> Bool {
        !text.isEmpty && text != "." && text != ".." && !text.utf8.contains { $0 == 0x2F || $0 < 0x20 }
    }

    func int(_ key: String) throws(SnapshotFormatError) -> Int64 {
        guard let number = try optionalInt(key) else { throw failure("\(place(key)) is missing") }
        return number
    }

    /// A number, or a string that holds one.
    func optionalInt(_ key: String) throws(SnapshotFormatError) -> Int64? {
        guard let member = member(key) else { return nil }
        guard let number = member.intValue ?? member.stringValue.flatMap({ Int64($0) }) else {
            throw failure("\(place(key)) is no whole number")
        }
        return number
    }

    func optionalBool(_ key: String) throws(SnapshotFormatError) -> Bool? {
        guard let member = member(key) else { return nil }
        guard let flag = member.boolValue else { throw failure("\(place(key)) is no boolean") }
        return flag
    }

    /// Empty when absent.
    func array(_ key: String) throws(SnapshotFormatError) -> [JSONValue] {
        guard let member = member(key) else { return [] }
        guard let elements = member.arrayValue else { throw failure("\(place(key)) is no array") }
        return elements
    }

    func strings(_ key: String) throws(SnapshotFormatError) -> [String] {
        var texts: [String] = []
        for (index, element) in try array(key).enumerated() {
            guard let text = element.stringValue else { throw failure("\(place(key))[\(index)] is no string") }
            texts.append(text)
        }
        return texts
    }
}

/// The value in a whole framed `.dat` blob.
package enum MetadataBlob {
    package static func decode(
        _ blob: [UInt8], codec: String, object: String
    ) throws(SnapshotFormatError) -> JSONValue {
        let result: Result<JSONValue, SnapshotFormatError> = blob.withUnsafeBytes { raw in
            do throws(SnapshotFormatError) { return .success(try decode(raw, codec: codec, object: object)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    package static func decode(
        _ blob: UnsafeRawBufferPointer, codec: String, object: String
    ) throws(SnapshotFormatError) -> JSONValue {
        let body = try CodecFrame.body(of: blob, codec: codec, object: object)
        return try MetadataBody.decode(
            UnsafeRawBufferPointer(rebasing: blob[body]), start: body.lowerBound, object: object)
    }
}
