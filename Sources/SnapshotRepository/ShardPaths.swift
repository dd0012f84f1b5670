import BlobStore
import JSONBytes
import SnapshotFormat

/// Where the shards of an index lie.
///
///     0 fixed          <base>/indices/<id>/<shard>
///     1 hashed prefix  <hash>/<base>/indices/<id>/<shard>
///     2 hashed infix   <base>/<hash>/indices/<id>/<shard>
///
/// The hashed layouts are OpenSearch's (2.17 and later). It writes the folders down in
/// `snapshot_shard_paths/snapshot_path_<id>.<name>.<shard count>.<type>.<algorithm>`, which is what counts; the hash is
/// computed only when that blob is missing.
struct ShardPaths {
    let blobs: RepositoryBlobs

    private static let companionFolder = "snapshot_shard_paths"
    /// Constant texts that engines put before the hash: none by default, the other one by OpenSearch 2.19.
    private static let hashPrefixes = ["", "snapshare"]

    /// One folder a shard, without a trailing slash. `snapshotUUID` tells which computed folder is the right one.
    func folders(
        _ index: RepositoryIndex.Index, shardCount: Int, _ snapshotUUID: String
    ) throws(RepositoryError) -> [String] {
        if index.shardPathType == 0 {
            return (0..<shardCount).map { "\(blobs.basePrefix)indices/\(index.id)/\($0)" }
        }
        if let name = try companion(index, shardCount: shardCount), let bytes = try blobs.readIfPresent(name) {
            return try parse(bytes, blob: name, shardCount: shardCount)
        }
        var folders: [String] = []
        for shard in 0..<shardCount { folders.append(try computed(index, shard: shard, snapshotUUID)) }
        return folders
    }

    /// An index that was made anew with fewer shards keeps the blob of the larger number, so any with enough will do.
    private func companion(
        _ index: RepositoryIndex.Index, shardCount: Int
    ) throws(RepositoryError) -> String? {
        let folder = "\(blobs.basePrefix)\(Self.companionFolder)"
        for algorithm in ShardPathHash.allCases.reversed() {
            let name =
                "\(folder)/snapshot_path_\(index.id).\(index.name).\(shardCount).\(index.shardPathType)"
                + ".\(algorithm.rawValue)"
            if try blobs.exists(name) { return name }
        }
        let candidates = try blobs.list(folder).compactMap { name -> (name: String, shardCount: Int)? in
            let plain = name.hasPrefix("snapshot_path_") ? name.dropFirst("snapshot_path_".count) : name[...]
            // 2.17 separates by '#'; index names hold dots.
            for separator in [".", "#"] where plain.hasPrefix("\(index.id)\(separator)\(index.name)\(separator)") {
                let tail = plain.dropFirst(index.id.count + index.name.count + 2).split(
                    separator: Character(separator), omittingEmptySubsequences: false)
                if tail.count == 3, let count = Int(tail[0]), count >= shardCount, tail[1] == "\(index.shardPathType)" {
                    return (name, count)
                }
            }
            return nil
        }
        return candidates.min { $0.shardCount < $1.shardCount }.map { "\(folder)/\($0.name)" }
    }

    private func parse(_ bytes: [UInt8], blob: String, shardCount: Int) throws(RepositoryError) -> [String] {
        func failure(_ message: String) -> RepositoryError {
            RepositoryError(.unreadable, object: blob, message: "\(blobs.place(blob)): \(message)")
        }
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue.parse(bytes) } catch {
            throw failure("at byte \(error.offset): JSON: \(error.message)")
        }
        guard let paths = value["paths"]?.arrayValue, paths.count >= shardCount else {
            throw failure("paths has not the folders of \(shardCount) shards")
        }
        var folders: [String] = []
        for (shard, path) in paths.prefix(shardCount).enumerated() {
            var folder = path.stringValue ?? ""
            while folder.hasSuffix("/") { folder.removeLast() }
            guard BlobName.isContained(folder) else { throw failure("paths[\(shard)] is no folder") }
            folders.append(folder)
        }
        return folders
    }

    private func computed(
        _ index: RepositoryIndex.Index, shard: Int, _ snapshotUUID: String
    ) throws(RepositoryError) -> String {
        var first: String?
        for algorithm in ShardPathHash.allCases.reversed() {
            for prefix in Self.hashPrefixes {
                let hash = prefix + algorithm.hash("\(shard)\(index.id)")
                let outer = index.shardPathType == 1 ? "\(hash)/\(blobs.basePrefix)" : "\(blobs.basePrefix)\(hash)/"
                let folder = "\(outer)indices/\(index.id)/\(shard)"
                first = first ?? folder
                if try blobs.exists("\(folder)/snap-\(snapshotUUID).dat") { return folder }
            }
        }
        // The shard may not be in the snapshot at all; reading it will say so, with this name.
        return first ?? ""
    }
}

/// OpenSearch's hash of a shard folder's path: 64-bit FNV-1a of shard number and index folder, as text
/// (RemoteStoreEnums.PathHashAlgorithm).
enum ShardPathHash: Int, CaseIterable {
    /// base64url of the eight bytes, without padding.
    case base64 = 0
    /// The upper six bits as a character of base64url, the next fourteen as binary digits.
    case composite = 1

    func hash(_ text: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        switch self {
        case .base64:
            // Ten groups of six bits and the last four bits, shifted up.
            return String((0..<11).map { Self.character($0 < 10 ? hash >> UInt64(58 - 6 * $0) : hash << 2) })
        case .composite:
            let digits = String(hash >> 44 & 0x3FFF, radix: 2)
            return "\(Self.character(hash >> 58))\(String(repeating: "0", count: 14 - digits.count))\(digits)"
        }
    }

    /// Of the six low bits.
    private static func character(_ bits: UInt64) -> Character {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        return Character(Unicode.Scalar(alphabet.utf8Start[Int(bits & 0x3F)]))
    }
}
