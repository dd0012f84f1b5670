import Backfill
import EventIO
import Glibc
import Settings
import Telemetry

/// `millraced backfill`: settings, signals, admin server and report around the flow.
enum BackfillCommand {
    static func run(arguments: [String]) -> Int32 {
        let reading = RoleStart.read(role: "backfill") { () throws(SettingsError) in
            try BackfillSettings.load(arguments: arguments)
        }
        switch reading {
        case .ended(let status): return status
        case .run(let settings):
            return run(settings, log: RoleStart.log(settings.watching, warnings: settings.warnings))
        }
    }

    private static func run(_ settings: BackfillSettings, log: Log) -> Int32 {
        let control = BackfillControl()
        let signals = SignalWatch { number, count in
            // The first asks to end in order; whoever insists is obeyed. Nothing acknowledged is lost either way.
            if count > 1 { _exit(128 + number) }
            control.stop(RunStop(code: .signal(number), message: "stopped by \(SignalName.of(number))"))
        }
        defer { signals.cancel() }
        let metrics = MetricsRegistry()
        let admin: AdminServer?
        do {
            admin = try RoleStart.adminServer(settings.watching, role: "backfill", metrics: metrics, log: log) {
                .ready
            }
        } catch {
            return ExitStatus.unavailable.rawValue
        }
        defer { admin?.stop() }
        let given = settings.describe().map { "\($0.name) \($0.value)" }.joined(separator: " ")
        // A person at a terminal sees the command above.
        log.output.format == .json
            ? log.info("backfill starts", [.setting: .text(given)])
            : log.debug("backfill starts", [.setting: .text(given)])
        let terminal: (@Sendable (String) -> Void)? =
            Console.errorIsTerminal ? { @Sendable in Console.error($0) } : nil
        let backfill = SnapshotBackfill(
            settings, control: control, metrics: metrics, log: log, wallClock: { Int64(time(nil)) },
            terminal: terminal)
        let report = backfill.run()
        finish(report, log: log)
        return report.exitCode
    }

    /// The summary on standard output, one JSON line where a program reads it; the failure on standard error.
    private static func finish(_ report: BackfillReport, log: Log) {
        if Console.outputIsTerminal {
            Console.output(report.text)
        } else {
            Console.output(report.json + "\n")
            if log.output.format == .text || Console.errorIsTerminal { Console.error(report.text) }
        }
        guard log.output.format == .json else { return }
        let code = LogValue.integer(Int64(report.exitCode))
        if let stop = report.stop {
            log.error("backfill stopped", [.reason: .text(stop.message), .code: code])
        } else if report.exitCode == 0 {
            log.info("backfill complete", [.migratedCount: .integer(Int64(report.total.migrated)), .code: code])
        } else {
            log.warning(
                "backfill finished, not everything came along",
                [
                    .migratedCount: .integer(Int64(report.total.migrated)),
                    .leftOutCount: .integer(Int64(report.leftOutDocumentCount)), .code: code,
                ])
        }
    }
}
