import CSystem
import Glibc

/// A small file that is there in one piece or not at all.
enum StateFile {
    /// Of a file that is read.
    private static let limitBytes = 256 << 20

    static func read(_ path: String) throws(StateFileError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StateFileError(path, "open") }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var page = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &page, page.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw StateFileError(path, "read") }
            if count == 0 { return content }
            content += page[..<count]
            guard content.count <= limitBytes else {
                throw StateFileError(path: path, message: "\(path) is larger than \(limitBytes >> 20) MiB")
            }
        }
    }

    /// Writes beside it, syncs, and renames: whoever reads sees the old content or the new one, also after a crash.
    static func write(_ content: [UInt8], to path: String, mode: mode_t = 0o644) throws(StateFileError) {
        let beside = "\(path).\(getpid()).new"
        let descriptor = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw StateFileError(beside, "create") }
        var written = 0
        while written < content.count {
            let count = content.withUnsafeBytes { bytes in
                Glibc.write(descriptor, bytes.baseAddress.unsafelyUnwrapped + written, bytes.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                let error = StateFileError(beside, "write")
                close(descriptor)
                unlink(beside)
                throw error
            }
            written += count
        }
        guard fsync(descriptor) == 0 else {
            let error = StateFileError(beside, "sync")
            close(descriptor)
            unlink(beside)
            throw error
        }
        close(descriptor)
        guard rename(beside, path) == 0 else { throw StateFileError(path, "replace") }
        let slash = path.lastIndex(of: "/")
        let folder = open(slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? ".", O_RDONLY | O_CLOEXEC)
        guard folder >= 0 else { throw StateFileError(path, "sync the folder of") }
        fsync(folder)
        close(folder)
    }
}

struct StateFileError: Error {
    let message: String

    init(path: String, message: String) { self.message = message }

    /// With the reason that errno has now.
    init(_ path: String, _ action: String) {
        message = "cannot \(action) \(path): \(String(cString: strerror(errno)))"
    }
}
