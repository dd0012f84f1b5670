import Settings
import TupleFormat

/// What was asked of `millrace traffic report`.
struct TrafficReportSettings {
    private static let declarations = [
        FlagDeclaration("--output", .value("FORM"), group: "Report", default: "html", help: "html or json"),
        FlagDeclaration("--out", .value("FILE"), group: "Report", help: "the report's file"),
        FlagDeclaration(
            "--threshold", .value("RATE"), group: "Report", default: "0.999", help: "the match rate to reach"),
        FlagDeclaration("--ignore", .repeatedValue("PATH"), group: "Report", help: "differences that do not count"),
        FlagDeclaration(
            "--status", .value("RULE"), group: "Report", default: "code", help: "statuses are compared by code or class"
        ),
    ]

    /// Files and folders.
    let paths: [String]
    let isJSON: Bool
    /// nil for standard output.
    let out: String?
    let threshold: Double
    let rules: TupleRules
    let ignored: [String]

    /// `arguments` begin behind the verb.
    init(
        arguments: [String], environment: (String) -> String?
    ) throws(TrafficToolSettings.Mistakes) {
        var paths: [String] = []
        var words: [String] = []
        var isValue = false
        for argument in arguments {
            if isValue {
                words.append(argument)
                isValue = false
            } else if argument.hasPrefix("-") {
                let word = argument == "-o" ? "--output" : argument
                words.append(word.hasPrefix("-o=") ? "--output" + word.dropFirst(2) : word)
                isValue = !argument.contains("=")
            } else {
                paths.append(argument)
            }
        }
        let (flags, problems) = FlagParser.parse(words, environment: environment, declarations: Self.declarations)
        var mistakes = problems.map(\.description)
        if paths.isEmpty { mistakes.append("no folder or file of tuples is given") }
        let output = flags.given("--output")?.values.last ?? "html"
        if output != "html", output != "json" { mistakes.append("--output: html or json, not \"\(output)\"") }
        let threshold = flags.given("--threshold")?.values.last ?? "0.999"
        let rate = Double(threshold)
        if rate == nil || !(0...1).contains(rate ?? 2) {
            mistakes.append("--threshold: a rate from 0 to 1, not \"\(threshold)\"")
        }
        let status = flags.given("--status")?.values.last ?? "code"
        let statusRule = TupleRules.StatusRule(rawValue: status)
        if statusRule == nil { mistakes.append("--status: code or class, not \"\(status)\"") }
        guard mistakes.isEmpty else { throw TrafficToolSettings.Mistakes(lines: mistakes) }
        self.paths = paths
        isJSON = output == "json"
        out = flags.given("--out")?.values.last
        self.threshold = rate ?? 0.999
        ignored = TupleRules.ignoredByDefault + (flags.given("--ignore")?.values ?? [])
        var rules = TupleRules(ignoring: ignored)
        rules.statusRule = statusRule ?? .code
        rules.bodyBytesLimit = .max
        rules.stepLimit = 20_000_000
        self.rules = rules
    }
}
