import JSONBytes

/// A shard's file list, `snap-<uuid>.dat` in the shard's folder (BlobStoreIndexShardSnapshot), codec name `snapshot`.
package struct ShardSnapshot: Sendable, Equatable {
    package static let codec = "snapshot"

    package struct File: Sendable, Equatable {
        /// The blob's name: `__…`, or `v__…` for a file that is wholly in `inlineContent`.
        package let name: String
        /// Lucene's name for the file.
        package let physicalName: String
        package let length: Int64
        /// Lucene's footer checksum in base 36; nil where none was written.
        package let checksumText: String?
        /// Bytes of every part but the last; the length at least when the file is one blob.
        package let partSize: Int64
        package let writtenByText: String?
        /// The file's bytes where the list holds them all: always for `v__` names, for `segments_N` and `.si` mostly.
        package let inlineContent: [UInt8]?

        package var isVirtual: Bool { name.hasPrefix("v__") }

        /// At least 1.
        package var partCount: Int64 { length <= partSize ? 1 : (length - 1) / partSize + 1 }

        /// The blob of part `part`, and how long it is.
        package func part(_ part: Int64) -> (name: String, length: Int64) {
            if partCount == 1 { return (name, length) }
            return ("\(name).part\(part)", min(partSize, length - part * partSize))
        }
    }

    /// Parts of a file: the smallest `chunk_size` in use is some MB, a file has some TB at most.
    private static let partCountLimit: Int64 = 1 << 20

    /// The snapshot's name.
    package let name: String
    package let files: [File]

    package static func parse(_ blob: [UInt8], object: String) throws(SnapshotFormatError) -> ShardSnapshot {
        try ShardSnapshot(try MetadataBlob.decode(blob, codec: codec, object: object), object: object)
    }

    /// From the decoded body.
    package init(_ value: JSONValue, object: String) throws(SnapshotFormatError) {
        let root = try MetadataObject(value, object: object)
        name = try root.string("name")
        var files: [File] = []
        var seen: Set<String> = []
        let elements = try root.array("files")
        files.reserveCapacity(elements.count)
        for (number, element) in elements.enumerated() {
            let entry = try MetadataObject(element, object: object, path: "files[\(number)]")
            let file = try Self.file(entry)
            guard seen.insert(file.physicalName).inserted else {
                throw entry.failure("\(entry.place("physical_name")): '\(file.physicalName)' is listed twice")
            }
            files.append(file)
        }
        self.files = files
    }

    private static func file(_ entry: MetadataObject) throws(SnapshotFormatError) -> File {
        guard let name = try entry.blobNamePart("name"), let physicalName = try entry.blobNamePart("physical_name")
        else {
            throw entry.failure("\(entry.path): name or physical_name is missing")
        }
        let length = try entry.int("length")
        guard length >= 0 else { throw entry.failure("\(entry.place("length")) is \(length)") }
        let partSize = try entry.optionalInt("part_size") ?? Int64.max
        guard partSize > 0, length / partSize < partCountLimit else {
            throw entry.failure("\(entry.place("part_size")) is \(partSize) for \(length) bytes")
        }
        let checksum = try entry.optionalString("checksum")
        let content = try inlineContent(entry, length: length, checksum: checksum)
        if name.hasPrefix("v__"), content == nil {
            throw entry.failure("\(entry.place("meta_hash")) does not hold the \(length) bytes of '\(physicalName)'")
        }
        return File(
            name: name, physicalName: physicalName, length: length, checksumText: checksum, partSize: partSize,
            writtenByText: try entry.optionalString("written_by"), inlineContent: content)
    }

    /// `meta_hash` when it is the whole file: as long as the file, and its last eight bytes, Lucene's checksum, are
    /// what `checksum` says.
    private static func inlineContent(
        _ entry: MetadataObject, length: Int64, checksum: String?
    ) throws(SnapshotFormatError) -> [UInt8]? {
        guard let member = entry.member("meta_hash") else { return nil }
        guard let bytes = member.binaryValue else { throw entry.failure("\(entry.place("meta_hash")) is not binary") }
        guard Int64(bytes.count) == length else { return nil }
        if let checksum, bytes.count >= 8 {
            let stored = bytes.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard String(stored, radix: 36) == checksum else { return nil }
        }
        return bytes
    }
}
