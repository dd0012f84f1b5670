import Glibc

/// A folder of its own under $TMPDIR (or /tmp) that goes with everything in it when the last reference goes.
package final class TemporaryFolder: Sendable {
    package let path: String

    package init(_ label: String = "test") throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/millrace-\(label)-XXXXXX".utf8) + [0]
        let isMade = template.withUnsafeMutableBytes { bytes in
            bytes.bindMemory(to: CChar.self).baseAddress.map { mkdtemp($0) != nil } ?? false
        }
        guard isMade else { throw FileFailure("mkdtemp in \(parent)", errno) }
        path = String(decoding: template.dropLast(), as: UTF8.self)
    }

    deinit { FileTree.remove(path) }

    package func path(_ name: String) -> String { path + "/" + name }

    /// Writes a file, making its folders.
    @discardableResult
    package func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let full = path(name)
        try FileTree.write(full, bytes)
        return full
    }
}

/// A system call that failed, with what was tried.
package struct FileFailure: Error, CustomStringConvertible {
    package let description: String

    package init(_ attempt: String, _ code: Int32) { description = "\(attempt): \(String(cString: strerror(code)))" }
}

/// Whole-file reading, writing and removing for tests.
package enum FileTree {
    package static func write(_ path: String, _ bytes: [UInt8]) throws {
        if let slash = path.lastIndex(of: "/") { try makeFolder(String(path[..<slash])) }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileFailure("open \(path)", errno) }
        defer { close(descriptor) }
        try bytes.withUnsafeBytes { try writeAll(descriptor, $0, path) }
    }

    package static func read(_ path: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try forEachPiece(of: path) { bytes.append(contentsOf: $0) }
        return bytes
    }

    /// The file's bytes in order, a megabyte at a time.
    package static func forEachPiece(of path: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileFailure("open \(path)", errno) }
        defer { close(descriptor) }
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { piece.deallocate() }
        while true {
            let count = Glibc.read(descriptor, piece.baseAddress, piece.count)
            guard count >= 0 else { throw FileFailure("read \(path)", errno) }
            if count == 0 { return }
            try body(UnsafeRawBufferPointer(rebasing: piece[0..<count]))
        }
    }

    /// Names in a folder, sorted, without `.` and `..`; empty when there is no such folder.
    package static func names(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = Glibc.readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    package static func makeFolder(_ path: String) throws {
        if path.isEmpty || mkdir(path, 0o755) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let slash = path.lastIndex(of: "/") else { throw FileFailure("mkdir \(path)", errno) }
        try makeFolder(String(path[..<slash]))
        if mkdir(path, 0o755) != 0 && errno != EEXIST { throw FileFailure("mkdir \(path)", errno) }
    }

    /// Every file below a folder with its size, in the order of paths.
    package static func allFiles(_ folder: String) throws -> [(path: String, bytes: Int)] {
        try names(folder).flatMap { name -> [(path: String, bytes: Int)] in
            let path = folder + "/" + name
            if isFolder(path) { return try allFiles(path) }
            var status = stat()
            guard stat(path, &status) == 0 else { throw FileFailure("stat \(path)", errno) }
            return [(path, Int(status.st_size))]
        }
    }

    package static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    package static func remove(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in names(path) { remove(path + "/" + name) }
            rmdir(path)
        } else {
            unlink(path)
        }
    }

    static func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ path: String) throws {
        var offset = 0
        while offset < bytes.count, let base = bytes.baseAddress {
            let count = Glibc.write(descriptor, base + offset, bytes.count - offset)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw FileFailure("write \(path)", errno) }
            offset += count
        }
    }
}
