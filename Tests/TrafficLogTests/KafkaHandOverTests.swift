import CapturedTraffic
import EventIO
import Synchronization
import Testing

@testable import TrafficLog

/// Records on their way to several brokers of librdkafka's mock cluster: groups, loops, a broker that goes.
@Suite(.serialized) struct KafkaHandOverTests {
    private static let partitionCount: Int32 = 6

    private func settings(_ cluster: KafkaMockCluster) -> KafkaLogSettings {
        var settings = KafkaLogSettings(brokers: cluster.brokers, topic: "captured")
        settings.startTimeout = .seconds(20)
        settings.asksTopicLimit = false
        return settings
    }

    /// Three brokers; broker p % 3 + 1 leads partition p.
    private func cluster() throws -> KafkaMockCluster {
        let cluster = try KafkaMockCluster(brokerCount: 3)
        cluster.createTopic("captured", partitionCount: Self.partitionCount, replicationFactor: 3)
        for partition in 0..<Self.partitionCount {
            cluster.setLeader(topic: "captured", partition: partition, broker: partition % 3 + 1)
        }
        return cluster
    }

    /// Ten keys for each partition.
    private func keys() -> [Int32: [ConnectionKey]] {
        var keys: [Int32: [ConnectionKey]] = [:]
        var number = 0
        while keys.count < Int(Self.partitionCount) || keys.values.contains(where: { $0.count < 10 }) {
            let key = ConnectionKey("connection-\(number)")
            let partition = key.bytes.withUnsafeBytes { Murmur2.partition(key: $0, count: Self.partitionCount) }
            keys[partition, default: []].append(key)
            number += 1
        }
        return keys.mapValues { Array($0.prefix(10)) }
    }

    /// As an event loop does: some records, then all of them together.
    private func append(
        _ log: KafkaTrafficLog, _ tokens: Range<UInt64>, keys: [ConnectionKey], to sink: CollectingSink
    ) throws {
        for (count, token) in tokens.enumerated() {
            let segment = RecordSegment(token, "\(token)")
            try log.append(segment, key: keys[Int(token) % keys.count], sink: sink, more: true)
            if count % 32 == 31 { log.handOver() }
        }
        log.handOver()
    }

    @Test func aBrokerThatIsGoneHoldsUpNoOtherAndNothingIsLost() throws {
        let cluster = try cluster()
        let log = try KafkaTrafficLog(settings(cluster))
        defer { log.close() }
        let keys = keys()
        let (there, gone) = (CollectingSink(), CollectingSink())
        let keysThere = keys.filter { $0.key % 3 != 1 }.flatMap(\.value)
        let keysGone = keys.filter { $0.key % 3 == 1 }.flatMap(\.value)
        try append(log, 0..<200, keys: keysThere, to: there)
        try append(log, 0..<200, keys: keysGone, to: gone)
        #expect(log.flush(within: .seconds(60)))
        cluster.setBroker(2, isDown: true)
        // What is on its way to the broker that is gone closes the gate; the tick opens it for the others.
        try append(log, 200..<400, keys: keysGone, to: gone)
        try append(log, 200..<1000, keys: keysThere, to: there)
        #expect(there.wait { $0.durableTokens.count == 1000 })
        #expect(gone.durableTokens.count == 200)
        cluster.setBroker(2, isDown: false)
        #expect(log.flush(within: .seconds(60)))
        let records = try KafkaTrafficLogReader(settings(cluster)).readAll()
        #expect(records.count == 1400)
        for (sink, keys, count) in [(there, keysThere, 1000), (gone, keysGone, 400)] {
            #expect(sink.durableTokens.sorted() == Array(0..<UInt64(count)))
            for index in keys.indices {
                let reported = sink.durableTokens.filter { Int($0) % keys.count == index }
                #expect(reported == reported.sorted())
                let text = String(decoding: keys[index].bytes, as: UTF8.self)
                let ofKey = records.filter { $0.key == text }.map { String(decoding: $0.value, as: UTF8.self) }
                #expect(ofKey == reported.map { "\($0)" })
            }
        }
    }

    @Test func recordsWaitForMoreOnlyUntilTheHandOver() throws {
        let cluster = try cluster()
        let log = try KafkaTrafficLog(settings(cluster))
        defer { log.close() }
        let sink = CollectingSink()
        let key = ConnectionKey("c")
        try log.append(RecordSegment(1, "1"), key: key, sink: sink, more: true)
        // Goes with the one that waits for it.
        try log.append(RecordSegment(2, "2"), key: key, sink: sink)
        #expect(sink.wait { $0.durableTokens == [1, 2] })
        try log.append(RecordSegment(3, "3"), key: key, sink: sink, more: true)
        log.handOver()
        #expect(sink.wait { $0.durableTokens == [1, 2, 3] })
        // A caller that broke its promise: the tick.
        try log.append(RecordSegment(4, "4"), key: key, sink: sink, more: true)
        #expect(sink.wait { $0.durableTokens == [1, 2, 3, 4] })
    }

    /// Hears on which thread it is called.
    private final class LoopSink: TrafficLogSink {
        private let loop: EventLoop
        let counts = Mutex((onLoop: 0, elsewhere: 0))

        init(_ loop: EventLoop) { self.loop = loop }

        func recordsResolved(_ deliveries: [LogDelivery]) {
            let isOnLoop = loop.isCurrent
            counts.withLock { counts in
                if isOnLoop { counts.onLoop += deliveries.count } else { counts.elsewhere += deliveries.count }
            }
        }
    }

    @Test func reportsComeOnTheLoopAndAfterItsEndElsewhere() throws {
        let cluster = try cluster()
        let log = try KafkaTrafficLog(settings(cluster))
        defer { log.close() }
        let loop = try EventLoop(label: "reports")
        loop.start()
        log.report(on: loop)
        // Behind `report`, which is carried out on the loop.
        let isReady = Atomic<Bool>(false)
        loop.execute { isReady.store(true, ordering: .releasing) }
        #expect(eventually { isReady.load(ordering: .acquiring) })
        let sink = LoopSink(loop)
        for token in UInt64(0)..<100 {
            try log.append(RecordSegment(token, "r"), key: ConnectionKey("c\(token % 9)"), sink: sink)
        }
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.counts.withLock { $0 == (100, 0) })
        loop.stop()
        for token in UInt64(100)..<200 {
            try log.append(RecordSegment(token, "r"), key: ConnectionKey("c\(token % 9)"), sink: sink)
        }
        #expect(log.flush(within: .seconds(60)))
        #expect(sink.counts.withLock { $0 == (100, 100) })
    }

    /// Symptom: the first write after a start waited half a second for the producer's id.
    @Test func theProducerHasItsIDBeforeTheFirstRecord() throws {
        let initProducerID: Int16 = 22
        let cluster = try KafkaMockCluster()
        cluster.createTopic("captured")
        cluster.countRequests()
        let log = try KafkaTrafficLog(settings(cluster))
        defer { log.close() }
        #expect(cluster.requestCount(apiKey: initProducerID) == 1)
        let sink = CollectingSink()
        try log.append(RecordSegment(1, "r"), key: ConnectionKey("c"), sink: sink)
        #expect(log.flush(within: .seconds(60)))
        #expect(cluster.requestCount(apiKey: initProducerID) == 1)
    }
}
