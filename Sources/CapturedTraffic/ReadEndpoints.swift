/// POST and DELETE requests that change neither documents nor settings, in Elasticsearch 5 to 9 and OpenSearch 1 to 3.
///
///     {index}   an index name, a list or a pattern: anything that does not begin with "_", or `_all`
///     {type}    a mapping type of the time before Elasticsearch 8: does not begin with "_"
///     {name}    does not begin with "_"
///     {any}     anything
///
/// A path counts only as the engines themselves read it: segments are compared undecoded and with their case (their
/// path tree does so: `/i/t/%5Fsearch` is a document), an empty segment inside is an index of its own, slashes at the
/// end do not count. A type is no place for `_doc`: `/i/_doc/_search` writes the document `_search` in Elasticsearch 7.
/// What could be either is not in the table: held for nothing it costs a moment, let through it costs the promise.
///
/// Not in it on purpose: `_plugins/_sql` and `_opendistro/_sql` without `_explain` (DELETE statements can be switched
/// on there), typed `_termvectors`, `_percolate` and `_mpercolate` (documents of these ids in other versions),
/// `_refresh`, `_flush`, `_forcemerge`, `_cache/clear` (no document changes, but order matters to who comes after).
enum ReadEndpoints {
    static let post: [StaticString] = [
        // Search
        "/_search", "/{index}/_search", "/{index}/{type}/_search",
        "/_msearch", "/{index}/_msearch", "/{index}/{type}/_msearch",
        "/_search/template", "/{index}/_search/template", "/{index}/{type}/_search/template",
        "/_msearch/template", "/{index}/_msearch/template", "/{index}/{type}/_msearch/template",
        "/_search/scroll", "/_search/scroll/{any}",
        "/_count", "/{index}/_count", "/{index}/{type}/_count",
        "/_search_shards", "/{index}/_search_shards",
        "/_field_caps", "/{index}/_field_caps",
        "/{index}/_terms_enum",
        "/_rank_eval", "/{index}/_rank_eval",
        "/_validate/query", "/{index}/_validate/query", "/{index}/{type}/_validate/query",
        "/{index}/_explain/{any}", "/{index}/{type}/{name}/_explain",
        "/{index}/_mvt/{any}/{any}/{any}/{any}",
        "/{index}/_knn_search", "/{index}/_rollup_search",
        "/{index}/_graph/explore", "/{index}/_xpack/graph/_explore",
        "/_fleet/_fsearch", "/{index}/_fleet/_fsearch", "/_fleet/_fmsearch", "/{index}/_fleet/_fmsearch",
        "/_application/search_application/{name}/_search",
        // Search contexts and results that last for a while
        "/{index}/_pit", "/{index}/_search/point_in_time",
        "/_async_search", "/{index}/_async_search",
        "/_plugins/_asynchronous_search", "/_opendistro/_asynchronous_search",
        // Documents
        "/_mget", "/{index}/_mget", "/{index}/{type}/_mget",
        "/{index}/_termvectors", "/{index}/_termvectors/{any}",
        "/_mtermvectors", "/{index}/_mtermvectors", "/{index}/{type}/_mtermvectors",
        // Query languages
        "/_sql", "/_sql/translate", "/_sql/close", "/_xpack/sql", "/_xpack/sql/translate", "/_xpack/sql/close",
        "/_query", "/_query/async",
        "/{index}/_eql/search",
        "/_plugins/_sql/_explain", "/_plugins/_sql/close", "/_plugins/_ppl", "/_plugins/_ppl/_explain",
        "/_opendistro/_sql/_explain", "/_opendistro/_sql/close", "/_opendistro/_ppl", "/_opendistro/_ppl/_explain",
        // Analysis, rendering and trying out
        "/_analyze", "/{index}/_analyze",
        "/_render/template", "/_render/template/{any}",
        "/_scripts/painless/_execute",
        "/_ingest/pipeline/_simulate", "/_ingest/pipeline/{name}/_simulate",
        "/_index_template/_simulate", "/_index_template/_simulate/{name}", "/_index_template/_simulate_index/{name}",
        "/_transform/_preview", "/_text_structure/find_structure",
        "/_cluster/allocation/explain",
        "/_security/user/_has_privileges",
        // OpenSearch plugins' own search endpoints
        "/_plugins/_knn/models/_search", "/_plugins/_ml/models/_search", "/_plugins/_ml/tasks/_search",
        "/_plugins/_anomaly_detection/detectors/_search", "/_plugins/_anomaly_detection/detectors/results/_search",
        "/_plugins/_alerting/monitors/_search",
    ]

    /// The end of a search context or of a stored result. It changes no data, its id means nothing to another cluster,
    /// and a context that is not closed expires: losing one of these loses nothing.
    static let delete: [StaticString] = [
        "/_search/scroll", "/_search/scroll/{any}",
        "/_pit", "/_search/point_in_time", "/_search/point_in_time/_all",
        "/_async_search/{any}", "/_plugins/_asynchronous_search/{any}", "/_opendistro/_asynchronous_search/{any}",
        "/_sql/async/delete/{any}", "/_query/async/{any}", "/_eql/search/{any}",
    ]
}
