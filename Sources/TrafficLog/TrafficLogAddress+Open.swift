extension TrafficLogAddress {
    /// What an address alone does not say.
    package struct Options: Sendable {
        package var file = FileLogSettings()
        package var login = KafkaLogSettings.Login.none
        package var tls: KafkaLogSettings.TLS?
        /// Added to the address's own; they win.
        package var properties: [Property] = []
        package var linger = Duration.zero
        package var compression = "none"
        package var recordLimitBytes: Int?
        package var queueLimitBytes = 256 << 20
        package var outageAfter = Duration.seconds(5)
        package var startTimeout = Duration.seconds(30)
        package var topicCreation: KafkaLogSettings.TopicCreation?
        /// Folder of the spool that stands behind a Kafka log; nil for none.
        package var spoolPath: String?

        package init() {}
    }

    /// Opens the log for writing; errors as those of the log's own initialiser.
    package func openWriter(_ options: Options = Options()) throws(TrafficLogError) -> any TrafficLogWriter {
        if case .file(let path) = self {
            var settings = options.file
            settings.queueLimitBytes = options.queueLimitBytes
            settings.outageAfter = options.outageAfter
            if let limit = options.recordLimitBytes { settings.recordLimitBytes = limit }
            return try FileTrafficLog(path: path, settings: settings)
        }
        let primary = try KafkaTrafficLog(try kafkaSettings(options))
        guard let spoolPath = options.spoolPath else { return primary }
        do throws(TrafficLogError) {
            return try SpoolingTrafficLog(primary: primary, spoolPath: spoolPath, settings: options.file)
        } catch {
            primary.close()
            throw error
        }
    }

    /// Opens the log for reading. A mock log has nothing to read: it ends with the process that writes it.
    package func openReader(
        _ options: Options = Options(), start: LogStart = .beginning
    ) throws(TrafficLogError) -> any TrafficLogReader {
        switch self {
        case .file(let path): return try FileTrafficLogReader(path: path, start: start)
        case .kafka: return try KafkaTrafficLogReader(try kafkaSettings(options), start: start)
        case .mock:
            throw TrafficLogError(.invalidSetting, "\(location): a mock log is gone with the process that wrote it")
        }
    }

    private func kafkaSettings(_ options: Options) throws(TrafficLogError) -> KafkaLogSettings {
        var settings: KafkaLogSettings
        switch self {
        case .kafka(let brokers, let topic, let properties):
            settings = KafkaLogSettings(brokers: brokers, topic: topic)
            settings.properties = properties
            settings.login = options.login
            settings.tls = options.tls
        case .mock(let topic):
            let cluster = try KafkaMockCluster()
            cluster.createTopic(topic)
            settings = KafkaLogSettings(brokers: cluster.brokers, topic: topic)
            settings.mockCluster = cluster
            settings.asksTopicLimit = false
        case .file: throw TrafficLogError(.invalidSetting, "\(location) is no Kafka log")
        }
        settings.properties += options.properties
        settings.linger = options.linger
        settings.compression = options.compression
        settings.recordLimitBytes = options.recordLimitBytes
        settings.queueLimitBytes = options.queueLimitBytes
        settings.outageAfter = options.outageAfter
        settings.startTimeout = options.startTimeout
        settings.topicCreation = options.topicCreation
        return settings
    }
}
