import Glibc

/// Where a traffic log is, as an operator writes it:
///
///     kafka://broker1:9092,broker2:9092/topic?linger.ms=2    a topic; settings of librdkafka behind the question mark
///     kafka://broker1:9092/topic?group=replayer              the same, read as a member of a consumer group
///     file:///var/lib/millrace/log                           a folder of this machine
///     file:///var/lib/millrace/log?group=replayer            the same; the group's position is kept there
///     archive:///data/captured.proto.gz?group=replayer       exported records, a file or a folder of files; only read
///     mock:topic                                             a Kafka in this process, gone with it
///
/// `mock:` alone is `mock:traffic`. A path's question mark is written %3F.
package enum TrafficLogAddress: Sendable, Equatable {
    case kafka(brokers: [String], topic: String, group: String? = nil, properties: [Property])
    case file(path: String, group: String? = nil)
    case archive(path: String, group: String? = nil)
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
        case .kafka(let brokers, let topic, _, _): "kafka://\(brokers.joined(separator: ","))/\(topic)"
        case .file(let path, _): "file://\(path)"
        case .archive(let path, _): "archive://\(path)"
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
            let (path, group) = try parsePath(text.dropFirst("file:".count), "file")
            return .file(path: path, group: group)
        }
        if text.hasPrefix("archive:") {
            let (path, group) = try parsePath(text.dropFirst("archive:".count), "archive")
            return .archive(path: path, group: group)
        }
        // The text itself stays out of the message: a mistyped address may hold a secret behind its question mark.
        throw refusal("a log's address begins with kafka://, file:///, archive:/// or mock:")
    }

    /// Who reads; nil where no group is named or can be.
    package var group: String? {
        switch self {
        case .kafka(_, _, let group, _): group
        case .file(_, let group), .archive(_, let group): group
        case .mock: nil
        }
    }

    private static func parsePath(
        _ text: Substring, _ scheme: String
    ) throws(TrafficLogError) -> (path: String, group: String?) {
        var rest = text
        var query: Substring?
        if let mark = rest.firstIndex(of: "?") {
            query = rest[rest.index(after: mark)...]
            rest = rest[..<mark]
        }
        if rest.hasPrefix("//") {
            rest = rest.dropFirst(2)
            if rest.hasPrefix("localhost/") { rest = rest.dropFirst("localhost".count) }
        }
        guard rest.hasPrefix("/") else { throw refusal("\(scheme):///path needs an absolute path") }
        guard var path = percentDecoded(rest) else {
            throw refusal("a % in the log's path is not followed by two hexadecimal digits, or stands for NUL")
        }
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard path != "/" else { throw refusal("the root folder cannot be a log") }
        var group: String?
        for property in try settings(query ?? "") {
            guard property.name == "group" else {
                throw refusal(
                    "\(scheme)://\(path): the only setting is ?group=NAME; a question mark of the path is written %3F")
            }
            guard group == nil else { throw refusal("\(scheme)://\(path): the group is named twice") }
            // It becomes the name of a file.
            guard isPlainName(property.value, limit: 200) else {
                throw refusal(
                    "\(scheme)://\(path): a group's name has 1 to 200 letters, digits, dots, underscores and hyphens")
            }
            group = property.value
        }
        if let query, query.isEmpty { throw refusal("\(scheme)://\(path): nothing follows the question mark") }
        return (path, group)
    }

    private static func settings(_ query: Substring) throws(TrafficLogError) -> [Property] {
        var properties: [Property] = []
        for pair in query.split(separator: "&") {
            guard let equals = pair.firstIndex(of: "="), equals > pair.startIndex,
                let name = percentDecoded(pair[..<equals]),
                let value = percentDecoded(pair[pair.index(after: equals)...])
            else { throw refusal("a setting in the log's address is not key=value") }
            properties.append(Property(name: name, value: value))
        }
        return properties
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
        var properties = try settings(query)
        let groups = properties.filter { $0.name == "group" }.map(\.value)
        properties.removeAll { $0.name == "group" }
        guard groups.count <= 1 else { throw refusal("kafka://…/\(topic): the group is named twice") }
        if let group = groups.first {
            guard (1...255).contains(group.utf8.count), group.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                throw refusal("kafka://…/\(topic): a group's name has 1 to 255 bytes and no control characters")
            }
        }
        if properties.contains(where: { $0.name == "group.id" }) {
            throw refusal("kafka://…/\(topic): the group is named by ?group=NAME, not by group.id")
        }
        return .kafka(brokers: brokers.map(withPort), topic: topic, group: groups.first, properties: properties)
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
        guard isPlainName(topic, limit: 249) else {
            throw refusal("a topic's name has 1 to 249 letters, digits, dots, underscores and hyphens")
        }
    }

    private static func isPlainName(_ name: String, limit: Int) -> Bool {
        let isLegal = name.utf8.allSatisfy { byte in
            (byte >= 0x30 && byte <= 0x39) || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A)
                || byte == 0x2E || byte == 0x5F || byte == 0x2D
        }
        return !name.isEmpty && name.utf8.count <= limit && isLegal && name != "." && name != ".."
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
