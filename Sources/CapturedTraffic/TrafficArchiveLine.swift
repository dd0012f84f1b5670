import JSONBytes

/// A line of a traffic archive. The reference project's exports (`.proto.gz`) have `key|base64`; its file input takes
/// `base64` alone; one JSON object a line with `key` and `value` (base64) is read too. The key is the connection id.
package struct TrafficArchiveLine: Sendable, Equatable {
    /// nil when the line has none: the record's own connection id stands in.
    package let key: [UInt8]?
    package let value: [UInt8]
    /// Milliseconds since 1970, which only the JSON form may have (`timestamp`).
    package let timestampMilliseconds: Int64?

    package init(key: [UInt8]?, value: [UInt8], timestampMilliseconds: Int64? = nil) {
        self.key = key
        self.value = value
        self.timestampMilliseconds = timestampMilliseconds
    }

    package struct Failure: Error, Equatable {
        package let message: String
    }

    /// `line` has no line feed; a carriage return at its end is passed over. nil for an empty line.
    package static func parse(_ line: UnsafeRawBufferPointer) throws(Failure) -> TrafficArchiveLine? {
        var line = line
        if line.last == UInt8(ascii: "\r") { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
        if line.isEmpty { return nil }
        if line.first == UInt8(ascii: "{") { return try parseObject(line) }
        // A key may hold anything but the last bar: base64 has none.
        let bar = line.lastIndex(of: UInt8(ascii: "|"))
        let text = UnsafeRawBufferPointer(rebasing: line[(bar.map { $0 + 1 } ?? 0)...])
        guard let value = Base64.decode(text) else { throw Failure(message: "the record is not base64") }
        return TrafficArchiveLine(key: bar.map { Array(line[..<$0]) }, value: value)
    }

    private static func parseObject(_ line: UnsafeRawBufferPointer) throws(Failure) -> TrafficArchiveLine {
        let object: JSONValue
        do throws(JSONError) {
            object = try JSONValue.parse(line)
        } catch {
            throw Failure(message: "not JSON at byte \(error.offset): \(error.message)")
        }
        guard let text = object["value"]?.stringValue else {
            throw Failure(message: "an object without a text `value`")
        }
        guard let value = Array(text.utf8).withUnsafeBytes({ Base64.decode($0) }) else {
            throw Failure(message: "`value` is not base64")
        }
        return TrafficArchiveLine(
            key: object["key"]?.stringValue.map { Array($0.utf8) }, value: value,
            timestampMilliseconds: object["timestamp"]?.intValue)
    }

    /// Appends `key|base64` and a line feed. Line feeds in a key, which would break the line, cannot be written: the
    /// caller checks `canBeKey`.
    package static func append(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, to text: inout [UInt8]) {
        text.append(contentsOf: key)
        text.append(UInt8(ascii: "|"))
        Base64.append(value, to: &text)
        text.append(UInt8(ascii: "\n"))
    }

    package static func canBeKey(_ key: UnsafeRawBufferPointer) -> Bool { !key.contains(0x0A) && !key.contains(0x0D) }
}
