import LuceneFormat

/// Reads a whole shard of real files, mutated, as a backfill does. Nothing may trap; errors and wrong documents are fine.
///
/// The input holds the files one after another, each as
///
///     byte: length of the name | name | UInt16 little-endian: length of the content | content
///
/// Every footer is signed anew, also those inside of a compound file, so that mutations get past the checksums.
@Sendable func fuzzLuceneShard(_ bytes: UnsafeRawBufferPointer) {
    readPackedShard(bytes)
}

/// Returns how many documents came.
@discardableResult func readPackedShard(_ bytes: UnsafeRawBufferPointer) -> Int { readShard(PackedShard(bytes)) }

/// A shard whose files come from one input.
private struct PackedShard: LuceneDirectory {
    struct NoSuchBytes: Error {}

    private var files: [String: [UInt8]] = [:]

    let location = "fuzz"
    var fileNames: [String] { Array(files.keys) }

    init(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes[...]
        while let nameCount = rest.popFirst(), rest.count >= Int(nameCount) + 2 {
            let name = String(decoding: rest.prefix(Int(nameCount)), as: UTF8.self)
            rest = rest.dropFirst(Int(nameCount))
            let contentCount = Int(rest.removeFirst()) | Int(rest.removeFirst()) << 8
            files[name] = Self.signed(Array(rest.prefix(contentCount)))
            rest = rest.dropFirst(contentCount)
        }
    }

    func length(of file: String) -> Int64? { files[file].map { Int64($0.count) } }

    func read(_ file: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard let bytes = files[file], offset >= 0, offset <= bytes.count, buffer.count <= bytes.count - Int(offset)
        else {
            throw NoSuchBytes()
        }
        buffer.copyBytes(from: bytes[Int(offset)..<(Int(offset) + buffer.count)])
    }

    /// Gives every footer the checksum of what is before it: from the last header that precedes it, which is where a
    /// file within a compound file starts, and for the last footer from the start.
    private static func signed(_ content: [UInt8]) -> [UInt8] {
        let footerCount = CodecFooter.byteCount
        guard content.count >= footerCount else { return content }
        var bytes = content
        var start = 0
        var index = 0
        let end = bytes.count - footerCount
        while index < end {
            if bytes[index] == 0x3F, bytes[index...].starts(with: [0x3F, 0xD7, 0x6C, 0x17]) {
                start = index
            } else if bytes[index] == 0xC0, index + footerCount <= end,
                bytes[index...].starts(with: [0xC0, 0x28, 0x93, 0xE8, 0, 0, 0, 0])
            {
                sign(&bytes, from: start, footer: index)
                index += footerCount
                continue
            }
            index += 1
        }
        sign(&bytes, from: 0, footer: end)
        return bytes
    }

    private static func sign(_ bytes: inout [UInt8], from start: Int, footer: Int) {
        let signed = CodecFooter.appended(to: Array(bytes[start..<footer]))
        bytes.replaceSubrange(footer..<(footer + CodecFooter.byteCount), with: signed.suffix(CodecFooter.byteCount))
    }
}
