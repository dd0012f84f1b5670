import Glibc

/// What a group has committed in a log of files: two small files beside it.
///
///     group-NAME.lock       flock()ed as long as a reader of the group has the log
///     group-NAME.position   replaced as a whole, synced before and after, so it is the old one or the new one
///
///     position file = "millrace positions 1 " crc32 of what follows, eight hexadecimal digits, line feed
///                     { partition " " offset " " note, line feed }…
final class GroupPositionFile {
    private static let magic = "millrace positions 1 "
    private static let sizeLimit = 64 << 20

    private let folder: String
    private let path: String
    private let lockDescriptor: Int32
    private(set) var positions: [Int32: GroupPosition]

    /// `prefix` stands in front of `group-NAME`: empty in a folder that is a log's own. Fails with `.locked` when
    /// another reader of the group has the log, with `.corrupt` when the positions are damaged; `isReset` leaves them
    /// out.
    init(folder: String, prefix: String = "", group: String, isReset: Bool) throws(TrafficLogError) {
        self.folder = folder
        path = "\(folder)/\(prefix)group-\(group).position"
        let lockPath = "\(folder)/\(prefix)group-\(group).lock"
        let lock = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw FileLogFailure.system(errno, lockPath, "the group's lock cannot be opened") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            let number = errno
            close(lock)
            guard number == EWOULDBLOCK else {
                throw FileLogFailure.system(number, lockPath, "the group's lock cannot be taken")
            }
            throw TrafficLogError(
                .locked,
                "\(lockPath): another process reads this log as the group \(group); a log of files has one "
                    + "reader a group")
        }
        do throws(TrafficLogError) {
            positions = isReset ? [:] : try Self.read(path)
        } catch {
            close(lock)
            throw error
        }
        lockDescriptor = lock
    }

    deinit { close(lockDescriptor) }

    /// Durable when it returns; on failure the old positions stay.
    func commit(_ changes: [Int32: GroupPosition]) throws(TrafficLogError) {
        let merged = positions.merging(changes) { $1 }
        guard merged != positions else { return }
        var content: [UInt8] = []
        for (partition, position) in merged.sorted(by: { $0.key < $1.key }) {
            content += "\(partition) \(position.offset) \(position.note)\n".utf8
        }
        let crc = String(content.withUnsafeBytes { FileLogFormat.crc($0) }, radix: 16)
        let head = Self.magic + String(repeating: "0", count: 8 - crc.utf8.count) + crc + "\n"
        try replace(Array(head.utf8) + content)
        positions = merged
    }

    private func replace(_ bytes: [UInt8]) throws(TrafficLogError) {
        let new = path + ".new"
        let file = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw FileLogFailure.system(errno, new, "the group's positions cannot be written") }
        let count = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        let isSynced = count == bytes.count && fsync(file) == 0
        let number = count >= 0 && count < bytes.count ? ENOSPC : errno
        close(file)
        guard isSynced else { throw FileLogFailure.system(number, new, "the group's positions cannot be written") }
        guard rename(new, path) == 0 else {
            throw FileLogFailure.system(errno, path, "the group's positions cannot be replaced")
        }
        FileLogFolder.sync(folder)
    }

    /// None when there is no file yet.
    private static func read(_ path: String) throws(TrafficLogError) -> [Int32: GroupPosition] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return [:] }
            throw FileLogFailure.system(errno, path, "the group's positions cannot be read")
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw FileLogFailure.system(errno, path, "no size") }
        guard status.st_size <= sizeLimit else { throw corrupt(path) }
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, filled in
            count = pread(file, buffer.baseAddress, buffer.count, 0)
            filled = max(0, count)
        }
        guard count >= 0 else { throw FileLogFailure.system(errno, path, "the group's positions cannot be read") }
        guard let positions = parse(bytes) else { throw corrupt(path) }
        return positions
    }

    private static func corrupt(_ path: String) -> TrafficLogError {
        TrafficLogError(
            .corrupt,
            "\(path): damaged; where the group stands is not known. Say where it shall begin and reset its positions",
            file: path, offset: 0)
    }

    static func parse(_ bytes: [UInt8]) -> [Int32: GroupPosition]? {
        let headBytes = magic.utf8.count + 9
        guard bytes.count >= headBytes, bytes[headBytes - 1] == 0x0A,
            String(decoding: bytes[..<magic.utf8.count], as: UTF8.self) == magic,
            let crc = UInt32(String(decoding: bytes[magic.utf8.count..<headBytes - 1], as: UTF8.self), radix: 16),
            bytes[headBytes...].withUnsafeBytes({ FileLogFormat.crc($0) }) == crc
        else { return nil }
        var positions: [Int32: GroupPosition] = [:]
        for line in bytes[headBytes...].split(separator: 0x0A) {
            let words = line.split(separator: 0x20, maxSplits: 2, omittingEmptySubsequences: false)
            guard words.count == 3, let partition = Int32(String(decoding: words[0], as: UTF8.self)),
                let offset = Int64(String(decoding: words[1], as: UTF8.self)), offset >= 0
            else { return nil }
            positions[partition] = words[2].withUnsafeBytes { GroupPosition(offset: offset, foreignNote: $0) }
        }
        return positions
    }
}
