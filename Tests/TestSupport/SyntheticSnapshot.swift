/// A snapshot of server logs of a chosen size: the corpus of the throughput measurements and of restart tests.
package struct SyntheticSnapshot: Sendable {
    package var indexName = "logs-synthetic"
    package var shardCount = 1
    package var segmentsPerShard = 4
    package var layout = SegmentLayout()
    package var options = RepositoryOptions()
    /// Every n-th document is deleted; 0: none.
    package var deleteEvery = 0

    package init() {}

    package struct Result: Sendable {
        package var documentCount = 0
        package var sourceBytes: Int64 = 0
        package var deletedCount = 0

        package init() {}
    }

    /// Stops at `documentLimit` documents (deleted ones included) or `sourceByteLimit` bytes of `_source`, whichever is
    /// first; both are spread over the segments evenly. `onDocument` sees the id of every live document.
    package func write(
        to path: String, documentLimit: Int = .max, sourceByteLimit: Int64 = .max,
        onDocument: ((String) throws -> Void)? = nil
    ) throws -> Result {
        let repository = try SnapshotRepositoryWriter(path: path, options: options)
        var documents = ServerLogDocuments(seed: options.seed)
        var result = Result()
        var total = 0
        let segmentCount = shardCount * segmentsPerShard
        try repository.beginIndex(indexName, shardCount: shardCount)
        for shardNumber in 0..<shardCount {
            let shard = try repository.beginShard(shardNumber)
            for segmentNumber in 0..<segmentsPerShard {
                let done = shardNumber * segmentsPerShard + segmentNumber + 1
                let documentGoal = documentLimit == .max ? Int.max : documentLimit * done / segmentCount
                let byteGoal = sourceByteLimit == .max ? Int64.max : sourceByteLimit / Int64(segmentCount) * Int64(done)
                let segment = try shard.beginSegment(layout)
                var inSegment = 0
                while total < documentGoal && result.sourceBytes < byteGoal {
                    documents.next()
                    try documents.source.withUnsafeBytes { try segment.add(id: documents.storedID, source: $0) }
                    total += 1
                    if isDeleted(inSegment) {
                        result.deletedCount += 1
                    } else {
                        result.documentCount += 1
                        try onDocument?(documents.id)
                    }
                    result.sourceBytes += Int64(documents.source.count)
                    inSegment += 1
                }
                try shard.finishSegment { isDeleted($0) }
            }
            try shard.finish()
        }
        try repository.finish()
        return result
    }

    private func isDeleted(_ document: Int) -> Bool { deleteEvery > 0 && document % deleteEvery == deleteEvery - 1 }
}
