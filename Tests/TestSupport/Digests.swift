import CISAL
import COpenSSL
import Glibc

/// Lowercase hexadecimal SHA-256.
package func sha256Hex(_ bytes: [UInt8]) -> String {
    var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
    SHA256(bytes, bytes.count, &digest)
    return digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}

/// The content of a gzip file of at most a gigabyte; nil when it is none.
package func gunzip(_ bytes: [UInt8]) -> [UInt8]? {
    var count = 0
    guard let plain = millrace_gunzip(bytes, bytes.count, 1 << 30, &count) else { return nil }
    defer { free(plain) }
    return Array(UnsafeBufferPointer(start: plain, count: count))
}
