/// Named byte arrays with ranged reads: the fake behind blob stores and Lucene directories in tests, which conform it
/// to their own protocols. Unchangeable, so it may be read from every thread.
package struct InMemoryFiles: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    package var files: [String: [UInt8]]

    package init(_ files: [String: [UInt8]] = [:]) { self.files = files }

    /// Every file below a folder, under its path relative to it.
    package init(folder: String) throws {
        files = [:]
        try add(folder: folder, prefix: "")
    }

    private mutating func add(folder: String, prefix: String) throws {
        for name in FileTree.names(folder) {
            let path = folder + "/" + name
            if FileTree.isFolder(path) {
                try add(folder: path, prefix: prefix + name + "/")
            } else {
                files[prefix + name] = try FileTree.read(path)
            }
        }
    }

    package func size(of name: String) -> Int64? { files[name].map { Int64($0.count) } }

    /// Fills `buffer` from `offset`; a missing or too short file is an error.
    package func read(_ name: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard let bytes = files[name] else { throw Failure(description: "no file \(name)") }
        guard offset >= 0, buffer.count <= bytes.count, offset <= Int64(bytes.count - buffer.count) else {
            throw Failure(description: "\(name) holds \(bytes.count) bytes, not \(buffer.count) from \(offset)")
        }
        let start = Int(offset)
        bytes.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + buffer.count]))
        }
    }

    /// Names directly in `folder` ("" is the top), sorted.
    package func names(in folder: String) -> [String] {
        let prefix = folder.isEmpty || folder.hasSuffix("/") ? folder : folder + "/"
        return files.keys.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
            .filter { !$0.isEmpty && !$0.contains("/") }.sorted()
    }
}
