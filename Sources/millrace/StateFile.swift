import CSystem
import Glibc

/// Writes a file that is there in one piece or not at all.
enum StateFile {
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

    /// With the reason that errno has now.
    init(_ path: String, _ action: String) {
        message = "cannot \(action) \(path): \(String(cString: strerror(errno)))"
    }
}
