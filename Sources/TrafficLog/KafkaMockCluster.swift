import CRdKafka

/// librdkafka's own imitation of a cluster, in this process and gone with it: for trying things out and for tests.
// Sound: the handles are thread-safe and freed once.
package final class KafkaMockCluster: @unchecked Sendable {
    private let handle: OpaquePointer
    private let cluster: OpaquePointer

    package init(brokerCount: Int32 = 1) throws(TrafficLogError) {
        let configuration = rd_kafka_conf_new()
        rd_kafka_conf_set_log_cb(configuration, nil)
        guard let made = rd_kafka_new(RD_KAFKA_PRODUCER, configuration, nil, 0) else {
            rd_kafka_conf_destroy(configuration)
            throw TrafficLogError(.unavailable, "mock: librdkafka starts no client")
        }
        guard let opened = rd_kafka_mock_cluster_new(made, brokerCount) else {
            rd_kafka_destroy(made)
            throw TrafficLogError(.unavailable, "mock: librdkafka starts no mock cluster")
        }
        (handle, cluster) = (made, opened)
    }

    deinit {
        rd_kafka_mock_cluster_destroy(cluster)
        rd_kafka_destroy(handle)
    }

    package var brokers: [String] {
        guard let text = rd_kafka_mock_cluster_bootstraps(cluster) else { return [] }
        return String(cString: text).split(separator: ",").map(String.init)
    }

    package func createTopic(_ name: String, partitionCount: Int32 = 4, replicationFactor: Int32 = 1) {
        rd_kafka_mock_topic_create(cluster, name, partitionCount, replicationFactor)
    }

    /// Broker numbers begin with 1.
    package func setBroker(_ number: Int32, isDown: Bool) {
        if isDown {
            rd_kafka_mock_broker_set_down(cluster, number)
        } else {
            rd_kafka_mock_broker_set_up(cluster, number)
        }
    }

    /// Answers of a broker come this much later.
    package func setRoundTrip(_ milliseconds: Int32, broker: Int32 = 1) {
        rd_kafka_mock_broker_set_rtt(cluster, broker, milliseconds)
    }

    /// The next produce requests, this many, are refused as too large.
    package func failNextProduce(asTooLarge count: Int) {
        var errors = Array(repeating: RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, count: count)
        rd_kafka_mock_push_request_errors_array(cluster, 0, errors.count, &errors)
    }

    /// From now on requests are counted by `requestCount`.
    package func countRequests() { rd_kafka_mock_start_request_tracking(cluster) }

    /// Requests with this key of the protocol since `countRequests`.
    package func requestCount(apiKey: Int16) -> Int {
        var count = 0
        guard let requests = rd_kafka_mock_get_requests(cluster, &count) else { return 0 }
        defer { rd_kafka_mock_request_destroy_array(requests, count) }
        return (0..<count).count { index in requests[index].map { rd_kafka_mock_request_api_key($0) } == apiKey }
    }

    /// Makes a broker the leader of a partition.
    package func setLeader(topic: String, partition: Int32, broker: Int32) {
        rd_kafka_mock_partition_set_leader(cluster, topic, partition, broker)
    }
}
