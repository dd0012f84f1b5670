import CapturedTraffic
import EventIO
import HTTPMessage
import Settings
import Synchronization
import Telemetry
import TrafficLog

/// What every loop of the proxy shares, made once at start and not changed afterwards.
final class CaptureContext: Sendable {
    let settings: CaptureSettings
    let rules: RequestRules
    let classifier: RequestClassifier
    /// nil: nothing is recorded.
    let trafficLog: (any TrafficLogWriter)?
    let source: SourceEndpoint
    let metrics: CaptureMetrics
    let budget: InFlightBudget
    let connectionIDs: ConnectionIDs
    let log: Log
    let clientTrouble: RateLimitedLog
    let sourceTrouble: RateLimitedLog
    let logTrouble: RateLimitedLog
    /// Nanoseconds since 1970.
    let wallClock: @Sendable () -> Int64

    init(
        settings: CaptureSettings, trafficLog: (any TrafficLogWriter)?, source: SourceEndpoint,
        registry: MetricsRegistry, log: Log, wallClock: @escaping @Sendable () -> Int64
    ) {
        self.settings = settings
        self.trafficLog = trafficLog
        self.source = source
        self.log = log
        self.wallClock = wallClock
        rules = RequestRules(settings)
        classifier = RequestClassifier(isStrict: settings.isStrict)
        budget = InFlightBudget(limitBytes: settings.limits.inFlightBytes)
        metrics = CaptureMetrics(registry, budget: budget, log: trafficLog)
        connectionIDs = ConnectionIDs()
        clientTrouble = RateLimitedLog(log, interval: .seconds(60))
        sourceTrouble = RateLimitedLog(log)
        logTrouble = RateLimitedLog(log)
    }
}

/// Ids that are unique over connections, restarts and proxies: 64 random bits of the process and a count.
final class ConnectionIDs: Sendable {
    /// Of the process, a random UUID like the reference project's.
    let nodeID: String
    private let prefix: String
    private let count = Atomic<UInt64>(0)

    init() {
        var generator = SystemRandomNumberGenerator()
        let high = Self.hexadecimal(generator.next())
        let low = Self.hexadecimal(generator.next())
        prefix = high
        let cut = { (text: String, from: Int, count: Int) in String(text.dropFirst(from).prefix(count)) }
        // Version 4 (RFC 9562): the digits that name the version and the variant.
        nodeID =
            "\(cut(high, 0, 8))-\(cut(high, 8, 4))-4\(cut(high, 13, 3))-a\(cut(low, 1, 3))-\(cut(low, 4, 12))"
    }

    /// As long for every connection.
    func next() -> String {
        prefix + "-" + Self.hexadecimal(count.add(1, ordering: .relaxed).newValue)
    }

    private static func hexadecimal(_ word: UInt64) -> String {
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Where the source answers. Addresses are looked up off the loops; a loop reads the last result.
final class SourceEndpoint: Sendable {
    let host: String
    let port: UInt16
    let tls: TLSClientConfiguration?
    private let addresses: Mutex<[SocketAddress]>

    /// Looks the host up once; blocks.
    init(host: String, port: UInt16, tls: TLSClientConfiguration?) throws(IOError) {
        self.host = host
        self.port = port
        self.tls = tls
        addresses = Mutex(try SocketAddress.resolve(host: host, port: port))
    }

    /// The address to try first.
    var address: SocketAddress { addresses.withLock { $0[0] } }

    /// How many addresses there are to try.
    var addressCount: Int { addresses.withLock { $0.count } }

    /// Nobody answers at `address`: others come first.
    func failed(_ address: SocketAddress) {
        addresses.withLock { addresses in
            guard addresses.count > 1, addresses[0] == address else { return }
            addresses.append(addresses.removeFirst())
        }
    }

    /// Looks the host up again; blocks. What was known stays when that fails.
    func refresh() {
        guard let found = try? SocketAddress.resolve(host: host, port: port) else { return }
        addresses.withLock { addresses in
            if Set(found) != Set(addresses) { addresses = found }
        }
    }
}
