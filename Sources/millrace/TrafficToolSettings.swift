import Settings
import TrafficLog

/// What was asked of `millrace traffic`.
struct TrafficToolSettings {
    enum Verb: String {
        case dump, export, `import`

        fileprivate var flags: [String] {
            switch self {
            case .dump: ["--log", "--kafka-property", "--raw", "--output", "--connection"]
            case .export, .import: ["--log", "--kafka-property", "--archive"]
            }
        }
        fileprivate var required: [String] { self == .dump ? ["--log"] : ["--log", "--archive"] }
    }

    struct Mistakes: Error {
        let lines: [String]
    }

    private static let declarations = [
        FlagDeclaration("--log", .value("LOG"), group: "Traffic", help: "the log"),
        FlagDeclaration("--raw", .switchedOn, group: "Traffic", help: "records instead of exchanges"),
        FlagDeclaration("--output", .value("FORM"), group: "Traffic", default: "text", help: "text or json"),
        FlagDeclaration("--connection", .value("ID"), group: "Traffic", help: "only this connection"),
        FlagDeclaration("--archive", .value("FILE"), group: "Traffic", help: "the archive"),
        FlagDeclaration(
            "--kafka-property", .repeatedValue("K=V"), group: "Traffic", help: "a setting of librdkafka"),
    ]

    let verb: Verb
    let log: String
    let archive: String
    let isJSON: Bool
    let isRaw: Bool
    let connection: [UInt8]?
    var options = TrafficLogAddress.Options()

    /// `arguments` begin behind the verb.
    init(_ verb: Verb, arguments: [String], environment: (String) -> String?) throws(Mistakes) {
        let words = arguments.map {
            $0 == "-o" ? "--output" : $0.hasPrefix("-o=") ? "--output" + $0.dropFirst(2) : $0
        }
        let (flags, problems) = FlagParser.parse(words, environment: environment, declarations: Self.declarations)
        var mistakes = problems.map(\.description)
        for declaration in Self.declarations where !verb.flags.contains(declaration.name) {
            // A variable of another command is no mistake.
            guard flags.given(declaration.name)?.origin == declaration.name else { continue }
            mistakes.append("\(declaration.name): \(verb.rawValue) does not take it")
        }
        for name in verb.required where flags.given(name) == nil { mistakes.append("\(name): required") }

        let value = { (name: String) -> String? in
            verb.flags.contains(name) ? flags.given(name)?.values.last : nil
        }
        let output = value("--output") ?? "text"
        if output != "text", output != "json" { mistakes.append("--output: text or json, not \"\(output)\"") }
        let raw = value("--raw") ?? "false"
        if raw != "true", raw != "false" { mistakes.append("--raw: true or false, not \"\(raw)\"") }
        for text in flags.given("--kafka-property")?.values ?? [] {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty else {
                mistakes.append("--kafka-property: a setting is NAME=VALUE")
                continue
            }
            options.properties.append(TrafficLogAddress.Property(name: parts[0], value: parts[1]))
        }

        self.verb = verb
        log = value("--log") ?? ""
        archive = value("--archive") ?? ""
        isJSON = output == "json"
        isRaw = raw == "true"
        connection = value("--connection").map { Array($0.utf8) }
        if !mistakes.isEmpty { throw Mistakes(lines: mistakes) }
    }
}
