/// Every fuzz target by name. A target gets arbitrary bytes and may not trap, read out of bounds or break a property
/// that it states itself by `precondition`; it ignores thrown errors.
enum FuzzTargets {
    static let all: KeyValuePairs<String, @Sendable (UnsafeRawBufferPointer) -> Void> = [
        "http-request": fuzzHTTPRequest,
        "http-response": fuzzHTTPResponse,
        "http-body": fuzzHTTPBody,
        "bulk-response": fuzzBulkResponse,
        "document-source": fuzzDocumentSource,
        "lucene": fuzzLucene,
        "lucene-shard": fuzzLuceneShard,
        "smile": fuzzSmile,
        "repository-blob": fuzzRepositoryBlob,
        "json": fuzzJSON,
        "traffic-stream": fuzzTrafficStream,
        "transform": fuzzTransform,
        "tuple": fuzzTuple,
        "file-log": fuzzFileLog,
        "cluster-response": fuzzClusterResponse,
    ]

    static func named(_ name: String) -> (@Sendable (UnsafeRawBufferPointer) -> Void)? {
        all.first { $0.key == name }?.value
    }
}
