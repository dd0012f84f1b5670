import Glibc
import Settings
import TupleFormat

/// `millrace traffic report`: reads tuples, compares, and tells how source and target agree.
struct TrafficReport {
    struct Problem {
        let place: String
        let message: String
    }

    private static let problemLimit = 20

    let settings: TrafficReportSettings
    private(set) var tally = ReportTally()
    private(set) var files: [String] = []
    private(set) var problems: [Problem] = []
    private(set) var problemCount = 0
    private let reader = TupleReader()

    init(_ settings: TrafficReportSettings) { self.settings = settings }

    /// The report was written, whatever this returns.
    static func run(_ settings: TrafficReportSettings) throws(TrafficFailure) -> Int32 {
        var report = TrafficReport(settings)
        report.files = try TupleFileList.find(settings.paths)
        for path in report.files { try report.read(path) }
        let text = settings.isJSON ? ReportJSON(report).bytes : ReportPage(report).bytes
        if let out = settings.out { try write(text, to: out) } else { TrafficConsole.write(STDOUT_FILENO, text) }
        report.tell()
        return report.status.rawValue
    }

    /// A rate that was not reached goes before parts that could not be read.
    var status: ExitStatus {
        guard let rate = tally.counts.rate, rate >= settings.threshold else { return .incomplete }
        return problemCount > 0 ? .unreadable : .complete
    }

    private mutating func read(_ path: String) throws(TrafficFailure) {
        let fileTime = TupleFileList.time(path)
        let lines = try TupleLines(path: path)
        while true {
            do throws(TrafficFailure) {
                var failure: TupleError?
                let isLine = try lines.next { line in
                    guard !line.allSatisfy({ $0 == 0x20 || $0 == 0x0D }) else { return }
                    do throws(TupleError) { try take(line, fileTime) } catch { failure = error }
                }
                if let failure {
                    note(Problem(place: "\(path), line \(lines.lineNumber)", message: failure.description))
                }
                if !isLine { return }
            } catch {
                guard error.status == .unreadable else { throw error }
                note(Problem(place: path, message: String(error.message.dropFirst(path.count + 2))))
            }
        }
    }

    private mutating func note(_ problem: Problem) {
        problemCount += 1
        if problems.count < Self.problemLimit { problems.append(problem) }
    }

    private mutating func take(_ line: UnsafeRawBufferPointer, _ fileTime: Int64?) throws(TupleError) {
        let record = try reader.read(line)
        let verdict = reader.verdict(record, settings.rules)
        let reader = reader
        tally.add(record, verdict, fileTime: fileTime) { ReportExample.make(record, verdict, reader) }
    }

    private static func write(_ text: [UInt8], to path: String) throws(TrafficFailure) {
        do throws(StateFileError) { try StateFile.write(text, to: path) } catch {
            throw TrafficFailure(.unavailable, error.message)
        }
    }

    private func tell() {
        let counts = tally.counts
        var line = "millrace traffic report: \(counts.total) exchanges in \(files.count) files, "
        if let rate = counts.rate {
            line += "match rate \(ReportText.rate(rate)) of \(counts.compared) compared, "
            line += rate >= settings.threshold ? "reaches " : "below "
            line += "the threshold \(ReportText.rate(settings.threshold))\n"
        } else {
            line += "none could be compared\n"
        }
        for problem in problems { line += "  \(problem.place): \(problem.message)\n" }
        if problemCount > problems.count { line += "  and \(problemCount - problems.count) more problems\n" }
        TrafficConsole.error(line)
    }
}

/// Files of tuples.
enum TupleFileList {
    private static let endings = [
        ".ndjson", ".ndjson.gz", ".ndjson.zst", ".log", ".log.gz", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".gz",
        ".zst",
    ]

    /// Files as they are given; of folders and what is in them those that look like tuples, unfinished ones too.
    static func find(_ paths: [String]) throws(TrafficFailure) -> [String] {
        var found: [String] = []
        for path in paths {
            var status = stat()
            guard stat(path, &status) == 0 else {
                throw TrafficFailure(.unavailable, "\(path): \(String(cString: strerror(errno)))")
            }
            if status.st_mode & S_IFMT == S_IFDIR {
                let files = try folder(path, depth: 8)
                guard !files.isEmpty else { throw TrafficFailure(.unavailable, "\(path): no file of tuples in it") }
                found += files
            } else {
                found.append(path)
            }
        }
        return found
    }

    private static func folder(_ path: String, depth: Int) throws(TrafficFailure) -> [String] {
        guard let stream = opendir(path) else {
            throw TrafficFailure(.unavailable, "\(path): \(String(cString: strerror(errno)))")
        }
        defer { closedir(stream) }
        var files: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard !name.hasPrefix(".") else { continue }
            let full = path.hasSuffix("/") ? path + name : path + "/" + name
            if entry.pointee.d_type == UInt8(DT_DIR) {
                if depth > 0 { files += try folder(full, depth: depth - 1) }
            } else {
                let finished = name.hasSuffix(".part") ? String(name.dropLast(5)) : name
                if name.contains("tuples"), endings.contains(where: finished.hasSuffix) { files.append(full) }
            }
        }
        return files.sorted()
    }

    /// The time in a file's name, for tuples that have none: `20260301T100000Z`, or `2026-03-01-10-00` with any one
    /// separator between the numbers.
    static func time(_ path: String) -> Int64? {
        let name = Array((path.split(separator: "/").last ?? "").utf8)
        let isDigit = { (index: Int) in index < name.count && name[index] &- 0x30 < 10 }
        for start in name.indices where isDigit(start) && (start == 0 || !isDigit(start - 1)) {
            var digits: [Int] = []
            var index = start
            while digits.count < 14, index < name.count {
                if isDigit(index) {
                    digits.append(Int(name[index] - 0x30))
                } else if !isDigit(index + 1) || digits.count < 4 {
                    break
                }
                index += 1
            }
            if digits.count >= 12, let time = moment(digits) { return time }
        }
        return nil
    }

    private static func moment(_ digits: [Int]) -> Int64? {
        let number = { (range: Range<Int>) in Int32(digits[range].reduce(0) { $0 * 10 + $1 }) }
        var parts = tm()
        parts.tm_year = number(0..<4) - 1900
        parts.tm_mon = number(4..<6) - 1
        parts.tm_mday = number(6..<8)
        parts.tm_hour = number(8..<10)
        parts.tm_min = number(10..<12)
        if digits.count == 14 { parts.tm_sec = number(12..<14) }
        guard parts.tm_year > 70, parts.tm_year < 300, (0..<12).contains(parts.tm_mon),
            (1...31).contains(parts.tm_mday),
            parts.tm_hour < 24, parts.tm_min < 60, parts.tm_sec < 61
        else { return nil }
        return Int64(timegm(&parts)) * 1000
    }
}

/// One exchange of a kind, for a person to repeat.
enum ReportExample {
    private static let bodyBytesLimit = 2000
    private static let skippedFields: Set<String> = [
        "host", "content-length", "connection", "transfer-encoding", "content-encoding", "accept-encoding", "expect",
        "user-agent", "keep-alive",
    ]

    static func make(
        _ record: TupleRecord, _ verdict: TupleVerdict, _ reader: TupleReader
    ) -> ReportTally.Example {
        let sent = record.targetRequest ?? record.sourceRequest
        var (source, target) = ("", "")
        switch verdict {
        case .bodyDiffers(let difference): (source, target) = (difference.source, difference.target)
        case .statusDiffers(let one, let other):
            (source, target) = ("\(one)" + start(record.sourceResponse, reader), "")
            target = "\(other)" + start(record.targetResponses.last, reader)
        case .targetMissing:
            source = record.sourceResponse?.status.map { "\($0)" } ?? "no response captured"
            target = record.error ?? "no answer"
        case .match, .sourceMissing, .notComparable: break
        }
        return ReportTally.Example(
            request: record.connectionID, source: source, target: target,
            curl: sent.map { curl($0, reader) } ?? "")
    }

    private static func start(_ message: TupleRecord.Message?, _ reader: TupleReader) -> String {
        guard let message else { return "" }
        let bytes = reader.bytes(message.payload)
        guard !bytes.isEmpty else { return "" }
        let text = String(decoding: bytes.prefix(BodyDifference.exampleBytes * 2), as: UTF8.self)
        return ", " + text + (bytes.count > BodyDifference.exampleBytes * 2 ? "…" : "")
    }

    /// `$TARGET` stands for the target's address, `$AUTH` for credentials.
    static func curl(_ message: TupleRecord.Message, _ reader: TupleReader) -> String {
        let method = message.method ?? "GET"
        var line = method == "HEAD" ? "curl -I" : "curl -X \(quoted(method))"
        line += " \"$TARGET\"\(quoted(message.target ?? "/"))"
        for (name, values) in reader.fields(message) where !skippedFields.contains(name.lowercased()) {
            var copy = name
            if copy.withUTF8({ TupleCredentials.isCredential(UnsafeRawBufferPointer($0)) }) {
                line += " \\\n  -H \(quoted(name + ": "))\"$AUTH\""
                continue
            }
            for value in values { line += " \\\n  -H \(quoted("\(name): \(value)"))" }
        }
        if case .cut(let body)? = message.payload.first {
            return line + " \\\n  --data-binary @body   # \(body.byteCount) bytes, not kept in the tuple"
        }
        if case .base64? = message.payload.first {
            return line + " \\\n  --data-binary @body   # binary; the tuple has it in base64"
        }
        let body = reader.bytes(message.payload)
        guard !body.isEmpty else { return line }
        guard body.count <= bodyBytesLimit else {
            return line + " \\\n  --data-binary @body   # \(body.count) bytes; the tuple has them"
        }
        return line + " \\\n  --data-binary \(quoted(String(decoding: body, as: UTF8.self)))"
    }

    /// For a shell; plain words stay as they are.
    private static func quoted(_ text: String) -> String {
        let isPlain =
            !text.isEmpty
            && text.utf8.allSatisfy { byte in
                byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z") || byte &- 0x30 < 10
                    || "-_./,:@%+".utf8.contains(byte)
            }
        guard !isPlain else { return text }
        return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}

/// Numbers for people.
enum ReportText {
    /// A share in percent, never rounded up to 100 or down to 0.
    static func rate(_ rate: Double) -> String {
        if rate >= 1 { return "100 %" }
        if rate <= 0 { return "0 %" }
        let hundredths = min(max(Int64((rate * 10_000).rounded()), 1), 9_999)
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) %"
    }

    /// With thin spaces between thousands.
    static func count(_ number: Int) -> String {
        let digits = Array("\(number)")
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "\u{202F}" }
            text.append(digit)
        }
        return text
    }

    static func milliseconds(_ value: Int?) -> String {
        guard let value else { return "–" }
        if value < 10_000 { return "\(count(value)) ms" }
        return value < 600_000 ? "\(value / 1000) s" : "\(value / 60_000) min"
    }

    static func duration(_ seconds: Int64) -> String {
        switch seconds {
        case ..<60: seconds == 1 ? "second" : "\(seconds) seconds"
        case ..<3600: seconds == 60 ? "minute" : "\(seconds / 60) minutes"
        case ..<86_400: seconds == 3600 ? "hour" : "\(seconds / 3600) hours"
        default: seconds == 86_400 ? "day" : "\(seconds / 86_400) days"
        }
    }

    static func verdict(_ reason: String) -> String {
        switch TupleVerdict.Reason(rawValue: reason) {
        case .bodyCut: "A body was too long to be kept whole, and what was kept does not tell."
        case .bodyTooLarge: "A body was too long to be compared member by member, and the bytes differ."
        case .tooManySteps: "Comparing would have taken too long."
        case .unreadable: "A response was not whole, or not HTTP."
        case .unknownCoding: "A body is compressed in a way that is not read, or is not what its header says."
        case nil: "The source's response was not captured."
        }
    }
}
