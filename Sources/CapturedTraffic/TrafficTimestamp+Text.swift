extension TrafficTimestamp {
    /// RFC 3339 in UTC with nanoseconds, `2026-01-31T23:59:59.000000001Z`. Years outside 0 to 9999 are clamped.
    package var text: String {
        // The first second of year 0 and the last of 9999.
        let seconds = min(max(self.seconds, -62_167_219_200), 253_402_300_799)
        let days = Int(seconds >= 0 ? seconds / 86_400 : -((86_399 - seconds) / 86_400))
        let ofDay = Int(seconds) - days * 86_400
        let (year, month, day) = Self.civil(daysSinceEpoch: days)
        let digits = { (value: Int, count: Int) -> String in
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
        }
        let date = "\(digits(year, 4))-\(digits(month, 2))-\(digits(day, 2))"
        let time = "\(digits(ofDay / 3600, 2)):\(digits(ofDay / 60 % 60, 2)):\(digits(ofDay % 60, 2))"
        return "\(date)T\(time).\(digits(Int(min(max(nanoseconds, 0), 999_999_999)), 9))Z"
    }

    /// The Gregorian date of a day. Years are counted from March, so that the leap day is the last of its year; an era
    /// is 400 years, 146,097 days.
    private static func civil(daysSinceEpoch: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = daysSinceEpoch + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
