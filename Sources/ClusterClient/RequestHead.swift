import JSONBytes

/// Memory for request heads: one a connection, used again for each request once the last one is written.
// Sound: confined to its connection's loop; the connection reads it while it writes.
final class RequestHead: @unchecked Sendable {
    private var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 16)
    private(set) var count = 0

    deinit { memory.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    func removeAll() { count = 0 }

    func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    func append(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

    func append(_ text: String) {
        if text.utf8.withContiguousStorageIfAvailable({ append(UnsafeRawBufferPointer($0)) }) == nil {
            append(Array(text.utf8))
        }
    }

    func append(decimal number: Int) {
        precondition(number >= 0, "a negative length \(number)")
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        reserve(20)
        while divisor > 0 {
            memory[count] = UInt8(ascii: "0") + UInt8(number / divisor % 10)
            count += 1
            divisor /= 10
        }
    }

    private func append(_ bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: bytes)
        count += bytes.count
    }

    private func reserve(_ more: Int) {
        guard memory.count - count < more else { return }
        let grown = UnsafeMutableRawBufferPointer.allocate(byteCount: (count + more) * 2, alignment: 16)
        grown.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<count]))
        memory.deallocate()
        memory = grown
    }
}

/// Writes the heads of requests to one cluster (RFC 9112 §3).
struct RequestHeadWriter: Sendable {
    private let pathPrefix: String
    private let hostField: String
    /// The fields that never change: Host, User-Agent, Accept, and Authorization unless requests are signed.
    private let fixedFields: [UInt8]
    private let signer: SigV4Signer?
    private let unixSeconds: @Sendable () -> Int64

    init(_ settings: ClusterSettings) {
        pathPrefix = settings.url.pathPrefix
        hostField = settings.url.hostField
        unixSeconds = settings.unixSeconds
        var fields = "Host: \(settings.url.hostField)\r\nUser-Agent: \(settings.userAgent)\r\nAccept: */*\r\n"
        if settings.isCompressed { fields += "Accept-Encoding: gzip\r\n" }
        switch settings.authentication {
        case .none: signer = nil
        case .basic(let user, let password):
            signer = nil
            fields += "Authorization: \(BasicAuthorization.text(user: user, password: password))\r\n"
        case .apiKey(let key):
            signer = nil
            fields += "Authorization: ApiKey \(key)\r\n"
        case .sigV4(let region, let service, _): signer = SigV4Signer(region: region, service: service)
        }
        fixedFields = Array(fields.utf8)
    }

    /// Whether requests need credentials and a payload hash.
    var isSigning: Bool { signer != nil }

    func write(_ pending: PendingRequest, into head: RequestHead) {
        let request = pending.request
        head.removeAll()
        head.append(request.method)
        head.append(" ")
        head.append(pathPrefix)
        head.append(request.path)
        if !request.query.isEmpty {
            var query: [UInt8] = [UInt8(ascii: "?")]
            PercentEncoding.appendQuery(request.query, to: &query)
            head.append(query)
        }
        head.append(" HTTP/1.1\r\n")
        head.append(fixedFields)
        if let type = request.contentType {
            head.append("Content-Type: ")
            head.append(type)
            head.append("\r\n")
        }
        if pending.isCompressed { head.append("Content-Encoding: gzip\r\n") }
        if let body = pending.body {
            head.append("Content-Length: ")
            head.append(decimal: body.byteCount)
            head.append("\r\n")
        } else if request.method == "POST" || request.method == "PUT" {
            // RFC 9110 §8.6: a method that usually has content says that there is none.
            head.append("Content-Length: 0\r\n")
        }
        for field in request.fields {
            head.append(field.name)
            head.append(": ")
            head.append(field.value)
            head.append("\r\n")
        }
        if let signer, let signing = pending.signing { sign(request, signing, by: signer, into: head) }
        head.append("\r\n")
    }

    private func sign(
        _ request: ClusterRequest, _ signing: PendingRequest.Signing, by signer: SigV4Signer, into head: RequestHead
    ) {
        let time = SigV4Timestamp(unixSeconds: unixSeconds())
        var fields = [
            SigV4Signer.Field("host", hostField),
            SigV4Signer.Field("x-amz-date", String(decoding: time.text, as: UTF8.self)),
        ]
        if let type = request.contentType { fields.append(.init("content-type", type)) }
        if let token = signing.credentials.sessionToken { fields.append(.init("x-amz-security-token", token)) }
        if signer.sendsContentHash {
            fields.append(.init("x-amz-content-sha256", String(decoding: signing.payloadHash, as: UTF8.self)))
        }
        let path = pathPrefix + request.path
        let authorization = signer.authorization(
            method: request.method, path: Array(path.utf8), query: request.query, fields: fields,
            payloadHash: signing.payloadHash, credentials: signing.credentials, timestamp: time)
        for field in fields where field.name.utf8.starts(with: "x-amz-".utf8) {
            head.append(field.name)
            head.append(": ")
            head.append(field.value)
            head.append("\r\n")
        }
        head.append("Authorization: ")
        head.append(authorization)
        head.append("\r\n")
    }
}
