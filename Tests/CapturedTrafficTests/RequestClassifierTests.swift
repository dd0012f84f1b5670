import CapturedTraffic
import Testing

private func classify(_ method: String, _ target: String, isStrict: Bool = false) -> RequestClass {
    Array(method.utf8).withUnsafeBytes { method in
        Array(target.utf8).withUnsafeBytes { target in
            RequestClassifier(isStrict: isStrict).classify(method: method, target: target)
        }
    }
}

@Suite struct RequestClassifierTests {
    @Test(arguments: ["GET", "HEAD", "OPTIONS"])
    func safeMethodsAreReads(method: String) {
        for target in ["/", "/i/_doc/1", "/_bulk", "*", "http://h/i", ""] {
            #expect(classify(method, target) == .read)
            #expect(classify(method, target, isStrict: true) == .read)
        }
    }

    @Test(arguments: [
        "/_search", "/i/_search", "/a,b*,-c/_search", "/_all/_search", "/i/t/_search", "/i/_search/",
        "/i/_search///", "/i/_search?scroll=1m&q=/a//b", "/%3Clogs-%7Bnow%2Fd%7D%3E/_search", "/caf%C3%A9/_search",
        "/remote:i/_search", "/.kibana/_search", "/_msearch", "/i/_msearch/template", "/_search/template",
        "/i/t/_search/template", "/_search/scroll", "/_search/scroll/DXF1ZXJ5QW5kRmV0Y2g=", "/_count", "/i/t/_count",
        "/_mget", "/i/_mget", "/i/t/_mget", "/_field_caps?fields=*", "/i/_field_caps", "/i/_explain/1",
        "/i/_explain/_x",
        "/i/t/1/_explain", "/_validate/query", "/i/_validate/query?explain", "/i/t/_validate/query", "/i/_rank_eval",
        "/_analyze", "/i/_analyze", "/_render/template", "/_render/template/mine", "/i/_termvectors",
        "/i/_termvectors/1",
        "/_mtermvectors", "/i/_mtermvectors", "/i/_pit?keep_alive=1m", "/i/_search/point_in_time?keep_alive=1m",
        "/_async_search", "/i/_async_search", "/_plugins/_asynchronous_search", "/_sql", "/_sql?format=txt",
        "/_sql/translate", "/_xpack/sql", "/_query", "/i/_eql/search", "/i/_knn_search", "/_plugins/_ppl",
        "/i/_mvt/location/3/4/5", "/i/_terms_enum", "/_search_shards", "/i/_search_shards", "/i/_graph/explore",
        "/_ingest/pipeline/_simulate", "/_ingest/pipeline/p/_simulate", "/_scripts/painless/_execute",
        "/_cluster/allocation/explain", "/_plugins/_knn/models/_search",
    ])
    func postsThatOnlyReadAreReads(target: String) {
        #expect(classify("POST", target) == .read)
        #expect(classify("POST", target, isStrict: true) == .mutating)
        #expect(classify("PUT", target) == .mutating)
        #expect(classify("PATCH", target) == .mutating)
    }

    @Test(arguments: [
        "/i/_doc", "/i/_doc/1", "/i/_create/1", "/i/_update/1", "/_bulk", "/i/_bulk", "/i/t/_bulk", "/i/t", "/i/t/1",
        "/i/_update_by_query", "/i/_delete_by_query", "/_reindex", "/_aliases", "/i/_close", "/i/_refresh",
        "/_forcemerge",
        "/_scripts/mine", "/_ingest/pipeline/p", "/_snapshot/r/s/_restore", "/_cluster/reroute", "/_tasks/x/_cancel",
        "/", "", "*", "?", "/_search_template", "/_searchx", "/_searc", "/i/_search/x", "/i/_count/_count",
    ])
    func whatWritesOrIsUnknownIsMutating(target: String) {
        #expect(classify("POST", target) == .mutating)
    }

    /// Each of these indexes a document, or might, in some version of the engines.
    @Test(arguments: [
        "/i/_doc/_search", "/i/_doc/_count", "/i/_doc/_mget", "/i/_create/_search", "/i/_doc/_explain",
        "/i/t/%5Fsearch",
        "/i/t/_SEARCH", "/i/t/_Search", "/i/t/_percolate", "/i/t/_termvectors", "/i/_update/_search", "/i//_search",
        "//_search", "/i/t//_search", "i/_search", "/i%2F_search", "/i/_search%2F", "/i/_search;x", "/i/_search#x",
        "/_doc/t/_search", "/prefix/i/_doc/_explain", "http://h/i/_search", "/_plugins/_sql", "/_opendistro/_sql",
        "/i/%2e%2e/_search%20", "/i/t/_search\u{0}",
    ])
    func whatLooksLikeASearchAndMayWriteIsMutating(target: String) {
        #expect(classify("POST", target) == .mutating)
    }

    @Test func endingASearchContextIsARead() {
        for target in [
            "/_search/scroll", "/_search/scroll/abc", "/_pit", "/_search/point_in_time", "/_search/point_in_time/_all",
            "/_async_search/id", "/_sql/async/delete/id", "/_eql/search/id", "/_plugins/_asynchronous_search/id",
        ] {
            #expect(classify("DELETE", target) == .read)
            #expect(classify("DELETE", target, isStrict: true) == .mutating)
        }
        for target in ["/i", "/i/_doc/1", "/_all", "/_search", "/i/_search", "/_async_search", "/_search/template"] {
            #expect(classify("DELETE", target) == .mutating)
        }
    }

    @Test(arguments: ["get", "Post", "POST ", "", "TRACE", "CONNECT", "PROPFIND", "POS", "GETX", "PUT", "PATCH"])
    func otherMethodsAreMutating(method: String) {
        #expect(classify(method, "/_search") == .mutating)
    }

    @Test func longTargetsEnd() {
        #expect(classify("POST", String(repeating: "/a", count: 50_000)) == .mutating)
        #expect(classify("POST", "/" + String(repeating: "a", count: 100_000) + "/_search") == .read)
        #expect(classify("POST", "/i/_search" + String(repeating: "/", count: 100_000)) == .read)
    }
}
