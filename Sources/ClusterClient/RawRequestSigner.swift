import HTTPMessage

/// Signs requests whose heads are written already (AWS Signature Version 4).
///
/// The signature covers what is sent: the method, the target, Host, Content-Type and every `x-amz-` field of the head,
/// and the body without its chunk framing, as a server sees it. It holds for a few minutes, so it is made when a
/// request is sent, and again for every attempt. A head with fields of an earlier signature is refused: whoever
/// rewrites a request takes them out. Thread-safe.
package final class RawRequestSigner: Sendable {
    private let signer: SigV4Signer
    private let credentials: any AWSCredentialsProvider
    private let side: ClusterError.Side
    private let unixSeconds: @Sendable () -> Int64

    /// - Parameter service: `es`, `aoss`, or another service of the general rules.
    /// - Parameter unixSeconds: Seconds since 1970.
    package init(
        region: String, service: String, credentials: any AWSCredentialsProvider, side: ClusterError.Side = .target,
        unixSeconds: @escaping @Sendable () -> Int64
    ) {
        signer = SigV4Signer(region: region, service: service)
        self.credentials = credentials
        self.side = side
        self.unixSeconds = unixSeconds
    }

    /// The head to send: the request's own with the lines of the signature before its empty line.
    package func signed(_ request: RawRequest) throws(ClusterError) -> [UInt8] {
        let lines = try lines(head: request.head, body: request.body, payloadHash: request.payloadHash)
        var head: [UInt8] = []
        head.reserveCapacity(request.head.count + lines.count)
        head += request.head.dropLast(2)
        head += lines
        head += request.head.suffix(2)
        return head
    }

    /// The lines of a signature, each with its line break: `X-Amz-Date`, with them `X-Amz-Security-Token` and
    /// `X-Amz-Content-SHA256` where they are due, and `Authorization`.
    ///
    /// - Parameter head: The whole head with its empty line.
    /// - Parameter body: The body as it is sent.
    /// - Parameter payloadHash: `payloadHash(of:isChunked:)` of the body, if it is known.
    package func lines(
        head: [UInt8], body: [UnsafeRawBufferPointer], payloadHash: [UInt8]? = nil
    ) throws(ClusterError) -> [UInt8] {
        let scanned = try scan(head)
        let keys = try credentials.credentials()
        let time = SigV4Timestamp(unixSeconds: unixSeconds())
        let hash: [UInt8]
        if let payloadHash {
            hash = payloadHash
        } else {
            hash = try self.payloadHash(of: body, isChunked: scanned.framing == .chunked)
        }
        var own = [SigV4Signer.Field("x-amz-date", String(decoding: time.text, as: UTF8.self))]
        if let token = keys.sessionToken { own.append(.init("x-amz-security-token", token)) }
        if signer.sendsContentHash { own.append(.init("x-amz-content-sha256", String(decoding: hash, as: UTF8.self))) }
        let (path, query) = Self.split(target: head[scanned.target])
        let authorization = signer.authorization(
            method: head[scanned.methodRange], path: path, canonicalQuery: SigV4Signer.canonicalQuery(asSent: query),
            fields: try signedFields(of: scanned, head) + own, payloadHash: hash, credentials: keys, timestamp: time)
        var lines: [UInt8] = []
        lines.reserveCapacity(authorization.count + 256)
        for field in own + [.init("Authorization", String(decoding: authorization, as: UTF8.self))] {
            lines += field.name.utf8
            lines += ": ".utf8
            lines += field.value.utf8
            lines += "\r\n".utf8
        }
        return lines
    }

    /// SHA-256 of a body's content as 64 hexadecimal digits; of what the chunks hold when it is chunked. It is the same
    /// for every attempt.
    package func payloadHash(
        of body: [UnsafeRawBufferPointer], isChunked: Bool
    ) throws(ClusterError) -> [UInt8] {
        guard isChunked else { return SHA256Digest(slices: body).hexadecimal }
        var content: [UnsafeRawBufferPointer] = []
        var scanner = HTTPBodyScanner(framing: .chunked)
        for slice in body {
            var position = 0
            slices: while true {
                let step: HTTPBodyScanner.Step
                do throws(HTTPError) { step = try scanner.next(in: slice, at: &position) } catch {
                    throw refusal("the request's chunks are broken at byte \(error.offset): \(error.message)", error)
                }
                switch step {
                case .content(let range): content.append(UnsafeRawBufferPointer(rebasing: slice[range]))
                case .needsMoreBytes: break slices
                case .complete:
                    guard position == slice.count else { throw refusal("bytes follow the request's last chunk") }
                    break slices
                }
            }
        }
        guard scanner.isComplete else { throw refusal("the request's last chunk is missing") }
        return SHA256Digest(slices: content).hexadecimal
    }

    private func scan(_ head: [UInt8]) throws(ClusterError) -> HTTPHead {
        var scanner = HTTPHeadScanner()
        let outcome = head.withUnsafeBytes { bytes -> Result<Bool, HTTPError> in
            Result { () throws(HTTPError) in try scanner.scan(bytes) }
        }
        switch outcome {
        case .success(true) where scanner.head.byteCount == head.count: return scanner.head
        case .success: throw refusal("the request's head is not one whole head")
        case .failure(let error):
            throw refusal("the request's head is broken at byte \(error.offset): \(error.message)", error)
        }
    }

    private func signedFields(of scanned: HTTPHead, _ head: [UInt8]) throws(ClusterError) -> [SigV4Signer.Field] {
        var fields: [SigV4Signer.Field] = []
        var hasHost = false
        for field in scanned.fields {
            let isSigned: Bool
            switch field.known {
            case .host:
                hasHost = true
                isSigned = true
            case .contentType: isSigned = true
            case .authorization: throw refusal("the request to sign has an Authorization field already")
            default: isSigned = Self.isAmazonName(head[field.name])
            }
            guard isSigned else { continue }
            let name = String(decoding: head[field.name].map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }, as: UTF8.self)
            if Self.ownNames.contains(name) { throw refusal("the request to sign has the field \(name) already") }
            fields.append(.init(name, String(decoding: head[field.value], as: UTF8.self)))
        }
        guard hasHost else { throw refusal("the request to sign has no Host field") }
        return fields
    }

    private static let ownNames: Set<String> = ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"]

    private static func isAmazonName(_ name: ArraySlice<UInt8>) -> Bool {
        let prefix = "x-amz-".utf8
        return name.count > prefix.count && zip(name, prefix).allSatisfy { $0 | 0x20 == $1 | 0x20 }
    }

    /// Path and query of a target; one in absolute form (RFC 9112 §3.2.2) without its scheme and authority.
    private static func split(target: ArraySlice<UInt8>) -> (path: ArraySlice<UInt8>, query: ArraySlice<UInt8>) {
        let query = target.drop { $0 != UInt8(ascii: "?") }
        var path = target[..<query.startIndex]
        if path.first != UInt8(ascii: "/"), let colon = path.firstIndex(of: UInt8(ascii: ":")),
            path[colon...].starts(with: "://".utf8)
        {
            path = path[(colon + 3)...].drop { $0 != UInt8(ascii: "/") }
        }
        return (path, query.dropFirst())
    }

    private func refusal(_ what: String, _ cause: (any Error)? = nil) -> ClusterError {
        ClusterError(
            .badRequest, side: side, disposition: .rejectItem, message: "\(side.rawValue): cannot be signed: \(what)",
            cause: cause, isNotSent: true)
    }
}
