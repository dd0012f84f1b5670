import CSystem

/// The form in which an engine stored a document's `_source`: it keeps the bytes as they were sent
/// (`XContentFactory.xContentType` tells them apart by the first bytes).
package enum SourceEncoding: String, Sendable {
    case json
    case smile
    case cbor
    case yaml
    case empty
    case unknown

    /// Tells the encoding by the first bytes. A JSON source is an object, after white space and a byte order mark.
    @inline(__always)
    package init(detecting source: UnsafeRawBufferPointer) {
        if source.count > 1, source[0] == UInt8(ascii: "{") {
            self = .json
        } else {
            self = SourceEncoding.detectUncommon(source)
        }
    }

    private static func detectUncommon(_ source: UnsafeRawBufferPointer) -> SourceEncoding {
        guard source.count > 0 else { return .empty }
        let first = source[0]
        let second = source.count > 1 ? source[1] : 0
        let third = source.count > 2 ? source[2] : 0
        if first == 0x3A, second == 0x29, third == 0x0A { return .smile }  // ":)\n"
        if first == 0xD9, second == 0xD9, third == 0xF7 { return .cbor }  // RFC 8949 §3.4.6
        if first >> 5 == 5 { return .cbor }  // RFC 8949 §3.1, major type 5: a map
        if first == UInt8(ascii: "-"), second == first, third == first { return .yaml }
        var start = first == 0xEF && second == 0xBB && third == 0xBF ? 3 : 0  // byte order mark
        while start < source.count, isWhiteSpace(source[start]) { start += 1 }
        return start < source.count && source[start] == UInt8(ascii: "{") ? .json : .unknown
    }

    private static func isWhiteSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }
}
