import CSystem
import Glibc
import Synchronization

/// A repository in a folder of this machine (or of a network file system mounted here).
///
/// Reads are `pread` on cached descriptors, so any number of threads may read one blob at once.
package final class FileBlobStore: BlobStore {
    package let location: String
    /// The folder's path without a trailing slash; empty for the root of the file system.
    private let path: String
    private let cache: DescriptorCache

    /// A read asks the kernel for at most this much at once; between two requests cancellation is looked at.
    private static let requestBytes = 8 << 20

    /// Takes a plain path or a `file:///…` URL (percent-encoded, no host or `localhost`). Fails when there is no such
    /// folder or it cannot be entered. `descriptorLimit` files at most are kept open between reads.
    package init(path: String, descriptorLimit: Int = 64) throws(BlobError) {
        var folder = try Self.folder(path)
        while folder.hasSuffix("/") { folder.removeLast() }
        self.path = folder
        location = "file://" + (folder.hasPrefix("/") || folder.isEmpty ? "" : "./") + (folder.isEmpty ? "/" : folder)
        cache = DescriptorCache(limit: descriptorLimit)
        var status = stat()
        guard stat(folder.isEmpty ? "/" : folder, &status) == 0 else {
            throw Self.failure(errno, location: location, name: "", doing: "the folder cannot be opened")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw BlobError(code: .notFound, location: location, name: "", reason: "not a folder")
        }
        guard access(folder.isEmpty ? "/" : folder, R_OK | X_OK) == 0 else {
            throw Self.failure(errno, location: location, name: "", doing: "the folder cannot be read")
        }
    }

    package func size(of name: String) throws(BlobError) -> Int64 {
        var status = stat()
        guard stat(try fullPath(name), &status) == 0 else { throw failure(errno, name, "the size cannot be read") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw BlobError(code: .notFound, location: location, name: name, reason: "not a regular file")
        }
        return Int64(status.st_size)
    }

    package func read(
        _ name: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer, cancellation: Cancellation
    ) throws(BlobError) {
        let (end, overflows) = offset.addingReportingOverflow(Int64(buffer.count))
        guard offset >= 0, !overflows else {
            throw BlobError(
                code: .truncated, location: location, name: name, reason: "\(buffer.count) bytes at \(offset) asked for"
            )
        }
        let file = try openFile(name)
        var done = 0
        while done < buffer.count {
            guard !cancellation.isCancelled else {
                throw BlobError(code: .cancelled, location: location, name: name, reason: "reading was cancelled")
            }
            let rest = UnsafeMutableRawBufferPointer(
                rebasing: buffer[done..<min(buffer.count, done + Self.requestBytes)])
            let count = pread(file.descriptor, rest.baseAddress, rest.count, Int(offset) + done)
            if count > 0 {
                done += count
            } else if count == 0 {
                throw BlobError(
                    code: .truncated, location: location, name: name,
                    reason: "the file ends at byte \(max(0, offset + Int64(done))) or before, "
                        + "\(buffer.count) bytes at byte \(offset) (to \(end)) expected")
            } else if errno != EINTR {
                throw failure(errno, name, "reading at byte \(offset + Int64(done)) failed")
            }
        }
    }

    package func list(folder: String, cancellation: Cancellation) throws(BlobError) -> [String] {
        let full = folder.isEmpty ? (path.isEmpty ? "/" : path) : try fullPath(folder)
        guard let stream = opendir(full) else {
            if errno == ENOENT, !folder.isEmpty { return [] }
            throw failure(errno, folder, "listing failed")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while !cancellation.isCancelled {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw failure(errno, folder, "listing failed") }
                return names
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if isRegularFile(entry, dirfd(stream), name) { names.append(name) }
        }
        throw BlobError(code: .cancelled, location: location, name: folder, reason: "listing was cancelled")
    }

    private func isRegularFile(_ entry: UnsafeMutablePointer<dirent>, _ descriptor: Int32, _ name: String) -> Bool {
        switch Int(entry.pointee.d_type) {
        case Int(DT_REG): return true
        case Int(DT_UNKNOWN), Int(DT_LNK): break
        default: return false
        }
        var status = stat()
        return fstatat(descriptor, name, &status, 0) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    private func fullPath(_ name: String) throws(BlobError) -> String {
        guard BlobName.isContained(name) else {
            throw BlobError(code: .denied, location: location, name: name, reason: "the name leaves the repository")
        }
        return path + "/" + name
    }

    private func openFile(_ name: String) throws(BlobError) -> OpenFile {
        if let file = cache.file(name) { return file }
        let full = try fullPath(name)
        // O_NONBLOCK: opening a pipe that somebody left there must not hang; it means nothing for a regular file.
        let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK
        var descriptor = Glibc.open(full, flags)
        while descriptor < 0 {
            if errno == EMFILE || errno == ENFILE, cache.removeAll() > 0 {
                descriptor = Glibc.open(full, flags)
            } else if errno == EINTR {
                descriptor = Glibc.open(full, flags)
            } else {
                throw failure(errno, name, "the file cannot be opened")
            }
        }
        let file = OpenFile(descriptor: descriptor)
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw BlobError(code: .notFound, location: location, name: name, reason: "not a regular file")
        }
        cache.insert(name, file)
        return file
    }

    private func failure(_ number: Int32, _ name: String, _ doing: String) -> BlobError {
        Self.failure(number, location: location, name: name, doing: doing)
    }

    private static func failure(_ number: Int32, location: String, name: String, doing: String) -> BlobError {
        let code: BlobError.Code
        switch number {
        case ENOENT, ENOTDIR, ENAMETOOLONG: code = .notFound
        case EACCES, EPERM, ELOOP: code = .denied
        default: code = .unavailable
        }
        // People look for what is missing, not for what was being done when that was found.
        if number == ENOENT, !name.isEmpty {
            return BlobError(code: code, location: location, name: name, reason: "missing: there is no such file")
        }
        return BlobError(
            code: code, location: location, name: name, reason: "\(doing): \(String(cString: strerror(number)))")
    }

    /// The path in a `file:` URL, or the plain path itself.
    private static func folder(_ text: String) throws(BlobError) -> String {
        func refusal(_ reason: String) -> BlobError {
            BlobError(code: .notFound, location: text, name: "", reason: reason)
        }
        guard !text.isEmpty, !text.utf8.contains(0) else {
            throw refusal("the repository's path is empty or holds NUL")
        }
        guard text.hasPrefix("file:") else { return text }
        var rest = text.dropFirst("file:".count)
        if rest.hasPrefix("//") {
            rest = rest.dropFirst(2)
            if rest.hasPrefix("localhost/") { rest = rest.dropFirst("localhost".count) }
        }
        guard rest.hasPrefix("/") else { throw refusal("a file URL needs an absolute path: file:///folder") }
        var bytes: [UInt8] = []
        var iterator = rest.utf8.makeIterator()
        while let byte = iterator.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = iterator.next(), let low = iterator.next(),
                let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16), value != 0
            else { throw refusal("a % in the URL is not followed by two hexadecimal digits") }
            bytes.append(value)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// An open descriptor, closed with its last reference.
final class OpenFile: Sendable {
    let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }
}

/// The files read last. A file that is thrown out while it is being read stays open until that read is done.
final class DescriptorCache: Sendable {
    private struct State: ~Copyable {
        var files: [String: (file: OpenFile, lastUse: UInt64)] = [:]
        var clock: UInt64 = 0
    }

    private let state = Mutex(State())
    private let limit: Int

    init(limit: Int) { self.limit = max(1, limit) }

    var count: Int { state.withLock { $0.files.count } }

    func file(_ name: String) -> OpenFile? {
        state.withLock { state in
            state.clock += 1
            guard let entry = state.files[name] else { return nil }
            state.files[name] = (entry.file, state.clock)
            return entry.file
        }
    }

    func insert(_ name: String, _ file: OpenFile) {
        state.withLock { state in
            state.clock += 1
            if state.files[name] == nil, state.files.count >= limit,
                let oldest = state.files.min(by: { $0.value.lastUse < $1.value.lastUse })?.key
            {
                state.files[oldest] = nil
            }
            state.files[name] = (file, state.clock)
        }
    }

    /// Returns how many there were.
    func removeAll() -> Int {
        state.withLock { state in
            let count = state.files.count
            state.files.removeAll()
            return count
        }
    }
}
