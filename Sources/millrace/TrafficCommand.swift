import Settings

/// `millrace traffic dump|export|import|report`: looks into a traffic log, converts between logs and archives, and
/// reports how source and target answered.
enum TrafficCommand {
    static let usage = """
        usage: millrace traffic dump   --log LOG [--raw] [-o text|json] [--connection ID]
               millrace traffic export --log LOG --archive FILE
               millrace traffic import --archive FILE --log LOG
               millrace traffic report FOLDER|FILE... [-o html|json] [--out FILE] [--threshold RATE]
                                       [--ignore PATH]... [--status code|class]

          dump     prints every exchange, complete or not: text for people, or with -o json one object a line
                   (connection, node, request, method, target, requestHeaders, requestBody, requestTime, status,
                   responseHeaders, responseBody, responseTime, complete; bodies in base64, chunks joined)
          export   writes the log's records as lines of key|base64, gzip
          import   appends an archive's records to a log, each with its key
          report   compares what source and target answered, from the replayer's tuples (gzip, zstd or plain; also the
                   reference project's): match rate, latency, statuses, the worst differences. One HTML page that needs
                   nothing else, or JSON

          --log LOG             kafka://BROKER[,BROKER...]/TOPIC, file:///FOLDER, or an archive: archive:FILE or a path
                                that ends in .gz (key|base64, base64 alone, or JSON objects with key and value a line)
          --raw                 records and their observations with offsets instead of exchanges
          -o, --output FORM     text (the default) or json
          --connection ID       only this connection
          --archive FILE        export replaces it when everything is written
          --kafka-property K=V  a setting of librdkafka, e.g. security.protocol=SASL_SSL; may be repeated. Secrets are
                                better off in the environment, MILLRACE_KAFKA_PROPERTY

          --out FILE            the report's file; standard output without it
          --threshold RATE      match rate to reach, 0 to 1, default 0.999
          --ignore PATH         a member of bodies that may differ: a name anywhere (_score), or a path from the top
                                with * for any key or place (hits.hits.*._score). May be repeated. Always ignored:
                                took, ingest_took, _shards, _version, _seq_no, _primary_term, _scroll_id, pit_id, _type,
                                index_uuid, and of errors their wording and shard
          --status RULE         code (the default): 200 and 201 differ; class: they do not

        Reading stops when everything that the log holds was read. Exit status: 0 done, 3 the match rate is below the
        threshold or nothing could be compared, 64 wrong usage, 65 parts could not be read (the rest was done),
        69 the log or a file is unavailable, 70 a fault of this program.

        """

    /// `arguments` begin behind the word `traffic`. Returns the exit status.
    static func run(arguments: [String]) -> Int32 {
        guard let word = arguments.first else { return refuse(["dump, export, import or report is missing"]) }
        let isHelp = arguments.contains { $0 == "--help" || $0 == "-h" } || word == "help"
        if isHelp {
            TrafficConsole.output(usage)
            return 0
        }
        if word == "report" { return report(Array(arguments.dropFirst())) }
        guard let verb = TrafficToolSettings.Verb(rawValue: word) else {
            return refuse(["there is no \"\(word)\"; the commands are: dump, export, import, report"])
        }
        let settings: TrafficToolSettings
        do throws(TrafficToolSettings.Mistakes) {
            settings = try TrafficToolSettings(
                verb, arguments: Array(arguments.dropFirst()), environment: FlagParser.processEnvironment)
        } catch {
            return refuse(error.lines)
        }
        do throws(TrafficFailure) {
            return try perform(settings)
        } catch {
            TrafficConsole.error("millrace traffic \(verb.rawValue): \(error.message)\n")
            return error.status.rawValue
        }
    }

    private static func report(_ arguments: [String]) -> Int32 {
        let settings: TrafficReportSettings
        do throws(TrafficToolSettings.Mistakes) {
            settings = try TrafficReportSettings(arguments: arguments, environment: FlagParser.processEnvironment)
        } catch {
            return refuse(error.lines)
        }
        do throws(TrafficFailure) {
            return try TrafficReport.run(settings)
        } catch {
            TrafficConsole.error("millrace traffic report: \(error.message)\n")
            return error.status.rawValue
        }
    }

    private static func perform(_ settings: TrafficToolSettings) throws(TrafficFailure) -> Int32 {
        let log = try TrafficPlace(settings.log)
        switch settings.verb {
        case .dump:
            var dump = TrafficDump(isJSON: settings.isJSON, connection: settings.connection)
            let source = try log.openSource(settings.options)
            return settings.isRaw ? try dump.printRecords(source) : try dump.printExchanges(source)
        case .export:
            return try TrafficTransfer.export(try log.openSource(settings.options), to: settings.archive)
        case .import:
            let source = try TrafficPlace.archive(path: settings.archive).openSource(settings.options)
            return try TrafficTransfer.append(source, to: log, settings.options)
        }
    }

    private static func refuse(_ mistakes: [String]) -> Int32 {
        let lines = mistakes.map { "  \($0)\n" }.joined()
        TrafficConsole.error("millrace traffic: wrong usage:\n\(lines)millrace traffic --help shows how.\n")
        return ExitStatus.usage.rawValue
    }
}

/// Why the command ends.
struct TrafficFailure: Error {
    let status: ExitStatus
    /// One line.
    let message: String

    init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = message
    }
}
