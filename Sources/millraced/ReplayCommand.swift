import CSystem
import ClusterClient
import EventIO
import Glibc
import Replay
import Settings
import Telemetry
import TrafficLog

/// `millraced replay`: settings, signals, admin server and the log around the flow.
enum ReplayCommand {
    static func run(arguments: [String]) -> Int32 {
        let reading = RoleStart.read(role: "replay") { () throws(SettingsError) in
            try ReplaySettings.load(arguments: arguments)
        }
        switch reading {
        case .ended(let status): return status
        case .run(let settings):
            return run(settings, log: RoleStart.log(settings.watching, warnings: settings.warnings))
        }
    }

    private static func run(_ settings: ReplaySettings, log: Log) -> Int32 {
        let metrics = MetricsRegistry()
        let reader: any GroupLogReader
        do throws(TrafficLogError) {
            reader = try open(settings)
        } catch {
            Console.error("millraced replay: --log: \(error.message)\n")
            return (error.code == .invalidSetting ? ExitStatus.usage : ExitStatus.unavailable).rawValue
        }
        let replayer: TrafficReplayer
        do throws(ReplayStartError) {
            var random = SystemRandomNumberGenerator()
            replayer = try TrafficReplayer(
                settings, reader: reader, metrics: metrics, log: log, seed: random.next())
        } catch {
            reader.close()
            Console.error("millraced replay: \(error.message)\n")
            return (error.isWrongUsage ? ExitStatus.usage : ExitStatus.unavailable).rawValue
        }
        let signals = SignalWatch { number, count in
            // The first asks to end in order; whoever insists is obeyed. Nothing is lost either way.
            if count > 1 { _exit(128 + number) }
            log.info("stopping", [.signal: .integer(Int64(number))])
            replayer.stop()
        }
        defer { signals.cancel() }
        let admin: AdminServer?
        do {
            admin = try RoleStart.adminServer(settings.watching, role: "replay", metrics: metrics, log: log) {
                replayer.readiness
            }
        } catch {
            return ExitStatus.unavailable.rawValue
        }
        defer { admin?.stop() }
        log.info(
            "replay starts",
            [
                .address: .text(reader.location),
                .setting: .text(settings.describe().map { "\($0.name) \($0.value)" }.joined(separator: " ")),
            ])
        return finish(replayer.run(), log: log)
    }

    private static func finish(_ report: TrafficReplayer.Report, log: Log) -> Int32 {
        if let failure = report.failure {
            log.error("replay ends", [.reason: .text(failure)])
            return ExitStatus.unavailable.rawValue
        }
        let status: ExitStatus = report.status == .abandoned ? .incomplete : .complete
        log.info("replay ends", [.status: .text("\(report.status)")])
        return status.rawValue
    }

    private static func open(_ settings: ReplaySettings) throws(TrafficLogError) -> any GroupLogReader {
        var group = GroupReaderSettings()
        group.resetsPositions = settings.resetsPosition
        group.instanceID = settings.groupInstance
        group.readAheadBytes = ReplayMemory.readAheadBytes(of: settings.limits.memoryBytes)
        switch settings.start {
        case .earliest: group.start = .earliest
        case .latest: group.start = .latest
        case .time(let milliseconds): group.start = .timestamp(milliseconds: milliseconds)
        case .offsets(let offsets): group.start = .offsets(offsets)
        }
        switch settings.end {
        case .never: group.end = .never
        case .end: group.end = .end
        case .time(let milliseconds): group.end = .time(milliseconds: milliseconds)
        }
        return try TrafficLogAddress.parse(settings.log.address).openGroupReader(
            TrafficLogAddress.Options(settings.log), group)
    }
}
