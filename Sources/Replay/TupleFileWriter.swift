import Glibc

/// The file that is being written, and the group that goes behind it. Used by one thread.
final class TupleFileWriter {
    private struct Current {
        let descriptor: Int32
        let path: String
        /// Synced: whole groups.
        var durableBytes: Int64 = 0
        let openedMilliseconds: Int64
        var hasFailed = false
    }

    private let settings: TupleFiles.Settings
    private let system: any TupleFileSystem
    private let wallClock: @Sendable () -> Int64
    private let packer: TupleGroupPacker
    private var current: Current?
    private var number = 0

    init(
        _ settings: TupleFiles.Settings, system: any TupleFileSystem, wallClock: @escaping @Sendable () -> Int64
    ) {
        self.settings = settings
        self.system = system
        self.wallClock = wallClock
        packer = TupleGroupPacker(settings.compression)
    }

    deinit { if let current { close(current.descriptor) } }

    func pack(_ lines: [UInt8]) { packer.pack(lines) }

    /// Puts the packed group behind the last one and on disk. When this throws nothing of it counts; call it again.
    func writeGroup() throws(TupleFileError) {
        if current == nil { current = try open() }
        guard var file = current else { return }
        do throws(TupleFileError) {
            try system.write(packer.packed, to: file.descriptor, at: file.durableBytes)
            try system.sync(file.descriptor)
            file.durableBytes += Int64(packer.packed.count)
            file.hasFailed = false
            current = file
        } catch {
            giveBack(&file)
            throw error
        }
    }

    /// Cuts off what a failed attempt left. The next one writes it anew, which makes the kernel take pages as changed
    /// that it could not write. A file that fails twice is left behind as it is: the next start finishes it.
    private func giveBack(_ file: inout Current) {
        try? system.truncate(file.descriptor, to: file.durableBytes)
        guard file.hasFailed else {
            file.hasFailed = true
            current = file
            return
        }
        if file.durableBytes == 0 { unlink(file.path) }
        close(file.descriptor)
        current = nil
    }

    /// The file is long or old enough.
    var isDue: Bool {
        guard let current, current.durableBytes > 0 else { return false }
        return current.durableBytes >= settings.fileBytes || nanosecondsUntilDue == 0
    }

    /// Until its age is reached; nil without a file.
    var nanosecondsUntilDue: UInt64? {
        guard let current else { return nil }
        let (seconds, attoseconds) = settings.fileAge.components
        let due = current.openedMilliseconds + seconds * 1000 + attoseconds / 1_000_000_000_000_000
        return UInt64(max(0, due - wallClock())) * 1_000_000
    }

    /// Gives the file its name. nil when there is none.
    func finish() throws(TupleFileError) -> (path: String, byteCount: Int64)? {
        guard let file = current else { return nil }
        current = nil
        defer { close(file.descriptor) }
        let path = String(file.path.dropLast(TupleFileName.unfinished.count))
        try system.rename(file.path, to: path)
        try system.syncFolder(settings.folder)
        return (path, file.durableBytes)
    }

    private func open() throws(TupleFileError) -> Current {
        let now = wallClock()
        while true {
            number += 1
            let name = TupleFileName.make(settings.instance, now, number, settings.compression)
            let path = settings.folder + "/" + name
            // A clock that was set back must not bring an old name again.
            if access(path, F_OK) == 0 { continue }
            do throws(TupleFileError) {
                let file = try system.create(path + TupleFileName.unfinished)
                do throws(TupleFileError) {
                    try system.syncFolder(settings.folder)
                } catch {
                    close(file)
                    unlink(path + TupleFileName.unfinished)
                    throw error
                }
                return Current(
                    descriptor: file, path: path + TupleFileName.unfinished, openedMilliseconds: now)
            } catch {
                guard error.code == EEXIST else { throw error }
            }
        }
    }
}

/// `tuples-<instance>-<UTC time>-<number>.ndjson[.gz|.zst][.part]`
enum TupleFileName {
    static let unfinished = ".part"

    static func make(
        _ instance: String, _ milliseconds: Int64, _ number: Int, _ compression: TupleCompression
    ) -> String {
        var seconds = time_t(milliseconds / 1000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let two = { (value: Int32) in value < 10 ? "0\(value)" : "\(value)" }
        let date = "\(parts.tm_year + 1900)\(two(parts.tm_mon + 1))\(two(parts.tm_mday))"
        let time = "T\(two(parts.tm_hour))\(two(parts.tm_min))\(two(parts.tm_sec))Z"
        return "tuples-\(instance)-\(date)\(time)-\(number)\(compression.fileExtension)"
    }

    static func isInstance(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 100
            && name.utf8.allSatisfy { byte in
                byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z") || byte &- 0x30 < 10
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
            }
    }

    /// The compression of an unfinished file of this instance; nil for other names.
    static func unfinishedCompression(_ name: String, instance: String) -> TupleCompression? {
        guard name.hasPrefix("tuples-\(instance)-"), name.hasSuffix(unfinished) else { return nil }
        let name = name.dropLast(unfinished.count)
        // Behind the instance there are a time and a number alone: `a` must not take the files of `a-b`.
        let rest = name.dropFirst("tuples-\(instance)-".count)
        guard rest.utf8.count(where: { $0 == UInt8(ascii: "-") }) == 1 else { return nil }
        if name.hasSuffix(TupleCompression.gzip.fileExtension) { return .gzip }
        if name.hasSuffix(TupleCompression.zstd(level: 1).fileExtension) { return .zstd(level: 1) }
        return name.hasSuffix(TupleCompression.none.fileExtension) ? TupleCompression.none : nil
    }
}

/// The folder of tuple files.
enum TupleFolder {
    static func prepare(_ folder: String) throws(TupleFileError) {
        if mkdir(folder, 0o700) != 0, errno != EEXIST {
            let hint = errno == ENOENT ? " (its parent has to be there)" : ""
            throw TupleFileError(code: errno, what: "the folder \(folder) cannot be made\(hint)")
        }
        // Now rather than at the first tuple, when nobody looks any more.
        let probe = "\(folder)/.millrace-\(getpid())"
        let file = open(probe, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw TupleFileError(code: errno, what: "the folder \(folder) cannot be written to") }
        close(file)
        unlink(probe)
    }

    /// Finishes what another run of the instance left. Files that another process writes are left alone.
    static func recover(
        _ folder: String, instance: String, _ system: any TupleFileSystem
    ) throws(TupleFileError) -> [TupleFiles.Event] {
        var events: [TupleFiles.Event] = []
        for name in try names(folder) {
            guard let compression = TupleFileName.unfinishedCompression(name, instance: instance) else { continue }
            let path = folder + "/" + name
            let file = open(path, O_RDWR | O_CLOEXEC)
            guard file >= 0 else { throw TupleFileError(code: errno, what: "\(path) cannot be opened") }
            defer { close(file) }
            guard flock(file, LOCK_EX | LOCK_NB) == 0 else { continue }
            events.append(try recover(file, path, compression, system))
        }
        if !events.isEmpty { try system.syncFolder(folder) }
        return events
    }

    private static func recover(
        _ file: Int32, _ path: String, _ compression: TupleCompression, _ system: any TupleFileSystem
    ) throws(TupleFileError) -> TupleFiles.Event {
        var failure: Int32 = 0
        let whole = TupleFileRecovery.wholeBytes(compression) { buffer, offset in
            while true {
                let count = pread(file, buffer.baseAddress, buffer.count, Int(offset))
                if count >= 0 { return count }
                failure = errno
                if failure != EINTR { return nil }
            }
        }
        guard let whole else { throw TupleFileError(code: failure, what: "\(path) cannot be read") }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw TupleFileError(code: errno, what: "\(path) has no size") }
        let cut = Int64(status.st_size) - whole
        guard whole > 0 else {
            unlink(path)
            return .recovered(path: path, keptBytes: 0, cutBytes: cut)
        }
        if cut > 0 { try system.truncate(file, to: whole) }
        try system.sync(file)
        let finished = String(path.dropLast(TupleFileName.unfinished.count))
        try system.rename(path, to: finished)
        return .recovered(path: finished, keptBytes: whole, cutBytes: cut)
    }

    private static func names(_ folder: String) throws(TupleFileError) -> [String] {
        guard let stream = opendir(folder) else {
            throw TupleFileError(code: errno, what: "the folder \(folder) cannot be read")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names.sorted()
    }
}
