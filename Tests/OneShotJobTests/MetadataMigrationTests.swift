import BlobStore
import JSONBytes
import SnapshotRepository
import TestSupport
import Testing

@testable import Metadata

@Suite struct MetadataMigrationTests {
    /// Two indices as a repository holds them.
    private func indices() throws -> [SnapshotIndex] {
        let folder = try TemporaryFolder()
        let writer = try SnapshotRepositoryWriter(path: folder.path)
        try writer.beginIndex("a", shardCount: 2)
        try writer.beginIndex("b", shardCount: 1)
        try writer.finish()
        let store = try FileBlobStore(path: folder.path)
        return try RepositoryReader(store: store, cancellation: .never).open(snapshot: writer.options.snapshotName)
            .indices
    }

    private func run(_ cluster: ScriptedCluster, isEvaluation: Bool = false) throws -> MetadataReport {
        try MetadataMigration(isEvaluation: isEvaluation, replicas: nil, send: cluster.send).run(try indices())
    }

    @Test func indicesAreMadeWithTheirShards() throws {
        let cluster = ScriptedCluster()
        cluster.on("PUT /a", .init(200, "{}"))
        cluster.on("PUT /b", .init(200, "{}"))
        let report = try run(cluster)
        #expect(report.items.map(\.outcome) == [.created, .created])
        #expect(cluster.bodies.map { $0["settings"]?["index"]?["number_of_shards"]?.stringValue } == ["2", "1"])
        #expect(report.exitCode == 0)
    }

    @Test func anEvaluationSendsNothingThatWrites() throws {
        let cluster = ScriptedCluster()
        let report = try run(cluster, isEvaluation: true)
        #expect(report.items.map(\.outcome) == [.wouldCreate, .wouldCreate])
        #expect(cluster.requests.allSatisfy { $0.hasPrefix("GET ") })
    }

    @Test func whatIsThereStaysAsItIsAndOtherShardCountsAreTold() throws {
        let cluster = ScriptedCluster()
        cluster.on("GET /a/_settings", .init(200, #"{"a":{"settings":{"index.number_of_shards":"5"}}}"#))
        cluster.on("PUT /b", .init(200, "{}"))
        let report = try run(cluster)
        #expect(report.items.map(\.outcome) == [.present, .created])
        #expect(report.items[0].message == "it has 5 shards in the target and 2 in the source")
        #expect(!cluster.requests.contains("PUT /a"))
    }

    @Test func anAliasOfTheNameIsAFailureThatSaysWhoseItIs() throws {
        let cluster = ScriptedCluster()
        cluster.on("GET /a/_settings", .init(200, #"{"a-2":{"settings":{}}}"#))
        cluster.on("PUT /b", .init(200, "{}"))
        let report = try run(cluster)
        #expect(report.items.map(\.outcome) == [.failed, .created])
        #expect(report.items[0].message?.contains("alias of a-2") == true)
        #expect(report.exitCode == 3)
    }

    @Test func aRefusedSettingIsLeftOutAndTold() throws {
        let cluster = ScriptedCluster()
        cluster.on(
            "PUT /a", .init(400, #"{"error":{"reason":"unknown setting [index.number_of_replicas]"}}"#),
            .init(200, "{}"))
        cluster.on("PUT /b", .init(200, "{}"))
        let report = try run(cluster)
        #expect(report.items.map(\.outcome) == [.created, .created])
        #expect(report.items[0].changes.last?.place == "settings.index.number_of_replicas")
    }

    /// The reference project asks for ever when what it takes out is not what the target refuses.
    @Test func aTargetThatRefusesTheSameAgainIsNotAskedForEver() throws {
        let cluster = ScriptedCluster()
        cluster.on("PUT /a", .init(400, #"{"error":{"reason":"unsupported parameters: [x : y]"}}"#))
        cluster.on("PUT /b", .init(200, "{}"))
        let report = try run(cluster)
        #expect(report.items.map(\.outcome) == [.failed, .created])
        #expect(cluster.requests.filter { $0 == "PUT /a" }.count == 1)
    }

    @Test func anIndexThatALostAnswerHadMadeIsMade() throws {
        let cluster = ScriptedCluster()
        let there = #"{"error":{"type":"resource_already_exists_exception","reason":"index [a/x] already exists"}}"#
        cluster.on("PUT /a", .init(400, there))
        cluster.on("PUT /b", .init(200, "{}"))
        #expect(try run(cluster).items.map(\.outcome) == [.created, .created])
    }
}
