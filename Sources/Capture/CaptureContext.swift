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
    let nodeID: [UInt8]
    /// 16 hexadecimal digits.
    private let prefix: [UInt8]
    private let count = Atomic<UInt64>(0)

    init() {
        var generator = SystemRandomNumberGenerator()
        let high = Self.hexadecimal(generator.next())
        let low = Self.hexadecimal(generator.next())
        prefix = high
        // Version 4 (RFC 9562): the digits that name the version and the variant.
        var id = high
        id[12] = UInt8(ascii: "4")
        id += low
        id[16] = UInt8(ascii: "a")
        for index in [20, 16, 12, 8] { id.insert(UInt8(ascii: "-"), at: index) }
        nodeID = id
    }

    /// As long for every connection: 33 bytes.
    func next() -> [UInt8] {
        prefix + [UInt8(ascii: "-")] + Self.hexadecimal(count.add(1, ordering: .relaxed).newValue)
    }

    private static func hexadecimal(_ word: UInt64) -> [UInt8] {
        (0..<16).map { index in
            let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * index)) & 0xF
            return digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
        }
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
