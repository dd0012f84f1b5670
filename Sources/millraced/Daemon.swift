import Settings
import Telemetry

/// Chooses the role by the first argument.
enum Daemon {
    static let usage = """
        millraced \(ProgramVersion.text): moves an Elasticsearch or OpenSearch cluster to a new OpenSearch cluster.

        usage: millraced ROLE [FLAGS]

        roles:
          capture    pass a cluster's traffic on and record it, writing requests before they are executed
          replay     send recorded traffic to the target, in order, until it is taken, and compare
          backfill   read a snapshot's documents straight from its Lucene files and send them to the target

        millraced ROLE --help lists the role's flags and exit codes.

        """

    static func run(arguments: [String]) -> Int32 {
        guard let role = arguments.first else {
            Console.error(usage)
            return ExitStatus.usage.rawValue
        }
        let rest = Array(arguments.dropFirst())
        switch role {
        case "backfill": return BackfillCommand.run(arguments: rest)
        case "capture": return CaptureCommand.run(arguments: rest)
        case "replay": return ReplayCommand.run(arguments: rest)
        case "--help", "-h", "help":
            Console.output(usage)
            return 0
        case "--version", "version":
            Console.output("millraced \(ProgramVersion.text)\n")
            return 0
        default:
            Console.error("millraced: there is no role \"\(role)\"; the roles are: capture, replay, backfill\n")
            return ExitStatus.usage.rawValue
        }
    }
}
