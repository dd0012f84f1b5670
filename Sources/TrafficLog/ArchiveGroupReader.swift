import CapturedTraffic
import Glibc

/// Reads archives, a file a partition, one file after the other. A record's offset is the number of its line, from 0.
/// An archive does not grow: its partition ends with its last line, whatever `LogEnd` says. Without a group nothing is
/// kept, and every run begins at the start.
///
/// Memory: one line at a time is decoded; its record is held as `RecordCopies`.
package final class ArchiveGroupReader: GroupLogReader {
    package let location: String
    package let group: String?

    private let settings: GroupReaderSettings
    /// By partition.
    private let paths: [String]
    /// Partitions whose start by time was not come to yet.
    private var seeking: Set<Int32> = []
    /// The partition that is read; as large as `paths` after the last.
    private var current = 0
    private var reader: ArchiveLineReader?
    private var positions: GroupPositionFile?
    private var nextOffsets: [Int64]
    private var paused: Set<Int32> = []
    private var events: [GroupLogEvent] = []
    /// Damage is no end: it is told again and again.
    private var failure: TrafficLogError?
    private var isClosed = false
    private let held = HeldBytes()
    private var counts = GroupReaderStatistics()

    /// A look at the clock costs less than this many records; an event is given back early for it.
    private static let eventBytesLimit = 4 << 20

    /// `path` is an archive or a folder, all of whose files are archives, in the order of their names. Positions lie
    /// beside the archive, or in the folder.
    package init(
        path: String, group: String?, settings: GroupReaderSettings = GroupReaderSettings()
    ) throws(TrafficLogError) {
        location = "archive://" + path
        self.group = group
        self.settings = settings
        if settings.start == .latest {
            throw TrafficLogError(
                .invalidSetting, "\(location): an archive does not grow, so nothing follows its latest record")
        }
        var status = stat()
        guard stat(path, &status) == 0 else { throw FileLogFailure.system(errno, path, "the archive cannot be read") }
        let isFolder = status.st_mode & S_IFMT == S_IFDIR
        paths = isFolder ? try Self.files(path) : [path]
        if let group {
            let slash = path.lastIndex(of: "/") ?? path.startIndex
            let folder = isFolder ? path : slash == path.startIndex ? "/" : String(path[..<slash])
            let name = path[slash...].drop { $0 == "/" }
            positions = try GroupPositionFile(
                folder: folder, prefix: isFolder ? "" : name + ".", group: group, isReset: settings.resetsPositions)
        }
        nextOffsets = Array(repeating: 0, count: paths.count)
        let committed = positions?.positions ?? [:]
        var assigned: [PartitionStart] = []
        for partition in 0..<Int32(paths.count) {
            var first: Int64 = 0
            if case .offsets(let offsets) = settings.start { first = max(0, offsets[partition] ?? 0) }
            if let position = committed[partition] { first = position.offset }
            nextOffsets[Int(partition)] = first
            assigned.append(
                PartitionStart(
                    partition: partition, offset: first, note: committed[partition]?.note, endOffset: first))
        }
        if case .timestamp = settings.start {
            seeking = Set((0..<Int32(paths.count)).filter { committed[$0] == nil })
        }
        if settings.resetsPositions, let positions {
            var all: [Int32: GroupPosition] = [:]
            for start in assigned { all[start.partition] = GroupPosition(offset: start.offset) }
            try positions.commit(all)
        }
        counts.assignedCount = UInt64(paths.count)
        events = [.assigned(assigned)]
    }

    /// Regular files without a dot in front and which are not a group's.
    private static func files(_ folder: String) throws(TrafficLogError) -> [String] {
        guard let stream = opendir(folder) else {
            throw FileLogFailure.system(errno, folder, "the folder of archives cannot be read")
        }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            let isOwn = name.hasPrefix("group-") && [".lock", ".position", ".new"].contains { name.hasSuffix($0) }
            var status = stat()
            guard !name.hasPrefix("."), !isOwn, stat(folder + "/" + name, &status) == 0,
                status.st_mode & S_IFMT == S_IFREG
            else { continue }
            found.append(folder + "/" + name)
        }
        guard !found.isEmpty else { throw TrafficLogError(.missing, "\(folder): the folder holds no archive") }
        return found.sorted()
    }

    package var statistics: GroupReaderStatistics {
        var counts = counts
        counts.heldBytes = held.count
        return counts
    }

    package func next(within duration: Duration, recordLimit: Int) throws(TrafficLogError) -> GroupLogEvent? {
        precondition(recordLimit > 0, "a limit of \(recordLimit) records")
        guard !isClosed else { throw TrafficLogError(.closed, "\(location): the reader is closed") }
        while true {
            if !events.isEmpty { return events.removeFirst() }
            guard current < paths.count, !paused.contains(Int32(current)) else {
                MonotonicClock.sleep(milliseconds: duration.wholeMilliseconds)
                return nil
            }
            if let failure { throw failure }
            do throws(TrafficLogError) {
                try readLines(recordLimit)
            } catch {
                if error.disposition != .retry { failure = error }
                // What came before the damage is delivered before it is told.
                if events.isEmpty { throw error }
            }
        }
    }

    /// Adds the next records of the current archive, or what ends it, to the events.
    private func readLines(_ limit: Int) throws(TrafficLogError) {
        let partition = Int32(current)
        let reader = try openReader()
        var records: [LoggedRecord] = []
        var byteCount = 0
        var copier = RecordCopier(held: held)
        defer { if !records.isEmpty { events.append(.records(records)) } }
        while records.count < limit, byteCount < Self.eventBytesLimit {
            guard let line = try reader.next() else {
                return finish(partition, &records)
            }
            let position = LogPosition(partition: partition, offset: Int64(reader.lineNumber - 1))
            switch line {
            case .unreadable(let reason, let bytes):
                nextOffsets[current] = position.offset + 1
                if !records.isEmpty { events.append(.records(records)) }
                records = []
                events.append(.unreadable(UnreadableRecord(position: position, reason: reason, bytes: bytes)))
                return
            case .record(let record):
                if try isBeforeStart(record, position) { continue }
                if case .time(let end) = settings.end, let time = record.timestampMilliseconds, time >= end {
                    return finish(partition, &records)
                }
                nextOffsets[current] = position.offset + 1
                records.append(copy(record, position, &copier))
                byteCount += record.value.count
            }
        }
    }

    private func copy(
        _ record: TrafficArchiveLine, _ position: LogPosition, _ copier: inout RecordCopier
    ) -> LoggedRecord {
        let needed = (record.key?.count ?? 0) + record.value.count
        // A line's length is known when it is read, so each record has memory of its own.
        copier.expect(byteCount: needed)
        let time = record.timestampMilliseconds ?? -1
        return record.value.withUnsafeBytes { value in
            guard let key = record.key else {
                return copier.copy(key: nil, value: value, position: position, timestampMilliseconds: time)
            }
            return key.withUnsafeBytes {
                copier.copy(key: $0, value: value, position: position, timestampMilliseconds: time)
            }
        }
    }

    /// Whether a start by time passes over the record.
    private func isBeforeStart(_ record: TrafficArchiveLine, _ position: LogPosition) throws(TrafficLogError) -> Bool {
        guard case .timestamp(let start) = settings.start, seeking.contains(position.partition) else { return false }
        guard let time = record.timestampMilliseconds else {
            throw TrafficLogError(
                .invalidSetting,
                "\(paths[current]), line \(position.offset + 1): the archive has no times to begin at one")
        }
        if time >= start { seeking.remove(position.partition) }
        return time < start
    }

    private func finish(_ partition: Int32, _ records: inout [LoggedRecord]) {
        if !records.isEmpty { events.append(.records(records)) }
        records = []
        events.append(.endReached(partition: partition, offset: nextOffsets[current]))
        current += 1
        reader = nil
    }

    private func openReader() throws(TrafficLogError) -> ArchiveLineReader {
        if let reader { return reader }
        let opened = try ArchiveLineReader(path: paths[current])
        let start = nextOffsets[current]
        try opened.skip(to: Int(clamping: start))
        guard opened.lineNumber >= start else {
            throw TrafficLogError(
                .missing,
                "\(paths[current]): the group stands at line \(start + 1), the archive has "
                    + "\(opened.lineNumber)")
        }
        reader = opened
        return opened
    }

    package func pause(_ partitions: [Int32]) { paused.formUnion(partitions) }
    package func resume(_ partitions: [Int32]) { paused.subtract(partitions) }

    /// Without a group there is nothing to make durable.
    @discardableResult
    package func commit(_ wanted: [Int32: GroupPosition]) throws(TrafficLogError) -> Set<Int32> {
        guard !isClosed else { throw TrafficLogError(.closed, "\(location): the reader is closed") }
        let mine = wanted.filter { paths.indices.contains(Int($0.key)) }
        counts.staleCommitCount += UInt64(wanted.count - mine.count)
        try positions?.commit(mine)
        return Set(mine.keys)
    }

    package func release(_ partitions: [Int32]) {}

    package func committedPositions() -> [Int32: GroupPosition] { positions?.positions ?? [:] }

    /// How long an archive is shows only at its end.
    package func endOffsets() -> [Int32: Int64] {
        Dictionary(uniqueKeysWithValues: nextOffsets.enumerated().map { (Int32($0.offset), $0.element) })
    }

    package func close() {
        isClosed = true
        events = []
        reader = nil
        positions = nil
    }
}
