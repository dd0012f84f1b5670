import COpenSSL

/// SHA-256 and HMAC-SHA-256 by OpenSSL, as bytes and as lower-case hexadecimal text.
struct SHA256Digest: Equatable, Sendable {
    /// 32 bytes.
    let bytes: [UInt8]

    /// Of all slices in order, without joining them.
    init(slices: [UnsafeRawBufferPointer]) {
        var digest = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        var isDone = EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1
        for slice in slices where slice.count > 0 {
            isDone = isDone && EVP_DigestUpdate(context, slice.baseAddress, slice.count) == 1
        }
        isDone = isDone && EVP_DigestFinal_ex(context, &digest, &count) == 1
        precondition(isDone && count == 32, "SHA-256 is not available in this OpenSSL")
        bytes = digest
    }

    init(of text: [UInt8]) {
        self = text.withUnsafeBytes { SHA256Digest(slices: [$0]) }
    }

    static func hmac(key: [UInt8], _ message: some Collection<UInt8>) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        let message = Array(message)
        let result = HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, &output, &count)
        precondition(result != nil && count == 32, "HMAC-SHA-256 is not available in this OpenSSL")
        return output
    }

    static func appendHexadecimal(_ bytes: [UInt8], to output: inout [UInt8]) {
        for byte in bytes {
            output.append(digit(byte >> 4))
            output.append(digit(byte & 15))
        }
    }

    var hexadecimal: [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(64)
        Self.appendHexadecimal(bytes, to: &text)
        return text
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + (value - 10)
    }
}
