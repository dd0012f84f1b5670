/// Takes the header that a load balancer puts before a connection's first byte (the PROXY protocol, versions 1 and 2,
/// https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). What it says is not used; it is not passed on and not
/// recorded.
///
///     version 1   "PROXY " … CR LF, at most 107 bytes
///     version 2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A, version and command, family, length (2), `length` bytes
struct ProxyHeaderScanner {
    enum Outcome: Equatable {
        case incomplete
        case malformed
        /// What follows the header.
        case complete([UInt8])
    }

    private static let signature: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]
    private static let textStart = Array("PROXY ".utf8)
    private static let textLimitBytes = 107

    private var bytes: [UInt8] = []

    mutating func take(_ more: UnsafeRawBufferPointer) -> Outcome {
        bytes.append(contentsOf: more)
        if Self.begins(bytes, Self.signature) { return takeBinary() }
        if Self.begins(bytes, Self.textStart) { return takeText() }
        return .malformed
    }

    /// As far as there are bytes.
    private static func begins(_ bytes: [UInt8], _ start: [UInt8]) -> Bool {
        bytes.prefix(start.count).elementsEqual(start.prefix(bytes.count))
    }

    private func takeText() -> Outcome {
        for index in bytes.indices.prefix(Self.textLimitBytes) where bytes[index] == 0x0A {
            guard index > 0, bytes[index - 1] == 0x0D else { return .malformed }
            return .complete([UInt8](bytes[(index + 1)...]))
        }
        return bytes.count < Self.textLimitBytes ? .incomplete : .malformed
    }

    private func takeBinary() -> Outcome {
        guard bytes.count >= 16 else { return .incomplete }
        guard bytes[12] >> 4 == 2, bytes[12] & 0x0F < 2 else { return .malformed }
        let end = 16 + Int(bytes[14]) << 8 + Int(bytes[15])
        guard bytes.count >= end else { return .incomplete }
        return .complete([UInt8](bytes[end...]))
    }
}
