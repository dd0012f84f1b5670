import Testing

@testable import Transform

/// Request lines and what becomes of them, one a line: `before => after`. No arrow: nothing changes.
@Suite struct EndpointTableTests {
    private func check(
        _ rules: String, _ table: String, body: String = "", sourceLocation: SourceLocation = #_sourceLocation
    )
        throws
    {
        let rewriting = try Rewriting(rules)
        for row in table.split(separator: "\n") {
            let parts = row.split(separator: "=>").map { $0.drop { $0 == " " } }
            let before = String(parts[0].reversed().drop { $0 == " " }.reversed())
            let after = parts.count > 1 ? String(parts[1]) : before
            let isWrite = before.hasPrefix("PUT") || before.hasPrefix("POST")
            let message = try Rewriting.request(before, isWrite ? body : "")
            #expect(rewriting.line(message) == after, "\(before)", sourceLocation: sourceLocation)
        }
    }

    /// Every row that the incumbent gets wrong when it was run (metadata_transforms §3.3), and the one it gets right.
    @Test func theIncumbentsTable() throws {
        try check(
            "{\"rule\":\"remove-types\"}",
            """
            PUT /idx/type/1 => PUT /idx/_doc/1
            POST /idx/type/_search => POST /idx/_search
            POST /idx/type/_count => POST /idx/_count
            GET /idx/type/_search => GET /idx/_search
            POST /idx/_update/1
            POST /idx/type/1/_update => POST /idx/_update/1
            PUT /idx/_mapping/t => PUT /idx/_mapping
            PUT /_template/foo
            PUT /_snapshot/r/s
            PUT /_ingest/pipeline/foo
            DELETE /idx/type/1 => DELETE /idx/_doc/1
            HEAD /idx/type/1 => HEAD /idx/_doc/1
            POST /idx/type => POST /idx/_doc
            """, body: "{}")
    }

    @Test func typedDocuments() throws {
        try check(
            "{\"rule\":\"remove-types\"}",
            """
            GET /i/t/1 => GET /i/_doc/1
            PUT /i/t/1?refresh=true => PUT /i/_doc/1?refresh=true
            POST /i/t/1?routing=a%20b => POST /i/_doc/1?routing=a%20b
            PUT /i/t/1/_create => PUT /i/_create/1
            POST /i/t/1/_create => POST /i/_create/1
            PUT /i/t/1?op_type=create => PUT /i/_doc/1?op_type=create
            GET /i/t/1/_source => GET /i/_source/1
            HEAD /i/t/1/_source => HEAD /i/_source/1
            GET /i/t/1/_explain => GET /i/_explain/1
            POST /i/t/1/_explain?q=a => POST /i/_explain/1?q=a
            GET /i/t/1/_termvectors => GET /i/_termvectors/1
            GET /i/t/1/_termvector => GET /i/_termvectors/1
            POST /i/t/_termvectors => POST /i/_termvectors
            POST /i/t/_mtermvectors => POST /i/_mtermvectors
            GET /i/_doc/1
            PUT /i/_doc/1
            HEAD /i/_doc/1
            DELETE /i/_doc/1
            POST /i/_doc
            PUT /i/_create/1
            POST /i/_doc/1/_update => POST /i/_update/1
            GET /i/_doc/1/_source => GET /i/_source/1
            PUT /i/_doc/1/_create => PUT /i/_create/1
            GET /i/_doc/_search => GET /i/_search
            PUT /i/t/%5Fsearch => PUT /i/_doc/%5Fsearch
            PUT /i/t/a%2Fb => PUT /i/_doc/a%2Fb
            PUT /i/t/%E4%BD%A0 => PUT /i/_doc/%E4%BD%A0
            PUT /i/t/1/ => PUT /i/_doc/1
            GET /i/t/1?_source_include=a => GET /i/_doc/1?_source_includes=a
            GET /i/t/1?_source_exclude=a,b&x => GET /i/_doc/1?_source_excludes=a,b&x
            PUT /i/t/1?parent=p => PUT /i/_doc/1?routing=p
            PUT /i/t/1?parent=p&routing=r => PUT /i/_doc/1?routing=r
            PUT /i/t/1?timestamp=5&ttl=1d => PUT /i/_doc/1
            PUT /i/t/1?consistency=one&refresh => PUT /i/_doc/1?refresh
            DELETE /i/t/1?replication=async => DELETE /i/_doc/1
            PUT /i/t/1?version=3&version_type=external => PUT /i/_doc/1?version=3&version_type=external
            GET /_all/t/1 => GET /_all/_doc/1
            GET /i/_all/1 => GET /i/_doc/1
            GET /i/T%20x/1 => GET /i/_doc/1
            """, body: "{}")
    }

    @Test func typedSearches() throws {
        try check(
            "{\"rule\":\"remove-types\"}",
            """
            POST /i/_doc/_bulk => POST /i/_bulk
            GET /a,b/t,u/_search => GET /a,b/_search
            POST /i/t/_search?q=x&size=1 => POST /i/_search?q=x&size=1
            POST /i/t/_search/template => POST /i/_search/template
            GET /i/t/_search_shards => GET /i/_search_shards
            POST /i/t/_count?q=a => POST /i/_count?q=a
            GET /i/t/_validate/query?q=a => GET /i/_validate/query?q=a
            POST /i/t/_msearch => POST /i/_msearch
            POST /i/t/_msearch/template => POST /i/_msearch/template
            POST /i/t/_mget => POST /i/_mget
            POST /i/t/_update_by_query?conflicts=proceed => POST /i/_update_by_query?conflicts=proceed
            POST /i/t/_delete_by_query => POST /i/_delete_by_query
            DELETE /i/t/_query?q=a => POST /i/_delete_by_query?q=a
            DELETE /i/_query?q=a => POST /i/_delete_by_query?q=a
            POST /_search?type=t&q=a => POST /_search?q=a
            GET /_search?type=t => GET /_search
            GET /i/_count?type=t => GET /i/_count
            GET /_search/scroll?scroll_id=abc
            POST /_search/scroll
            DELETE /_search/scroll
            GET /_search/scroll/abc==
            GET /_all/t/_search => GET /_all/_search
            GET /*/t/_search => GET /*/_search
            GET /i/_search
            POST /i/_search/template
            GET /_msearch
            GET /_nodes/hot_threads?type=cpu
            GET /_cat/indices?v
            GET /
            OPTIONS *
            OPTIONS /
            HEAD /
            POST /i/t/_percolate => error noTypelessForm
            GET /i/t/1/_percolate => error noTypelessForm
            GET /i/t/1/_mlt => error noTypelessForm
            POST /i/t/_suggest => error noTypelessForm
            GET /i/t/1/_unheard => error noTypelessForm
            DELETE /i/t => error noTypelessForm
            GET //i/_search => error malformedTarget
            GET /i//1 => error malformedTarget
            """)
    }

    @Test func mappingsIndicesAndTemplates() throws {
        try check(
            "{\"rule\":\"remove-types\"}",
            """
            PUT /i/t/_mapping => PUT /i/_mapping
            POST /i/t/_mapping => POST /i/_mapping
            PUT /i/_mappings/t => PUT /i/_mapping
            PUT /i/_mapping/t?include_type_name=true&timeout=1s => PUT /i/_mapping?timeout=1s
            PUT /i/_mapping
            PUT /_mapping/t => PUT /_all/_mapping
            GET /i/_mapping/t => GET /i/_mapping
            GET /i/t/_mapping => GET /i/_mapping
            GET /_mapping/t => GET /_mapping
            HEAD /i/_mapping/t => HEAD /i
            HEAD /i/t => HEAD /i
            GET /i/_mapping/t/field/f => GET /i/_mapping/field/f
            GET /i/_mapping/field/f
            GET /_mapping/t/field/f => GET /_mapping/field/f
            DELETE /i/t/_mapping => error noTypelessForm
            PUT /i?include_type_name=true => PUT /i
            POST /i => PUT /i
            PUT /i
            DELETE /i
            HEAD /i
            GET /i
            PUT /_template/foo?include_type_name=false&order=1 => PUT /_template/foo?order=1
            GET /_template/foo
            PUT /_index_template/t
            POST /i/_refresh
            POST /i/_forcemerge?max_num_segments=1
            PUT /i/_settings
            PUT /i/_alias/a
            POST /i/_close
            POST /_aliases
            POST /_reindex
            GET /_cluster/health/i
            PUT /_cluster/settings
            PUT /_scripts/s
            GET /i/_stats/docs
            """, body: "{}")
    }

    @Test func renamedIndices() throws {
        try check(
            """
            {"rule":"rename-index","from":"old","to":"new"},
            {"rule":"rename-index","from":"logs-*","to":"archive-$1"},
            {"rule":"rename-index","from":"a-*-b-*","to":"$2-$1"},
            {"rule":"drop-index","index":"tmp-*"}
            """,
            """
            PUT /old/_doc/1 => PUT /new/_doc/1
            GET /old/_search?q=a => GET /new/_search?q=a
            GET /old,other,-logs-1/_search => GET /new,other,-archive-1/_search
            GET /logs-2024.05.07/_count => GET /archive-2024.05.07/_count
            GET /logs-*/_search => GET /archive-*/_search
            GET /logs-2024*,old/_search => GET /archive-2024*,new/_search
            GET /o*/_search => GET /o*,new/_search
            GET /n*/_search
            GET /*/_search
            GET /_all/_search
            GET /_search
            GET /%3Clogs-%7Bnow%2Fd%7D%3E/_search => GET /%3Carchive-%7Bnow%2Fd%7D%3E/_search
            PUT /%3Clogs-%7Bnow%2Fd%7ByyyyMM%7C%2B12:00%7D%7D%3E/_doc/1 => PUT /%3Carchive-%7Bnow%2Fd%7ByyyyMM%7C%2B12:00%7D%7D%3E/_doc/1
            GET /%3Cother-%7Bnow%2Fd%7D%3E/_search
            GET /old%2Cother/_search => GET /new,other/_search
            GET /remote:old/_search
            GET /a-1-b-2/_doc/x => GET /2-1/_doc/x
            DELETE /old => DELETE /new
            HEAD /old => HEAD /new
            PUT /old/_settings => PUT /new/_settings
            POST /old/_close => POST /new/_close
            POST /old/_refresh => POST /new/_refresh
            PUT /old/_alias/old => PUT /new/_alias/old
            GET /_cat/indices/old,x?v => GET /_cat/indices/new,x?v
            GET /_cat/count/old => GET /_cat/count/new
            GET /_cluster/health/old?level=shards => GET /_cluster/health/new?level=shards
            GET /_cluster/state/metadata/old => GET /_cluster/state/metadata/new
            GET /_resolve/index/old => GET /_resolve/index/new
            PUT /_data_stream/logs-x => PUT /_data_stream/archive-x
            PUT /old/_clone/logs-1 => PUT /new/_clone/archive-1
            POST /alias/_rollover/logs-2 => POST /alias/_rollover/archive-2
            POST /old/_bulk => POST /new/_bulk
            POST /old/_msearch => POST /new/_msearch
            POST /old/_update_by_query => POST /new/_update_by_query
            GET /_search?index=old,b => GET /_search?index=new,b
            GET /_search?q=index:old
            PUT /old/type/1 => PUT /new/type/1
            PUT /tmp-1/_doc/1 => skip droppedByRule
            GET /tmp-1/_search => skip droppedByRule
            GET /tmp-1,old/_search => GET /new/_search
            PUT /_ingest/pipeline/old
            PUT /_snapshot/old/old
            POST /old/_doc => POST /new/_doc
            POST /old/_update/1 => POST /new/_update/1
            GET http://old:9200/old/_doc/1 => GET /new/_doc/1
            GET http://old:9200?pretty => GET /?pretty
            """)
    }

    @Test func mappedTypes() throws {
        try check(
            """
            {"rule":"map-type","index":"activity","type":"user","to":"new_users"},
            {"rule":"map-type","index":"activity","type":"post","to":"new_posts"},
            {"rule":"drop-type","index":"activity","type":"junk"},
            {"rule":"map-type","index":"multi-*","type":"*","to":"$1-$2"},
            {"rule":"rename-index","from":"activity","to":"rest"}
            """,
            """
            PUT /activity/user/1 => PUT /new_users/_doc/1
            GET /activity/post/1 => GET /new_posts/_doc/1
            DELETE /activity/other/1 => DELETE /rest/_doc/1
            PUT /activity/junk/1 => skip droppedByRule
            GET /activity/_search => GET /new_users,new_posts/_search
            GET /activity/user,post/_search => GET /new_users,new_posts/_search
            GET /activity/junk/_search => skip droppedByRule
            GET /act*/_search => GET /act*,rest,new_users,new_posts/_search
            POST /activity/user => POST /new_users/_doc
            POST /activity/user/1/_update => POST /new_users/_update/1
            POST /activity/user/_bulk => POST /new_users/_bulk
            DELETE /activity => DELETE /new_users,new_posts
            PUT /multi-a/t/1 => PUT /a-t/_doc/1
            PUT /multi-a/_mapping/t => PUT /a-t/_mapping
            GET /_search?index=activity&type=user => GET /_search?index=new_users
            """)
    }

    @Test func pathsAndFilters() throws {
        try check(
            """
            {"rule":"skip-request","method":"GET,HEAD","path":"/_cat/*"},
            {"rule":"skip-request","method":"PATCH"},
            {"rule":"rewrite-path","from":"/_xpack/sql*","to":"/_plugins/_sql$1"},
            {"rule":"rewrite-path","method":"POST","from":"/one/*","to":"/old/$1"},
            {"rule":"rename-index","from":"old","to":"new"}
            """,
            """
            GET /_cat/indices => skip filtered
            GET /_cat/indices?v => skip filtered
            POST /_cat/indices
            PATCH /x => skip filtered
            POST /_xpack/sql?format=txt => POST /_plugins/_sql?format=txt
            POST /_xpack/sql/translate => POST /_plugins/_sql/translate
            POST /one/_search => POST /new/_search
            GET /one/_search
            """)
    }

    @Test func withoutRulesNothingChanges() throws {
        let rewriting = try Rewriting()
        let lines = [
            "GET /", "PUT /i/t/1", "POST /i/t/_search", "GET //i", "OPTIONS *", "DELETE /i/t", "POST /_bulk?refresh",
            "PUT /i/t/1?parent=p", "POST /i/_doc", "GET /a%20b/_search?x=%41&&y",
        ]
        for line in lines { #expect(rewriting.line(try Rewriting.request(line)) == line) }
    }
}
