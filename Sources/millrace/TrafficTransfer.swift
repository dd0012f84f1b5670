import CapturedTraffic
import Settings
import Synchronization
import TrafficLog

/// `millrace traffic export` and `import`.
enum TrafficTransfer {
    static func export(_ source: any TrafficSource, to path: String) throws(TrafficFailure) -> Int32 {
        var archive = try TrafficArchiveWriter(path: path)
        let refused = try forEachRecord(source, "export") { (record, key) throws(TrafficFailure) in
            try archive.append(key: key, value: record.value)
        }
        try archive.finish()
        TrafficConsole.error("millrace traffic export: \(archive.recordCount) records written\n")
        return refused == 0 ? 0 : ExitStatus.unreadable.rawValue
    }

    static func append(
        _ source: any TrafficSource, to place: TrafficPlace, _ options: TrafficLogAddress.Options
    ) throws(TrafficFailure) -> Int32 {
        guard case .log(let address) = place else {
            throw TrafficFailure(.usage, "an archive is written by export; --log takes kafka:// or file:///")
        }
        let log = try LogAppender(address, options)
        var refused = 0
        do throws(TrafficFailure) {
            refused = try forEachRecord(source, "import") { (record, key) throws(TrafficFailure) in
                try log.append(record.value, key: key)
            }
        } catch {
            // What was appended before is in the log; say how much.
            _ = try? log.finish()
            TrafficConsole.error("millrace traffic import: \(log.durableCount) records written before this\n")
            throw error
        }
        try log.finish()
        TrafficConsole.error("millrace traffic import: \(log.durableCount) records written\n")
        return refused == 0 ? 0 : ExitStatus.unreadable.rawValue
    }

    /// Calls `body` with each record and its key. Records that cannot be read are reported and counted.
    private static func forEachRecord(
        _ source: any TrafficSource, _ verb: String, _ body: (SourceRecord, [UInt8]) throws(TrafficFailure) -> Void
    ) throws(TrafficFailure) -> Int {
        var refused = 0
        while true {
            do throws(TrafficFailure) {
                guard let record = try source.next() else { return refused }
                try body(record, try key(of: record, source))
            } catch {
                guard error.status == .unreadable else { throw error }
                refused += 1
                TrafficConsole.error("millrace traffic \(verb): \(error.message)\n")
            }
        }
    }

    /// The record's key; without one, the connection id within.
    private static func key(of record: SourceRecord, _ source: any TrafficSource) throws(TrafficFailure) -> [UInt8] {
        var key = record.key
        if key == nil {
            key = record.value.withUnsafeBytes { bytes in
                (try? TrafficStreamReader(bytes)).map { Array($0.header.connectionID) }
            }
        }
        guard let key, key.withUnsafeBytes({ TrafficArchiveLine.canBeKey($0) }) else {
            throw TrafficFailure(
                .unreadable, "\(source.location), \(record.position): no key, or one with a line break")
        }
        return key
    }
}
