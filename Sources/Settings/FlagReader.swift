/// Turns given texts into values and collects what is wrong with them. A flag's mistake leaves nil, so that the others
/// are read all the same.
struct FlagReader {
    typealias ReadFile = (String) -> Result<[UInt8], ValueProblem>

    private let flags: ParsedFlags
    private(set) var problems: [SettingsProblem]
    private let readFile: ReadFile

    init(flags: ParsedFlags, problems: [SettingsProblem], readFile: @escaping ReadFile) {
        self.flags = flags
        self.problems = problems
        self.readFile = readFile
    }

    mutating func note(_ setting: String?, _ message: String) {
        problems.append(SettingsProblem(setting, message))
    }

    /// Given at all, rightly or wrongly.
    func isGiven(_ name: String) -> Bool { flags.given(name) != nil }

    mutating func value<Value>(_ name: String, _ parse: (String) throws(ValueProblem) -> Value) -> Value? {
        all(name, parse).last
    }

    mutating func value<Value>(
        _ name: String, _ parse: (String, ReadFile) throws(ValueProblem) -> Value
    ) -> Value? {
        let readFile = readFile
        return value(name) { (text) throws(ValueProblem) in try parse(text, readFile) }
    }

    mutating func required<Value>(_ name: String, _ parse: (String) throws(ValueProblem) -> Value) -> Value? {
        guard isGiven(name) else {
            note(name, "required")
            return nil
        }
        return value(name, parse)
    }

    mutating func all<Value>(_ name: String, _ parse: (String) throws(ValueProblem) -> Value) -> [Value] {
        guard let given = flags.given(name) else { return [] }
        var values: [Value] = []
        for text in given.values {
            do throws(ValueProblem) {
                values.append(try parse(text))
            } catch {
                note(given.origin, error.message)
            }
        }
        return values
    }

    mutating func text(_ name: String) -> String? { value(name) { (text) throws(ValueProblem) in text } }

    mutating func truth(_ name: String) -> Bool { value(name, TruthText.parse) ?? false }

    mutating func choice(_ name: String, _ allowed: [String]) -> String? {
        value(name) { (text) throws(ValueProblem) in
            guard allowed.contains(text) else {
                throw ValueProblem("\"\(text)\" is none of \(allowed.joined(separator: ", "))")
            }
            return text
        }
    }

    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String) -> Choice? {
        choice(name, Choice.allCases.map(\.rawValue)).flatMap { Choice(rawValue: $0) }
    }

    mutating func count(_ name: String, within bounds: ClosedRange<Int>) -> Int? {
        value(name) { (text) throws(ValueProblem) in
            let number = try WholeNumber.parse(text)
            guard bounds.contains(number) else {
                throw ValueProblem("\(number) is outside \(bounds.lowerBound) to \(bounds.upperBound)")
            }
            return number
        }
    }

    /// `--workers`: one a processor where it is not given.
    mutating func workerCount(processorCount: Int) -> Int {
        let bounds = 1...256
        return count("--workers", within: bounds) ?? min(max(processorCount, bounds.lowerBound), bounds.upperBound)
    }

    /// In bytes.
    mutating func size(_ name: String, within bounds: ClosedRange<Int>) -> Int? {
        value(name) { (text) throws(ValueProblem) in
            let bytes = try ByteSize.parse(text)
            guard bounds.contains(Int(bytes)) else {
                throw ValueProblem(
                    "\(text) is outside \(ByteSize.text(Int64(bounds.lowerBound))) to "
                        + ByteSize.text(Int64(bounds.upperBound)))
            }
            return Int(bytes)
        }
    }

    mutating func duration(_ name: String, within bounds: ClosedRange<Duration>) -> Duration? {
        value(name) { (text) throws(ValueProblem) in
            let duration = try DurationText.parse(text)
            guard bounds.contains(duration) else {
                let (least, most) = (DurationText.text(bounds.lowerBound), DurationText.text(bounds.upperBound))
                throw ValueProblem("\(text) is outside \(least) to \(most)")
            }
            return duration
        }
    }
}
