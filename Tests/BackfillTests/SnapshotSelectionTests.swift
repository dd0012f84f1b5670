import JSONBytes
import Settings
import SnapshotFormat
import Telemetry
import TestSupport
import Testing

@testable import Backfill
@testable import SnapshotRepository

@Suite struct SnapshotSelectionTests {
    private func index(
        _ name: String, shards: Int = 2, created: Int = 136_407_927, _ mode: SourceMode = .stored
    ) -> SnapshotIndex {
        SnapshotIndex(
            name: name, id: "id-\(name)", shardCount: shards, createdVersionID: created, sourceMode: mode,
            isSystemLike: false, isClosed: false, aliases: .null, settings: .null, mappings: .null,
            snapshotName: "s", snapshotUUID: "u", shardFolders: [])
    }

    private func selection(
        _ indices: [SnapshotIndex], failures: [SnapshotDescription.ShardFailure] = [], _ names: [String]? = nil
    ) -> SnapshotSelection {
        let snapshot = SnapshotDescription(
            name: "s", uuid: "u", state: failures.isEmpty ? .success : .partial, engineVersionText: "e",
            engineVersionID: 1, indices: indices, failures: failures, reason: nil, includesGlobalState: nil,
            startMilliseconds: nil, endMilliseconds: nil)
        return SnapshotSelection(snapshot, isSelected: { names?.contains($0) ?? true })
    }

    @Test func whatCannotBeReadIsLeftOutWithItsReason() {
        let chosen = selection([
            index("a"), index("b", .disabled), index("c", .synthetic), index("d", created: 5_061_699),
            index("e", created: 6_000_001), index("f", .filtered),
        ])
        #expect(chosen.indices.map(\.name) == ["a", "e", "f"])
        #expect(chosen.leftOut.map(\.index) == ["b", "c", "d"])
        #expect(chosen.leftOut.map(\.reason) == [.indexWithoutSource, .indexWithoutSource, .unsupportedIndex])
        #expect(chosen.leftOut[2].detail.contains("Elasticsearch 5, which is too old"))
        #expect(chosen.notes.count == 1)
        #expect(chosen.notes.first?.hasPrefix("index f: its mapping filters _source") == true)
    }

    @Test func shardsThatTheSnapshotLacksAreNamedOnce() {
        let failures: [SnapshotDescription.ShardFailure] = [
            .init(index: "a", shard: 1, reason: "lost"), .init(index: "a", shard: 1, reason: "lost again"),
            .init(index: "b", shard: nil, reason: "whole"), .init(index: "unselected", shard: 0, reason: "x"),
        ]
        let chosen = selection([index("a"), index("b"), index("unselected")], failures: failures, ["a", "b"])
        #expect(chosen.leftOut.map(\.index) == ["a", "b", "b"])
        #expect(chosen.leftOut.map(\.shard) == [1, 0, 1])
        #expect(chosen.missingShards.count == 3)
    }
}

/// The composition from settings to report, over a real repository and the target `null:`.
@Suite struct SnapshotBackfillTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder("composition")
        var snapshot = SyntheticSnapshot()
        snapshot.deleteEvery = 7
        _ = try snapshot.write(to: folder.path("repo"), documentLimit: 100)
    }

    private func run(_ patterns: [String] = [], stop: RunStop? = nil) throws -> BackfillReport {
        var settings = BackfillSettings()
        settings.repositoryPath = folder.path("repo")
        settings.snapshotName = "snapshot-1"
        settings.progress = .none
        settings.indices = IndexSelection(patterns: try patterns.map { try IndexSelection.parsePattern($0) })
        let control = BackfillControl()
        if let stop { control.stop(stop) }
        return SnapshotBackfill(
            settings, control: control, metrics: MetricsRegistry(), log: Log.shared, wallClock: { 1000 }, terminal: nil
        ).run()
    }

    @Test func everythingIsReadAndCounted() throws {
        let report = try run()
        #expect(report.exitCode == 0, "\(report.text)")
        #expect(report.total.documentCount == 100)
        #expect(report.total.migrated == report.sentDocumentCount)
    }

    @Test func aMisspeltIndexBesideAnotherIsNotPassedOver() throws {
        let report = try run(["logs-synthetic", "logs-synthetik"])
        #expect(report.exitCode == 65)
        #expect(
            report.stop?.message
                == "snapshot snapshot-1: --index logs-synthetik selects nothing; it holds logs-synthetic")
    }

    @Test func aSignalBeforeTheRunHasBegunIsTheReasonOfItsEnd() throws {
        let report = try run(stop: RunStop(code: .signal(15), message: "stopped by signal 15"))
        #expect(report.exitCode == 143, "\(report.text)")
    }
}
