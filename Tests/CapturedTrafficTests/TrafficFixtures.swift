import CapturedTraffic
import Glibc
import JSONBytes
import TestSupport

/// Files of captured traffic: those committed here, and the whole topics of `../shared` where that folder is.
enum TrafficFixtures {
    static let folder = above(#filePath, 2) + "/Fixtures/traffic"

    /// `MILLRACE_FIXTURES/traffic`, or `shared/fixtures/traffic` beside the project; nil when there is none.
    static let sharedFolder: String? = {
        var candidates = [above(#filePath, 4) + "/shared/fixtures/traffic"]
        if let named = getenv("MILLRACE_FIXTURES") { candidates.insert(String(cString: named) + "/traffic", at: 0) }
        return candidates.first { access($0 + "/reference-small.ndjson.gz", R_OK) == 0 }
    }()

    private static func above(_ path: String, _ levels: Int) -> String {
        path.split(separator: "/", omittingEmptySubsequences: false).dropLast(levels).joined(separator: "/")
    }

    /// The lines of a file, plain or gzip.
    static func lines(_ path: String) throws -> [[UInt8]] {
        var bytes = try FileTree.read(path)
        if path.hasSuffix(".gz") { bytes = try require(gunzip(bytes), path) }
        return bytes.split(separator: UInt8(ascii: "\n")).map { Array($0) }
    }

    private static func require(_ bytes: [UInt8]?, _ path: String) throws -> [UInt8] {
        guard let bytes else { throw FileFailure("gunzip \(path)", EINVAL) }
        return bytes
    }
}

/// What a record says, in the form of the golden files.
enum RecordDescription {
    static func of(_ record: [UInt8]) throws -> JSONValue {
        try record.withUnsafeBytes { bytes in
            var reader = try TrafficStreamReader(bytes)
            let header = reader.header
            var observations: [JSONValue] = []
            while let observation = try reader.next() { observations.append(describe(observation)) }
            return object([
                ("connectionId", text(header.connectionID)), ("nodeId", text(header.nodeID)),
                ("priorRequests", number(header.priorRequests)),
                ("isReadUnterminated", .bool(header.isReadUnterminated)), ("number", number(header.number)),
                ("isLast", .bool(header.isLast)), ("observations", .array(observations)),
            ])
        }
    }

    private static func describe(_ observation: TrafficObservation) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("seconds", .number(String(observation.timestamp.seconds))),
            ("nanos", .number(String(observation.timestamp.nanoseconds))),
        ]
        let name: String
        switch observation.event {
        case .bind: name = "bind"
        case .connect: name = "connect"
        case .disconnect: name = "disconnect"
        case .close: name = "close"
        case .segmentEnd: name = "segmentEnd"
        case .requestDropped: name = "requestDropped"
        case .unknown: name = "unknown"
        case .read(let data): (name, members) = ("read", members + [("data", base64(data))])
        case .readSegment(let data): (name, members) = ("readSegment", members + [("data", base64(data))])
        case .write(let data): (name, members) = ("write", members + [("data", base64(data))])
        case .writeSegment(let data): (name, members) = ("writeSegment", members + [("data", base64(data))])
        case .connectionException(let message):
            (name, members) = ("connectionException", members + [("message", text(message))])
        case .requestReleased(let isTimedOut):
            (name, members) = ("requestReleasedDownstream", members + [("timedOut", .bool(isTimedOut))])
        case .endOfMessage(let firstLine, let headers):
            name = "endOfMessageIndicator"
            members += [("firstLine", number(firstLine)), ("headers", number(headers))]
        }
        members.insert(("event", .string(name)), at: 2)
        return object(members)
    }

    static func object(_ members: [(String, JSONValue)]) -> JSONValue {
        .object(members.map { JSONMember(key: $0.0, value: $0.1) })
    }

    private static func number(_ value: Int32?) -> JSONValue { value.map { .number(String($0)) } ?? .null }
    private static func text(_ bytes: UnsafeRawBufferPointer) -> JSONValue {
        .string(String(decoding: bytes, as: UTF8.self))
    }

    private static func base64(_ bytes: UnsafeRawBufferPointer) -> JSONValue {
        var text: [UInt8] = []
        Base64.append(bytes, to: &text)
        return .string(String(decoding: text, as: UTF8.self))
    }
}

extension TrafficTimestamp {
    /// Of the golden files.
    static let golden = TrafficTimestamp(seconds: 1_795_466_599, nanoseconds: 402_213_497)
}
