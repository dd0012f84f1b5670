/// The stored form of Elasticsearch's and OpenSearch's `_id` (their class `Uid`).
///
///     FE, nibbles…   a number: two digits a byte, high nibble first; a nibble F ends an odd number of digits
///     FF, bytes…     UTF-8 text
///     FD, bytes…     base64url whose first byte is FD, FE or FF
///     bytes…         base64url without padding: the id is the encoding of these bytes
package enum DocumentID {
    package enum DecodingError: Error, Equatable {
        case empty
        /// A digit that is none, at this offset.
        case badDigit(offset: Int)
    }

    private static let utf8Marker: UInt8 = 0xFF
    private static let numericMarker: UInt8 = 0xFE
    private static let escapeMarker: UInt8 = 0xFD

    /// Bytes of output that suffice for `count` encoded bytes.
    @inline(__always)
    package static func decodedByteLimit(_ count: Int) -> Int { 2 * count + 4 }

    /// Writes the id's text (UTF-8) into `output`, which has room for `decodedByteLimit`. Returns the bytes written.
    package static func decode(
        _ encoded: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(DecodingError) -> Int {
        guard encoded.count > 0 else { throw .empty }
        precondition(output.count >= decodedByteLimit(encoded.count), "output of \(output.count) bytes is too small")
        let rest = UnsafeRawBufferPointer(rebasing: encoded[1...])
        switch encoded[0] {
        case utf8Marker:
            output.copyMemory(from: rest)
            return rest.count
        case numericMarker: return try decodeNumber(rest, into: output)
        case escapeMarker: return encodeBase64(rest, into: output)
        default: return encodeBase64(encoded, into: output)
        }
    }

    private static func decodeNumber(
        _ nibbles: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(DecodingError) -> Int {
        var count = 0
        for (index, byte) in nibbles.enumerated() {
            let high = byte >> 4
            let low = byte & 0xF
            let isLast = index == nibbles.count - 1
            guard high < 10, low < 10 || (low == 0xF && isLast) else { throw .badDigit(offset: index + 1) }
            output[count] = 0x30 + high
            count += 1
            if low != 0xF {
                output[count] = 0x30 + low
                count += 1
            }
        }
        return count
    }

    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    private static func encodeBase64(
        _ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> Int {
        let letters = alphabet.utf8Start
        var count = 0
        var index = 0
        while index + 3 <= bytes.count {
            let value = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
            output[count] = letters[value >> 18]
            output[count + 1] = letters[value >> 12 & 63]
            output[count + 2] = letters[value >> 6 & 63]
            output[count + 3] = letters[value & 63]
            count += 4
            index += 3
        }
        let left = bytes.count - index
        guard left > 0 else { return count }
        let value = Int(bytes[index]) << 16 | (left == 2 ? Int(bytes[index + 1]) << 8 : 0)
        output[count] = letters[value >> 18]
        output[count + 1] = letters[value >> 12 & 63]
        if left == 2 { output[count + 2] = letters[value >> 6 & 63] }
        return count + left + 1
    }
}
