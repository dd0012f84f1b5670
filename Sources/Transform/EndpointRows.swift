/// The endpoints of Elasticsearch 1 to 8 and OpenSearch that carry index names, types or documents
/// (rest-api-spec of the engines' repositories; typed ones as of 1.7, 2.4, 5.6 and 6.8).
///
/// Segments are compared undecoded and with their case, as the engines' path tree does. An index is what does not begin
/// with an underscore, or `_all`; so is a type, or `_doc`.
enum EndpointRows {
    /// Paths with a type. Literal names go before documents: `/i/t/_search` is a search in every engine with types.
    static let typed: [EndpointRow] =
        [
            EndpointRow("GET,POST", "/{index}/{type}/_search", .search, to: "/{index}/_search"),
            EndpointRow("GET,POST", "/{index}/{type}/_search/template", .search, to: "/{index}/_search/template"),
            EndpointRow("GET,POST", "/{index}/{type}/_search_shards", .search, to: "/{index}/_search_shards"),
            EndpointRow("GET,POST", "/{index}/{type}/_count", .search, to: "/{index}/_count"),
            EndpointRow("GET,POST", "/{index}/{type}/_validate/query", .search, to: "/{index}/_validate/query"),
            EndpointRow("GET,POST", "/{index}/{type}/_msearch", .multiSearch, to: "/{index}/_msearch"),
            EndpointRow(
                "GET,POST", "/{index}/{type}/_msearch/template", .multiSearch, to: "/{index}/_msearch/template"),
            EndpointRow("POST", "/{index}/{type}/_update_by_query", .search, to: "/{index}/_update_by_query"),
            EndpointRow("POST", "/{index}/{type}/_delete_by_query", .search, to: "/{index}/_delete_by_query"),
            EndpointRow(
                "DELETE", "/{index}/{type}/_query", .search, to: "/{index}/_delete_by_query", newMethod: .post),
            EndpointRow("DELETE", "/{index}/_query", .search, to: "/{index}/_delete_by_query", newMethod: .post),
            EndpointRow("PUT,POST", "/{index}/{type}/_bulk", .bulk, to: "/{index}/_bulk"),
            EndpointRow("GET,POST", "/{index}/{type}/_mget", .multiGet, to: "/{index}/_mget"),
            EndpointRow("GET,POST", "/{index}/{type}/_mtermvectors", .multiGet, to: "/{index}/_mtermvectors"),
            EndpointRow("GET,POST", "/{index}/{type}/_termvectors", .indexOnly, to: "/{index}/_termvectors"),
            EndpointRow("GET,POST", "/{index}/{type}/{id}/_termvectors", .indexOnly, to: "/{index}/_termvectors/{id}"),
            EndpointRow("GET,POST", "/{index}/{type}/{id}/_termvector", .indexOnly, to: "/{index}/_termvectors/{id}"),
            EndpointRow("GET,POST", "/{index}/{type}/{id}/_explain", .indexOnly, to: "/{index}/_explain/{id}"),
            EndpointRow("GET,HEAD", "/{index}/{type}/{id}/_source", .indexOnly, to: "/{index}/_source/{id}"),
            EndpointRow("PUT,POST", "/{index}/{type}/{id}/_create", .document, to: "/{index}/_create/{id}"),
            EndpointRow("POST", "/{index}/{type}/{id}/_update", .update, to: "/{index}/_update/{id}"),
        ] + typedMappings + [
            EndpointRow("GET,POST", "/{index}/{type}/_percolate", .gone),
            EndpointRow("GET,POST", "/{index}/{type}/_percolate/count", .gone),
            EndpointRow("GET,POST", "/{index}/{type}/{id}/_percolate", .gone),
            EndpointRow("GET,POST", "/{index}/{type}/{id}/_percolate/count", .gone),
            EndpointRow("GET,POST", "/{index}/{type}/_mpercolate", .gone),
            EndpointRow("GET,POST", "/{index}/{type}/_suggest", .gone),
            EndpointRow("GET,POST", "/{index}/{type}/_search/exists", .gone),
            EndpointRow("GET,POST", "/{index}/{type}/{id}/_mlt", .gone),
            EndpointRow("GET,HEAD,PUT,POST,DELETE", "/{index}/{type}/{id}", .document, to: "/{index}/_doc/{id}"),
            EndpointRow("POST", "/{index}/{type}", .createWithoutID, to: "/{index}/_doc"),
            // Whether a type exists: the index is what can be asked for.
            EndpointRow("HEAD", "/{index}/{type}", .indexOnly, to: "/{index}"),
            EndpointRow("POST", "/{index}", .createIndex, newMethod: .put),
        ]

    private static let typedMappings: [EndpointRow] =
        ["_mapping", "_mappings"].flatMap { name in
            [
                EndpointRow("PUT,POST", "/{index}/{type}/\(name)", .putMapping, to: "/{index}/_mapping"),
                EndpointRow("PUT,POST", "/{index}/\(name)/{type}", .putMapping, to: "/{index}/_mapping"),
                EndpointRow("PUT,POST", "/\(name)/{type}", .putMapping, to: "/_all/_mapping"),
                EndpointRow("GET", "/{index}/{type}/\(name)", .indexOnly, to: "/{index}/_mapping"),
                EndpointRow("GET", "/{index}/\(name)/{type}", .indexOnly, to: "/{index}/_mapping"),
                EndpointRow("HEAD", "/{index}/\(name)/{type}", .indexOnly, to: "/{index}"),
                EndpointRow("GET", "/\(name)/{type}", .indexOnly, to: "/_mapping"),
                EndpointRow(
                    "GET", "/{index}/\(name)/{type}/field/{field}", .indexOnly, to: "/{index}/_mapping/field/{field}"),
                EndpointRow(
                    "GET", "/{index}/{type}/\(name)/field/{field}", .indexOnly, to: "/{index}/_mapping/field/{field}"),
                EndpointRow("GET", "/\(name)/{type}/field/{field}", .indexOnly, to: "/_mapping/field/{field}"),
                // Elasticsearch 1: a type's documents went with it.
                EndpointRow("DELETE", "/{index}/{type}/\(name)", .gone),
                EndpointRow("DELETE", "/{index}/\(name)/{type}", .gone),
            ]
        } + [EndpointRow("DELETE", "/{index}/{type}", .gone)]

    static let typeless: [EndpointRow] = [
        EndpointRow("PUT,POST", "/{index}/_doc/{id}", .document),
        EndpointRow("GET,HEAD,DELETE", "/{index}/_doc/{id}", .document),
        EndpointRow("PUT,POST", "/{index}/_create/{id}", .document),
        EndpointRow("POST", "/{index}/_update/{id}", .update),
        EndpointRow("POST", "/{index}/_doc", .createWithoutID),
        EndpointRow("PUT,POST", "/_bulk", .bulk),
        EndpointRow("PUT,POST", "/{index}/_bulk", .bulk),
        EndpointRow("PUT,POST", "/{index}/{type}/_bulk", .bulk),
        EndpointRow("GET,POST", "/_msearch", .multiSearch),
        EndpointRow("GET,POST", "/_msearch/template", .multiSearch),
        EndpointRow("GET,POST", "/{index}/_msearch", .multiSearch),
        EndpointRow("GET,POST", "/{index}/_msearch/template", .multiSearch),
        EndpointRow("GET,POST", "/_mget", .multiGet),
        EndpointRow("GET,POST", "/{index}/_mget", .multiGet),
        EndpointRow("GET,POST", "/_mtermvectors", .multiGet),
        EndpointRow("GET,POST", "/{index}/_mtermvectors", .multiGet),
        EndpointRow("GET,POST", "/_search", .search),
        EndpointRow("GET,POST", "/_search/template", .search),
        EndpointRow("GET,POST", "/_count", .search),
        EndpointRow("GET,POST", "/_validate/query", .search),
        EndpointRow("GET,POST", "/{index}/_search", .search),
        EndpointRow("GET,POST", "/{index}/_search/template", .search),
        EndpointRow("GET,POST", "/{index}/_count", .search),
        EndpointRow("GET,POST", "/{index}/_validate/query", .search),
        EndpointRow("PUT", "/{index}", .createIndex),
        EndpointRow("PUT,POST", "/{index}/_mapping", .putMapping),
        EndpointRow("PUT,POST", "/{index}/_mappings", .putMapping),
        EndpointRow("PUT,POST", "/_template/{name}", .putTemplate),
        EndpointRow("PUT,POST", "/_index_template/{name}", .putTemplate),
        EndpointRow("PUT,POST", "/_component_template/{name}", .putTemplate),
        EndpointRow("POST", "/_aliases", .aliases),
        EndpointRow("POST", "/_reindex", .reindex),
        EndpointRow("POST", "/{index}/_rollover/{new}", .createIndex),
        EndpointRow("POST", "/{index}/_rollover", .createIndex),
        EndpointRow("PUT,POST", "/{index}/_shrink/{new}", .indexOnly),
        EndpointRow("PUT,POST", "/{index}/_split/{new}", .indexOnly),
        EndpointRow("PUT,POST", "/{index}/_clone/{new}", .indexOnly),
        EndpointRow("GET,HEAD", "/_cluster/health/{index}", .indexOnly),
        EndpointRow("GET", "/_cluster/state/{metric}/{index}", .indexOnly),
        EndpointRow("GET,PUT,DELETE", "/_data_stream/{index}", .indexOnly),
        EndpointRow("GET", "/_resolve/index/{index}", .indexOnly),
        EndpointRow("GET", "/_cat/indices/{index}", .indexOnly),
        EndpointRow("GET", "/_cat/shards/{index}", .indexOnly),
        EndpointRow("GET", "/_cat/segments/{index}", .indexOnly),
        EndpointRow("GET", "/_cat/count/{index}", .indexOnly),
        EndpointRow("GET", "/_cat/recovery/{index}", .indexOnly),
        // Typed paths as they are, for what needs to know them without the type rules.
        EndpointRow("PUT,POST", "/{index}/{type}/{id}", .document),
        EndpointRow("POST", "/{index}/{type}", .createWithoutID),
    ]
}
