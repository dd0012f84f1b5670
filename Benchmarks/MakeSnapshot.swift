import Glibc
import TestSupport

/// `make-snapshot`: a synthetic repository of server logs.
func runMakeSnapshot(arguments: [String]) throws {
    let options = try BenchmarkArguments(arguments, switches: ["compound", "plain-metadata"])
    let codecName = options.text("codec") ?? "lz4"
    guard let codec = StoredFieldsCodec(rawValue: codecName) else {
        throw BenchmarkArguments.Mistake(description: "--codec \(codecName): lz4 or deflate")
    }
    var snapshot = SyntheticSnapshot()
    snapshot.indexName = options.text("index") ?? snapshot.indexName
    snapshot.shardCount = max(1, try options.int("shards", default: 1))
    snapshot.segmentsPerShard = max(1, try options.int("segments", default: 4))
    snapshot.layout = SegmentLayout(codec: codec, isCompound: options.has("compound"))
    snapshot.deleteEvery = try options.int("delete-every", default: 0)
    snapshot.options.seed = UInt64(try options.int("seed", default: 1))
    snapshot.options.snapshotName = options.text("snapshot") ?? snapshot.options.snapshotName
    snapshot.options.partBytes = try options.bytes("part-size", default: .max)
    snapshot.options.isCompressed = !options.has("plain-metadata")
    let documentLimit = try options.int("documents", default: .max)
    let byteLimit = try options.bytes("bytes", default: documentLimit == .max ? 100_000_000 : .max)
    var ids: UnsafeMutablePointer<FILE>?
    if let path = options.text("ids") {
        ids = fopen(path, "w")
        guard ids != nil else { throw FileFailure("open \(path)", errno) }
    }
    var result = SyntheticSnapshot.Result()
    let time = try WorkTime.measure {
        result = try snapshot.write(
            to: try options.required("out"), documentLimit: documentLimit, sourceByteLimit: byteLimit
        ) { id in
            if let ids { fputs(id + "\n", ids) }
        }
    }
    if let ids { fclose(ids) }
    print(
        """
        {"documents":\(result.documentCount),"deleted":\(result.deletedCount),"source_bytes":\(result.sourceBytes),\
        "seconds":\(twoDecimals(time.wallSeconds))}
        """)
}

/// `documents`: the same documents as lines of JSON on standard output, for indexing into a real engine.
func runDocuments(arguments: [String]) throws {
    let options = try BenchmarkArguments(arguments)
    let byteLimit = try options.bytes("bytes", default: 100_000_000)
    var documents = ServerLogDocuments(seed: UInt64(try options.int("seed", default: 1)))
    let output = try LuceneFileOutput(path: "/dev/stdout")
    while output.length < byteLimit {
        documents.next()
        try documents.source.withUnsafeBytes { try output.write($0) }
        try output.write([UInt8(ascii: "\n")])
    }
    try output.finish()
}
