import CSystem
import Glibc
import Synchronization

/// The coordinator of `file:///dir`: a SQLite database `progress.db` in that folder.
///
/// Several processes of one machine may share it. A worker is alive as long as it holds the lock on its file
/// `worker-<id>.lock`, which the kernel gives back when the process ends however it ends, so a restart after a kill
/// leases its shards again at once. A lease also has an end time, for a process that hangs.
///
/// A checkpoint that was saved survives a power cut: from the first one on, every commit waits for the disk
/// (`synchronous=FULL` with a write-ahead log, whose sync covers all that was committed before). What comes earlier,
/// tables, leases and planned ranges, does not wait: a run that loses it has lost nothing and plans the same again.
// Sound: `connection` and `isDurable` are used only while `lock` is held; everything else is immutable.
package final class SQLiteCheckpointStore: CheckpointStore, @unchecked Sendable {
    package let location: String
    private let workerID: String
    private let folder: String
    private let lockDescriptor: Int32
    private let lock = Mutex(())
    private let connection: SQLiteConnection
    /// Whether commits wait for the disk.
    private var isDurable = false
    private let wallClock: @Sendable () -> Int64

    /// Seconds after which a lease that was not renewed may be taken over even though its process lives.
    package static let leaseSeconds: Int64 = 60
    private static let busyTimeoutMilliseconds: Int32 = 10_000

    /// Opens or creates the store in `folder`. `wallClock` gives seconds since 1970.
    package init(folder: String, wallClock: @escaping @Sendable () -> Int64) throws(CheckpointError) {
        self.folder = folder
        self.location = folder + "/progress.db"
        self.wallClock = wallClock
        try Self.makeFolders(folder)
        var random = SystemRandomNumberGenerator()
        workerID = String(random.next(), radix: 16)
        lockDescriptor = try Self.lockNewFile(folder + "/worker-\(workerID).lock")
        do throws(SQLiteConnection.Failure) {
            let opened = try SQLiteConnection(path: location, busyTimeoutMilliseconds: Self.busyTimeoutMilliseconds)
            // NORMAL keeps the database sound over a power cut, but does not wait for the log at every commit.
            try opened.run("PRAGMA synchronous=NORMAL")
            try opened.run("PRAGMA journal_mode=WAL") { _ in }
            for statement in Self.schema { try opened.run(statement) }
            connection = opened
        } catch {
            Glibc.close(lockDescriptor)
            unlink(folder + "/worker-\(workerID).lock")
            throw Self.unavailable(folder + "/progress.db", error)
        }
    }

    deinit {
        unlink(folder + "/worker-\(workerID).lock")
        Glibc.close(lockDescriptor)
    }

    private static let schema = [
        """
        CREATE TABLE IF NOT EXISTS shard (
            run TEXT NOT NULL, index_id TEXT NOT NULL, number INTEGER NOT NULL,
            worker TEXT, lease_end INTEGER NOT NULL DEFAULT 0, is_finished INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (run, index_id, number)) WITHOUT ROWID
        """,
        """
        CREATE TABLE IF NOT EXISTS doc_range (
            run TEXT NOT NULL, index_id TEXT NOT NULL, number INTEGER NOT NULL,
            segment TEXT NOT NULL, first_doc INTEGER NOT NULL, end_doc INTEGER NOT NULL, checkpoint INTEGER NOT NULL,
            migrated INTEGER NOT NULL, rejected INTEGER NOT NULL, omitted INTEGER NOT NULL, nested INTEGER NOT NULL,
            deleted INTEGER NOT NULL, source_bytes INTEGER NOT NULL,
            PRIMARY KEY (run, index_id, number, segment, first_doc)) WITHOUT ROWID
        """,
    ]

    /// Whether SQLite waits for the disk at every commit, in its own words.
    var waitsForDisk: Bool {
        get throws {
            try lock.withLock { _ in
                var level: Int64 = 0
                try connection.run("PRAGMA synchronous") { level = $0.integer(0) }
                return level == 2
            }
        }
    }

    package func register(run: RunKey, shards: [ShardKey]) throws(CheckpointError) {
        try transaction { (database) throws(SQLiteConnection.Failure) in
            for shard in shards {
                try database.run(
                    "INSERT OR IGNORE INTO shard (run, index_id, number) VALUES (?, ?, ?)", Self.key(run, shard))
            }
        }
    }

    package func leaseShard(run: RunKey, from candidates: [ShardKey]) throws(CheckpointError) -> ShardKey? {
        let now = wallClock()
        return try transaction { (database) throws(SQLiteConnection.Failure) -> ShardKey? in
            for shard in candidates {
                var holder: String?
                var leaseEnd: Int64 = 0
                var isOpen = false
                try database.run(
                    "SELECT worker, lease_end FROM shard WHERE run=? AND index_id=? AND number=? AND is_finished=0",
                    Self.key(run, shard)
                ) { row in
                    isOpen = true
                    holder = row.isNull(0) ? nil : row.text(0)
                    leaseEnd = row.integer(1)
                }
                guard isOpen, holder != workerID else { continue }
                if let holder, leaseEnd > now, isAlive(holder) { continue }
                try database.run(
                    "UPDATE shard SET worker=?, lease_end=? WHERE run=? AND index_id=? AND number=?",
                    [.text(workerID), .integer(now + Self.leaseSeconds)] + Self.key(run, shard))
                return shard
            }
            return nil
        }
    }

    package func renewLeases(run: RunKey, shards: [ShardKey]) throws(CheckpointError) -> [ShardKey] {
        let end = wallClock() + Self.leaseSeconds
        return try transaction { (database) throws(SQLiteConnection.Failure) -> [ShardKey] in
            var lost: [ShardKey] = []
            for shard in shards {
                try database.run(
                    "UPDATE shard SET lease_end=? WHERE run=? AND index_id=? AND number=? AND worker=?",
                    [.integer(end)] + Self.key(run, shard) + [.text(workerID)])
                // A shard that was finished meanwhile has no lease to lose.
                if database.changeCount == 0, try !Self.isFinished(database, run, shard) { lost.append(shard) }
            }
            return lost
        }
    }

    package func release(run: RunKey, shard: ShardKey) throws(CheckpointError) {
        try transaction { (database) throws(SQLiteConnection.Failure) in
            try database.run(
                "UPDATE shard SET worker=NULL, lease_end=0 WHERE run=? AND index_id=? AND number=? AND worker=?",
                Self.key(run, shard) + [.text(workerID)])
        }
    }

    package func ranges(run: RunKey, shard: ShardKey) throws(CheckpointError) -> [RangeProgress] {
        try transaction { (database) throws(SQLiteConnection.Failure) -> [RangeProgress] in
            var found: [RangeProgress] = []
            try database.run(
                """
                SELECT segment, first_doc, end_doc, checkpoint,
                    migrated, rejected, omitted, nested, deleted, source_bytes
                FROM doc_range WHERE run=? AND index_id=? AND number=? ORDER BY segment, first_doc
                """, Self.key(run, shard)
            ) { row in
                found.append(
                    RangeProgress(
                        segment: row.text(0), firstDoc: Int(row.integer(1)), endDoc: Int(row.integer(2)),
                        checkpoint: Int(row.integer(3)), tally: Self.tally(row, from: 4)))
            }
            return found
        }
    }

    package func plan(run: RunKey, shard: ShardKey, ranges: [RangeProgress]) throws(CheckpointError) {
        try transaction { (database) throws(SQLiteConnection.Failure) in
            for range in ranges {
                try database.run(
                    """
                    INSERT OR IGNORE INTO doc_range (run, index_id, number, segment, first_doc, end_doc, checkpoint,
                        migrated, rejected, omitted, nested, deleted, source_bytes)
                    VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0)
                    """,
                    Self.key(run, shard) + [
                        .text(range.segment), .integer(Int64(range.firstDoc)), .integer(Int64(range.endDoc)),
                        .integer(Int64(range.firstDoc)),
                    ])
            }
        }
    }

    package func save(run: RunKey, _ progress: [(shard: ShardKey, range: RangeProgress)]) throws(CheckpointError) {
        let lost = try transaction(durable: true) { (database) throws(SQLiteConnection.Failure) -> ShardKey? in
            for shard in Set(progress.map(\.shard)) where try !isHolder(database, run, shard) { return shard }
            for (shard, range) in progress { try Self.update(database, run, shard, range) }
            return nil
        }
        if let lost { throw leaseLost(lost) }
    }

    package func finish(run: RunKey, shard: ShardKey) throws(CheckpointError) {
        let isOurs = try transaction(durable: true) { (database) throws(SQLiteConnection.Failure) -> Bool in
            try database.run(
                """
                UPDATE shard SET is_finished=1, worker=NULL, lease_end=0
                WHERE run=? AND index_id=? AND number=? AND worker=?
                """,
                Self.key(run, shard) + [.text(workerID)])
            return database.changeCount == 1
        }
        if !isOurs { throw leaseLost(shard) }
    }

    package func summary(run: RunKey) throws(CheckpointError) -> [ShardProgress] {
        try transaction { (database) throws(SQLiteConnection.Failure) -> [ShardProgress] in
            var found: [ShardProgress] = []
            try database.run(
                """
                SELECT s.index_id, s.number, s.is_finished, SUM(r.migrated), SUM(r.rejected), SUM(r.omitted),
                    SUM(r.nested), SUM(r.deleted), SUM(r.source_bytes)
                FROM shard s LEFT JOIN doc_range r USING (run, index_id, number)
                WHERE s.run=? GROUP BY s.index_id, s.number
                """, [.text(run.text)]
            ) { row in
                found.append(
                    ShardProgress(
                        shard: ShardKey(indexID: row.text(0), number: Int(row.integer(1))),
                        isFinished: row.integer(2) == 1, tally: Self.tally(row, from: 3)))
            }
            return found
        }
    }

    package func close() {
        lock.withLock { _ in connection.close() }
    }

    // MARK: - Helpers

    private static func update(
        _ database: SQLiteConnection, _ run: RunKey, _ shard: ShardKey, _ range: RangeProgress
    ) throws(SQLiteConnection.Failure) {
        let tally = range.tally
        try database.run(
            """
            UPDATE doc_range SET checkpoint=?, migrated=?, rejected=?, omitted=?, nested=?, deleted=?, source_bytes=?
            WHERE run=? AND index_id=? AND number=? AND segment=? AND first_doc=? AND checkpoint<=?
            """,
            [
                .integer(Int64(range.checkpoint)), .integer(Int64(tally.migrated)), .integer(Int64(tally.rejected)),
                .integer(Int64(tally.omitted)), .integer(Int64(tally.nested)), .integer(Int64(tally.deleted)),
                .integer(tally.sourceBytes),
            ] + key(run, shard) + [
                .text(range.segment), .integer(Int64(range.firstDoc)), .integer(Int64(range.checkpoint)),
            ])
        precondition(
            database.changeCount == 1,
            "the checkpoint of \(shard) \(range.segment) would retreat to \(range.checkpoint)")
    }

    private func isHolder(
        _ database: SQLiteConnection, _ run: RunKey, _ shard: ShardKey
    ) throws(SQLiteConnection.Failure) -> Bool {
        var isOurs = false
        try database.run(
            "SELECT worker FROM shard WHERE run=? AND index_id=? AND number=?", Self.key(run, shard)
        ) { row in isOurs = !row.isNull(0) && row.text(0) == workerID }
        return isOurs
    }

    private static func isFinished(
        _ database: SQLiteConnection, _ run: RunKey, _ shard: ShardKey
    ) throws(SQLiteConnection.Failure) -> Bool {
        var isFinished = false
        try database.run(
            "SELECT is_finished FROM shard WHERE run=? AND index_id=? AND number=?", key(run, shard)
        ) { row in isFinished = row.integer(0) == 1 }
        return isFinished
    }

    private static func key(_ run: RunKey, _ shard: ShardKey) -> [SQLiteConnection.Value] {
        [.text(run.text), .text(shard.indexID), .integer(Int64(shard.number))]
    }

    private static func tally(_ row: SQLiteConnection.Row, from column: Int32) -> DocumentTally {
        var tally = DocumentTally()
        tally.migrated = Int(row.integer(column))
        tally.rejected = Int(row.integer(column + 1))
        tally.omitted = Int(row.integer(column + 2))
        tally.nested = Int(row.integer(column + 3))
        tally.deleted = Int(row.integer(column + 4))
        tally.sourceBytes = row.integer(column + 5)
        return tally
    }

    private func transaction<Result: Sendable>(
        durable: Bool = false, _ body: (SQLiteConnection) throws(SQLiteConnection.Failure) -> Result
    ) throws(CheckpointError) -> Result {
        let location = location
        let mapped: (SQLiteConnection.Failure) -> CheckpointError = { Self.unavailable(location, $0) }
        return try lock.withLock { (_) throws(CheckpointError) -> Result in
            if durable, !isDurable {
                do throws(SQLiteConnection.Failure) {
                    try connection.run("PRAGMA synchronous=FULL")
                } catch { throw mapped(error) }
                isDurable = true
            }
            return try connection.transaction(mapping: mapped) { () throws(CheckpointError) -> Result in
                do throws(SQLiteConnection.Failure) { return try body(connection) } catch { throw mapped(error) }
            }
        }
    }

    /// A worker that holds the lock on its file is alive. A file that is gone or can be locked belongs to a dead one.
    private func isAlive(_ worker: String) -> Bool {
        let descriptor = open(folder + "/worker-\(worker).lock", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return errno != ENOENT }
        defer { Glibc.close(descriptor) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return true }
        unlink(folder + "/worker-\(worker).lock")
        return false
    }

    private static func makeFolders(_ folder: String) throws(CheckpointError) {
        var path = folder.hasPrefix("/") ? "" : "."
        for part in folder.split(separator: "/") {
            path += "/" + part
            guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
                throw CheckpointError(
                    code: .unavailable,
                    message: "coordinator \(folder): cannot create the folder: \(String(cString: strerror(errno)))")
            }
        }
        var status = stat()
        guard stat(folder, &status) != 0 || status.st_mode & S_IFMT == S_IFDIR else {
            throw CheckpointError(
                code: .unavailable, message: "coordinator \(folder): a file, where a folder is needed")
        }
    }

    private static func lockNewFile(_ path: String) throws(CheckpointError) -> Int32 {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let reason = String(cString: strerror(errno))
            if descriptor >= 0 { Glibc.close(descriptor) }
            throw CheckpointError(code: .unavailable, message: "coordinator \(path): \(reason)")
        }
        return descriptor
    }

    private static func unavailable(_ location: String, _ failure: SQLiteConnection.Failure) -> CheckpointError {
        CheckpointError(
            code: .unavailable, message: "coordinator \(location): \(failure.message) (SQLite \(failure.code))")
    }

    private func leaseLost(_ shard: ShardKey) -> CheckpointError {
        CheckpointError(
            code: .leaseLost,
            message:
                "coordinator \(location): shard \(shard.number) of \(shard.indexID) was taken over by another process")
    }
}
