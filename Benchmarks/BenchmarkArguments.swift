import Glibc

/// `--name value` options and `--name` switches of a benchmark, with complaints that name the option.
struct BenchmarkArguments {
    struct Mistake: Error, CustomStringConvertible { let description: String }

    private var values: [String: [String]] = [:]

    init(_ arguments: [String], switches: Set<String> = []) throws(Mistake) {
        var position = 0
        while position < arguments.count {
            let name = arguments[position]
            guard name.hasPrefix("--") else { throw Mistake(description: "unexpected argument \(name)") }
            let key = String(name.dropFirst(2))
            if switches.contains(key) {
                values[key] = [""]
                position += 1
                continue
            }
            guard position + 1 < arguments.count else { throw Mistake(description: "\(name) needs a value") }
            values[key, default: []].append(arguments[position + 1])
            position += 2
        }
    }

    func has(_ name: String) -> Bool { values[name] != nil }
    func text(_ name: String) -> String? { values[name]?.last }
    func all(_ name: String) -> [String] { values[name] ?? [] }

    func required(_ name: String) throws(Mistake) -> String {
        guard let value = text(name) else { throw Mistake(description: "--\(name) is required") }
        return value
    }

    func int(_ name: String, default fallback: Int) throws(Mistake) -> Int {
        guard let text = text(name) else { return fallback }
        guard let value = Int(text), value >= 0 else { throw Mistake(description: "--\(name) \(text): not a count") }
        return value
    }

    /// Bytes: a number with an optional decimal unit (KB, MB, GB) or binary one (KiB, MiB, GiB).
    func bytes(_ name: String, default fallback: Int64) throws(Mistake) -> Int64 {
        guard let text = text(name) else { return fallback }
        let units: [(String, Double)] = [
            ("KiB", 1024), ("MiB", 1_048_576), ("GiB", 1_073_741_824), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("", 1),
        ]
        for (unit, factor) in units where text.hasSuffix(unit) {
            guard let number = Double(text.dropLast(unit.count)), number > 0, number * factor < 1e15 else { break }
            return Int64(number * factor)
        }
        throw Mistake(description: "--\(name) \(text): not a size such as 1.5GB")
    }
}

/// Times of one piece of work: wall clock and the whole process's processor time.
struct WorkTime {
    let wallSeconds: Double
    let cpuSeconds: Double

    static func measure(_ work: () throws -> Void) rethrows -> WorkTime {
        let wall = seconds(CLOCK_MONOTONIC)
        let cpu = seconds(CLOCK_PROCESS_CPUTIME_ID)
        try work()
        return WorkTime(
            wallSeconds: seconds(CLOCK_MONOTONIC) - wall, cpuSeconds: seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu)
    }

    static func seconds(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}

/// A number with two decimals, without Foundation.
func twoDecimals(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e12 else { return "-" }
    let hundredths = Int((value * 100).rounded())
    let fraction = String(abs(hundredths) % 100)
    return "\(hundredths < 0 ? "-" : "")\(abs(hundredths) / 100).\(fraction.count < 2 ? "0" : "")\(fraction)"
}

func complain(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}
