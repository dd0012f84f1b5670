import JSONBytes
import SnapshotFormat

/// SMILE: what is accepted can be written as JSON and read again.
func fuzzSmile(_ bytes: UnsafeRawBufferPointer) {
    guard let value = try? SmileDecoder.decode(bytes) else { return }
    precondition(
        (try? JSONValue.parse(value.serialized(), depthLimit: SmileDecoder.depthLimit)) != nil,
        "a decoded SMILE value is no valid JSON")
}

/// Every kind of repository blob. Behind the checksum the fuzzer would never get, so that the bytes are also taken for
/// a body, which is parsed as each kind of metadata.
func fuzzRepositoryBlob(_ bytes: UnsafeRawBufferPointer) {
    let whole = [UInt8](bytes)
    _ = try? RepositoryIndex.parse(whole, object: "fuzz")
    _ = RepositoryIndex.generation(latest: whole)
    _ = RepositoryIndex.isLegacyList(whole)
    _ = try? SnapshotInfo.parse(whole, object: "fuzz")
    _ = try? ShardSnapshot.parse(whole, object: "fuzz")
    _ = try? IndexMetadata.parse(whole, object: "fuzz")
    _ = try? GlobalMetadata.parse(whole, object: "fuzz")
    guard let value = try? MetadataBody.decode(bytes, object: "fuzz", limitBytes: 1 << 20) else { return }
    _ = try? RepositoryIndex(value, object: "fuzz")
    _ = try? SnapshotInfo(value, object: "fuzz")
    if let index = try? IndexMetadata(value, object: "fuzz") { _ = index.sourceMode }
    if let shard = try? ShardSnapshot(value, object: "fuzz") {
        for file in shard.files {
            var total: Int64 = 0
            for part in 0..<min(file.partCount, 1 << 10) { total += file.part(part).length }
            precondition(file.partCount > 1 << 10 || total == file.length, "the parts are not the file")
        }
    }
}

/// JSON: what is accepted survives writing and reading.
func fuzzJSON(_ bytes: UnsafeRawBufferPointer) {
    guard let value = try? JSONValue.parse(bytes) else { return }
    precondition((try? JSONValue.parse(value.serialized())) == value, "a value changed on its way through JSON")
}
