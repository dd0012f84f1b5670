import Testing

@testable import Transform

@Suite struct BodyTests {
    private static let types = "{\"rule\":\"remove-types\"}"
    private static let renames = """
        {"rule":"remove-types"},{"rule":"rename-index","from":"old","to":"new"},
        {"rule":"rename-index","from":"logs-*","to":"archive-$1"},
        {"rule":"map-type","index":"activity","type":"user","to":"users"},
        {"rule":"drop-type","index":"activity","type":"junk"},{"rule":"drop-index","index":"tmp-*"}
        """

    private func check(
        _ rules: String, _ line: String, _ body: String, _ expectedLine: String, _ expected: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let result = try Rewriting(rules).rewrite(try Rewriting.request(line, body))
        #expect(result.skip == nil, sourceLocation: sourceLocation)
        #expect(Rewriting.firstLine(result) == expectedLine, sourceLocation: sourceLocation)
        #expect(Rewriting.text(result, body) == expected, sourceLocation: sourceLocation)
    }

    private func error(_ rules: String, _ line: String, _ body: String) throws -> TransformError? {
        let rewriting = try Rewriting(rules)
        let message = try Rewriting.request(line, body)
        do {
            _ = try rewriting.rewrite(message)
            return nil
        } catch let error as TransformError {
            return error
        }
    }

    @Test func bulkOfATypedPath() throws {
        try check(
            Self.types, "POST /idx/type/_bulk",
            """
            {"index":{"_index":"idx","_type":"type","_id":"1"}}
            { "a" : 1.00 , "a":2}
            {"delete":{"_id":"2","_type":"type"}}
            {"index":{"_type":"other","_id":"3"}}
            {}

            """, "POST /idx/_bulk",
            """
            {"index":{"_id":"1"}}
            { "a" : 1.00 , "a":2}
            {"delete":{"_id":"2"}}
            {"index":{"_id":"3"}}
            {}

            """)
    }

    @Test func bulkLegacyMembers() throws {
        try check(
            Self.types, "POST /_bulk",
            """
            {"index":{"_index":"a","_type":"t","_id":1,"_routing":"r","_version":2,"_version_type":"external"}}
            {}
            {"index":{"_index":"a","_type":"t","_id":"2","_parent":"p"}}
            {}
            {"index":{"_index":"a","_id":"3","parent":"p","routing":"r","_timestamp":5,"_ttl":"1d"}}
            {}
            {"update":{"_retry_on_conflict":3,"_index":"a","_id":"4","_type":"t"}}
            {"doc":{}}
            { "delete" : { "_type":"t" , "_index" : "a", "_id":"5"} }

            """, "POST /_bulk",
            """
            {"index":{"_index":"a","_id":1,"routing":"r","version":2,"version_type":"external"}}
            {}
            {"index":{"_index":"a","_id":"2","routing":"p"}}
            {}
            {"index":{"_index":"a","_id":"3","routing":"r"}}
            {}
            {"update":{"retry_on_conflict":3,"_index":"a","_id":"4"}}
            {"doc":{}}
            { "delete" : { "_index" : "a", "_id":"5"} }

            """)
    }

    @Test func bulkRenamesAndDrops() throws {
        try check(
            Self.renames, "PUT /old/_bulk?pipeline=p",
            """
            {"index":{"_id":"1"}}
            {"n":1}
            {"create":{"_index":"logs-1","_id":"2"}}
            {"n":2}
            {"index":{"_index":"activity","_type":"user","_id":"3"}}
            {"n":3}
            {"index":{"_index":"activity","_type":"junk","_id":"4"}}
            {"n":4}
            {"delete":{"_index":"tmp-1","_id":"5"}}

            {"update":{"_index":"\\u006fld","_id":"6"}}
            {"doc":{"n":6}}
            {"index":{"_index":"old","_id":"7"}}\r
            {"n":7}\r
            {"index":{"_index":"other","_id":"8"}}
            {"n":8}
            """, "PUT /new/_bulk?pipeline=p",
            """
            {"index":{"_id":"1"}}
            {"n":1}
            {"create":{"_index":"archive-1","_id":"2"}}
            {"n":2}
            {"index":{"_index":"users","_id":"3"}}
            {"n":3}

            {"update":{"_id":"6"}}
            {"doc":{"n":6}}
            {"index":{"_id":"7"}}\r
            {"n":7}\r
            {"index":{"_index":"other","_id":"8"}}
            {"n":8}
            """)
        // A typed path whose items go elsewhere.
        try check(
            Self.renames, "POST /activity/post/_bulk", "{\"index\":{\"_type\":\"user\",\"_id\":\"1\"}}\n{}\n",
            "POST /activity/_bulk", "{\"index\":{\"_id\":\"1\",\"_index\":\"users\"}}\n{}\n")
        // Nothing is left: nothing is sent.
        let empty = try Rewriting(Self.renames).rewrite(
            try Rewriting.request("POST /_bulk", "{\"delete\":{\"_index\":\"tmp-1\",\"_id\":\"1\"}}\n"))
        #expect(empty.skip == .droppedByRule && empty.changes.itemsDropped == 1)
        // The path's index is dropped, but an item has another.
        try check(
            Self.renames, "POST /tmp-1/_bulk",
            "{\"delete\":{\"_id\":\"1\"}}\n{\"delete\":{\"_index\":\"a\",\"_id\":\"1\"}}\n",
            "POST /_bulk", "{\"delete\":{\"_index\":\"a\",\"_id\":\"1\"}}\n")
    }

    @Test func bulkErrorsNameItemAndByte() throws {
        #expect(
            try error(Self.types, "POST /_bulk", "{\"delete\":{\"_id\":\"1\"}}\n{\"index\":[]}\n{}\n")
                == TransformError(.malformedBulk, in: "bulk item 1", at: 32, "'{' expected"))
        #expect(try error(Self.types, "POST /_bulk", "{\"index\":{\"_id\":\"1\"}}\n")?.code == .malformedBulk)
        #expect(try error(Self.types, "POST /_bulk", "{\"upsert\":{\"_id\":\"1\"}}\n{}\n")?.code == .malformedBulk)
        #expect(try error(Self.types, "POST /_bulk", "x\n")?.code == .malformedBulk)
    }

    @Test func multiSearchHeaders() throws {
        try check(
            Self.renames, "POST /old/t/_msearch",
            """
            {}
            {"query":{"term":{"index":"old"}}}
            {"index":"old,logs-1","type":"t","routing":"old"}
            {"size":1}

            {"size":2}
            {"index":["logs-*","x"],"types":["a"],"search_type":"query_then_fetch"}
            {"size":3}
            {"type":"user","index":"activity"}
            {"size":4}

            """, "POST /new/_msearch",
            """
            {}
            {"query":{"term":{"index":"old"}}}
            {"index":"new,archive-1","routing":"old"}
            {"size":1}

            {"size":2}
            {"index":["archive-*","x"],"search_type":"query_then_fetch"}
            {"size":3}
            {"index":"users"}
            {"size":4}

            """)
        #expect(try error(Self.types, "POST /_msearch", "{}\n{}\n{\"type\":}\n{}\n")?.object == "search 1")
    }

    @Test func multiGet() throws {
        try check(
            Self.renames, "POST /old/_mget",
            "{\"docs\":[{\"_index\":\"logs-1\",\"_type\":\"t\",\"_id\":\"1\",\"_routing\":\"r\"}, {\"_id\":\"2\"},{\"_index\":\"activity\",\"_type\":\"user\",\"_id\":\"3\"}]}",
            "POST /new/_mget",
            "{\"docs\":[{\"_index\":\"archive-1\",\"_id\":\"1\",\"routing\":\"r\"}, {\"_id\":\"2\"},{\"_index\":\"users\",\"_id\":\"3\"}]}"
        )
        try check(Self.types, "GET /i/t/_mget", "{\"ids\":[1,2]}", "GET /i/_mget", "{\"ids\":[1,2]}")
    }

    @Test func mappingsLoseTheirType() throws {
        try check(
            Self.types, "PUT /i", "{ \"settings\":{\"x\":1e400}, \"mappings\" : { \"t\" : {\"properties\":{}} } }",
            "PUT /i", "{ \"settings\":{\"x\":1e400}, \"mappings\" : {\"properties\":{}} }")
        try check(
            Self.types, "PUT /i", "{\"mappings\":{\"_default_\":{\"dynamic\":false},\"t\":{\"dynamic\":true}}}",
            "PUT /i",
            "{\"mappings\":{\"dynamic\":true}}")
        try check(
            Self.types, "PUT /i/_mapping/t", "{\"t\":{\"properties\":{\"a\":{\"type\":\"long\"}}}}", "PUT /i/_mapping",
            "{\"properties\":{\"a\":{\"type\":\"long\"}}}")
        let plain = "{\"mappings\":{\"properties\":{\"t\":{\"type\":\"long\"}}}}"
        try check(Self.types, "PUT /i?include_type_name=false", plain, "PUT /i", plain)
        let empty = "{\"mappings\":{}}"
        try check(Self.types, "PUT /i", empty, "PUT /i", empty)
        try check(
            Self.renames, "PUT /activity", "{\"mappings\":{\"user\":{\"properties\":{}}}}", "PUT /users",
            "{\"mappings\":{\"properties\":{}}}")
        let several = try error(Self.types, "PUT /i", "{\"mappings\":{\"a\":{},\"b\":{}}}")
        #expect(several?.code == .severalTypes && several?.message.contains("\"a\", \"b\"") == true)
        #expect(try error(Self.types, "PUT /i", "{\"mappings\":{\"a\":{},\"dynamic\":true}}")?.code == .severalTypes)
        #expect(try error(Self.types, "PUT /i", "{\"mappings\":{")?.code == .notJSON)
    }

    @Test func templates() throws {
        try check(
            Self.renames, "PUT /_template/foo?include_type_name=true",
            "{\"template\":\"logs-*\",\"order\":1,\"mappings\":{\"t\":{\"dynamic\":false}}}", "PUT /_template/foo",
            "{\"index_patterns\":[\"archive-*\"],\"order\":1,\"mappings\":{\"dynamic\":false}}")
        try check(
            Self.renames, "PUT /_template/foo", "{\"index_patterns\":[\"logs-*\",\"x\"]}", "PUT /_template/foo",
            "{\"index_patterns\":[\"archive-*\",\"x\"]}")
        try check(
            Self.renames, "PUT /_index_template/foo",
            "{\"index_patterns\":[\"old\"],\"template\":{\"mappings\":{\"properties\":{}}}}",
            "PUT /_index_template/foo",
            "{\"index_patterns\":[\"new\"],\"template\":{\"mappings\":{\"properties\":{}}}}")
    }

    @Test func aliasesAndReindex() throws {
        try check(
            Self.renames, "POST /_aliases",
            "{\"actions\":[{\"add\":{\"index\":\"old\",\"alias\":\"old\"}},{\"remove\":{\"indices\":[\"logs-1\",\"x\"],\"alias\":\"a\"}},{\"remove_index\":{\"index\":\"old\"}}]}",
            "POST /_aliases",
            "{\"actions\":[{\"add\":{\"index\":\"new\",\"alias\":\"old\"}},{\"remove\":{\"indices\":[\"archive-1\",\"x\"],\"alias\":\"a\"}},{\"remove_index\":{\"index\":\"new\"}}]}"
        )
        try check(
            Self.renames, "POST /_reindex",
            "{\"source\":{\"index\":[\"old\"],\"type\":\"t\",\"query\":{\"term\":{\"index\":\"old\"}}},\"dest\":{\"type\":\"user\",\"index\":\"activity\"}}",
            "POST /_reindex",
            "{\"source\":{\"index\":[\"new\"],\"query\":{\"term\":{\"index\":\"old\"}}},\"dest\":{\"index\":\"users\"}}"
        )
        try check(
            Self.renames, "POST /_reindex",
            "{\"source\":{\"remote\":{\"host\":\"h\"},\"index\":\"old\"},\"dest\":{\"index\":\"old\"}}",
            "POST /_reindex",
            "{\"source\":{\"remote\":{\"host\":\"h\"},\"index\":\"old\"},\"dest\":{\"index\":\"new\"}}")
    }

    private static let fields = """
        {"rule":"drop-field","index":"a*","field":"user.secret"},
        {"rule":"rename-field","from":"user.name","to":"user.title"},{"rule":"drop-field","field":"x"}
        """

    @Test func fieldsOfDocuments() throws {
        try check(
            Self.fields, "PUT /a/_doc/1",
            "{\"x\":1, \"user\":{\"secret\":[1,{}],\"name\":\"\\u00e9\",\"n\":12345678901234567890.10},\"y\":{\"x\":2}}",
            "PUT /a/_doc/1", "{\"user\":{\"title\":\"\\u00e9\",\"n\":12345678901234567890.10},\"y\":{\"x\":2}}")
        try check(
            Self.fields, "POST /b/_doc", "{\"user\":[{\"secret\":1,\"name\":2},{\"name\":3}],\"user.name\":4}",
            "POST /b/_doc",
            "{\"user\":[{\"secret\":1,\"title\":2},{\"title\":3}],\"user.title\":4}")
        try check(
            Self.fields, "POST /a/_update/1", "{\"doc\":{\"x\":1,\"z\":2},\"upsert\":{\"x\":1},\"doc_as_upsert\":true}",
            "POST /a/_update/1", "{\"doc\":{\"z\":2},\"upsert\":{},\"doc_as_upsert\":true}")
        try check(
            Self.fields, "POST /_bulk",
            "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"z\":1,\"x\":2}\n{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"doc\":{\"x\":2}}\n",
            "POST /_bulk",
            "{\"index\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"z\":1}\n{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{\"doc\":{}}\n"
        )
        try check(
            Self.fields, "PUT /a",
            "{\"mappings\":{\"properties\":{\"x\":{\"type\":\"long\"},\"user\":{\"properties\":{\"secret\":{},\"name\":{}}}}}}",
            "PUT /a", "{\"mappings\":{\"properties\":{\"user\":{\"properties\":{\"title\":{}}}}}}")
        #expect(try error(Self.fields, "PUT /a/_doc/1", "{\"x\":1")?.code == .notJSON)
    }

    @Test func ruleSetRewritesADocumentOnItsOwn() throws {
        let rules = try RuleSet(json: Array("{\"rules\":[\(Self.fields)]}".utf8), file: "r")
        var changes = TransformChanges()
        let text = Array("{\"x\":1,\"y\":2}".utf8)
        let result = try text.withUnsafeBytes { try rules.rewrittenDocument($0, index: Array("b".utf8), &changes) }
        #expect(result.map { String(decoding: $0, as: UTF8.self) } == "{\"y\":2}")
        #expect(changes.fieldsDropped == 1)
        let same = Array("{\"y\":2}".utf8)
        #expect(try same.withUnsafeBytes { try rules.rewrittenDocument($0, index: Array("b".utf8), &changes) } == nil)
    }
}
