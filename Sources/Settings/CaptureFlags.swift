/// The flags of `millraced capture`: the one table that the parser, the usage text and the flow's `Flags.md` are made
/// from.
package enum CaptureFlags {
    package static let all: [FlagDeclaration] =
        what + log.declarations + recording + tls + ClientTLSFlags.source.declarations + limits + deadlines
        + WatchingSettings.flags

    static let log = TrafficLogFlags(
        group: "What is recorded",
        help: "Where traffic is recorded: kafka://BROKER[,BROKER]/TOPIC, file:///FOLDER, mock:[TOPIC] to try it out, "
            + "or none to pass on without recording. Required.",
        schemes: TrafficLogFlags.kafkaAndFiles + [("mock:", "mock:TOPIC")], allowsNone: true)

    private static let what = [
        FlagDeclaration(
            "--listen", .value("HOST:PORT"), group: "What is proxied",
            help: "Address that clients connect to; :PORT is every address. Required."),
        FlagDeclaration(
            "--source", .value("URL"), group: "What is proxied",
            help: "The source cluster, http(s)://HOST[:PORT]; requests reach it as they came. Required."),
        FlagDeclaration(
            "--set-header", .repeatedValue("NAME=VALUE"), group: "What is proxied", shows: .beforeEquals,
            help: "Sets a header in every request that is sent to the source, in place of those of that name. May be "
                + "given several times."),
        FlagDeclaration(
            "--proxy-protocol", .switchedOn, group: "What is proxied", default: "false",
            help: "Every connection begins with a PROXY protocol header, version 1 or 2, as load balancers write it; "
                + "with TLS it comes before the handshake."),
    ]

    private static let recording = [
        FlagDeclaration(
            "--log-outage", .value("POLICY"), group: "What is recorded", default: "refuse",
            help: "What becomes of a writing request while the log is not available: refuse answers 503, forward "
                + "passes it on unrecorded and marks the gap, spool records to the folder of --spool first."),
        FlagDeclaration(
            "--spool", .value("FOLDER"), group: "What is recorded",
            help: "Folder for records while the log is not available; with --log-outage spool."),
        FlagDeclaration(
            "--hold-timeout", .value("TIME"), group: "What is recorded", default: "30s",
            help: "How long a writing request waits for the log before the policy of --log-outage takes over, 100ms "
                + "to 10m."),
        FlagDeclaration(
            "--strict-writes", .switchedOn, group: "What is recorded", default: "false",
            help: "Takes every request but GET, HEAD and OPTIONS as writing, searches by POST too."),
        FlagDeclaration(
            "--suppress-header", .repeatedValue("NAME=PATTERN"), group: "What is recorded", shows: .beforeEquals,
            help: "Does not record requests whose header of that name matches the expression as a whole. May be given "
                + "several times."),
        FlagDeclaration(
            "--suppress-method", .value("PATTERN"), group: "What is recorded",
            help: "Does not record requests whose method matches the expression as a whole."),
        FlagDeclaration(
            "--suppress-path", .value("PATTERN"), group: "What is recorded",
            help: "Does not record requests whose target, query included, matches the expression as a whole."),
        FlagDeclaration(
            "--suppress-method-and-path", .value("PATTERN"), group: "What is recorded",
            help: "Does not record requests whose \"METHOD TARGET\" matches the expression as a whole."),
        FlagDeclaration(
            "--redact-header", .repeatedValue("NAME"), group: "What is recorded",
            help: "Overwrites the value of a request header with * in the record, not in what the source gets. May be "
                + "given several times."),
        FlagDeclaration(
            "--flush-after", .value("TIME"), group: "What is recorded", default: "250ms",
            help: "Traffic is handed to the log no later than this after it came, 10ms to 1m."),
    ]

    private static let tls = [
        FlagDeclaration(
            "--tls-certificate", .value("FILE"), group: "TLS",
            help: "PEM certificate chain to speak TLS to clients with; read again within 30s when it changes."),
        FlagDeclaration("--tls-key", .value("FILE"), group: "TLS", help: "PEM private key of that certificate."),
        FlagDeclaration(
            "--client-certificates", .value("none|optional|required"), group: "TLS", default: "none",
            help: "Whether clients show a certificate."),
        FlagDeclaration(
            "--client-ca", .value("FILE"), group: "TLS", help: "PEM authorities of the clients' certificates."),
    ]

    private static let limits = [
        FlagDeclaration(
            "--workers", .value("COUNT"), group: "Limits", help: "Event loops. Without it: one a processor."),
        FlagDeclaration(
            "--connections", .value("COUNT"), group: "Limits", default: "50000",
            help: "Most client connections; further ones wait to be accepted."),
        FlagDeclaration(
            "--warm-connections", .value("COUNT"), group: "Limits", default: "0",
            help: "Connections to the source that each worker keeps ready for new clients, 0 to 1000."),
        FlagDeclaration(
            "--head-bytes", .value("SIZE"), group: "Limits", default: "64KiB",
            help: "Longest request head, 4KiB to 1MiB; a longer one is answered with 431."),
        FlagDeclaration(
            "--body-bytes", .value("SIZE"), group: "Limits",
            help: "Longest request body; a longer one is answered with 413. Without it: no limit."),
        FlagDeclaration(
            "--record-bytes", .value("SIZE"), group: "Limits", default: "256KiB",
            help: "Longest record of the log, 16KiB to 16MiB; the topic's max.message.bytes is at least this."),
        FlagDeclaration(
            "--in-flight-budget", .value("SIZE"), group: "Limits", default: "256MiB",
            help: "Most bytes of records that are being filled or not yet acknowledged; beyond, writing requests wait "
                + "and reads go unrecorded, with the gap marked."),
    ]

    private static let deadlines = [
        FlagDeclaration(
            "--connect-timeout", .value("TIME"), group: "Deadlines", default: "5s",
            help: "For connecting to the source; then 504."),
        FlagDeclaration(
            "--head-timeout", .value("TIME"), group: "Deadlines", default: "30s",
            help: "From the first byte of a request head to its last; then 408."),
        FlagDeclaration(
            "--request-timeout", .value("TIME"), group: "Deadlines", default: "2m",
            help: "Longest pause of a client within a request body, or of one that does not read its answer."),
        FlagDeclaration(
            "--response-timeout", .value("TIME"), group: "Deadlines", default: "10m",
            help: "Longest pause of the source before and within an answer; then 504."),
        FlagDeclaration(
            "--idle-timeout", .value("TIME"), group: "Deadlines", default: "1h",
            help: "How long a connection may be idle between requests."),
        FlagDeclaration(
            "--drain-timeout", .value("TIME"), group: "Deadlines", default: "25s",
            help: "After SIGTERM: how long open requests and the log may take to finish."),
    ]
}
