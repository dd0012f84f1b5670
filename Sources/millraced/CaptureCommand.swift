import CSystem
import Capture
import Dispatch
import EventIO
import Glibc
import Settings
import Telemetry
import TrafficLog

/// `millraced capture`: settings, signals, admin server and the log around the flow.
enum CaptureCommand {
    static func run(arguments: [String]) -> Int32 {
        let reading = RoleStart.read(role: "capture") { () throws(SettingsError) in
            try CaptureSettings.load(arguments: arguments)
        }
        switch reading {
        case .ended(let status): return status
        case .run(let settings):
            return run(settings, log: RoleStart.log(settings.watching, warnings: settings.warnings))
        }
    }

    /// Besides two a connection: listeners, loops, the log's files and its connections to brokers.
    private static let otherDescriptorCount = 256

    /// Services start with a low soft limit for the sake of old programs; a proxy takes what it is allowed.
    private static func raiseDescriptorLimit(_ settings: CaptureSettings, log: Log) {
        let limit = millrace_raise_descriptor_limit()
        let connectionLimit = settings.limits.connectionLimit
        guard limit < 2 * connectionLimit + otherDescriptorCount else { return }
        log.warning(
            "settings",
            [
                .warning: .text(
                    "--connections \(connectionLimit) needs two descriptors a connection, the process may open \(limit)"
                        + " (ulimit -n): connections beyond wait or are refused")
            ])
    }

    private static func run(_ settings: CaptureSettings, log: Log) -> Int32 {
        raiseDescriptorLimit(settings, log: log)
        let stopAsked = DispatchSemaphore(value: 0)
        let signals = SignalWatch { number, count in
            // The first asks to end in order; whoever insists is obeyed. Nothing acknowledged is lost either way.
            if count > 1 { _exit(128 + number) }
            log.info("stopping", [.signal: .integer(Int64(number))])
            stopAsked.signal()
        }
        defer { signals.cancel() }
        let trafficLog: (any TrafficLogWriter)?
        do throws(TrafficLogError) {
            trafficLog = try open(settings)
        } catch {
            Console.error("millraced capture: --log: \(error.message)\n")
            let isWrongUsage = error.code == .invalidSetting
            return (isWrongUsage ? ExitStatus.usage : ExitStatus.unavailable).rawValue
        }
        defer { trafficLog?.close() }
        let metrics = MetricsRegistry()
        let proxy: CaptureProxy
        do throws(IOError) {
            proxy = try CaptureProxy(settings, trafficLog: trafficLog, metrics: metrics, log: log) {
                var time = timespec()
                clock_gettime(CLOCK_REALTIME, &time)
                return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
            }
        } catch {
            Console.error("millraced capture: \(error.message)\n")
            return ExitStatus.unavailable.rawValue
        }
        let admin: AdminServer?
        do {
            admin = try RoleStart.adminServer(settings.watching, role: "capture", metrics: metrics, log: log) {
                proxy.readiness
            }
        } catch {
            _ = proxy.stop(within: .zero)
            return ExitStatus.unavailable.rawValue
        }
        defer { admin?.stop() }
        log.info(
            "capture starts",
            [
                .address: .text(proxy.localAddress.description),
                .setting: .text(settings.describe().map { "\($0.name) \($0.value)" }.joined(separator: " ")),
            ])
        stopAsked.wait()
        let report = proxy.stop(within: settings.deadlines.drain)
        log.info(
            "capture ends",
            [
                .connectionCount: .integer(Int64(report.abandonedConnectionCount)),
                .status: .text(report.isComplete ? "complete" : "incomplete"),
            ])
        return (report.isComplete ? ExitStatus.complete : ExitStatus.incomplete).rawValue
    }

    private static func open(_ settings: CaptureSettings) throws(TrafficLogError) -> (any TrafficLogWriter)? {
        guard !settings.log.isNone else { return nil }
        var options = TrafficLogAddress.Options(settings.log)
        options.spoolPath = settings.spoolFolder
        options.queueLimitBytes = max(options.queueLimitBytes, settings.limits.inFlightBytes)
        let log = try TrafficLogAddress.parse(settings.log.address).openWriter(options)
        guard log.recordLimitBytes < CaptureProxy.leastRecordLimitBytes else { return log }
        defer { log.close() }
        throw TrafficLogError(
            .tooLarge,
            "\(log.location): its records have \(log.recordLimitBytes) bytes at the most, and capture needs "
                + "\(CaptureProxy.leastRecordLimitBytes); for Kafka raise the topic's max.message.bytes")
    }
}
