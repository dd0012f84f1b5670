import JSONBytes

/// A complete response, whatever its status. Fields stay bytes until somebody asks for them: most callers read the body
/// only.
package struct ClusterResponse: Sendable {
    package let status: Int
    /// Without transfer coding, and inflated if it came as gzip.
    package let body: [UInt8]
    private let head: [UInt8]
    private let fields: [FieldRange]

    struct FieldRange: Sendable {
        var name: Range<Int>
        var value: Range<Int>
    }

    init(status: Int, head: [UInt8], fields: [FieldRange], body: [UInt8]) {
        self.status = status
        self.head = head
        self.fields = fields
        self.body = body
    }

    /// For stand-ins in tests.
    package init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8]) {
        var head: [UInt8] = []
        var fields: [FieldRange] = []
        for header in headers {
            let nameStart = head.count
            head += header.name.utf8
            let valueStart = head.count
            head += header.value.utf8
            fields.append(FieldRange(name: nameStart..<valueStart, value: valueStart..<head.count))
        }
        self.init(status: status, head: head, fields: fields, body: body)
    }

    package var headers: [(name: String, value: String)] {
        fields.map { field in
            (String(decoding: head[field.name], as: UTF8.self), String(decoding: head[field.value], as: UTF8.self))
        }
    }

    /// The first field of that name, given in lower case.
    package func header(_ name: String) -> String? {
        let wanted = name.utf8
        for field in fields where field.name.count == wanted.count {
            let isSame = zip(head[field.name], wanted).allSatisfy { byte, expected in
                byte == expected || (byte | 0x20 == expected && (0x41...0x5A).contains(byte))
            }
            if isSame { return String(decoding: head[field.value], as: UTF8.self) }
        }
        return nil
    }

    /// The engine's own words under `error`, behind a colon; empty when there are none. One line, cut to 1 KiB.
    package var explanation: String {
        let error = (try? JSONValue.parse(body))?["error"]
        guard let reason = error?["reason"]?.stringValue ?? error?.stringValue else { return "" }
        return ": \(StatusPolicy.oneLine(reason, limit: 1024))"
    }

    func withBody(_ body: [UInt8]) -> ClusterResponse {
        ClusterResponse(status: status, head: head, fields: fields, body: body)
    }
}
