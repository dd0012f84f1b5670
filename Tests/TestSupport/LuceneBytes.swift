import CISAL

/// Bytes in the encodings of Lucene 9: little-endian integers, VInts, strings, and big-endian headers and footers
/// (org.apache.lucene.store.DataOutput, org.apache.lucene.codecs.CodecUtil).
package struct LuceneBytes: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func byte(_ value: UInt8) { bytes.append(value) }
    package mutating func raw(_ value: [UInt8]) { bytes.append(contentsOf: value) }
    package mutating func raw(_ value: UnsafeRawBufferPointer) { bytes.append(contentsOf: value) }
    package mutating func int16(_ value: Int) { append(UInt16(truncatingIfNeeded: value).littleEndian) }
    package mutating func int32(_ value: Int) { append(UInt32(truncatingIfNeeded: value).littleEndian) }
    package mutating func int64(_ value: Int64) { append(UInt64(bitPattern: value).littleEndian) }
    package mutating func bigInt32(_ value: Int) { append(UInt32(truncatingIfNeeded: value).bigEndian) }
    package mutating func bigInt64(_ value: Int64) { append(UInt64(bitPattern: value).bigEndian) }

    private mutating func append<Integer: FixedWidthInteger>(_ value: Integer) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    /// Seven bits a byte, least significant first; negative values take ten bytes.
    package mutating func varInt(_ value: Int) {
        var rest = UInt64(bitPattern: Int64(value))
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    package mutating func string(_ text: String) {
        let utf8 = Array(text.utf8)
        varInt(utf8.count)
        raw(utf8)
    }

    package mutating func strings(_ set: [String]) {
        varInt(set.count)
        for element in set { string(element) }
    }

    package mutating func map(_ pairs: [(String, String)]) {
        varInt(pairs.count)
        for pair in pairs {
            string(pair.0)
            string(pair.1)
        }
    }

    /// CodecUtil.writeHeader: what snapshot blobs start with.
    package mutating func header(_ codec: String, version: Int) {
        bigInt32(0x3FD7_6C17)
        string(codec)
        bigInt32(version)
    }

    /// CodecUtil.writeIndexHeader: what segment files start with.
    package mutating func indexHeader(_ codec: String, version: Int, id: [UInt8], suffix: String = "") {
        header(codec, version: version)
        raw(id)
        byte(UInt8(suffix.utf8.count))
        raw(Array(suffix.utf8))
    }

    /// CodecUtil.writeFooter with the CRC-32 of everything written so far.
    package mutating func footer() {
        bigInt32(0xC028_93E8)
        bigInt32(0)
        let checksum = millrace_crc32(0, bytes, bytes.count)
        bigInt64(Int64(checksum))
    }

    package mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }
    package var count: Int { bytes.count }
}

/// Lucene writes generations and checksums in base 36.
package func base36(_ number: some BinaryInteger) -> String { String(number, radix: 36) }
