import Glibc

/// Where a traffic log is, as an operator writes it:
///
///     kafka://broker1:9092,broker2:9092/topic?linger.ms=2    a topic; settings of librdkafka behind the question mark
///     file:///var/lib/millrace/log                           a folder of this machine
///     mock:topic                                             a Kafka in this process, gone with it
///
/// `mock:` alone is `mock:traffic`.
package enum TrafficLogAddress: Sendable, Equatable {
    case kafka(brokers: [String], topic: String, properties: [Property])
    case file(path: String)
    case mock(topic: String)

    /// One `key=value`.
    package struct Property: Sendable, Equatable {
        package let name: String
        package let value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// For messages: without the settings, which may hold secrets.
    package var location: String {
        switch self {
        case .kafka(let brokers, let topic, _): "kafka://\(brokers.joined(separator: ","))/\(topic)"
        case .file(let path): "file://\(path)"
        case .mock(let topic): "mock:\(topic)"
        }
    }

    /// Fails with `.invalidSetting` and what is wrong.
    package static func parse(_ text: String) throws(TrafficLogError) -> TrafficLogAddress {
        if text.hasPrefix("kafka://") { return try parseKafka(text) }
        if text.hasPrefix("mock:") {
            let topic = String(text.dropFirst("mock:".count))
            try check(topic: topic.isEmpty ? "traffic" : topic)
            return .mock(topic: topic.isEmpty ? "traffic" : topic)
        }
        if text.hasPrefix("file:") {
            var rest = text.dropFirst("file:".count)
            if rest.hasPrefix("//") {
                rest = rest.dropFirst(2)
                if rest.hasPrefix("localhost/") { rest = rest.dropFirst("localhost".count) }
            }
            guard rest.hasPrefix("/") else { throw refusal("a file log needs an absolute path: file:///folder") }
            guard var path = percentDecoded(rest) else {
                throw refusal("a % in the log's path is not followed by two hexadecimal digits, or stands for NUL")
            }
            while path.count > 1, path.hasSuffix("/") { path.removeLast() }
            guard path != "/" else { throw refusal("the root folder cannot be a log") }
            return .file(path: path)
        }
        // The text itself stays out of the message: a mistyped address may hold a secret behind its question mark.
        throw refusal("a log's address begins with kafka://, file:/// or mock:")
    }

    private static func parseKafka(_ text: String) throws(TrafficLogError) -> TrafficLogAddress {
        var rest = text.dropFirst("kafka://".count)
        var query: Substring = ""
        if let mark = rest.firstIndex(of: "?") {
            query = rest[rest.index(after: mark)...]
            rest = rest[..<mark]
        }
        guard let slash = rest.firstIndex(of: "/") else {
            throw refusal("kafka://host:port/topic: the topic is missing")
        }
        let brokers = rest[..<slash].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let topic = String(rest[rest.index(after: slash)...])
        for broker in brokers { try check(broker: broker) }
        try check(topic: topic)
        var properties: [Property] = []
        for pair in query.split(separator: "&") {
            guard let equals = pair.firstIndex(of: "="), equals > pair.startIndex,
                let name = percentDecoded(pair[..<equals]),
                let value = percentDecoded(pair[pair.index(after: equals)...])
            else { throw refusal("a setting in the log's address is not key=value") }
            properties.append(Property(name: name, value: value))
        }
        return .kafka(brokers: brokers.map(withPort), topic: topic, properties: properties)
    }

    /// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
    private static func check(broker: String) throws(TrafficLogError) {
        guard !broker.contains("@") else {
            throw refusal("a broker's address holds no user name; give credentials as settings")
        }
        let host: Substring
        var port: Substring?
        if broker.hasPrefix("["), let end = broker.firstIndex(of: "]") {
            host = broker[...end]
            let after = broker[broker.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else { throw refusal("\(broker) is no broker's address") }
            if !after.isEmpty { port = after.dropFirst() }
        } else {
            let parts = broker.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2 else { throw refusal("\(broker): an IPv6 address is written [address]:port") }
            host = parts[0]
            if parts.count == 2 { port = parts[1] }
        }
        guard !host.isEmpty, !broker.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) else {
            throw refusal("a broker's address is empty or holds a blank")
        }
        if let port {
            guard let number = Int(port), (1...65535).contains(number),
                port.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 })
            else { throw refusal("\(broker): a port is a number from 1 to 65535") }
        }
    }

    private static func withPort(_ broker: String) -> String {
        let hasPort = broker.hasPrefix("[") ? !broker.hasSuffix("]") : broker.contains(":")
        return hasPort ? broker : broker + ":9092"
    }

    /// Kafka's own rule for names.
    private static func check(topic: String) throws(TrafficLogError) {
        let isLegal = topic.utf8.allSatisfy { byte in
            (byte >= 0x30 && byte <= 0x39) || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A)
                || byte == 0x2E || byte == 0x5F || byte == 0x2D
        }
        guard !topic.isEmpty, topic.utf8.count <= 249, isLegal, topic != ".", topic != ".." else {
            throw refusal("a topic's name has 1 to 249 letters, digits, dots, underscores and hyphens")
        }
    }

    private static func refusal(_ reason: String) -> TrafficLogError { TrafficLogError(.invalidSetting, reason) }

    /// nil when a % is not followed by two hexadecimal digits, or stands for NUL.
    private static func percentDecoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var iterator = text.utf8.makeIterator()
        while let byte = iterator.next() {
            guard byte == UInt8(ascii: "%") else {
                guard byte != 0 else { return nil }
                bytes.append(byte)
                continue
            }
            guard let high = iterator.next(), let low = iterator.next(), high != UInt8(ascii: "+"),
                let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16), value != 0
            else { return nil }
            bytes.append(value)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
