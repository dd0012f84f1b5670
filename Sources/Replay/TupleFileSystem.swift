import Glibc

/// What tuple files ask of the system, as one place for faults to be put in. Errors are `errno`.
package protocol TupleFileSystem: Sendable {
    /// Makes the file; EEXIST when it is there.
    func create(_ path: String) throws(TupleFileError) -> Int32
    /// All of `bytes` at `offset`.
    func write(_ bytes: [UInt8], to file: Int32, at offset: Int64) throws(TupleFileError)
    func truncate(_ file: Int32, to length: Int64) throws(TupleFileError)
    func sync(_ file: Int32) throws(TupleFileError)
    func rename(_ path: String, to other: String) throws(TupleFileError)
    func syncFolder(_ path: String) throws(TupleFileError)
}

package struct TupleFileError: Error, Sendable, Equatable, CustomStringConvertible {
    package let code: Int32
    /// The file or folder, and what could not be done with it.
    package let what: String

    package init(code: Int32, what: String) {
        self.code = code
        self.what = what
    }

    package var description: String { "\(what): \(String(cString: strerror(code)))" }
}

/// The system itself.
package struct RealTupleFileSystem: TupleFileSystem {
    package init() {}

    package func create(_ path: String) throws(TupleFileError) -> Int32 {
        let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw TupleFileError(code: errno, what: "\(path) cannot be made") }
        // Recovery leaves a file alone that is being written.
        _ = flock(file, LOCK_EX | LOCK_NB)
        return file
    }

    package func write(_ bytes: [UInt8], to file: Int32, at offset: Int64) throws(TupleFileError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { bytes in
                bytes.baseAddress.map { pwrite(file, $0 + done, bytes.count - done, Int(offset) + done) } ?? 0
            }
            if count > 0 {
                done += count
            } else if errno != EINTR {
                throw TupleFileError(code: count == 0 ? ENOSPC : errno, what: "writing tuples failed")
            }
        }
    }

    package func truncate(_ file: Int32, to length: Int64) throws(TupleFileError) {
        guard ftruncate(file, Int(length)) == 0 else {
            throw TupleFileError(code: errno, what: "a tuple file cannot be cut")
        }
    }

    package func sync(_ file: Int32) throws(TupleFileError) {
        guard fdatasync(file) == 0 else { throw TupleFileError(code: errno, what: "syncing tuples failed") }
    }

    package func rename(_ path: String, to other: String) throws(TupleFileError) {
        guard Glibc.rename(path, other) == 0 else {
            throw TupleFileError(code: errno, what: "\(path) cannot be renamed")
        }
    }

    package func syncFolder(_ path: String) throws(TupleFileError) {
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw TupleFileError(code: errno, what: "\(path) cannot be opened") }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw TupleFileError(code: errno, what: "\(path) cannot be synced") }
    }
}
