import JSONBytes
import TestSupport

/// What a fixture's snapshot must yield.
struct ExpectedDocuments {
    struct Document {
        let index: String
        let id: String
        let routing: String?
        let sha256: String?
        /// Hash without white space outside strings, where the stored bytes hold a line break.
        let compactSHA256: String?
    }

    let documents: [Document]
    let shardCounts: [String: Int]

    init(fixture: String, snapshot: String) throws {
        guard let lines = gunzip(try FileTree.read(fixture + "/expected.ndjson.gz")) else {
            throw RestCall.Failure(description: "\(fixture): expected.ndjson.gz is not gzip")
        }
        var documents: [Document] = []
        for line in lines.split(separator: 0x0A) {
            let row = try JSONValue.parse(Array(line))
            guard row["snapshot"]?.stringValue == snapshot, let index = row["index"]?.stringValue,
                let id = row["id"]?.stringValue
            else { continue }
            documents.append(
                Document(
                    index: index, id: id, routing: row["routing"]?.stringValue, sha256: row["sha256"]?.stringValue,
                    compactSHA256: row["min_sha256"]?.stringValue))
        }
        self.documents = documents
        shardCounts = Self.shardCounts(try JSONValue.parse(try FileTree.read(fixture + "/about.json")), snapshot)
    }

    /// The older fixtures describe indices under their snapshot, the newer ones at the top.
    private static func shardCounts(_ about: JSONValue, _ snapshot: String) -> [String: Int] {
        let described = about["snapshots"]?.arrayValue?.first { $0["name"]?.stringValue == snapshot }
        let indices = (described?["indices"]?.objectValue ?? about["indices"]?.objectValue) ?? []
        return indices.reduce(into: [:]) { counts, index in
            counts[index.key] = index.value["shards"]?.intValue.map { Int($0) }
        }
    }

    var countByIndex: [String: Int] {
        var counts = shardCounts.mapValues { _ in 0 }
        for document in documents { counts[document.index, default: 0] += 1 }
        return counts
    }

    /// JSON without white space outside strings.
    static func compact(_ json: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var isInString = false
        var isEscaped = false
        for byte in json {
            if !isInString && (byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D) { continue }
            result.append(byte)
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = isInString
            } else if byte == UInt8(ascii: "\"") {
                isInString.toggle()
            }
        }
        return result
    }
}
