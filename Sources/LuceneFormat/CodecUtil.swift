import CISAL

/// The header of every Lucene file (`CodecUtil.writeIndexHeader`), big-endian always:
///
///     magic 3F D7 6C 17 | String codec name | Int32 version | 16 bytes object id | Byte length + suffix
package struct IndexHeader: Sendable, Equatable {
    package let codecName: String
    package let version: Int
    package let id: [UInt8]
    package let suffix: String
    /// Where the content starts.
    package let byteCount: Int

    /// Most bytes that a header can have: the name is shorter than 128 bytes and the suffix than 256.
    static let byteLimit = 4 + 1 + 127 + 4 + 16 + 1 + 255
    static let magic: Int32 = 0x3FD7_6C17
    static let idByteCount = 16

    static func read(_ input: inout IndexInput) throws(LuceneError) -> IndexHeader {
        let (codecName, version) = try readPlain(&input)
        let id = Array(try input.readBytes(idByteCount))
        let suffixCount = Int(try input.readByte())
        let suffix = String(decoding: try input.readBytes(suffixCount), as: UTF8.self)
        return IndexHeader(codecName: codecName, version: version, id: id, suffix: suffix, byteCount: input.position)
    }

    /// The part that Lucene 4 has too: magic, name, version.
    static func readPlain(_ input: inout IndexInput) throws(LuceneError) -> (codecName: String, version: Int) {
        let magic = try input.readBigEndianInt32()
        guard magic == Self.magic else {
            throw input.corrupt(
                "not a Lucene file: it begins with \(hexadecimal(UInt32(bitPattern: magic)))", at: input.position - 4)
        }
        let nameStart = input.position
        let codecName = try input.readString()
        guard codecName.utf8.count < 128 else { throw input.corrupt("overlong codec name", at: nameStart) }
        let version = Int(try input.readBigEndianInt32())
        return (codecName, version)
    }

    /// Reads a header and checks name, version and, unless nil, the id of the segment.
    static func read(
        _ input: inout IndexInput, codecName: String, versions: ClosedRange<Int>, id: [UInt8]?
    ) throws(LuceneError) -> IndexHeader {
        let header = try read(&input)
        guard header.codecName == codecName else {
            throw input.unsupported("format \(header.codecName), expected \(codecName)")
        }
        try header.check(input, versions: versions, id: id)
        return header
    }

    func check(_ input: IndexInput, versions: ClosedRange<Int>, id: [UInt8]?) throws(LuceneError) {
        guard versions.contains(version) else {
            throw input.unsupported(
                "\(codecName) version \(version); known are \(versions.lowerBound) to "
                    + "\(versions.upperBound)")
        }
        guard id == nil || id == self.id else {
            throw input.corrupt("the file belongs to another segment (object id differs)", at: 0)
        }
    }

    private static func hexadecimal(_ value: UInt32) -> String { "0x" + String(value, radix: 16) }
}

/// The footer of every Lucene file (`CodecUtil.writeFooter`), big-endian always:
///
///     magic C0 28 93 E8 | Int32 algorithm 0 | Int64 CRC-32 of all bytes before it
package enum CodecFooter {
    package static let byteCount = 16

    /// The stored checksum; nil when these sixteen bytes are no footer.
    static func parse(_ footer: UnsafeRawBufferPointer) -> UInt32? {
        guard footer.count == byteCount else { return nil }
        let magic = footer.loadUnaligned(fromByteOffset: 0, as: UInt32.self).bigEndian
        let algorithm = footer.loadUnaligned(fromByteOffset: 4, as: UInt32.self).bigEndian
        let checksum = footer.loadUnaligned(fromByteOffset: 8, as: UInt64.self).bigEndian
        guard magic == 0xC028_93E8, algorithm == 0, checksum <= UInt64(UInt32.max) else { return nil }
        return UInt32(checksum)
    }

    static func checksum(of bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.withUnsafeBytes { checksum(seed: 0, of: $0) }
    }

    static func checksum(seed: UInt32, of bytes: UnsafeRawBufferPointer) -> UInt32 {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return seed }
        return millrace_crc32(seed, start.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    /// The checksum of two runs of bytes, one after the other, from theirs: crc(A B) = crc(A) x^(8 |B|) + crc(B), in
    /// polynomials over GF(2) modulo that of CRC-32. The bits are reflected: bit 31 is x^0.
    static func checksum(ofFirst first: UInt32, second: UInt32, secondByteCount: Int64) -> UInt32 {
        var shifted = first
        var power: UInt32 = 1 << 23
        var rest = secondByteCount
        while rest > 0 {
            if rest & 1 != 0 { shifted = product(shifted, power) }
            power = product(power, power)
            rest >>= 1
        }
        return shifted ^ second
    }

    private static func product(_ left: UInt32, _ right: UInt32) -> UInt32 {
        var sum: UInt32 = 0
        var term = right
        for bit in (UInt32(0)..<32).reversed() {
            if left >> bit & 1 != 0 { sum ^= term }
            term = term & 1 != 0 ? term >> 1 ^ 0xEDB8_8320 : term >> 1
        }
        return sum
    }

    /// `content` followed by its footer. For tests and the fuzzer, which need files that pass the checksum.
    package static func appended(to content: [UInt8]) -> [UInt8] {
        var bytes = content
        bytes.append(contentsOf: [0xC0, 0x28, 0x93, 0xE8, 0, 0, 0, 0])
        let checksum = UInt64(checksum(of: bytes[...]))
        for shift in stride(from: UInt64(56), through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: checksum >> shift))
        }
        return bytes
    }
}
