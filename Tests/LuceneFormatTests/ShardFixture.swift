import CISAL
import Glibc

@testable import LuceneFormat

/// The files of a shard in memory.
struct MemoryDirectory: LuceneDirectory {
    struct NoSuchBytes: Error {}

    var location = "memory/0"
    var files: [String: [UInt8]] = [:]

    var fileNames: [String] { Array(files.keys) }

    func length(of file: String) -> Int64? { files[file].map { Int64($0.count) } }

    func read(_ file: String, at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard let bytes = files[file], offset >= 0, Int(offset) + buffer.count <= bytes.count else {
            throw NoSuchBytes()
        }
        buffer.copyBytes(from: bytes[Int(offset)..<(Int(offset) + buffer.count)])
    }
}

/// A shard of Tests/Fixtures/lucene and what a reader must find in it.
struct ShardFixture: Sendable, CustomStringConvertible {
    let name: String
    /// The folder that the shard's folder and its list lie in.
    let parent: String

    static let all = listed(in: root)

    init(name: String, parent: String = root) {
        self.name = name
        self.parent = parent
    }

    /// The shards that have a list.
    static func listed(in folder: String) -> [ShardFixture] {
        listFolder(folder).filter { $0.hasSuffix(".tsv") }.sorted().map {
            ShardFixture(name: String($0.dropLast(4)), parent: folder)
        }
    }

    static let root: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/Fixtures/lucene"
    }()

    var description: String { name }

    func load() -> MemoryDirectory {
        var directory = MemoryDirectory(location: name)
        for file in Self.listFolder("\(parent)/\(name)") {
            directory.files[file] = Self.readFile("\(parent)/\(name)/\(file)")
        }
        return directory
    }

    var expectedLines: [String] {
        let text = String(decoding: Self.readFile("\(parent)/\(name).tsv"), as: UTF8.self)
        return text.split(separator: "\n").map(String.init)
    }

    private static func listFolder(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    private static func readFile(_ path: String) -> [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&block, 1, block.count, file)
            if count == 0 { return bytes }
            bytes.append(contentsOf: block[..<count])
        }
    }
}

/// Reads whole shards in the notation of the fixtures' lists.
enum ShardListing {
    static let pool = ChunkPool(retainedBytesLimit: 64 << 20)

    /// - Parameter targetBytes: cuts the segments there; nil reads each in one go.
    static func lines(
        _ directory: some LuceneDirectory, targetBytes: Int64? = nil, isVerified: Bool = true
    ) throws(LuceneError) -> [String] {
        var lines: [String] = []
        for info in try SegmentInfos.read(directory).segments {
            let segment = try SegmentReader.open(directory, info)
            if isVerified { try segment.verifyChecksums(isCancelled: { false }) }
            lines.append(
                "segment\t\(info.name)\t\(segment.maxDoc)\t\(info.deletedCount)\t\(info.softDeletedCount)\t"
                    + segment.storedFieldsFormat)
            var points = targetBytes.map { segment.splitPoints(targetBytes: $0) } ?? [0]
            points.append(segment.maxDoc)
            var deletedCount = 0
            for (start, end) in zip(points, points.dropFirst()) {
                deletedCount += try appendDocuments(&lines, segment, start, end)
            }
            guard deletedCount == segment.deletedCount else {
                lines.append("deleted\t\(deletedCount)\t\(segment.deletedCount)")
                continue
            }
        }
        return lines
    }

    /// Appends the documents of a range and returns how many of it are deleted.
    static func appendDocuments(
        _ lines: inout [String], _ segment: SegmentReader, _ start: Int, _ end: Int
    ) throws(LuceneError) -> Int {
        let cursor = try segment.documents(from: start, to: end, pool: pool)
        var deletedCount = 0
        while let chunk = try cursor.nextChunk() {
            while let document = try cursor.nextDocument() {
                switch document.kind {
                case .deleted: deletedCount += 1
                case .nested: lines.append("nested\t\(segment.name)\t\(document.docID)")
                case .root: lines.append(line(document, segment.name, chunk))
                }
            }
        }
        if cursor.position != end { lines.append("position\t\(cursor.position)\t\(end)") }
        return deletedCount + cursor.skippedDeletedCount
    }

    private static func line(_ document: StoredDocument, _ segmentName: String, _ chunk: DecodedChunk) -> String {
        var id = Array(document.id)
        if document.isEncodedID {
            var output = [UInt8](repeating: 0, count: DocumentID.decodedByteLimit(id.count))
            let count = try? output.withUnsafeMutableBytes { try DocumentID.decode(document.id, into: $0) }
            id = Array(output.prefix(count ?? 0))
        }
        let routing = document.routing.map { hexadecimal(Array($0)) } ?? "-"
        var source = "-\t-"
        if let bytes = document.source {
            let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            let checksum = bytes.isEmpty ? 0 : millrace_crc32(0, start, bytes.count)
            source = "\(bytes.count)\t\(checksum)"
        }
        return withExtendedLifetime(chunk) {
            "document\t\(segmentName)\t\(document.docID)\t\(hexadecimal(id))\t\(routing)\t\(source)"
        }
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
