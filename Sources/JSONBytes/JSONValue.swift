/// A parsed JSON value, or a value of a binary JSON form such as SMILE.
///
/// Numbers keep their text, so that no precision is lost between reading and writing. Object members keep their order
/// and their duplicates. Meant for metadata and answers of a cluster, not for documents, which stay bytes.
package enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// The number's text, valid by RFC 8259 section 6.
    case number(String)
    case string(String)
    /// Bytes that only a binary form can hold; written as base64 text in JSON, as Jackson does.
    case binary([UInt8])
    case array([JSONValue])
    case object([JSONMember])
}

/// A key and its value in an object.
package struct JSONMember: Sendable, Equatable {
    package let key: String
    package let value: JSONValue

    package init(key: String, value: JSONValue) {
        self.key = key
        self.value = value
    }
}

/// What is wrong with a text that should be JSON, and at which byte of it.
package struct JSONError: Error, Equatable, CustomStringConvertible {
    package let offset: Int
    package let message: String

    package init(offset: Int, message: String) {
        self.offset = offset
        self.message = message
    }

    package var description: String { "at byte \(offset): \(message)" }
}

extension JSONValue {
    /// The whole of `bytes` as one value by RFC 8259: UTF-8, no byte order mark, nothing after the value, no lone
    /// surrogate escapes. Nesting deeper than `depthLimit` is refused; a level costs about 300 bytes of stack.
    package static func parse(
        _ bytes: UnsafeRawBufferPointer, depthLimit: Int = 128
    ) throws(JSONError) -> JSONValue {
        var parser = JSONParser(bytes: bytes, depthLimit: depthLimit)
        return try parser.document()
    }

    /// The same for an array.
    package static func parse(_ bytes: [UInt8], depthLimit: Int = 128) throws(JSONError) -> JSONValue {
        let result: Result<JSONValue, JSONError> = bytes.withUnsafeBytes { raw in
            do throws(JSONError) { return .success(try parse(raw, depthLimit: depthLimit)) } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// The member `key` of an object; the last one when the key occurs several times, as Java's maps take it. nil for
    /// other values.
    package subscript(_ key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key == key }?.value
    }

    package var stringValue: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// A number that is a whole number of 64 bits and written as such.
    package var intValue: Int64? {
        guard case .number(let text) = self else { return nil }
        return Int64(text)
    }

    package var boolValue: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }

    package var arrayValue: [JSONValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    package var objectValue: [JSONMember]? {
        guard case .object(let members) = self else { return nil }
        return members
    }

    package var binaryValue: [UInt8]? {
        guard case .binary(let bytes) = self else { return nil }
        return bytes
    }

    /// Compact JSON text.
    package func serialized() -> [UInt8] {
        var writer = JSONWriter()
        writer.value(self)
        return writer.bytes
    }
}
