import CapturedTraffic
import Synchronization
import TestSupport
import Testing

@testable import TrafficLog

/// The Kafka log against librdkafka's mock cluster in this process.
@Suite(.serialized) struct KafkaMockTests {
    private func settings(_ cluster: KafkaMockCluster, topic: String = "captured") -> KafkaLogSettings {
        var settings = KafkaLogSettings(brokers: cluster.brokers, topic: topic)
        settings.startTimeout = .seconds(20)
        // The mock cluster cannot tell and does not say so.
        settings.asksTopicLimit = false
        return settings
    }

    private func append(_ log: KafkaTrafficLog, _ range: Range<UInt64>, keyCount: UInt64 = 7, to sink: CollectingSink)
        throws
    {
        for token in range {
            let segment = RecordSegment(token, "r\(token)")
            try log.append(segment, key: ConnectionKey("c\(token % keyCount)"), sink: sink)
        }
    }

    /// Waits where the log has no room.
    private func appendPatiently(_ log: KafkaTrafficLog, _ range: Range<UInt64>, to sink: CollectingSink) throws {
        for token in range {
            let isTaken = try eventually {
                do {
                    try append(log, token..<token + 1, to: sink)
                    return true
                } catch let error as TrafficLogError where error.code == .full {
                    return false
                }
            }
            #expect(isTaken)
        }
    }

    @Test func recordsComeBackInOrderOfTheirKeys() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured")
        let log = try KafkaTrafficLog(settings(cluster))
        #expect(log.partitionCount == 4)
        let sink = CollectingSink()
        try append(log, 0..<5000, to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens.sorted() == Array(0..<5000))
        #expect(sink.batchCount < 500)
        for key in 0..<UInt64(7) {
            let ofKey = sink.durableTokens.filter { $0 % 7 == key }
            #expect(ofKey == ofKey.sorted())
        }
        let records = try KafkaTrafficLogReader(settings(cluster)).readAll()
        #expect(records.count == 5000)
        for key in 0..<7 {
            let ofKey = records.filter { $0.key == "c\(key)" }
            #expect(Set(ofKey.map(\.partition)).count == 1)
            let numbers = ofKey.map { UInt64(String(decoding: $0.value.dropFirst(), as: UTF8.self)) ?? 0 }
            #expect(numbers == numbers.sorted())
        }
        let statistics = log.statistics
        #expect(statistics.durableCount == 5000 && statistics.unacknowledgedCount == 0)
        log.close()
    }

    @Test func keysGoToThePartitionOfMurmur2() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured", partitionCount: 7)
        let log = try KafkaTrafficLog(settings(cluster))
        let sink = CollectingSink()
        var random = SeededGenerator(seed: 21)
        let keys = (0..<500).map { number in Array("\(number)".utf8) + random.bytes(random.below(40)) }
        for key in keys { try log.append(RecordSegment(copying: key), key: ConnectionKey(key), sink: sink) }
        #expect(log.flush(within: .seconds(60)))
        let records = try KafkaTrafficLogReader(settings(cluster)).readAll()
        #expect(records.count == keys.count)
        for record in records {
            let expected = record.value.withUnsafeBytes { Murmur2.partition(key: $0, count: 7) }
            #expect(record.partition == expected)
        }
        log.close()
    }

    @Test func readersBeginAtOffsetsAndFollow() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured", partitionCount: 1)
        let log = try KafkaTrafficLog(settings(cluster))
        let sink = CollectingSink()
        try append(log, 0..<100, to: sink)
        #expect(log.flush(within: .seconds(60)))
        let reader = try KafkaTrafficLogReader(settings(cluster), start: .offsets([0: 90]))
        #expect(try reader.readAll().map(\.offset) == Array(90..<100))
        try append(log, 100..<101, to: sink)
        let next = try reader.next(within: .seconds(60))
        #expect(next?.position == LogPosition(partition: 0, offset: 100))
        #expect((next?.timestampMilliseconds ?? 0) > 1_600_000_000_000)
        log.close()
    }

    @Test func missingTopicIsSaidAtTheStart() throws {
        let cluster = try KafkaMockCluster()
        #expect(
            performing: {
                let log = try KafkaTrafficLog(settings(cluster, topic: "nowhere"))
                log.close()
            },
            throws: {
                guard let error = $0 as? TrafficLogError else { return false }
                return error.code == .topicMissing && error.message.contains("nowhere")
            })
    }

    @Test func unreachableBrokersAreSaidWithinTheStartTimeout() throws {
        var settings = KafkaLogSettings(brokers: ["127.0.0.1:1"], topic: "captured")
        settings.startTimeout = .milliseconds(1500)
        #expect {
            try KafkaTrafficLog(settings)
        } throws: { ($0 as? TrafficLogError)?.code == .unavailable }
    }

    @Test func wrongPropertiesAreNamedWithoutTheirValues() throws {
        var settings = KafkaLogSettings(brokers: ["127.0.0.1:1"], topic: "captured")
        settings.startTimeout = .zero
        for (name, code) in [("no.such.property", "knows no such"), ("linger.ms", "not accepted")] {
            settings.properties = [.init(name: name, value: "hunter2")]
            #expect {
                try KafkaTrafficLog(settings)
            } throws: { error in
                guard let error = error as? TrafficLogError else { return false }
                return error.code == .invalidSetting && error.message.contains(name) && error.message.contains(code)
                    && !error.message.contains("hunter2")
            }
        }
    }

    @Test func scramNeedsANewLibrary() throws {
        #expect {
            try KafkaConfiguration.checkScram(
                mechanism: "SCRAM-SHA-512", libraryVersion: 0x0200_02FF, location: "kafka://b/t")
        } throws: { ($0 as? TrafficLogError)?.message.contains("2.0.2") == true }
        try KafkaConfiguration.checkScram(mechanism: "SCRAM-SHA-512", libraryVersion: 0x0206_01FF, location: "")
        try KafkaConfiguration.checkScram(mechanism: "PLAIN", libraryVersion: 0x0200_02FF, location: "")
    }

    @Test func brokerDownIsAnOutageAndEverythingArrivesAfterwards() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured")
        var settings = settings(cluster)
        settings.outageAfter = .milliseconds(500)
        let log = try KafkaTrafficLog(settings)
        let states = Mutex<[Bool]>([])
        log.observeState { state in states.withLock { $0.append(state.isHealthy) } }
        let sink = CollectingSink()
        try append(log, 0..<100, to: sink)
        #expect(log.flush(within: .seconds(60)))
        cluster.setBroker(1, isDown: true)
        try append(log, 100..<1100, to: sink)
        #expect(eventually { !log.state.isHealthy })
        #expect(sink.durableTokens.count == 100)
        #expect(log.statistics.oldestUnacknowledgedNanoseconds > 0)
        cluster.setBroker(1, isDown: false)
        #expect(log.flush(within: .seconds(60)))
        #expect(eventually { log.state.isHealthy })
        #expect(sink.durableTokens.sorted() == Array(0..<1100))
        for key in 0..<UInt64(7) {
            let ofKey = sink.durableTokens.filter { $0 % 7 == key }
            #expect(ofKey == ofKey.sorted())
        }
        #expect(states.withLock { $0.first == false && $0.last == true })
        log.close()
    }

    @Test func outageWithoutWaitingRecordsIsSeenAndEnds() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured")
        let log = try KafkaTrafficLog(settings(cluster))
        let sink = CollectingSink()
        try append(log, 0..<10, to: sink)
        #expect(log.flush(within: .seconds(60)))
        cluster.setBroker(1, isDown: true)
        #expect(eventually { !log.state.isHealthy })
        cluster.setBroker(1, isDown: false)
        #expect(eventually { log.state.isHealthy })
        log.close()
    }

    @Test func fullQueueRefusesAndWakes() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured")
        var settings = settings(cluster)
        settings.queueLimitCount = 50
        let log = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        cluster.setBroker(1, isDown: true)
        try append(log, 0..<50, to: sink)
        #expect {
            try append(log, 50..<51, to: sink)
        } throws: { ($0 as? TrafficLogError)?.code == .full }
        #expect(sink.roomCount == 0)
        cluster.setBroker(1, isDown: false)
        #expect(sink.wait { $0.roomCount == 1 })
        try append(log, 50..<51, to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens.sorted() == Array(0...50))
        log.close()
    }

    @Test func tooLargeIsSaidAtOnceAndOthersGoOn() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured")
        var settings = settings(cluster)
        settings.recordLimitBytes = 5000
        let log = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        #expect {
            try log.append(
                RecordSegment(copying: [UInt8](repeating: 1, count: 6000)), key: ConnectionKey("c"), sink: sink)
        } throws: { ($0 as? TrafficLogError)?.code == .tooLarge }
        try append(log, 0..<3, to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens.count == 3)
        log.close()
    }

    /// Symptom: with a `message.max.bytes` of the operator's own, records above it were promised to be taken, and then
    /// refused one by one.
    @Test func theOperatorsOwnLimitBoundsRecords() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured")
        var settings = settings(cluster)
        settings.properties.append(.init(name: "message.max.bytes", value: "20000"))
        let log = try KafkaTrafficLog(settings)
        #expect(log.recordLimitBytes < 20_000 && log.recordLimitBytes > 19_000)
        let sink = CollectingSink()
        let largest = log.recordLimitBytes - 1
        try log.append(RecordSegment(1, String(repeating: "9", count: largest)), key: ConnectionKey("k"), sink: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens == [1])
        log.close()
    }

    /// Symptom: one record that the brokers refuse as too large took the small ones of its batch with it.
    @Test func aBatchRefusedAsTooLargeIsSentAgainRecordByRecordInOrder() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured", partitionCount: 2)
        var settings = settings(cluster)
        settings.linger = .milliseconds(20)
        let log = try KafkaTrafficLog(settings)
        let sink = CollectingSink()
        try append(log, 0..<10, to: sink)
        #expect(log.flush(within: .seconds(60)))
        cluster.failNextProduce(asTooLarge: 1)
        try appendPatiently(log, 10..<300, to: sink)
        #expect(eventually { log.statistics.resentCount > 0 })
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.outcomes.allSatisfy { $0.failure == nil })
        // Batches are used again afterwards.
        try appendPatiently(log, 300..<2000, to: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.durableTokens.sorted() == Array(0..<2000))
        let records = try KafkaTrafficLogReader(settings).readAll()
        #expect(records.count == 2000)
        for key in 0..<7 {
            let numbers = records.filter { $0.key == "c\(key)" }.map {
                UInt64(String(decoding: $0.value.dropFirst(), as: UTF8.self)) ?? 0
            }
            #expect(numbers == numbers.sorted())
        }
        log.close()
    }

    @Test func tokensAreAskedForAndAFailingProviderIsAnOutage() throws {
        var settings = KafkaLogSettings(brokers: ["127.0.0.1:1"], topic: "captured")
        settings.startTimeout = .zero
        let callCount = Atomic<Int>(0)
        settings.login = .oauthBearer { () throws(TrafficLogError) in
            guard callCount.add(1, ordering: .relaxed).oldValue == 0 else {
                throw TrafficLogError(.authentication, "the credentials ended")
            }
            return KafkaToken(
                value: "token-1", expiresMilliseconds: MonotonicClock.wallMilliseconds + 2000, principal: "millrace")
        }
        let log = try KafkaTrafficLog(settings)
        #expect(eventually { callCount.load(ordering: .relaxed) >= 2 })
        let isOut = eventually {
            guard case .outage(_, let reason) = log.state else { return false }
            return reason.contains("the credentials ended") && !reason.contains("token-1")
        }
        #expect(isOut)
        log.close()
    }

    @Test func closingReportsWhatIsNotAcknowledged() throws {
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured")
        let log = try KafkaTrafficLog(settings(cluster))
        let sink = CollectingSink()
        cluster.setBroker(1, isDown: true)
        try append(log, 0..<20, to: sink)
        #expect(!log.flush(within: .milliseconds(50)))
        log.close()
        #expect(sink.outcomes.map(\.failure) == Array(repeating: .closed, count: 20))
        #expect {
            try append(log, 20..<21, to: sink)
        } throws: { ($0 as? TrafficLogError)?.code == .closed }
    }
}

@Suite struct UnacknowledgedTrackerTests {
    @Test func equalsAPlainSet() {
        var random = SeededGenerator(seed: 5)
        var tracker = UnacknowledgedTracker()
        var model: [UInt64: UInt64] = [:]
        for step in 1...4000 {
            if model.isEmpty || random.below(100) < (step < 2400 ? 60 : 45) {
                model[tracker.append(time: UInt64(step))] = UInt64(step)
            } else {
                let number = model.keys.sorted()[random.below(min(model.count, 9))]
                tracker.resolve(number)
                model[number] = nil
            }
            if step % 50 == 0 {
                #expect(tracker.count == model.count)
                #expect(tracker.oldestTime == model.values.min())
            }
        }
    }
}
