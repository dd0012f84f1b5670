import JSONBytes
import TestSupport
import Testing

@testable import SnapshotFormat

@Suite("RepositoryIndex")
struct RepositoryIndexTests {
    private func parse(_ text: String) throws -> RepositoryIndex {
        try RepositoryIndex.parse(Array(text.utf8), object: "index-0")
    }

    private func failure(_ text: String) -> String? {
        do {
            _ = try parse(text)
            return nil
        } catch { return "\(error)" }
    }

    @Test("The form of 5.0: objects under an index's snapshots, no state")
    func form50() throws {
        let index = try parse(
            #"{"snapshots":[{"name":"s","uuid":"u"},"old"],"#
                + #""indices":{"i":{"id":"d","snapshots":[{"name":"s","uuid":"u"},"old"]}}}"#
        )
        #expect(index.snapshots.map(\.name) == ["s", "old"])
        #expect(index.snapshots.map(\.uuid) == ["u", "old"])
        #expect(index.snapshots.allSatisfy { $0.state == nil && $0.metadataLookup == nil })
        #expect(index.indices.first?.snapshotUUIDs == ["u", "old"])
        #expect(index.indices.first?.shardGenerations == [])
    }

    @Test("The form of 7.9 and later")
    func form79() throws {
        let index = try parse(
            #"""
            {"min_version":"7.12.0","uuid":"r","cluster_id":"c","snapshots":[{"name":"s","uuid":"u","state":3,
            "index_metadata_lookup":{"d":"k"},"version":"8.11.0","index_version":9033000,"slm_policy":""}],
            "indices":{"i":{"id":"d","shard_path_type":2,"snapshots":["u"],"shard_generations":["g",null]}},
            "index_metadata_identifiers":{"k":"m"}}
            """#)
        #expect(
            index.snapshots == [
                .init(name: "s", uuid: "u", state: 3, versionText: "8.11.0", metadataLookup: ["d": "k"])
            ])
        #expect(
            index.indices == [
                .init(name: "i", id: "d", snapshotUUIDs: ["u"], shardGenerations: ["g", nil], shardPathType: 2)
            ])
        #expect(index.metadataIdentifiers == ["k": "m"])
        #expect(index.minimumVersionText == "7.12.0")
    }

    @Test(
        "What is wrong is named",
        arguments: [
            (#"{}"#, "index-0: snapshots is missing"), (#"[]"#, "index-0: an object expected"),
            (#"{"snapshots":[{}]}"#, "index-0: snapshots[0].name is missing"),
            (#"{"snapshots":[],"indices":{"i":{"snapshots":[]}}}"#, "index-0: indices.i.id is missing"),
            (
                #"{"snapshots":[],"indices":{"i":{"id":"../x"}}}"#,
                "index-0: indices.i.id cannot be part of a blob's name"
            ),
            (
                #"{"snapshots":[{"name":"a","uuid":"b/c"}]}"#,
                "index-0: snapshots[0].uuid cannot be part of a blob's name"
            ),
            (
                #"{"snapshots":[],"indices":{"i":{"id":"d","shard_path_type":3}}}"#,
                "index-0: indices.i.shard_path_type 3 is unknown"
            ),
            (
                #"{"snapshots":[],"indices":{"i":{"id":"d","snapshots":[1]}}}"#,
                "index-0: indices.i.snapshots[0] names no snapshot"
            ),
            (#"{"snapshots":["#, "index-0 at byte 14: JSON: the text ends, a value or ] expected"),
        ])
    func failures(_ text: String, _ expected: String) { #expect(failure(text) == expected) }

    @Test("Generations")
    func generations() {
        #expect(RepositoryIndex.generation(latest: [0, 0, 0, 0, 0, 0, 1, 2]) == 258)
        #expect(RepositoryIndex.generation(latest: [0x80, 0, 0, 0, 0, 0, 0, 0]) == nil)
        #expect(RepositoryIndex.generation(latest: [0, 0, 0, 1]) == nil)
        #expect(RepositoryIndex.generation(blobName: "index-12") == 12)
        for name in [
            "index-", "index--1", "index-01", "index-x", "index.latest", "index", "index-+1", "xindex-1",
            "index-99999999999999999999",
        ] {
            #expect(RepositoryIndex.generation(blobName: name) == nil, "\(name)")
        }
    }
}

@Suite("Snapshot, index and shard metadata")
struct SnapshotMetadataTests {
    private func blob(_ json: String, codec: String = "snapshot") -> [UInt8] { framed(Array(json.utf8), codec: codec) }

    private func failure(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch { return "\(error)" }
    }

    @Test("A snapshot with failures")
    func snapshot() throws {
        let info = try SnapshotInfo.parse(
            blob(
                #"""
                {"snapshot":{"name":"s","version_id":136407927,"indices":["b","a"],"state":"PARTIAL","metadata":null,
                "include_global_state":true,"failures":[{"index":"a","index_uuid":"a","shard_id":2,"reason":"gone"}],
                "remote_store_index_shallow_copy":true}}
                """#), object: "snap-s.dat")
        #expect(info.uuid == "s")
        #expect(info.failures == [.init(index: "a", shard: 2, reason: "gone")])
        #expect(info.isShallow)
        #expect(info.includesGlobalState == true)
        #expect(
            failure { _ = try SnapshotInfo.parse(blob(#"{"snapshot":{"name":"s"}}"#), object: "x") }
                == "x: snapshot.state is missing")
    }

    @Test(
        "Version numbers",
        arguments: [
            (7_100_299, "Elasticsearch 7.10.2", false), (5_000_299, "Elasticsearch 5.0.2", false),
            (136_407_927, "OpenSearch 2.19.1", true),
            (137_297_827, "OpenSearch 3.8.0", true), (8_050_399, "Elasticsearch 8.5.3", false),
            (0, "unknown version", false),
            (8_536_000, "Elasticsearch 8.11 or later (index version 8536000)", false),
            (9_033_000, "Elasticsearch 9 (index version 9033000)", false),
        ])
    func versions(_ id: Int, _ text: String, _ isOpenSearch: Bool) {
        #expect(EngineVersion.text(id) == text)
        #expect(EngineVersion.isOpenSearch(id) == isOpenSearch)
    }

    private func index(
        mappings: String = "[]", settings: String = #"{"index.number_of_shards":"2"}"#, aliases: String = "{}"
    ) throws -> IndexMetadata {
        try IndexMetadata.parse(
            blob(
                #"{"i":{"state":"close","settings":\#(settings),"mappings":\#(mappings),"aliases":\#(aliases)}}"#,
                codec: "index-metadata"),
            object: "meta.dat")
    }

    @Test(
        "Settings flat, nested and mixed",
        arguments: [
            #"{"index.number_of_shards":"2","index.version.created":"7100299"}"#,
            #"{"index":{"number_of_shards":2,"version":{"created":"7100299"}}}"#,
            #"{"index":{"number_of_shards":"2","version.created":"7100299"}}"#,
            #"{"index.number_of_shards":"2","index.version":{"created":7100299}}"#,
        ])
    func settings(_ settings: String) throws {
        let index = try index(settings: settings)
        #expect(index.shardCount == 2)
        #expect(index.createdVersionID == 7_100_299)
        #expect(index.stateText == "close")
    }

    @Test(
        "Shard counts out of range",
        arguments: [#"{}"#, #"{"index.number_of_shards":"0"}"#, #"{"index.number_of_shards":"9999999999"}"#])
    func shardCounts(_ settings: String) {
        #expect(failure { _ = try index(settings: settings) }?.contains("index.number_of_shards") == true)
    }

    @Test("Mappings and alias filters as objects, arrays and compressed bytes")
    func mappings() throws {
        #expect(try index(mappings: #"{"_doc":{"dynamic":"false"}}"#).mappings["_doc"]?["dynamic"] == .string("false"))
        #expect(try index(mappings: #"[{"a":{}},{"b":{"x":1}}]"#).mappings["b"]?["x"] == .number("1"))
        let text = Array(#"{"_doc":{"x":1}}"#.utf8)
        let count = UInt8(text.count)
        let compressed: [UInt8] = Array("DFL\0".utf8) + [1, count, 0, ~count, 0xFF] + text
        let value = JSONValue.object([
            JSONMember(
                key: "i",
                value: .object([
                    JSONMember(
                        key: "settings",
                        value: .object([JSONMember(key: "index.number_of_shards", value: .string("1"))])),
                    JSONMember(key: "mappings", value: .array([.binary(compressed)])),
                    JSONMember(
                        key: "aliases",
                        value: .object([
                            JSONMember(
                                key: "al", value: .object([JSONMember(key: "filter", value: .binary(compressed))]))
                        ])),
                ]))
        ])
        var encoder = SmileEncoder()
        let index = try IndexMetadata.parse(framed(encoder.encode(value), codec: "index-metadata"), object: "meta.dat")
        #expect(index.mappings["_doc"]?["x"] == .number("1"))
        #expect(index.aliases["al"]?["filter"]?["_doc"]?["x"] == .number("1"))
    }

    @Test(
        "Where the source is",
        arguments: [
            ("{}", "", 7_100_299, .stored), (#"{"enabled":false}"#, "", 7_100_299, .disabled),
            (#"{"enabled":"false"}"#, "", 5_061_699, .disabled),
            (#"{"includes":["a"]}"#, "", 7_100_299, .filtered), (#"{"excludes":[]}"#, "", 7_100_299, .stored),
            (#"{"excludes":["a.*"]}"#, "", 7_100_299, .filtered), (#"{"mode":"synthetic"}"#, "", 8_050_399, .synthetic),
            (#"{"mode":"disabled"}"#, "", 8_070_099, .disabled), (#"{"mode":"synthetic"}"#, "", 9_007_000, .stored),
            ("{}", #""index.mapping.source.mode":"synthetic""#, 9_033_000, .synthetic),
            ("{}", #""index.mapping.source.mode":"stored","index.mode":"logsdb""#, 9_033_000, .stored),
            (#"{"excludes":["a"]}"#, #""index.mapping.source.mode":"disabled""#, 9_033_000, .disabled),
            ("{}", #""index.mode":"time_series""#, 8_050_399, .stored),
            ("{}", #""index.mode":"time_series""#, 8_070_099, .synthetic),
            ("{}", #""index.mode":"logsdb""#, 8_536_000, .synthetic),
            (#"{"mode":"stored"}"#, #""index.mode":"logsdb""#, 8_536_000, .stored),
            ("{}", #""index.mode":"standard""#, 9_033_000, .stored),
            ("{}", #""index.derived_source.enabled":"true""#, 137_297_827, .synthetic),
        ] as [(String, String, Int, SourceMode)])
    func sourceModes(_ source: String, _ setting: String, _ version: Int, _ expected: SourceMode) throws {
        let settings =
            #"{"index.number_of_shards":"1","index.version.created":"\#(version)""#
            + (setting.isEmpty ? "" : ",") + setting + "}"
        #expect(try index(mappings: #"[{"_doc":{"_source":\#(source)}}]"#, settings: settings).sourceMode == expected)
    }

    private func shard(_ file: String) throws -> ShardSnapshot {
        try ShardSnapshot.parse(blob(#"{"name":"s","files":[\#(file)]}"#), object: "snap.dat")
    }

    @Test(
        "Parts",
        arguments: [
            (0, Int64.max, [0]), (10, Int64.max, [10]), (10, 10, [10]), (10, 4, [4, 4, 2]), (12, 4, [4, 4, 4]),
            (13, 4, [4, 4, 4, 1]), (1, 1, [1]),
        ] as [(Int64, Int64, [Int64])])
    func parts(_ length: Int64, _ partSize: Int64, _ expected: [Int64]) throws {
        let snapshot = try shard(
            #"{"name":"__a","physical_name":"_0.cfs","length":\#(length),"part_size":\#(partSize)}"#)
        let file = try #require(snapshot.files.first)
        #expect(file.partCount == Int64(expected.count))
        #expect((0..<file.partCount).map { file.part($0).length } == expected)
        #expect(
            (0..<file.partCount).map { file.part($0).name }
                == (expected.count == 1 ? ["__a"] : expected.indices.map { "__a.part\($0)" }))
    }

    @Test(
        "Files that are wrong",
        arguments: [
            (#"{"physical_name":"p","length":1}"#, "files[0]: name or physical_name is missing"),
            (
                #"{"name":"__a","physical_name":"a/b","length":1}"#,
                "files[0].physical_name cannot be part of a blob's name"
            ),
            (#"{"name":"..","physical_name":"p","length":1}"#, "files[0].name cannot be part of a blob's name"),
            (#"{"name":"__a","physical_name":"p"}"#, "files[0].length is missing"),
            (#"{"name":"__a","physical_name":"p","length":-1}"#, "files[0].length is -1"),
            (#"{"name":"__a","physical_name":"p","length":5,"part_size":0}"#, "files[0].part_size is 0 for 5 bytes"),
            (
                #"{"name":"__a","physical_name":"p","length":9223372036854775807,"part_size":1}"#,
                "files[0].part_size is 1 for 9223372036854775807 bytes"
            ),
            (#"{"name":"__a","physical_name":"p","length":1.5}"#, "files[0].length is no whole number"),
            (#"{"name":"v__a","physical_name":"p","length":5}"#, "files[0].meta_hash does not hold the 5 bytes of 'p'"),
            (
                #"{"name":"__a","physical_name":"p","length":5},{"name":"__b","physical_name":"p","length":5}"#,
                "files[1].physical_name: 'p' is listed twice"
            ),
            (#"3"#, "files[0] is no object"),
        ])
    func wrongFiles(_ file: String, _ expected: String) {
        #expect(failure { _ = try shard(file) } == "snap.dat: \(expected)")
    }
}
