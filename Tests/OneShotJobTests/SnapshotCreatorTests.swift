import ClusterClient
import JSONBytes
import Testing

@testable import SnapshotCreation

@Suite struct SnapshotCreatorTests {
    private let status =
        #"{"snapshots":[{"shards_stats":{"done":3,"failed":1,"total":4},"stats":{"total":{"size_in_bytes":9}}}]}"#

    private func order() -> SnapshotCreator.Order {
        var order = SnapshotCreator.Order(repository: "r", snapshot: "s")
        order.location = "/snapshots"
        return order
    }

    private func state(_ text: String) -> ScriptedCluster.Answer {
        .init(200, #"{"snapshots":[{"snapshot":"s","state":"\#(text)"}]}"#)
    }

    private func cluster() -> ScriptedCluster {
        let cluster = ScriptedCluster()
        cluster.on("PUT /_snapshot/r", .init(200, "{}"))
        cluster.on("PUT /_snapshot/r/s", .init(200, #"{"accepted":true}"#))
        cluster.on("GET /_snapshot/r/s/_status", .init(200, status))
        return cluster
    }

    private func run(
        _ order: SnapshotCreator.Order, _ cluster: ScriptedCluster
    ) throws(SnapshotCreator.Failure) -> (SnapshotCreator.Progress, told: Int) {
        var told = 0
        let creator = SnapshotCreator(order, send: cluster.send, pause: {})
        let last = try creator.run { _ in told += 1 }
        return (last, told)
    }

    @Test func theRepositoryIsRegisteredTheSnapshotBegunAndWaitedFor() throws {
        let cluster = cluster()
        cluster.on(
            "GET /_snapshot/r/s", .init(404, "{}"), state("IN_PROGRESS"), state("IN_PROGRESS"), state("SUCCESS"))
        var order = order()
        order.indices = ["logs-*", "-logs-tmp"]
        order.rateLimitBytes = 1_000_000
        let (last, told) = try run(order, cluster)
        #expect(last.state == "SUCCESS" && last.shardCount == 4)
        #expect(told == 3)
        #expect(cluster.bodies.first?["settings"]?["location"]?.stringValue == "/snapshots")
        #expect(cluster.bodies.first?["settings"]?["max_snapshot_bytes_per_sec"]?.stringValue == "1000000b")
        #expect(cluster.bodies.last?["indices"]?.stringValue == "logs-*,-logs-tmp")
    }

    @Test func aSnapshotInWorkIsTakenOver() throws {
        let cluster = cluster()
        cluster.on("GET /_snapshot/r", .init(200, #"{"r":{"type":"fs","settings":{"location":"/snapshots"}}}"#))
        cluster.on("GET /_snapshot/r/s", state("IN_PROGRESS"), state("SUCCESS"))
        _ = try run(order(), cluster)
        #expect(cluster.requests.allSatisfy { $0.hasPrefix("GET ") })
    }

    @Test func aBeginWhoseAnswerWasLostIsTakenOver() throws {
        let cluster = cluster()
        cluster.on(
            "PUT /_snapshot/r/s", .init(400, #"{"error":{"type":"invalid_snapshot_name_exception","reason":"exists"}}"#)
        )
        cluster.on("GET /_snapshot/r/s", .init(404, "{}"), state("SUCCESS"))
        #expect(try run(order(), cluster).0.state == "SUCCESS")
    }

    @Test func aRepositoryAtAnotherPlaceIsNotUsed() {
        let cluster = cluster()
        cluster.on("GET /_snapshot/r", .init(200, #"{"r":{"type":"fs","settings":{"location":"/other"}}}"#))
        expect(cluster, order(), contains: "at another place (/other)")
        #expect(cluster.requests.count == 1)
    }

    @Test func aMissingRepositoryWithoutAPlaceIsAnError() {
        expect(cluster(), SnapshotCreator.Order(repository: "r", snapshot: "s"), contains: "has no repository r")
    }

    @Test func aPartialSnapshotIsAnErrorUnlessItIsAccepted() throws {
        let cluster = cluster()
        cluster.on("GET /_snapshot/r/s", state("PARTIAL"))
        expect(cluster, order(), contains: "it lacks 1 of 4 shards")
        var lenient = order()
        lenient.acceptsPartial = true
        #expect(try run(lenient, cluster).0.state == "PARTIAL")
    }

    @Test func aFailedSnapshotIsAnErrorAndStays() {
        let cluster = cluster()
        cluster.on("GET /_snapshot/r/s", state("FAILED"))
        expect(cluster, order(), contains: "ended as FAILED")
        #expect(!cluster.requests.contains { $0.hasPrefix("DELETE") })
    }

    @Test func aSnapshotThatSomebodyRemovesIsAnError() {
        let cluster = cluster()
        cluster.on("GET /_snapshot/r/s", state("IN_PROGRESS"), state("IN_PROGRESS"), .init(404, "{}"))
        expect(cluster, order(), contains: "was removed")
    }

    @Test func aStopLeavesTheSourceAlone() {
        let cluster = cluster()
        cluster.on("GET /_snapshot/r/s", state("IN_PROGRESS"))
        let creator = SnapshotCreator(order(), send: cluster.send, pause: {}, isStopped: { true })
        #expect(throws: SnapshotCreator.Failure.stopped) { try creator.run { _ in } }
    }

    private func expect(_ cluster: ScriptedCluster, _ order: SnapshotCreator.Order, contains text: String) {
        do throws(SnapshotCreator.Failure) {
            _ = try run(order, cluster)
            Issue.record("it succeeded")
        } catch {
            switch error {
            case .refused(let message), .unusable(let message), .unavailable(let message):
                #expect(message.contains(text))
            case .stopped: Issue.record("it stopped")
            }
        }
    }
}
