import CISAL

/// The Lucene codec frame around every `.dat` blob (CodecUtil.writeHeader and writeFooter, all big-endian):
///
///     magic        Int32   0x3FD76C17
///     codec        VInt length, UTF-8: "snapshot", "snapshots", "index-metadata", "metadata"
///     version      Int32   1 (Elasticsearch 2 and later, OpenSearch)
///     body
///     footer magic Int32   0xC02893E8
///     algorithm    Int32   0
///     checksum     Int64   CRC-32 of every byte before this field
///
/// The checksum is checked for every blob, compressed or not.
package enum CodecFrame {
    package static let magic: UInt32 = 0x3FD7_6C17
    package static let footerMagic: UInt32 = 0xC028_93E8
    package static let footerBytes = 16
    private static let versions: ClosedRange<UInt32> = 1...1

    /// Where the body stands in a blob that must be framed with the codec name `codec`.
    package static func body(
        of blob: UnsafeRawBufferPointer, codec: String, object: String
    ) throws(SnapshotFormatError) -> Range<Int> {
        func failure(_ offset: Int, _ message: String) -> SnapshotFormatError {
            SnapshotFormatError(object: object, offset: offset, message: message)
        }
        var cursor = ByteCursor(blob)
        guard let magic = cursor.bigEndianUInt32() else {
            throw failure(blob.count, "the blob ends within its header")
        }
        guard magic == Self.magic else {
            if isLZF(blob) {
                throw SnapshotFormatError(
                    .unsupported, object: object, offset: 0,
                    message: "LZF-compressed metadata of Elasticsearch 1.x is not supported")
            }
            throw failure(0, "no Lucene codec header: first bytes 0x\(String(magic, radix: 16))")
        }
        guard blob.count - cursor.offset >= footerBytes else {
            throw failure(blob.count, "the blob ends before its footer")
        }
        try checkFooter(blob, object: object)

        guard let length = cursor.byte(), length < 0x80, let name = cursor.take(Int(length)) else {
            throw failure(4, "the codec name is damaged")
        }
        guard name.elementsEqual(codec.utf8) else {
            throw failure(4, "codec '\(printable(name))' where '\(codec)' belongs")
        }
        let versionOffset = cursor.offset
        guard let version = cursor.bigEndianUInt32() else {
            throw failure(versionOffset, "the blob ends within its header")
        }
        guard versions.contains(version) else {
            throw SnapshotFormatError(
                .unsupported, object: object, offset: versionOffset,
                message: "format version \(version) of codec '\(codec)' is not supported")
        }
        let end = blob.count - footerBytes
        guard cursor.offset <= end else { throw failure(cursor.offset, "header and footer overlap") }
        return cursor.offset..<end
    }

    private static func checkFooter(_ blob: UnsafeRawBufferPointer, object: String) throws(SnapshotFormatError) {
        let start = blob.count - footerBytes
        var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: blob[start...]))
        guard let magic = cursor.bigEndianUInt32(), let algorithm = cursor.bigEndianUInt32(),
            let stored = cursor.bigEndianUInt64()
        else { throw SnapshotFormatError(object: object, offset: start, message: "the blob ends before its footer") }
        guard magic == footerMagic, algorithm == 0 else {
            throw SnapshotFormatError(
                object: object, offset: start, message: "no Lucene footer: the blob is cut off or damaged")
        }
        let computed = millrace_crc32(0, blob.bindMemory(to: UInt8.self).baseAddress, blob.count - 8)
        guard stored == UInt64(computed) else {
            throw SnapshotFormatError(
                object: object, offset: blob.count - 8,
                message: "checksum 0x\(String(stored, radix: 16)) stored, 0x\(String(computed, radix: 16)) computed")
        }
    }

    /// Raw LZF chunks (`ZV`) or the marker of Elasticsearch 1.x (`LZF\0`).
    static func isLZF(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.starts(with: [0x5A, 0x56]) || bytes.starts(with: [0x4C, 0x5A, 0x46, 0x00])
    }

    private static func printable(_ bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: bytes.prefix(40).map { $0 >= 0x20 && $0 < 0x7F ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }
}
