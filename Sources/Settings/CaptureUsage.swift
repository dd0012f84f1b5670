/// The usage text of `millraced capture` and its reference page.
package enum CaptureUsage {
    static let page = UsagePage(
        role: "capture",
        introduction: """
            Passes HTTP/1.1 traffic on to a source cluster and records it; a writing request reaches the source
            only when its record is durable.

            usage: millraced capture --listen HOST:PORT --source URL --log LOG [FLAG...]

            Every flag may be given as an environment variable, --flush-after as MILLRACE_FLUSH_AFTER; the flag
            goes first.

            """,
        flags: CaptureFlags.all, origin: (file: "CaptureFlags.swift", test: "CaptureUsage"),
        exitStatus: [
            (.complete, "stopped by a signal; every answer was finished and every record acknowledged"),
            (.incomplete, "stopped by a signal, but the grace period ended first or records were lost"),
            (.usage, "wrong usage; nothing was done"),
            (.unavailable, "the address cannot be listened on, or the log cannot be opened"),
            (.fault, "a fault of this program"),
        ])

    package static var text: String { page.text }
    /// `Sources/Capture/Capture.docc/Flags.md`.
    package static var markdown: String { page.markdown }
}
