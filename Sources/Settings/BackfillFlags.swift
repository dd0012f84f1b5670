/// The flags of `millraced backfill`: the one table that the parser, the usage text and the flow's `Flags.md` are made
/// from.
package enum BackfillFlags {
    package static let all: [FlagDeclaration] =
        what + whereto + authentication.declarations + ClientTLSFlags.target.declarations + sending + limits
        + WatchingSettings.flags + watching

    static let authentication = AuthenticationFlags(group: "Access to the target")

    private static let what = [
        FlagDeclaration(
            "--repository", .value("FOLDER"), group: "What is migrated",
            help: "Folder of the snapshot repository, as a path or file:///FOLDER. Required."),
        FlagDeclaration(
            "--snapshot", .value("NAME"), group: "What is migrated", help: "Name of the snapshot. Required."),
        FlagDeclaration(
            "--index", .repeatedValue("NAME|regex:PATTERN"), group: "What is migrated",
            help: "An index by its exact name, or all whose whole name matches. May be given several times; in the "
                + "environment separated by spaces. Without it: all indices but system indices."),
        FlagDeclaration(
            "--include-system-indices", .switchedOn, group: "What is migrated", default: "false",
            help: "Takes indices too whose name starts with a dot. Backing indices of data streams (.ds-*) are always "
                + "taken, and so is an index given by its exact name."),
        FlagDeclaration(
            "--accept-partial", .switchedOn, group: "What is migrated", default: "false",
            help: "Migrates a PARTIAL snapshot; shards that it lacks are reported as left out."),
    ]

    private static let whereto = [
        FlagDeclaration(
            "--target", .value("URL"), group: "Where it goes",
            help: "The target cluster, http(s)://HOST[:PORT][/PREFIX]; the port is 80 or 443 if not given. \"null:\" "
                + "reads everything and sends nothing. Required."),
        FlagDeclaration(
            "--coordinator", .value("file:///FOLDER"), group: "Where it goes",
            help: "Folder that keeps checkpoints, so that the same command resumes. Required unless the target is "
                + "null:."),
        FlagDeclaration(
            "--dead-letters", .value("FILE"), group: "Where it goes",
            help: "File that every left-out document is appended to, with its reason, as JSON lines. Without it: "
                + "dead-letters.jsonl in the coordinator's folder."),
    ]

    private static let sending = [
        FlagDeclaration(
            "--compress", .switchedOn, group: "Access to the target", default: "false",
            help: "Sends bodies compressed with gzip: for slow networks, at the price of processor time.")
    ]

    private static let limits = [
        FlagDeclaration(
            "--workers", .value("COUNT"), group: "Limits", help: "Threads that read. Without it: one a processor."),
        FlagDeclaration(
            "--connections", .value("COUNT"), group: "Limits", default: "10",
            help: "Most requests in flight, 1 to 1000. Fewer are used while the target is slow or pushes back."),
        FlagDeclaration(
            "--bulk-bytes", .value("SIZE"), group: "Limits", default: "5MiB",
            help: "Most bytes of documents in a request, 64KiB to 100MiB, which is the engines' own limit. A larger "
                + "document goes alone."),
        FlagDeclaration(
            "--bulk-documents", .value("COUNT"), group: "Limits", default: "10000",
            help: "Most documents in a request, 1 to 100000."),
        FlagDeclaration(
            "--memory-budget", .value("SIZE"), group: "Limits", default: "64MiB",
            help: "Most bytes of documents read but not yet acknowledged; reading waits beyond. At least --connections "
                + "times --bulk-bytes, which it becomes by itself where not given."),
        FlagDeclaration(
            "--retry-for", .value("TIME"), group: "Limits", default: "10m",
            help: "How long the same document or request is retried, 1s to 7d. Documents that the target puts off for "
                + "longer are left out; an unreachable target ends the run."),
        FlagDeclaration(
            "--request-timeout", .value("TIME"), group: "Limits", default: "2m",
            help: "How long a request waits for its answer, 1s to 1h and at most --retry-for."),
    ]

    private static let watching = [
        FlagDeclaration(
            "--progress", .value("FORM"), group: "Watching", default: "auto",
            help: "How progress is shown on stderr: line, json, none, or auto: line on a terminal, else json.")
    ]
}
