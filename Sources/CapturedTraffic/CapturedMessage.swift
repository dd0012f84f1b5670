import HTTPMessage

/// A captured message taken apart for people. It takes what there is, also of a message that is cut off or not quite
/// HTTP: nothing here decides anything.
package struct CapturedMessage: Sendable, Equatable {
    package struct Field: Sendable, Equatable {
        package let name: String
        package let value: String
    }

    /// The parts of the first line: method, target and version, or version, status and reason.
    package let firstLine: [String]
    package let fields: [Field]
    /// Content, without the framing of chunks. What is left when the chunks are broken, as sent.
    package let body: [UInt8]
    /// Whether the empty line behind the fields was there.
    package let isHeadWhole: Bool

    /// Of a request; nil when the first line has not that many parts.
    package var method: String? { firstLine.first.flatMap { $0.isEmpty ? nil : $0 } }
    package var target: String? { firstLine.count > 1 ? firstLine[1] : nil }
    /// Of a response.
    package var status: Int? { firstLine.count > 1 ? Int(firstLine[1]) : nil }

    package init(_ bytes: [UInt8]) {
        var position = 0
        // Empty lines before a request are tolerated.
        while position < bytes.count, bytes[position] == 0x0D || bytes[position] == 0x0A { position += 1 }
        let first = Self.line(bytes, &position)
        firstLine = first.text.split(separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
            .map { Self.text($0) }
        var fields: [Field] = []
        var isWhole = false
        while first.isWhole, position < bytes.count {
            let line = Self.line(bytes, &position)
            if line.isWhole, line.text.isEmpty {
                isWhole = true
                break
            }
            if line.text.isEmpty { break }
            let colon = line.text.firstIndex(of: UInt8(ascii: ":"))
            fields.append(
                Field(
                    name: Self.text(line.text[..<(colon ?? line.text.endIndex)]),
                    value: colon.map { Self.text(Self.trimmed(line.text[($0 + 1)...])) } ?? ""))
        }
        self.fields = fields
        isHeadWhole = isWhole
        let content = Array(bytes[min(position, bytes.count)...])
        let codings = fields.filter { $0.name.lowercased() == "transfer-encoding" }.map { $0.value.lowercased() }
        body = codings.last.map { $0.hasSuffix("chunked") } == true ? Self.withoutChunks(content) : content
    }

    private static func line(_ bytes: [UInt8], _ position: inout Int) -> (text: ArraySlice<UInt8>, isWhole: Bool) {
        guard let end = bytes[position...].firstIndex(of: 0x0A) else {
            defer { position = bytes.count }
            return (bytes[position...], false)
        }
        defer { position = end + 1 }
        let text = bytes[position..<end]
        return (text.last == 0x0D ? text.dropLast() : text, true)
    }

    private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        var text = text.drop(while: isSpace)
        while let last = text.last, isSpace(last) { text.removeLast() }
        return text
    }

    /// UTF-8 where it is, ISO 8859-1 otherwise, so that no byte is lost.
    package static func text(_ bytes: some Collection<UInt8>) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        var text = ""
        for byte in bytes { text.unicodeScalars.append(Unicode.Scalar(byte)) }
        return text
    }

    private static func withoutChunks(_ content: [UInt8]) -> [UInt8] {
        var body: [UInt8] = []
        body.reserveCapacity(content.count)
        var position = 0
        content.withUnsafeBytes { bytes in
            var scanner = HTTPBodyScanner(framing: .chunked)
            do throws(HTTPError) {
                while case .content(let range) = try scanner.next(in: bytes, at: &position) {
                    body.append(contentsOf: bytes[range])
                }
            } catch {
                body.append(contentsOf: bytes[min(position, bytes.count)...])
            }
        }
        return body
    }
}
