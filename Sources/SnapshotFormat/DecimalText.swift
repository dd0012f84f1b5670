/// Decimal text of numbers that no machine word holds.
enum DecimalText {
    /// A two's complement number, most significant byte first. No bytes are zero.
    static func signed(bigEndian bytes: [UInt8]) -> String {
        guard let first = bytes.first else { return "0" }
        let isNegative = first & 0x80 != 0
        var magnitude = isNegative ? bytes.map { ~$0 } : bytes
        if isNegative {
            var index = magnitude.count
            while index > 0 {
                index -= 1
                let (sum, overflows) = magnitude[index].addingReportingOverflow(1)
                magnitude[index] = sum
                if !overflows { break }
            }
            // -2^(8n) cannot occur: the first byte's high bit is set, so its complement is at most 0x7F.
        }
        return (isNegative ? "-" : "") + unsigned(bigEndian: magnitude)
    }

    private static func unsigned(bigEndian bytes: [UInt8]) -> String {
        // Long division by 10^9 in limbs of 32 bits, least significant digits first.
        var limbs: [UInt32] = []
        var index = bytes.count
        while index > 0 {
            let start = max(0, index - 4)
            limbs.append(bytes[start..<index].reduce(0) { $0 << 8 | UInt32($1) })
            index = start
        }
        var groups: [UInt64] = []
        while let top = limbs.last {
            if top == 0 {
                limbs.removeLast()
                continue
            }
            var remainder: UInt64 = 0
            for place in limbs.indices.reversed() {
                let value = remainder << 32 | UInt64(limbs[place])
                limbs[place] = UInt32(truncatingIfNeeded: value / 1_000_000_000)
                remainder = value % 1_000_000_000
            }
            groups.append(remainder)
        }
        guard let head = groups.popLast() else { return "0" }
        return groups.reversed().reduce(String(head)) { text, group in
            let digits = String(group)
            return text + String(repeating: "0", count: 9 - digits.count) + digits
        }
    }

    /// `unscaled` × 10^-`scale`: plain notation where that is short, an exponent otherwise.
    static func scaled(_ unscaled: String, by scale: Int) -> String {
        if scale == 0 { return unscaled }
        guard scale > 0, scale <= 64 else { return "\(unscaled)e\(-scale)" }
        let isNegative = unscaled.hasPrefix("-")
        var digits = isNegative ? String(unscaled.dropFirst()) : unscaled
        if digits.utf8.count <= scale { digits = String(repeating: "0", count: scale + 1 - digits.utf8.count) + digits }
        return (isNegative ? "-" : "") + digits.dropLast(scale) + "." + digits.suffix(scale)
    }
}
