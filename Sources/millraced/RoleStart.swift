import Settings
import Telemetry

/// What every role does before it runs: says every mistake in its settings, and puts the log into the form asked for.
enum RoleStart {
    /// What a role's arguments come to.
    enum Reading<Role: RoleSettings> {
        case run(Role)
        /// Help, the mistakes, or that there are none were printed.
        case ended(status: Int32)
    }

    static func read<Role: RoleSettings>(
        role: String, _ load: () throws(SettingsError) -> RoleRequest<Role>
    ) -> Reading<Role> {
        do throws(SettingsError) {
            switch try load() {
            case .run(let settings) where settings.watching.isCheckOnly:
                for warning in settings.warnings { Console.error("millraced \(role): warning: \(warning)\n") }
                Console.output("millraced \(role): the settings can be used\n")
                return .ended(status: 0)
            case .run(let settings): return .run(settings)
            case .help(let text):
                Console.output(text)
                return .ended(status: 0)
            }
        } catch {
            return .ended(status: refuse(error, role: role))
        }
    }

    /// Prints the mistakes; returns the exit status.
    private static func refuse(_ error: SettingsError, role: String) -> Int32 {
        let problems = error.problems.map { "  \($0.description)\n" }.joined()
        Console.error("millraced \(role): wrong usage:\n\(problems)")
        Console.error("millraced \(role) --help lists the flags.\n")
        return ExitStatus.usage.rawValue
    }

    /// The log in the form asked for; `auto` chooses by what stderr is.
    static func log(_ watching: WatchingSettings, warnings: [String]) -> Log {
        let log = Log.shared
        log.output.level = LogLevel(name: watching.logLevel.rawValue) ?? .info
        log.output.setFormat(LogFormat(rawValue: watching.logFormat.rawValue))
        for warning in warnings { log.warning("settings", [.warning: .text(warning)]) }
        return log
    }

    /// The admin server, when one is asked for. Prints why it cannot be started before it throws.
    static func adminServer(
        _ watching: WatchingSettings, role: String, metrics: MetricsRegistry, log: Log,
        readiness: @escaping @Sendable () -> AdminReadiness
    ) throws(AdminServerError) -> AdminServer? {
        guard let address = watching.adminAddress else { return nil }
        do throws(AdminServerError) {
            let server = try AdminServer(
                host: address.host, port: address.port, metrics: metrics, readiness: readiness)
            log.info("admin server", [.address: .text(server.boundAddress)])
            return server
        } catch {
            Console.error("millraced \(role): --admin: \(error.message)\n")
            throw error
        }
    }
}
