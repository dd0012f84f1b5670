/// The flags of `millraced replay`: the one table that the parser, the usage text and the flow's `Flags.md` are made
/// from.
package enum ReplayFlags {
    package static let all: [FlagDeclaration] =
        log.declarations + what + target + authentication.declarations + tls.declarations + pace + limits + outcome
        + output + WatchingSettings.flags

    static let log = TrafficLogFlags(
        group: "What is replayed",
        help: "The captured traffic: kafka://BROKER[,BROKER]/TOPIC?group=NAME, file:///FOLDER[?group=NAME], or "
            + "archive:///FILE[?group=NAME] for exported records. The group's position is kept in the log. Required.",
        schemes: TrafficLogFlags.kafkaAndFiles + [("archive://", "archive:///FILE")], allowsNone: false)

    static let authentication = AuthenticationFlags(group: targetGroup)
    static let tls = ClientTLSFlags.target
    private static let targetGroup = "Access to the target"

    private static let what = [
        FlagDeclaration(
            "--from", .value("PLACE"), group: "What is replayed", default: "earliest",
            help: "Where a partition begins for which the group has no position: earliest, latest, a time "
                + "(2026-11-25T08:00:00Z), or offsets as 0:1200,1:900."),
        FlagDeclaration(
            "--reset-position", .switchedOn, group: "What is replayed", default: "false",
            help: "Begins at --from although the group has positions. Refused while the group has other members."),
        FlagDeclaration(
            "--until", .value("PLACE"), group: "What is replayed",
            help: "Ends when everything up to there is resolved: end is what the log holds now, or a time. Without it: "
                + "follows the log."),
        FlagDeclaration(
            "--group-instance", .value("NAME"), group: "What is replayed",
            help: "Kafka's group.instance.id: an instance that comes back under it soon keeps its partitions."),
        FlagDeclaration(
            "--rules", .value("FILE"), group: "What is replayed",
            help: "Rules by which requests are rewritten, as JSON; see Rules.md."),
        FlagDeclaration(
            "--generated-ids", .value("source|target"), group: "What is replayed", default: "source",
            help: "Ids of documents that were created without one: the source's, taken from its response, so that both "
                + "clusters agree; or new ones that the target makes."),
    ]

    private static let target = [
        FlagDeclaration(
            "--target", .value("URL"), group: targetGroup,
            help: "The target cluster, http(s)://HOST[:PORT]. Required."),
        FlagDeclaration(
            "--captured-credentials", .value("remove|keep"), group: targetGroup, default: "remove",
            help: "What becomes of the Authorization header of captured requests when none of the target's own "
                + "credentials are given."),
        FlagDeclaration(
            "--user-agent-suffix", .value("TEXT"), group: targetGroup,
            help: "Added to the User-Agent header, so that the target's log tells replayed requests apart."),
    ]

    private static let pace = [
        FlagDeclaration(
            "--speed", .value("FACTOR|max"), group: "Pace", default: "1",
            help: "1 keeps the source's own pace, 10 is ten times as fast, 0.1 to 1000; max sends as fast as the "
                + "target answers."),
        FlagDeclaration(
            "--look-ahead", .value("TIME"), group: "Pace", default: "30s",
            help: "How far ahead of what is due the log is read, 1s to 1h."),
        FlagDeclaration(
            "--longest-gap", .value("TIME"), group: "Pace",
            help: "Cuts stretches without a request to this, 0s to 1h. Without it they are lived through."),
    ]

    private static let limits = [
        FlagDeclaration(
            "--workers", .value("COUNT"), group: "Limits", help: "Event loops. Without it: one a processor."),
        FlagDeclaration(
            "--in-flight", .value("COUNT"), group: "Limits", default: "256",
            help: "Most requests at the target at a time, and connections to it, 1 to 10000."),
        FlagDeclaration(
            "--memory", .value("SIZE"), group: "Limits", default: "256MiB",
            help: "Memory that the process gets by with, 64MiB to 1TiB; reading waits while it is used up."),
        FlagDeclaration(
            "--expire-after", .value("TIME"), group: "Limits", default: "6m",
            help: "A connection without news for so long has nothing more to come for what is under way, 1s to 1d."),
    ]

    private static let outcome = [
        FlagDeclaration(
            "--give-up-after", .value("never|TIME"), group: "Outcome", default: "never",
            help: "How long a writing request is tried that the target does not take (429, 5xx, no answer); then it "
                + "goes to the dead letters."),
        FlagDeclaration(
            "--give-up-reads-after", .value("never|TIME"), group: "Outcome", default: "1m",
            help: "The same for requests that only read."),
        FlagDeclaration(
            "--connect-timeout", .value("TIME"), group: "Outcome", default: "10s",
            help: "For connecting to the target."),
        FlagDeclaration(
            "--response-timeout", .value("TIME"), group: "Outcome", default: "150s",
            help: "From the end of a request to the first byte of its answer."),
        FlagDeclaration(
            "--request-timeout", .value("TIME"), group: "Outcome", default: "10m",
            help: "From the first byte of a request to the last of its answer."),
        FlagDeclaration(
            "--drain-timeout", .value("TIME"), group: "Outcome", default: "20s",
            help: "After SIGTERM, or when a partition goes to another instance: how long begun requests may take."),
    ]

    private static let output = [
        FlagDeclaration(
            "--tuples", .value("FOLDER|none"), group: "What is written",
            help: "Folder for tuples: each exchange with the source beside what the target made of it, one JSON line "
                + "each, durable before the position moves on. Required; none writes none."),
        FlagDeclaration(
            "--tuple-compression", .value("gzip|zstd|none"), group: "What is written", default: "gzip",
            help: "How the files are packed."),
        FlagDeclaration(
            "--tuple-body-bytes", .value("SIZE"), group: "What is written", default: "32KiB",
            help: "Bodies beyond this are cut in tuples, with their length and checksum; 0 never cuts."),
        FlagDeclaration(
            "--tuple-file-bytes", .value("SIZE"), group: "What is written", default: "128MiB",
            help: "A file is finished at this size."),
        FlagDeclaration(
            "--tuple-file-age", .value("TIME"), group: "What is written", default: "5m",
            help: "A file is finished after this time."),
        FlagDeclaration(
            "--ignore", .repeatedValue("PATH"), group: "What is written",
            help: "A path of JSON bodies, as hits.hits.*._score, that may differ. May be given several times; took, "
                + "_shards, _version and their like always may."),
        FlagDeclaration(
            "--dead-letters", .value("FOLDER"), group: "What is written",
            help: "Folder for what cannot be replayed: records that cannot be read, requests that cannot be rewritten "
                + "or that were given up. Required."),
    ]
}

/// The usage text of `millraced replay` and its reference page.
package enum ReplayUsage {
    static let page = UsagePage(
        role: "replay",
        introduction: """
            Sends captured traffic to a target cluster: in the order of each connection, again until it is taken,
            and compared with what the source answered.

            usage: millraced replay --log LOG --target URL --tuples FOLDER --dead-letters FOLDER [FLAG...]

            Every flag may be given as an environment variable, --look-ahead as MILLRACE_LOOK_AHEAD; the flag
            goes first.

            """,
        flags: ReplayFlags.all, origin: (file: "ReplayFlags.swift", test: "ReplayUsage"),
        exitStatus: [
            (.complete, "everything up to --until is resolved, or stopped by a signal with nothing begun left"),
            (.incomplete, "stopped, but what had begun was not finished in time; it is sent again by the next run"),
            (.usage, "wrong usage; nothing was done"),
            (.unavailable, "the log, the target's certificates or the folders cannot be used"),
            (.fault, "a fault of this program"),
        ])

    package static var text: String { page.text }
    /// `Sources/Replay/Replay.docc/Flags.md`.
    package static var markdown: String { page.markdown }
}
