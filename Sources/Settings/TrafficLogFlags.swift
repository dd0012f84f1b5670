/// The traffic log that a role writes or reads, as given; the edge parses its address.
package struct TrafficLogSettings: Sendable {
    package static let none = "none"

    /// Who a client of the brokers says it is, beside what `kafkaProperties` say.
    package enum KafkaAuthentication: Sendable, Equatable {
        case byProperties
        /// Amazon MSK's IAM access control; credentials come from AWS' own places.
        case mskIAM(region: String)
    }

    /// `none` where a role can do without a log.
    package var address = Self.none
    /// Properties of librdkafka in the order given. Values may be secret.
    package var kafkaProperties: [(name: String, value: Secret)] = []

    package var kafkaAuthentication = KafkaAuthentication.byProperties

    package init() {}

    package var isNone: Bool { address == Self.none }
    var isKafka: Bool { address.hasPrefix("kafka:") || address.hasPrefix("mock:") }
}

/// The flags of `TrafficLogSettings`.
struct TrafficLogFlags {
    /// Heading in the usage.
    let group: String
    /// What `--log` is for the role.
    let help: String
    /// Kinds of address that the role takes, as they begin, and what a person would write.
    let schemes: [(prefix: String, example: String)]
    /// `--log none` is allowed.
    let allowsNone: Bool

    static let kafkaAndFiles: [(prefix: String, example: String)] = [
        ("kafka://", "kafka://BROKERS/TOPIC"), ("file://", "file:///FOLDER"),
    ]

    var declarations: [FlagDeclaration] {
        [
            FlagDeclaration("--log", .value("LOG"), group: group, shows: .beforeQuestionMark, help: help),
            FlagDeclaration(
                "--kafka-property", .repeatedValue("NAME=VALUE"), group: group, shows: .beforeEquals,
                help: "A property of librdkafka, e.g. security.protocol=ssl. May be given several times."),
            FlagDeclaration(
                "--kafka-property-file", .value("FILE"), group: group,
                help: "File with one NAME=VALUE a line, for properties that are secret, such as sasl.password."),
        ] + Self.kafkaAuthentication(group: group)
    }

    package static func kafkaAuthentication(group: String) -> [FlagDeclaration] {
        [
            FlagDeclaration(
                "--kafka-auth", .value("properties|msk-iam"), group: group, default: "properties",
                help: "How clients prove to the brokers who they are: as librdkafka's properties say, or by IAM access "
                    + "control of Amazon MSK with the AWS credentials of the environment; that takes TLS."),
            FlagDeclaration(
                "--kafka-aws-region", .value("REGION"), group: group,
                help: "Region of the MSK cluster; with --kafka-auth msk-iam."),
        ]
    }

    func read(_ reader: inout FlagReader) -> TrafficLogSettings {
        var settings = TrafficLogSettings()
        settings.address = reader.required("--log", address) ?? settings.address
        settings.kafkaProperties = reader.value("--kafka-property-file", Self.properties) ?? []
        settings.kafkaProperties += reader.all("--kafka-property") { (text) throws(ValueProblem) in
            let (name, value) = try NameAndValue.parse(text)
            return (name, Secret(value))
        }
        if !settings.kafkaProperties.isEmpty, !settings.isKafka {
            reader.note(nil, "Kafka properties are given, but --log is not a Kafka topic")
        }
        settings.kafkaAuthentication = readAuthentication(&reader, isKafka: settings.address.hasPrefix("kafka:"))
        return settings
    }

    private func readAuthentication(
        _ reader: inout FlagReader, isKafka: Bool
    ) -> TrafficLogSettings.KafkaAuthentication {
        let isIAM = reader.choice("--kafka-auth", ["properties", "msk-iam"]) == "msk-iam"
        let region = reader.text("--kafka-aws-region")
        if isIAM != reader.isGiven("--kafka-aws-region") {
            reader.note(nil, "--kafka-auth msk-iam and --kafka-aws-region REGION belong together; one is missing")
        }
        if isIAM, !isKafka { reader.note("--kafka-auth", "msk-iam is given, but --log is not kafka://") }
        guard isIAM, let region else { return .byProperties }
        return .mskIAM(region: region)
    }

    private func address(_ text: String) throws(ValueProblem) -> String {
        if allowsNone, text == TrafficLogSettings.none { return text }
        guard schemes.contains(where: { text.hasPrefix($0.prefix) }) else {
            let known = schemes.map(\.example) + (allowsNone ? [TrafficLogSettings.none] : [])
            throw ValueProblem(
                "\"\(text)\" is none of \(known.dropLast().joined(separator: ", ")) and \(known.last ?? "")")
        }
        return text
    }

    /// Lines of NAME=VALUE; empty lines and lines that begin with # are passed over.
    private static func properties(
        _ path: String, _ readFile: FlagReader.ReadFile
    ) throws(ValueProblem) -> [(name: String, value: Secret)] {
        var properties: [(name: String, value: Secret)] = []
        let text = String(decoding: try readFile(path).get(), as: UTF8.self)
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.last == "\r" ? line.dropLast() : line
            guard !line.isEmpty, line.first != "#" else { continue }
            guard let equals = line.firstIndex(of: "="), equals > line.startIndex else {
                throw ValueProblem("line \(index + 1) of \(path) is not NAME=VALUE")
            }
            properties.append((String(line[..<equals]), Secret(String(line[line.index(after: equals)...]))))
        }
        return properties
    }
}
