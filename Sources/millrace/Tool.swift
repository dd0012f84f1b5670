import Settings
import Telemetry

/// Chooses the command by the first two arguments.
enum Tool {
    static let usage = """
        millrace \(ProgramVersion.text): snapshot repositories, captured traffic, and the steps of a migration.

        usage: millrace snapshot list --repository FOLDER [-o json]
               millrace snapshot show --repository FOLDER --snapshot NAME [-o json]
               millrace traffic dump|export|import|report … (millrace traffic --help)
               millrace step snapshot|metadata|validate … (millrace step --help)

          list   the snapshots of a repository: state, engine, number of indices, when they were taken
          show   the indices of a snapshot: shards, documents, sizes, and whether millraced backfill reads them

          --repository FOLDER   path, or file:///FOLDER
          --snapshot NAME       as list shows it
          -o, --output FORM     text for people (the default), or json for programs: one object on one line

        Each may be given as an environment variable, --repository as MILLRACE_REPOSITORY; the flag goes first.
        Both only read, and open no more than lists and headers.

        Exit status
          0     done
          64    wrong usage; nothing was done
          65    the repository or the snapshot cannot be read, or parts of it: what can be read is shown
          69    the repository is unavailable

        """

    static func run(arguments: [String]) -> Int32 {
        switch arguments.first {
        case nil:
            Console.error(usage)
            return ExitStatus.usage.rawValue
        case "--help", "-h", "help":
            Console.output(usage)
            return 0
        case "--version", "version":
            Console.output("millrace \(ProgramVersion.text)\n")
            return 0
        case "snapshot": return runSnapshot(Array(arguments.dropFirst()))
        case "step": return StepCommand.run(arguments: Array(arguments.dropFirst()))
        case "traffic": return TrafficCommand.run(arguments: Array(arguments.dropFirst()))
        case let command?:
            return refuse(
                "millrace: there is no command \"\(command)\"; the commands are: "
                    + "snapshot list, snapshot show, traffic dump, traffic export, traffic import, "
                    + "traffic report, step snapshot, step metadata, step validate")
        }
    }

    private static func runSnapshot(_ arguments: [String]) -> Int32 {
        guard let word = arguments.first else {
            return refuse("millrace snapshot: list or show is missing; millrace --help shows how")
        }
        if ["--help", "-h", "help"].contains(word) {
            Console.output(usage)
            return 0
        }
        guard let verb = SnapshotToolSettings.Verb(rawValue: word) else {
            return refuse("millrace snapshot: there is no \"\(word)\"; the commands are: list, show")
        }
        do throws(SettingsError) {
            switch try SnapshotToolSettings.load(verb, arguments: Array(arguments.dropFirst())) {
            case .help:
                Console.output(usage)
                return 0
            case .run(let settings): return SnapshotCommand(settings).run()
            }
        } catch {
            let problems = error.problems.map { "  \($0.description)\n" }.joined()
            Console.error("millrace snapshot \(word): wrong usage:\n\(problems)millrace --help shows how.\n")
            return ExitStatus.usage.rawValue
        }
    }

    private static func refuse(_ line: String) -> Int32 {
        Console.error(line + "\n")
        return ExitStatus.usage.rawValue
    }
}
