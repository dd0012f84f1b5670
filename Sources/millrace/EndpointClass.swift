/// A request's method and path with names and ids taken out, so that requests of one kind are one class:
/// `PUT /logs-1/_doc/abc?refresh=true` is `PUT /{index}/_doc/{id}`.
enum EndpointClass {
    /// Words behind an endpoint's own that are part of it, not names.
    private static let words: Set<Substring> = [
        "health", "state", "stats", "settings", "info", "indices", "aliases", "alias", "allocation", "nodes", "shards",
        "count", "scroll", "template", "templates", "pipeline", "hot_threads", "pending_tasks", "point_in_time",
        "search_pipeline", "render", "master", "recovery", "segments", "thread_pool", "script", "query", "simulate",
    ]
    /// Endpoints that a document's id follows.
    private static let documents: Set<Substring> = [
        "_doc", "_create", "_update", "_source", "_explain", "_termvectors", "_percolate",
    ]

    /// Endpoints of a mapping type, which may be called `_doc`.
    private static let typed: Set<Substring> = [
        "_search", "_msearch", "_count", "_bulk", "_mget", "_mapping", "_mappings", "_validate", "_mtermvectors",
        "_delete_by_query", "_update_by_query",
    ]

    static func of(method: String, target: String) -> String {
        let path = target.prefix { $0 != "?" && $0 != "#" }
        let segments = path.split(separator: "/")
        var parts: [String] = []
        for (index, segment) in segments.enumerated() {
            if index > 0, documents.contains(segments[index - 1]), !typed.contains(segment) {
                // Generated ids may begin with an underscore.
                parts.append("{id}")
            } else if segment.hasPrefix("_") {
                parts.append(String(segment))
            } else if index == 0 {
                parts.append("{index}")
            } else if segments[0].hasPrefix("_"), words.contains(segment) {
                parts.append(String(segment))
            } else if index == 1, !segments[0].hasPrefix("_") {
                parts.append("{type}")
            } else if index == 2, parts == ["{index}", "{type}"] {
                parts.append("{id}")
            } else {
                parts.append("{name}")
            }
        }
        return "\(method) /\(parts.joined(separator: "/"))"
    }
}
