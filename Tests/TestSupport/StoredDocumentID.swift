/// How Elasticsearch 6 and later, and OpenSearch, store an `_id` (org.elasticsearch.index.mapper.Uid.encodeId).
package enum StoredDocumentID {
    package static func encode(_ id: String) -> [UInt8] {
        let utf8 = Array(id.utf8)
        if !utf8.isEmpty && utf8.allSatisfy({ (0x30...0x39).contains($0) }) { return numeric(utf8) }
        // Base64 of a whole number of bytes, in exactly the characters that encoding would give again.
        if utf8.count >= 2, let decoded = URLSafeBase64.decode(id) {
            return decoded[0] >= 0xFD ? [0xFD] + decoded : decoded
        }
        return [0xFF] + utf8
    }

    /// 0xFE, then two digits a byte; an odd last digit is followed by the nibble 0xF.
    private static func numeric(_ digits: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = [0xFE]
        for start in stride(from: 0, to: digits.count, by: 2) {
            let low = start + 1 < digits.count ? digits[start + 1] - 0x30 : 0x0F
            bytes.append((digits[start] - 0x30) << 4 | low)
        }
        return bytes
    }
}
