import JSONBytes
import LuceneFormat
import SnapshotFormat

/// SMILE: what is accepted can be written as JSON and read again.
func fuzzSmile(_ bytes: UnsafeRawBufferPointer) {
    guard let value = try? SmileDecoder.decode(bytes) else { return }
    precondition(
        (try? JSONValue.parse(value.serialized(), depthLimit: SmileDecoder.depthLimit)) != nil,
        "a decoded SMILE value is no valid JSON")
}

/// Every kind of repository blob. Past the checksum the fuzzer would never get, so that a framed blob is signed anew;
/// and the bytes are also taken for a body, which is parsed as each kind of metadata.
func fuzzRepositoryBlob(_ bytes: UnsafeRawBufferPointer) {
    var whole = [UInt8](bytes)
    if whole.starts(with: [0x3F, 0xD7, 0x6C, 0x17]), whole.count >= CodecFrame.footerBytes {
        whole = CodecFooter.appended(to: Array(whole.dropLast(CodecFrame.footerBytes)))
    }
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
