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
        guard group == nil else {
            throw TrafficLogError(.invalidSetting, "\(location): ?group= is for readers; a writer has none")
        }
        if case .archive = self {
            throw TrafficLogError(.invalidSetting, "\(location): an archive is only read")
        }
        if case .file(let path, _) = self {
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
        _ options: Options = Options(), start: LogStart = .earliest
    ) throws(TrafficLogError) -> any TrafficLogReader {
        switch self {
        case .file(let path, _): return try FileTrafficLogReader(path: path, start: start)
        case .kafka: return try KafkaTrafficLogReader(try kafkaSettings(options), start: start)
        case .archive:
            throw TrafficLogError(.invalidSetting, "\(location): an archive is read line by line or by a group")
        case .mock: throw mockIsGone
        }
    }

    /// Opens the log for a reader of a group. Kafka needs one; without it, a log of files is read from the start in
    /// each run and keeps no position.
    package func openGroupReader(
        _ options: Options = Options(), _ settings: GroupReaderSettings = GroupReaderSettings()
    ) throws(TrafficLogError) -> any GroupLogReader {
        switch self {
        case .file(let path, let group): return try FileGroupReader(path: path, group: group, settings: settings)
        case .archive(let path, let group): return try ArchiveGroupReader(path: path, group: group, settings: settings)
        case .kafka(_, _, let group, _):
            guard let group else {
                throw TrafficLogError(.invalidSetting, "\(location): name the consumer group: \(location)?group=NAME")
            }
            return try KafkaGroupReader(try kafkaSettings(options), group: group, settings: settings)
        case .mock: throw mockIsGone
        }
    }

    private var mockIsGone: TrafficLogError {
        TrafficLogError(.invalidSetting, "\(location): a mock log is gone with the process that wrote it")
    }

    private func kafkaSettings(_ options: Options) throws(TrafficLogError) -> KafkaLogSettings {
        var settings: KafkaLogSettings
        switch self {
        case .kafka(let brokers, let topic, _, let properties):
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
        case .file, .archive: throw TrafficLogError(.invalidSetting, "\(location) is no Kafka log")
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
