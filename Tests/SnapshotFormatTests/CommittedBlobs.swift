import Glibc
import JSONBytes
import SnapshotFormat
import Testing

/// The `.dat` and `index-N` blobs that are committed under `Tests/Fixtures/snapshot`.
enum CommittedBlobs {
    struct Blob: Sendable, CustomTestStringConvertible {
        /// Below the fixtures' folder.
        let name: String
        let bytes: [UInt8]
        var testDescription: String { name }

        var fileName: Substring { name.split(separator: "/").last ?? "" }
        var isRoot: Bool { name.split(separator: "/").dropLast().last == "repo" }

        enum Kind { case index, snapshot, global, indexMetadata, shard }

        var kind: Kind? {
            if fileName.hasPrefix("index-"), isRoot { return .index }
            guard fileName.hasSuffix(".dat") else { return nil }
            if fileName.hasPrefix("snap-") { return isRoot ? .snapshot : .shard }
            return fileName.hasPrefix("meta-") ? (isRoot ? .global : .indexMetadata) : nil
        }

        /// Parses it as what it is; bytes may be others than its own.
        func parse(_ bytes: [UInt8]) throws(SnapshotFormatError) {
            switch kind {
            case .index: _ = try RepositoryIndex.parse(bytes, object: name)
            case .snapshot: _ = try SnapshotInfo.parse(bytes, object: name)
            case .global: _ = try GlobalMetadata.parse(bytes, object: name)
            case .indexMetadata: _ = try IndexMetadata.parse(bytes, object: name)
            case .shard: _ = try ShardSnapshot.parse(bytes, object: name)
            case nil: break
            }
        }
    }

    static let root = #filePath.split(separator: "/").dropLast(2).reduce("") { "\($0)/\($1)" } + "/Fixtures/snapshot"

    /// Those of supported engines.
    static let all: [Blob] = paths("").sorted()
        .filter { !$0.hasPrefix("elasticsearch-1.") && !$0.hasPrefix("elasticsearch-2.") }
        .map { Blob(name: $0, bytes: read("\(root)/\($0)")) }
        .filter { $0.kind != nil }

    static let framed: [Blob] = all.filter { $0.fileName.hasSuffix(".dat") }

    static func read(_ path: String) -> [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes[..<count])
    }

    private static func paths(_ folder: String) -> [String] {
        guard let stream = opendir("\(root)/\(folder)") else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasPrefix(".") { continue }
            let path = folder.isEmpty ? name : "\(folder)/\(name)"
            names += Int(entry.pointee.d_type) == Int(DT_DIR) ? paths(path) : [path]
        }
        return names
    }
}

/// CRC-32 by table, to seal blobs that a test has made or changed.
func plainCRC32(_ bytes: [UInt8]) -> UInt32 {
    bytes.withUnsafeBytes { raw in
        var crc = ~UInt32(0)
        for byte in raw { crc = crc >> 8 ^ crcTable[Int((crc ^ UInt32(byte)) & 0xFF)] }
        return ~crc
    }
}

private let crcTable: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 != 0 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
}

/// A framed blob.
func framed(_ body: [UInt8], codec: String = "snapshot", version: UInt8 = 1) -> [UInt8] {
    let head: [UInt8] = [0x3F, 0xD7, 0x6C, 0x17, UInt8(codec.utf8.count)] + Array(codec.utf8) + [0, 0, 0, version]
    return sealed(head + body + [0xC0, 0x28, 0x93, 0xE8, 0, 0, 0, 0])
}

/// Appends the checksum.
func sealed(_ bytes: [UInt8]) -> [UInt8] {
    let crc = plainCRC32(bytes)
    return bytes + [0, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: crc >> UInt32(24 - 8 * $0)) }
}
