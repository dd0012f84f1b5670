import BlobStore
import Glibc
import Testing

/// A folder that goes away with the test.
final class TemporaryFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/millrace-blobs-XXXXXX".utf8CString)
        let isMade = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { mkdtemp($0) != nil } ?? false
        }
        try #require(isMade)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Self.remove(path) }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        var folder = path
        for component in name.split(separator: "/").dropLast() {
            folder += "/\(component)"
            mkdir(folder, 0o755)
        }
        let file = try #require(fopen("\(path)/\(name)", "w"))
        defer { fclose(file) }
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }

    private static func remove(_ path: String) {
        if let stream = opendir(path) {
            while let entry = readdir(stream) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name == "." || name == ".." { continue }
                if Int(entry.pointee.d_type) == Int(DT_DIR) {
                    remove("\(path)/\(name)")
                } else {
                    unlink("\(path)/\(name)")
                }
            }
            closedir(stream)
        }
        rmdir(path)
    }
}

@Suite("FileBlobStore")
struct FileBlobStoreTests {
    private func read(
        _ store: some BlobStore, _ name: String, at offset: Int64, _ count: Int, _ cancellation: Cancellation = .never
    ) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        try bytes.withUnsafeMutableBytes { try store.read(name, at: offset, into: $0, cancellation: cancellation) }
        return bytes
    }

    private func code(_ body: () throws -> Void) -> BlobError.Code? {
        do {
            try body()
            return nil
        } catch { return (error as? BlobError)?.code }
    }

    @Test("Reads ranges, sizes and whole blobs")
    func reads() throws {
        let folder = try TemporaryFolder()
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try folder.write("indices/x/0/__a", bytes)
        try folder.write("empty", [])
        let store = try FileBlobStore(path: folder.path)
        #expect(store.location == "file://\(folder.path)")
        #expect(try store.size(of: "indices/x/0/__a") == 1000)
        #expect(try read(store, "indices/x/0/__a", at: 10, 20) == Array(bytes[10..<30]))
        #expect(try read(store, "indices/x/0/__a", at: 999, 1) == [bytes[999]])
        #expect(try read(store, "indices/x/0/__a", at: 1000, 0) == [])
        #expect(try store.readAll("indices/x/0/__a", limitBytes: 1000, cancellation: .never) == bytes)
        #expect(try store.readAll("empty", limitBytes: 0, cancellation: .never) == [])
    }

    @Test("A file that ends early names itself and the byte")
    func truncated() throws {
        let folder = try TemporaryFolder()
        try folder.write("short", [1, 2, 3])
        let store = try FileBlobStore(path: folder.path)
        for (offset, count) in [(Int64(0), 4), (2, 2), (3, 1), (4, 1), (Int64.max, 1), (-1, 1)] {
            #expect(code { _ = try read(store, "short", at: offset, count) } == .truncated, "\(offset) \(count)")
        }
        let error = #expect(throws: BlobError.self) { try read(store, "short", at: 1, 5) }
        #expect(error?.message.contains("\(folder.path)/short") == true)
        #expect(error?.message.contains("byte 3") == true)
        #expect(error?.disposition == .stop)
        #expect(error?.message.contains("\n") == false)
    }

    @Test("Missing blobs, folders for blobs, too long blobs")
    func refusals() throws {
        let folder = try TemporaryFolder()
        try folder.write("sub/file", [1, 2, 3])
        let store = try FileBlobStore(path: folder.path)
        #expect(code { _ = try store.size(of: "none") } == .notFound)
        #expect(code { _ = try read(store, "none", at: 0, 1) } == .notFound)
        #expect(code { _ = try store.size(of: "sub") } == .notFound)
        #expect(code { _ = try read(store, "sub", at: 0, 1) } == .notFound)
        #expect(code { _ = try store.size(of: "sub/file/deeper") } == .notFound)
        #expect(code { _ = try store.readAll("sub/file", limitBytes: 2, cancellation: .never) } == .tooLarge)
        #expect(code { _ = try FileBlobStore(path: folder.path + "/none") } == .notFound)
        #expect(code { _ = try FileBlobStore(path: folder.path + "/sub/file") } == .notFound)
        #expect(code { _ = try FileBlobStore(path: "") } == .notFound)
    }

    @Test(
        "Names that leave the folder are refused",
        arguments: [
            "../x", "a/../../x", "/etc/passwd", "a//b", "", ".", "a/.", "a/..", "..", "a/",
        ])
    func containment(_ name: String) throws {
        let folder = try TemporaryFolder()
        try folder.write("a/b", [1])
        let store = try FileBlobStore(path: folder.path)
        #expect(!BlobName.isContained(name))
        #expect(code { _ = try store.size(of: name) } == .denied)
        #expect(code { _ = try read(store, name, at: 0, 1) } == .denied)
        if !name.isEmpty { #expect(code { _ = try store.list(folder: name, cancellation: .never) } == .denied) }
    }

    @Test("A name with NUL would end early in the kernel")
    func nul() throws {
        let folder = try TemporaryFolder()
        try folder.write("x", [1])
        #expect(code { _ = try FileBlobStore(path: folder.path).size(of: "x\0y") } == .denied)
        #expect(code { _ = try FileBlobStore(path: folder.path + "\0") } == .notFound)
    }

    @Test("Lists files only, and nothing where there is no folder")
    func lists() throws {
        let folder = try TemporaryFolder()
        try folder.write("index-0", [])
        try folder.write("indices/x", [])
        try folder.write("..odd", [])
        let store = try FileBlobStore(path: folder.path)
        #expect(try store.list(folder: "", cancellation: .never).sorted() == ["..odd", "index-0"])
        #expect(try store.list(folder: "indices", cancellation: .never) == ["x"])
        #expect(try store.list(folder: "none", cancellation: .never) == [])
        let cancelled = Cancellation()
        cancelled.cancel()
        #expect(code { _ = try store.list(folder: "", cancellation: cancelled) } == .cancelled)
    }

    @Test("Paths and file URLs lead to the same folder")
    func urls() throws {
        let folder = try TemporaryFolder()
        try folder.write("a b%/blob", [9])
        for path in [
            "\(folder.path)/a b%", "\(folder.path)/a b%/", "file://\(folder.path)/a%20b%25",
            "file:\(folder.path)/a%20b%25",
            "file://localhost\(folder.path)/a%20b%25/",
        ] {
            #expect(try read(try FileBlobStore(path: path), "blob", at: 0, 1) == [9], "\(path)")
        }
        for path in ["file://host/x", "file:x", "file:///a%2", "file:///a%zz"] {
            #expect(code { _ = try FileBlobStore(path: path) } == .notFound, "\(path)")
        }
    }

    @Test("A cancelled read stops")
    func cancellation() throws {
        let folder = try TemporaryFolder()
        try folder.write("blob", [1, 2, 3])
        let store = try FileBlobStore(path: folder.path)
        let cancellation = Cancellation()
        #expect(try read(store, "blob", at: 0, 3, cancellation) == [1, 2, 3])
        cancellation.cancel()
        #expect(code { _ = try read(store, "blob", at: 0, 3, cancellation) } == .cancelled)
        Cancellation.never.cancel()
        #expect(!Cancellation.never.isCancelled)
    }

    @Test("A pipe in the folder does not hang")
    func pipe() throws {
        let folder = try TemporaryFolder()
        #expect(mkfifo("\(folder.path)/pipe", 0o644) == 0)
        let store = try FileBlobStore(path: folder.path)
        #expect(code { _ = try read(store, "pipe", at: 0, 1) } == .notFound)
    }

    @Test("Access that is refused is told apart", .enabled(if: geteuid() != 0, "SKIPPED: root may read everything"))
    func denied() throws {
        let folder = try TemporaryFolder()
        try folder.write("blob", [1])
        chmod("\(folder.path)/blob", 0)
        let store = try FileBlobStore(path: folder.path)
        #expect(code { _ = try read(store, "blob", at: 0, 1) } == .denied)
    }

    @Test("Many threads over more blobs than descriptors")
    func threads() async throws {
        let folder = try TemporaryFolder()
        for blob in 0..<20 { try folder.write("blob\(blob)", [UInt8](repeating: UInt8(blob), count: 64)) }
        let store = try FileBlobStore(path: folder.path, descriptorLimit: 3)
        let wrongCount = await withTaskGroup(of: Int.self) { group in
            for task in 0..<8 {
                group.addTask {
                    var wrongCount = 0
                    for round in 0..<200 {
                        let blob = (task * 7 + round * 3) % 20
                        var bytes = [UInt8](repeating: 0xEE, count: 64)
                        let isRead = bytes.withUnsafeMutableBytes { buffer in
                            (try? store.read("blob\(blob)", at: 0, into: buffer, cancellation: .never)) != nil
                        }
                        if !isRead || bytes.contains(where: { $0 != UInt8(blob) }) { wrongCount += 1 }
                    }
                    return wrongCount
                }
            }
            return await group.reduce(0, +)
        }
        #expect(wrongCount == 0)
        #expect(Self.openDescriptorCount(in: folder.path) <= 3)
    }

    /// Descriptors of files in `folder`; other tests run beside this one and hold their own.
    private static func openDescriptorCount(in folder: String) -> Int {
        (0..<1024).count { descriptor in
            var path = [UInt8](repeating: 0, count: 4096)
            let count = readlink("/proc/self/fd/\(descriptor)", &path, path.count)
            return count > 0 && String(decoding: path[..<count], as: UTF8.self).hasPrefix(folder + "/")
        }
    }
}
