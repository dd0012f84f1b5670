/// The usage text of `millraced backfill` and its reference page.
package enum BackfillUsage {
    static let page = UsagePage(
        role: "backfill",
        introduction: """
            Sends the documents of an Elasticsearch or OpenSearch snapshot to a cluster.

            usage: millraced backfill --repository FOLDER --snapshot NAME --target URL --coordinator file:///FOLDER
                                      [FLAG...]

            Every flag may be given as an environment variable, --bulk-bytes as MILLRACE_BULK_BYTES; the flag goes
            first. Running the same command again resumes.

            """,
        flags: BackfillFlags.all, origin: (file: "BackfillFlags.swift", test: "BackfillUsage"),
        exitStatus: ExitStatus.allCases.map { ($0, $0.meaning) })

    package static var text: String { page.text }
    /// `Sources/Backfill/Backfill.docc/Flags.md`.
    package static var markdown: String { page.markdown }
}
