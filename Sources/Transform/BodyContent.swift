import CISAL
import HTTPMessage

/// How a message's content is compressed (RFC 9110 §8.4.1). Senders of `deflate` mean zlib or raw DEFLATE; the first
/// two bytes tell.
enum ContentCoding: Equatable {
    case identity, gzip, zlib, raw
    /// `br`, `zstd`, a list of codings …
    case unknown

    init(_ head: HTTPHead, _ bytes: UnsafeRawBufferPointer) {
        guard let value = head.value(of: .contentEncoding), !value.isEmpty else {
            self = .identity
            return
        }
        if HTTPHead.equals(bytes, value, "gzip") || HTTPHead.equals(bytes, value, "x-gzip") {
            self = .gzip
        } else if HTTPHead.equals(bytes, value, "deflate") {
            self = .zlib
        } else {
            self = HTTPHead.equals(bytes, value, "identity") ? .identity : .unknown
        }
    }

    var number: Int32 {
        switch self {
        case .gzip: Int32(MILLRACE_CODING_GZIP)
        case .zlib: Int32(MILLRACE_CODING_ZLIB)
        default: Int32(MILLRACE_CODING_RAW)
        }
    }
}

/// The content of a message: chunk framing and compression taken off, in one piece. An uncompressed body that lies in
/// one piece is not copied.
struct BodyContent {
    /// Of the wire bytes and of the inflated content.
    static let limitBytes = 256 << 20

    let head: HTTPHead
    let headBytes: UnsafeRawBufferPointer
    let body: [UnsafeRawBufferPointer]
    /// For errors: `body` or `response`.
    let object: String

    init(_ request: CapturedRequest) {
        head = request.head
        headBytes = request.headBytes
        body = request.body
        object = "body"
    }

    init(_ response: SourceResponse) {
        head = response.head
        headBytes = response.headBytes
        body = response.body
        object = "response"
    }

    var isChunked: Bool { head.framing == .chunked }

    /// Calls `piece` for every run of content, still compressed, and returns the number of trailer fields. It stops
    /// when `piece` returns false. A body that ends before its framing does is an error.
    func forEachPiece(_ piece: (UnsafeRawBufferPointer) -> Bool) throws(TransformError) -> Int {
        guard isChunked else {
            for slice in body where !slice.isEmpty { if !piece(slice) { return 0 } }
            return 0
        }
        var scanner = HTTPBodyScanner(framing: .chunked)
        do throws(HTTPError) {
            for slice in body {
                var position = 0
                scan: while true {
                    switch try scanner.next(in: slice, at: &position) {
                    case .content(let range):
                        if !piece(UnsafeRawBufferPointer(rebasing: slice[range])) { return 0 }
                    case .needsMoreBytes: break scan
                    case .complete: return scanner.trailers.count
                    }
                }
            }
            try scanner.endOfInput()
        } catch {
            throw TransformError(.corruptBody, in: object, at: error.offset, error.message)
        }
        return scanner.trailers.count
    }

    /// Calls `use` with the content; the bytes are valid during the call. `coding` is what it was compressed with.
    func withContent<R>(
        trailerCount: inout Int,
        _ use: (UnsafeRawBufferPointer, ContentCoding) throws(TransformError) -> R
    ) throws(TransformError) -> R {
        var coding = ContentCoding(head, headBytes)
        guard coding != .unknown else {
            throw TransformError(.unsupportedCoding, in: object, at: 0, "a content coding other than gzip and deflate")
        }
        if !isChunked, body.count <= 1 {
            return try inflated(body.first ?? UnsafeRawBufferPointer(start: nil, count: 0), &coding, use)
        }
        let wireBytes = body.reduce(0) { $0 + $1.count }
        try checkLimit(wireBytes)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, wireBytes), alignment: 1)
        defer { memory.deallocate() }
        var count = 0
        trailerCount += try forEachPiece { piece in
            UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: piece)
            count += piece.count
            return true
        }
        return try inflated(UnsafeRawBufferPointer(rebasing: memory[..<count]), &coding, use)
    }

    private func checkLimit(_ count: Int) throws(TransformError) {
        guard count <= Self.limitBytes else {
            throw TransformError(
                .bodyTooLarge, in: object, at: Self.limitBytes, "longer than \(Self.limitBytes) bytes")
        }
    }

    private func inflated<R>(
        _ bytes: UnsafeRawBufferPointer, _ coding: inout ContentCoding,
        _ use: (UnsafeRawBufferPointer, ContentCoding) throws(TransformError) -> R
    ) throws(TransformError) -> R {
        try checkLimit(bytes.count)
        guard coding != .identity, let input = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
            return try use(bytes, .identity)
        }
        if coding == .zlib, !Self.isZlib(bytes) { coding = .raw }
        var output: UnsafeMutablePointer<UInt8>?
        var count = 0
        var consumed = 0
        let outcome = millrace_decompress(
            coding.number, input, bytes.count, Self.limitBytes, &output, &count, &consumed)
        defer { free(output) }
        switch Int(outcome) {
        case Int(MILLRACE_DECOMPRESSED): return try use(UnsafeRawBufferPointer(start: output, count: count), coding)
        case Int(MILLRACE_DECOMPRESS_TOO_LARGE):
            throw TransformError(
                .bodyTooLarge, in: object, at: consumed, "inflates to more than \(Self.limitBytes) bytes")
        case Int(MILLRACE_DECOMPRESS_NO_MEMORY):
            throw TransformError(.bodyTooLarge, in: object, at: consumed, "no memory to inflate it")
        case Int(MILLRACE_DECOMPRESS_CUT_OFF):
            throw TransformError(.corruptBody, in: object, at: consumed, "compressed data that is cut off")
        default: throw TransformError(.corruptBody, in: object, at: consumed, "compressed data that cannot be read")
        }
    }

    /// RFC 1950 §2.2: method 8, and the header is a multiple of 31.
    private static func isZlib(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count > 1 && bytes[0] & 15 == 8 && (Int(bytes[0]) << 8 | Int(bytes[1])) % 31 == 0
    }

    /// `content` in this coding again.
    static func encoded(_ content: [UInt8], _ coding: ContentCoding) throws(TransformError) -> [UInt8] {
        guard coding != .identity else { return content }
        let limit = millrace_gzip_bound(content.count)
        let output = [UInt8](unsafeUninitializedCapacity: limit) { output, count in
            count = content.withUnsafeBufferPointer { input in
                millrace_compress(coding.number, input.baseAddress, input.count, output.baseAddress, limit)
            }
        }
        guard !output.isEmpty else {
            throw TransformError(.bodyTooLarge, in: "body", at: 0, "no memory to compress it")
        }
        return output
    }
}
