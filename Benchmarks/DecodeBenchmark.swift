import BlobStore
import LuceneFormat
import SnapshotRepository
import TestSupport

/// `decode`: the reading half alone, on one thread: every chunk of a snapshot read, decompressed and cut into documents.
/// Per stored-fields format: MB of `_source` a CPU-second, and a checksum of the sources' lengths and ends. Without
/// `--repository` it writes a small snapshot of each codec first.
func runDecodeBenchmark(arguments: [String]) throws {
    let options = try BenchmarkArguments(arguments, switches: ["checksums"])
    if let repository = options.text("repository") {
        return try decode(repository, options.text("snapshot") ?? "snapshot-1", options.has("checksums"))
    }
    for codec in StoredFieldsCodec.allCases {
        let folder = try TemporaryFolder("bench")
        var snapshot = SyntheticSnapshot()
        snapshot.layout = SegmentLayout(codec: codec)
        let byteLimit = try options.bytes("bytes", default: 100_000_000)
        _ = try snapshot.write(to: folder.path, sourceByteLimit: byteLimit)
        try decode(folder.path, "snapshot-1", options.has("checksums"))
    }
}

/// What was decoded of one format.
private struct DecodeTotals {
    var documents = 0
    var sourceBytes = 0
    var storedBytes: Int64 = 0
    var checksum: UInt64 = 0
    var cpuSeconds = 0.0
    var chunks = 0
}

private func decode(_ repository: String, _ snapshotName: String, _ verifiesChecksums: Bool) throws {
    let cancellation = Cancellation()
    let reader = RepositoryReader(store: try FileBlobStore(path: repository), cancellation: cancellation)
    let pool = ChunkPool(retainedBytesLimit: 16 << 20)
    var totals: [String: DecodeTotals] = [:]
    for index in try reader.open(snapshot: snapshotName).indices {
        for shard in 0..<index.shardCount {
            let directory = try reader.directory(index, shard: shard)
            for info in try SegmentInfos.read(directory).segments {
                let segment = try SegmentReader.open(directory, info)
                var total = totals[segment.storedFieldsFormat] ?? DecodeTotals()
                let time = try WorkTime.measure {
                    if verifiesChecksums { try segment.verifyChecksums(isCancelled: { false }) }
                    try decode(segment, pool, &total)
                }
                total.cpuSeconds += time.cpuSeconds
                total.storedBytes += segment.storedFieldsBytes
                totals[segment.storedFieldsFormat] = total
            }
        }
    }
    for (format, total) in totals.sorted(by: { $0.key < $1.key }) {
        print(
            """
            \(format): \(twoDecimals(Double(total.sourceBytes) / 1e6 / max(1e-9, total.cpuSeconds))) MB per CPU-second, \
            \(total.documents) documents in \(total.chunks) chunks, \(total.sourceBytes) bytes of _source in \
            \(total.storedBytes) stored, checksum \(String(total.checksum, radix: 16))
            """)
    }
}

private func decode(_ segment: SegmentReader, _ pool: ChunkPool, _ total: inout DecodeTotals) throws {
    let cursor = try segment.documents(from: 0, to: segment.maxDoc, pool: pool)
    while try cursor.nextChunk() != nil {
        total.chunks += 1
        while let document = try cursor.nextDocument() {
            guard document.kind == .root, let source = document.source, let last = source.last else { continue }
            total.documents += 1
            total.sourceBytes += source.count
            total.checksum = (total.checksum ^ UInt64(source.count) ^ UInt64(last)) &* 0x100_0000_01B3
        }
    }
}
