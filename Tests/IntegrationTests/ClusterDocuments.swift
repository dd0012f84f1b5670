import Foundation

/// All documents of some indices of a real cluster, read by scrolling.
struct ClusterDocuments {
    struct Document: Equatable {
        /// Members in order of their names.
        let source: String
        let version: Int
    }

    /// By "index/id".
    private(set) var documents: [String: Document] = [:]

    init(_ base: String, _ pattern: String) throws {
        try RestCall.send("POST", base, "/\(pattern)/_refresh")
        var page = try RestCall.send(
            "POST", base, "/\(pattern)/_search?scroll=2m",
            "{\"size\":2000,\"version\":true,\"sort\":[\"_doc\"]}")
        while true {
            let json = try page.json()
            guard page.status == 200, let hits = (json["hits"] as? [String: Any])?["hits"] as? [[String: Any]] else {
                throw RestCall.Failure(description: "\(page.status) \(String(decoding: page.body, as: UTF8.self))")
            }
            for hit in hits {
                guard let index = hit["_index"] as? String, let id = hit["_id"] as? String,
                    let version = hit["_version"] as? Int, let source = hit["_source"]
                else { throw RestCall.Failure(description: "no document: \(hit)") }
                let text = try JSONSerialization.data(withJSONObject: source, options: .sortedKeys)
                documents["\(index)/\(id)"] = Document(
                    source: String(decoding: text, as: UTF8.self), version: version)
            }
            guard !hits.isEmpty, let scroll = json["_scroll_id"] as? String else { return }
            page = try RestCall.send(
                "POST", base, "/_search/scroll", "{\"scroll\":\"2m\",\"scroll_id\":\"\(scroll)\"}")
        }
    }

    var count: Int { documents.count }

    /// What differs in `target`, in words, at most `limit`.
    func differences(_ target: ClusterDocuments, except: Set<String> = [], limit: Int = 10) -> [String] {
        var found: [String] = []
        for (id, document) in documents where !except.contains(id) {
            guard let other = target.documents[id] else {
                found.append("\(id) is missing")
                continue
            }
            if other.source != document.source {
                found.append("\(id): \(document.source.prefix(200)) became \(other.source.prefix(200))")
            } else if other.version != document.version {
                found.append("\(id): version \(document.version) became \(other.version)")
            }
        }
        for id in target.documents.keys where documents[id] == nil { found.append("\(id) is too many") }
        return found.count > limit ? Array(found.prefix(limit)) + ["and \(found.count - limit) more"] : found
    }
}
