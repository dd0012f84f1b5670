/// One request to a cluster. The client adds the path prefix, Host, authentication and framing.
package struct ClusterRequest: Sendable {
    package var method: String
    /// Percent-encoded, starting with a slash; see `PercentEncoding.path`.
    package var path: String
    /// Names and values in plain form.
    package var query: [(String, String)]
    /// nil: no Content-Type.
    package var contentType: String?
    package var body: ClusterRequestBody?
    /// More fields, names in any case. None that the client sets itself.
    package var fields: [(name: String, value: String)] = []
    /// The caller says that carrying the request out twice does no harm. Safe and idempotent methods are taken to be
    /// repeatable anyway (RFC 9110 §9.2.2).
    package var isRepeatable: Bool
    /// Instead of the settings' `requestTimeout`.
    package var timeout: Duration?

    package init(
        _ method: String, _ path: String, query: [(String, String)] = [], contentType: String? = nil,
        body: ClusterRequestBody? = nil, isRepeatable: Bool = false, timeout: Duration? = nil
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.contentType = contentType ?? (body == nil ? nil : "application/json")
        self.body = body
        self.isRepeatable = isRepeatable
        self.timeout = timeout
    }

    var isIdempotent: Bool {
        switch method {
        case "GET", "HEAD", "PUT", "DELETE", "OPTIONS": true
        default: false
        }
    }
}

/// A body as slices of memory that `owner` keeps alive. Nothing is copied; nobody writes to the slices until the
/// request's completion was called.
// Sound: immutable, and the memory behind the slices is not written while a request runs.
package final class ClusterRequestBody: @unchecked Sendable {
    package let slices: [UnsafeRawBufferPointer]
    package let byteCount: Int
    package let owner: AnyObject?

    package init(slices: [UnsafeRawBufferPointer], owner: AnyObject?) {
        self.slices = slices
        byteCount = slices.reduce(0) { $0 + $1.count }
        self.owner = owner
    }

    /// A copy of `bytes`.
    package convenience init(bytes: some Collection<UInt8>) {
        let memory = OwnedBytes(count: bytes.count)
        memory.bytes.copyBytes(from: bytes)
        self.init(slices: [UnsafeRawBufferPointer(memory.bytes)], owner: memory)
    }

    package convenience init(text: String) { self.init(bytes: Array(text.utf8)) }
}

/// Memory that lives as long as somebody references it.
// Sound: written by its maker before it is handed on, only read afterwards.
final class OwnedBytes: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(count: Int) {
        bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    }

    deinit { bytes.deallocate() }
}
