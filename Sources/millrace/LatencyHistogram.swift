/// Counts of milliseconds in bins of at most 1/16 of their value: 16 bins for each doubling, single values below 32.
/// Bounds: 400 counters, values to 2^28 ms (three days).
struct LatencyHistogram: Equatable {
    private static let binCount = 400
    private var bins: [UInt32] = []
    private(set) var count = 0

    mutating func add(_ milliseconds: Int) {
        if bins.isEmpty { bins = Array(repeating: 0, count: Self.binCount) }
        bins[Self.bin(milliseconds)] += 1
        count += 1
    }

    mutating func add(_ other: LatencyHistogram) {
        guard other.count > 0 else { return }
        if bins.isEmpty { bins = Array(repeating: 0, count: Self.binCount) }
        for index in bins.indices { bins[index] += other.bins[index] }
        count += other.count
    }

    /// The value below or at which `share` of the values lie; nil without values.
    func quantile(_ share: Double) -> Int? {
        guard count > 0 else { return nil }
        let rank = min(count, max(1, Int((share * Double(count)).rounded(.up))))
        var seen = 0
        for (index, bin) in bins.enumerated() {
            seen += Int(bin)
            if seen >= rank { return Self.value(index) }
        }
        return Self.value(Self.binCount - 1)
    }

    private static func bin(_ milliseconds: Int) -> Int {
        let value = min(max(0, milliseconds), (1 << 28) - 1)
        guard value >= 32 else { return value }
        let exponent = Int.bitWidth - 1 - value.leadingZeroBitCount
        return 32 + (exponent - 5) * 16 + (value >> (exponent - 4) & 15)
    }

    /// The middle of a bin.
    private static func value(_ bin: Int) -> Int {
        guard bin >= 32 else { return bin }
        let exponent = (bin - 32) / 16 + 5
        let low = (16 + (bin - 32) % 16) << (exponent - 4)
        return low + (1 << (exponent - 4)) / 2
    }
}
