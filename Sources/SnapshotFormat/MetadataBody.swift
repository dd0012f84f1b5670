import CISAL
import CZstd
import JSONBytes

/// Decodes the body of a metadata blob. Which form it has is decided per blob by its first bytes, since one repository
/// mixes them: engines wrote shard metadata uncompressed beside compressed index metadata, and settings changed.
///
///     44 46 4C 00     "DFL\0"   raw DEFLATE (RFC 1951) of one of the plain forms
///     5A 53 54 44 00  "ZSTD\0"  a zstd frame of one of the plain forms (OpenSearch 2.10 and later)
///     3A 29 0A        ":)\n"    SMILE
///     7B              "{"       JSON
///     5A 56, 4C 5A 46 00        LZF (Elasticsearch 1.x): not supported
package enum MetadataBody {
    /// Bytes that a body may have decompressed; index metadata with ten thousand fields is a few MB, a snap blob of a
    /// shard with a hundred thousand files some tens of MB.
    package static let defaultLimitBytes = 256 << 20

    /// The value in `body`, which stands at byte `start` of the blob `object`.
    package static func decode(
        _ body: UnsafeRawBufferPointer, start: Int = 0, object: String, limitBytes: Int = defaultLimitBytes
    ) throws(SnapshotFormatError) -> JSONValue {
        if body.starts(with: [0x44, 0x46, 0x4C, 0x00]) {
            let plain = try inflate(
                UnsafeRawBufferPointer(rebasing: body[4...]), start: start + 4, object: object, limitBytes: limitBytes)
            return try decodePlain(plain, object: object)
        }
        if body.starts(with: [0x5A, 0x53, 0x54, 0x44, 0x00]) {
            let plain = try decompressZstd(
                UnsafeRawBufferPointer(rebasing: body[5...]), start: start + 5, object: object, limitBytes: limitBytes)
            return try decodePlain(plain, object: object)
        }
        if CodecFrame.isLZF(body) {
            throw SnapshotFormatError(
                .unsupported, object: object, offset: start,
                message: "LZF-compressed metadata of Elasticsearch 1.x is not supported")
        }
        return try decodePlain(body, start: start, place: "", object: object)
    }

    private static func decodePlain(_ bytes: [UInt8], object: String) throws(SnapshotFormatError) -> JSONValue {
        let result: Result<JSONValue, SnapshotFormatError> = bytes.withUnsafeBytes { raw in
            do throws(SnapshotFormatError) {
                return .success(try decodePlain(raw, start: 0, place: " of the decompressed body", object: object))
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    private static func decodePlain(
        _ bytes: UnsafeRawBufferPointer, start: Int, place: String, object: String
    ) throws(SnapshotFormatError) -> JSONValue {
        func located(_ error: JSONError, _ form: String) -> SnapshotFormatError {
            SnapshotFormatError(
                object: object, offset: start + error.offset, message: "\(form)\(place): \(error.message)")
        }
        if SmileDecoder.hasHeader(bytes) {
            do throws(JSONError) { return try SmileDecoder.decode(bytes) } catch { throw located(error, "SMILE") }
        }
        if let first = bytes.first(where: { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }), first == 0x7B {
            do throws(JSONError) { return try JSONValue.parse(bytes) } catch { throw located(error, "JSON") }
        }
        throw SnapshotFormatError(
            object: object, offset: start, message: "the body\(place) is none of DFL, ZSTD, SMILE and JSON")
    }

    /// A whole raw DEFLATE stream. The output grows until the stream ends or `limitBytes` are passed.
    package static func inflate(
        _ input: UnsafeRawBufferPointer, start: Int, object: String, limitBytes: Int
    ) throws(SnapshotFormatError) -> [UInt8] {
        func failure(_ message: String) -> SnapshotFormatError {
            SnapshotFormatError(object: object, offset: start, message: message)
        }
        guard !input.isEmpty else { throw failure("the deflated body is empty") }
        guard input.count <= Int(UInt32.max) else { throw failure("the deflated body has \(input.count) bytes") }
        guard let state = millrace_inflate_new() else { throw failure("no memory to inflate with") }
        defer { millrace_inflate_free(state) }
        var capacity = min(limitBytes, max(4096, input.count.multipliedReportingOverflow(by: 6).partialValue))
        while true {
            var code: Int32 = 0
            let output = [UInt8](unsafeUninitializedCapacity: max(1, capacity)) { buffer, count in
                var written = 0
                code = millrace_inflate_raw(
                    state, input.bindMemory(to: UInt8.self).baseAddress, input.count, buffer.baseAddress, capacity, nil,
                    0,
                    &written)
                count = written
            }
            if code == 0 { return output }
            guard code == ISAL_OUT_OVERFLOW else {
                throw failure(
                    code == ISAL_END_INPUT ? "the deflate stream is cut off" : "the deflate stream is damaged (\(code))"
                )
            }
            guard capacity < limitBytes else { throw failure("the body inflates to more than \(limitBytes) bytes") }
            capacity = capacity > limitBytes / 4 ? limitBytes : capacity * 4
        }
    }

    /// One or several zstd frames (RFC 8878). The output grows as the stream goes, so that a frame without a content
    /// size, which is what the engines write, costs no second pass.
    package static func decompressZstd(
        _ input: UnsafeRawBufferPointer, start: Int, object: String, limitBytes: Int
    ) throws(SnapshotFormatError) -> [UInt8] {
        func failure(_ offset: Int, _ message: String) -> SnapshotFormatError {
            SnapshotFormatError(object: object, offset: start + offset, message: message)
        }
        guard let stream = ZSTD_createDStream() else { throw failure(0, "no memory to decompress with") }
        defer { ZSTD_freeDStream(stream) }
        var output: [UInt8] = []
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: ZSTD_DStreamOutSize(), alignment: 16)
        defer { block.deallocate() }
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var rest = 1
        while source.pos < source.size || rest != 0 {
            var target = ZSTD_outBuffer(dst: block.baseAddress, size: block.count, pos: 0)
            let before = source.pos
            rest = ZSTD_decompressStream(stream, &target, &source)
            guard ZSTD_isError(rest) == 0 else {
                throw failure(source.pos, "the zstd frame is damaged: \(String(cString: ZSTD_getErrorName(rest)))")
            }
            output.append(contentsOf: UnsafeRawBufferPointer(rebasing: block[..<target.pos]))
            guard output.count <= limitBytes else {
                throw failure(source.pos, "the body decompresses to more than \(limitBytes) bytes")
            }
            if rest != 0, source.pos == source.size, target.pos == 0, before == source.pos {
                throw failure(source.pos, "the zstd frame is cut off")
            }
        }
        return output
    }
}
