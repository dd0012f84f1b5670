import Glibc

/// A moment of the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
package struct LogTime: Sendable, Equatable {
    package let millisecondsSinceEpoch: Int64

    package init(millisecondsSinceEpoch: Int64) { self.millisecondsSinceEpoch = millisecondsSinceEpoch }

    package static var now: LogTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return LogTime(millisecondsSinceEpoch: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    /// RFC 3339 text in UTC, `2026-01-31T23:59:59.999Z`.
    package var text: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends RFC 3339 text in UTC, `2026-01-31T23:59:59.999Z`. Years outside 0...9999 are clamped.
    func append(to bytes: inout [UInt8]) {
        // -62167219200 s is 0000-01-01, 253402300799 s is the last second of 9999.
        let milliseconds = min(max(millisecondsSinceEpoch, -62_167_219_200_000), 253_402_300_799_999)
        let days = floorDivide(milliseconds, 86_400_000)
        let ofDay = Int(milliseconds - days * 86_400_000)
        let (year, month, day) = Self.civil(daysSinceEpoch: Int(days))
        func digits(_ value: Int, _ count: Int, _ separator: Unicode.Scalar) {
            var divisor = 1
            for _ in 1..<count { divisor *= 10 }
            while divisor > 0 {
                bytes.append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
                divisor /= 10
            }
            bytes.append(UInt8(ascii: separator))
        }
        digits(year, 4, "-")
        digits(month, 2, "-")
        digits(day, 2, "T")
        digits(ofDay / 3_600_000, 2, ":")
        digits(ofDay / 60_000 % 60, 2, ":")
        digits(ofDay / 1000 % 60, 2, ".")
        digits(ofDay % 1000, 3, "Z")
    }

    /// The Gregorian date of a day. Years are counted from March, so that the leap day is the last of its year; an era
    /// is 400 years, 146,097 days. `gmtime_r` would do as well, but reads the environment's time zone files.
    private static func civil(daysSinceEpoch: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = daysSinceEpoch + 719_468
        let era = Int(floorDivide(Int64(shifted), 146_097))
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}

private func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
    value >= 0 ? value / divisor : -((-value + divisor - 1) / divisor)
}
