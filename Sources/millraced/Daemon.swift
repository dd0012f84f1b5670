import Backfill
import Glibc
import Settings

/// Chooses the role by the first argument.
enum Daemon {
    static let version = "0.1.0"

    static let usage = """
        millraced \(version): moves an Elasticsearch or OpenSearch cluster to a new OpenSearch cluster.

        usage: millraced ROLE [FLAGS]

        roles:
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
        case "--help", "-h", "help":
            Console.output(usage)
            return 0
        case "--version", "version":
            Console.output("millraced \(version)\n")
            return 0
        default:
            Console.error("millraced: there is no role \"\(role)\"; the roles are: backfill\n")
            return ExitStatus.usage.rawValue
        }
    }
}

/// Text to standard output and standard error.
enum Console {
    static func output(_ text: String) { write(text, to: STDOUT_FILENO) }
    static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    private static func write(_ text: String, to descriptor: Int32) {
        var text = text
        text.withUTF8 { bytes in
            var written = 0
            while written < bytes.count {
                let count = Glibc.write(
                    descriptor, bytes.baseAddress.unsafelyUnwrapped + written, bytes.count - written)
                if count < 0 {
                    if errno == EINTR { continue }
                    return
                }
                written += count
            }
        }
    }
}
