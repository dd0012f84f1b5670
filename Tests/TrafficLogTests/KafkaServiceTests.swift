import Glibc
import TestSupport
import Testing

@testable import TrafficLog

/// A real Kafka in the folder that MILLRACE_KAFKA_SERVICES names: the state folder of a cluster of three brokers that
/// was started with SASL and TLS. Brokers are stopped and continued by signals to the processes in its pid files.
struct KafkaService {
    let folder: String
    private let values: [String: String]

    static let shared: KafkaService? = {
        guard let folder = getenv("MILLRACE_KAFKA_SERVICES").map({ String(cString: $0) }), !folder.isEmpty else {
            return nil
        }
        return KafkaService(folder: folder)
    }()

    private init?(folder: String) {
        guard let bytes = try? FileTree.read(folder + "/env") else { return nil }
        self.folder = folder
        var values: [String: String] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let pair = line.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { values[String(pair[0])] = String(pair[1]) }
        }
        self.values = values
    }

    func value(_ name: String) throws -> String { try #require(values[name], "\(name) is not in \(folder)/env") }

    func brokers(_ name: String = "KAFKA_BOOTSTRAP") throws -> [String] {
        try value(name).split(separator: ",").map(String.init)
    }

    var brokerCount: Int { (try? brokers().count) ?? 0 }

    func signal(_ number: Int32, broker: Int) throws {
        let text = String(decoding: try FileTree.read("\(folder)/broker-\(broker)/pid"), as: UTF8.self)
        let pid = try #require(pid_t(text.filter(\.isNumber)))
        #expect(kill(pid, number) == 0)
    }
}

@Suite(.serialized, .enabled(if: KafkaService.shared != nil, "needs MILLRACE_KAFKA_SERVICES"))
struct KafkaServiceTests {
    private func service() throws -> KafkaService { try #require(KafkaService.shared) }

    /// A topic of its own for every test.
    private func settings(
        partitions: Int32 = 6, replicas: Int32 = -1, properties: [TrafficLogAddress.Property] = []
    ) throws -> KafkaLogSettings {
        let topic = "t\(MonotonicClock.nanoseconds)-\(getpid())"
        var settings = KafkaLogSettings(brokers: try service().brokers(), topic: topic)
        settings.topicCreation = .init(partitionCount: partitions, replicationFactor: replicas, properties: properties)
        return settings
    }

    private func append(
        _ log: some TrafficLogWriter, _ range: Range<UInt64>, to sink: CollectingSink, keyCount: UInt64 = 50,
        bytes: Int = 0
    ) throws {
        let filler = String(repeating: "f", count: bytes)
        for token in range {
            let segment = RecordSegment(token, "\(token) \(filler)")
            while true {
                do throws(TrafficLogError) {
                    try log.append(segment, key: ConnectionKey("c\(token % keyCount)"), sink: sink)
                    break
                } catch {
                    guard error.code == .full else { throw error }
                    poll(nil, 0, 1)
                }
            }
        }
    }

    /// Every number once, and each key's in order.
    private func check(_ settings: KafkaLogSettings, count: UInt64, keyCount: UInt64 = 50) throws {
        var last: [String: UInt64] = [:]
        var total: UInt64 = 0
        for record in try KafkaTrafficLogReader(settings).readAll() {
            let number = UInt64(String(decoding: record.value.prefix { $0 != 0x20 }, as: UTF8.self)) ?? .max
            #expect(record.key == "c\(number % keyCount)")
            if let before = last[record.key] {
                // One step a time: nothing missing, nothing twice, nothing out of order.
                #expect(number == before + keyCount)
            } else {
                #expect(number < keyCount)
            }
            last[record.key] = number
            total += 1
        }
        #expect(total == count)
    }

    @Test func hundredThousandRecordsArriveInOrder() throws {
        let settings = try settings()
        let log = try KafkaTrafficLog(settings)
        #expect(log.partitionCount == 6)
        let sink = CollectingSink()
        let begin = MonotonicClock.nanoseconds
        try append(log, 0..<100_000, to: sink, bytes: 200)
        #expect(log.flush(within: .seconds(120)))
        let seconds = Double(MonotonicClock.nanoseconds - begin) / 1e9
        print("100000 records of 206 bytes acknowledged in \(seconds) s, \(sink.batchCount) reports")
        #expect(sink.durableTokens.count == 100_000)
        try check(settings, count: 100_000)
        log.close()
    }

    @Test func nothingIsDurableWhileTheBrokersArePausedAndAllAfterwards() throws {
        let service = try service()
        var settings = try settings()
        settings.outageAfter = .seconds(1)
        let log = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        try append(log, 0..<1000, to: sink)
        #expect(log.flush(within: .seconds(60)))
        for broker in 1...service.brokerCount { try service.signal(SIGSTOP, broker: broker) }
        defer { for broker in 1...service.brokerCount { try? service.signal(SIGCONT, broker: broker) } }
        try append(log, 1000..<6000, to: sink)
        #expect(eventually { !log.state.isHealthy })
        #expect(!log.flush(within: .seconds(3)))
        #expect(sink.durableTokens.count == 1000)
        for broker in 1...service.brokerCount { try service.signal(SIGCONT, broker: broker) }
        #expect(log.flush(within: .seconds(120)))
        #expect(eventually { log.state.isHealthy })
        #expect(sink.durableTokens.count == 6000)
        try check(settings, count: 6000)
        log.close()
    }

    @Test func theSpoolCarriesOverAPauseWithoutLossOrDuplicate() throws {
        let service = try service()
        let folder = try TemporaryFolder()
        var settings = try settings()
        settings.outageAfter = .seconds(1)
        let log = try SpoolingTrafficLog(primary: try KafkaTrafficLog(settings), spoolPath: folder.path)
        let sink = CollectingSink()
        try append(log, 0..<1000, to: sink)
        #expect(log.flush(within: .seconds(60)))
        for broker in 1...service.brokerCount { try service.signal(SIGSTOP, broker: broker) }
        defer { for broker in 1...service.brokerCount { try? service.signal(SIGCONT, broker: broker) } }
        try append(log, 1000..<2000, to: sink)
        #expect(eventually { log.isSpooling })
        try append(log, 2000..<5000, to: sink)
        // Durable although no broker answers.
        #expect(log.flush(within: .seconds(30)))
        #expect(sink.durableTokens.count == 5000)
        #expect(log.statistics.spooledCount >= 3000)
        for broker in 1...service.brokerCount { try service.signal(SIGCONT, broker: broker) }
        try append(log, 5000..<6000, to: sink)
        #expect(log.waitUntilDrained(within: .seconds(120)))
        #expect(log.flush(within: .seconds(30)))
        try check(settings, count: 6000)
        log.close()
    }

    @Test func aRecordLargerThanTheTopicTakesIsRefusedAtOnce() throws {
        let settings = try settings(properties: [.init(name: "max.message.bytes", value: "4000")])
        let log = try KafkaTrafficLog(settings)
        #expect(log.recordLimitBytes < 4000)
        let sink = CollectingSink()
        try append(log, 0..<2000, to: sink, bytes: 300)
        #expect {
            try log.append(
                RecordSegment(copying: [UInt8](repeating: 1, count: 5000)), key: ConnectionKey("c"), sink: sink)
        } throws: { ($0 as? TrafficLogError)?.code == .tooLarge }
        // The largest that is promised to be taken.
        let largest = RecordSegment(2000, String(repeating: "9", count: log.recordLimitBytes - 1))
        try log.append(largest, key: ConnectionKey("k"), sink: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.outcomes.allSatisfy { $0.failure == nil } && sink.outcomes.count == 2001)
        log.close()
    }

    /// The brokers do not always tell their limit; then the refusal of a whole batch has to be taken apart.
    @Test func onlyTheLargeRecordOfARefusedBatchFails() throws {
        var settings = try settings(properties: [.init(name: "max.message.bytes", value: "4000")])
        let made = try KafkaTrafficLog(settings)
        made.close()
        settings.startTimeout = .zero
        settings.linger = .milliseconds(50)
        let log = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        try append(log, 0..<500, to: sink, bytes: 100)
        try log.append(RecordSegment(9999, String(repeating: "x", count: 6000)), key: ConnectionKey("big"), sink: sink)
        try append(log, 500..<1000, to: sink, bytes: 100)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.outcomes.filter { $0.failure != nil }.map(\.token) == [9999])
        #expect(sink.outcomes.first { $0.token == 9999 }?.failure == .tooLarge)
        #expect(log.statistics.resentCount > 0)
        try check(settings, count: 1000)
        log.close()
    }

    @Test func aMissingTopicIsSaidOrMade() throws {
        var settings = try settings()
        let creation = settings.topicCreation
        settings.topicCreation = nil
        #expect {
            try KafkaTrafficLog(settings)
        } throws: { ($0 as? TrafficLogError)?.code == .topicMissing }
        settings.topicCreation = creation
        let log = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        try append(log, 0..<10, to: sink)
        #expect(log.flush(within: .seconds(60)))
        log.close()
    }

    @Test(arguments: ["plain", "scram256", "scram512"])
    func loginsAreAcceptedAndWrongOnesRefused(mechanism: String) throws {
        func login(_ password: String) -> KafkaLogSettings.Login {
            switch mechanism {
            case "plain": .plain(user: "millrace", password: password)
            case "scram256": .scramSHA256(user: "millrace", password: password)
            default: .scramSHA512(user: "millrace", password: password)
            }
        }
        var settings = try settings()
        settings.brokers = try service().brokers("KAFKA_SASL_TLS_BOOTSTRAP")
        settings.tls = .init(authorityFile: try service().value("KAFKA_CA"))
        settings.login = login("millrace-secret")
        let log = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        try append(log, 0..<100, to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens.count == 100)
        try check(settings, count: 100)
        log.close()
        settings.login = login("wrong-hunter2")
        #expect {
            try KafkaTrafficLog(settings)
        } throws: { error in
            guard let error = error as? TrafficLogError else { return false }
            return error.code == .authentication && !error.message.contains("hunter2")
        }
        // Without a look at the start the refusal shows as an outage with its reason.
        settings.startTimeout = .zero
        let late = try KafkaTrafficLog(settings)
        #expect(eventually { !late.state.isHealthy })
        if case .outage(_, let reason) = late.state { #expect(reason.lowercased().contains("authentication")) }
        late.close()
    }

    @Test func anUntrustedCertificateIsRefusedUnlessToldOtherwise() throws {
        var settings = try settings()
        settings.brokers = try service().brokers("KAFKA_TLS_BOOTSTRAP")
        settings.tls = .init(authorityFile: try service().value("KAFKA_OTHER_CA"))
        #expect {
            try KafkaTrafficLog(settings)
        } throws: { ($0 as? TrafficLogError)?.code == .tls }
        settings.tls?.isInsecure = true
        let log = try KafkaTrafficLog(settings)
        log.close()
        settings.tls = .init(
            authorityFile: try service().value("KAFKA_CA"),
            certificateFile: try service().value("KAFKA_CLIENT_CERTIFICATE"),
            keyFile: try service().value("KAFKA_CLIENT_KEY"))
        let mutual = try KafkaTrafficLog(settings)
        mutual.close()
    }

    /// Prints what a linger costs and gains; on request, for it takes a while and says nothing about right or wrong.
    @Test(.enabled(if: getenv("MILLRACE_KAFKA_MEASURE") != nil), arguments: [0, 200, 1000, 5000])
    func measureLinger(microseconds: Int) throws {
        var settings = try settings(partitions: 4)
        settings.linger = .microseconds(microseconds)
        let log = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        try append(log, 0..<20_000, to: sink, bytes: 500)
        #expect(log.flush(within: .seconds(60)))
        var waits: [UInt64] = []
        for token in UInt64(0)..<500 {
            let begin = MonotonicClock.nanoseconds
            try append(log, token..<token + 1, to: sink, bytes: 500)
            #expect(log.flush(within: .seconds(60)))
            waits.append((MonotonicClock.nanoseconds - begin) / 1000)
        }
        waits.sort()
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let before = usage.ru_utime.tv_sec * 1_000_000 + usage.ru_utime.tv_usec
        let begin = MonotonicClock.nanoseconds
        try append(log, 0..<100_000, to: sink, bytes: 1000)
        #expect(log.flush(within: .seconds(120)))
        let seconds = Double(MonotonicClock.nanoseconds - begin) / 1e9
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let processor = usage.ru_utime.tv_sec * 1_000_000 + usage.ru_utime.tv_usec - before
        print(
            "linger \(microseconds) µs: one record p50 \(waits[250]) µs p90 \(waits[450]) µs p99 \(waits[495]) µs;",
            "100000 of 1 KB: \(Int(100_000 / seconds)) records/s, \(processor / 100) ns user time each")
        log.close()
    }

    /// Last: the broker stays down until somebody starts it again.
    @Test(.enabled(if: (KafkaService.shared?.brokerCount ?? 0) >= 3 && getenv("MILLRACE_KAFKA_KILL") != nil))
    func aKilledLeaderLosesNothing() throws {
        let service = try service()
        let settings = try settings()
        let log = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        try append(log, 0..<20_000, to: sink)
        try service.signal(SIGKILL, broker: 1)
        try append(log, 20_000..<60_000, to: sink)
        #expect(log.flush(within: .seconds(120)))
        #expect(sink.durableTokens.count == 60_000)
        var remaining = settings
        remaining.brokers = Array(settings.brokers.dropFirst())
        try check(remaining, count: 60_000)
        log.close()
    }
}
