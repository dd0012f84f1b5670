import EventIO
import Foundation
import JSONBytes
import Settings
import Synchronization
import TestSupport
import Testing

@testable import Backfill

/// Whole runs over real repositories against a scripted target. A failure names its seed; the same seed repeats it, as
/// far as threads allow.
@Suite struct BackfillFlowTests {
    private enum End: CaseIterable { case whole, diskFull, signal, silence }

    @Test(arguments: UInt64(0)..<120)
    func everyDocumentIsAccountedForAndNoCheckpointRunsAhead(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed &+ 1000)
        let repository = FlowRepository.all[Int(seed) % FlowRepository.all.count]
        let flow = Flow(repository, &random)
        let end = End.allCases[Int(seed / 6) % 4]
        switch end {
        case .whole: break
        case .diskFull:
            let stop = try flow.run(diesAtSave: 1 + random.below(6)).stop
            #expect(stop == nil || stop?.code == .unavailable, "seed \(seed)")
        case .signal:
            let stop = try flow.run(signalAt: 1 + random.below(8)).stop
            #expect(stop == nil || stop?.code == .signal(15), "seed \(seed)")
        case .silence: _ = try flow.run(signalAt: 4, silentAfter: 3)
        }
        let saved = try flow.savedDocuments()
        let sentBefore = flow.sentTotal
        let report = try flow.run()
        #expect(report.stop == nil, "seed \(seed): \(report.text)")
        for place in saved where flow.lastSent.contains(repository.documents[place]?.id ?? "") {
            flow.problems.withLock { $0.append("\(place) is before its checkpoint and was sent again") }
        }
        flow.checkEnd(report, mayRepeatLetters: end != .whole && sentBefore > 0)
        #expect(flow.problems.withLock { $0 } == [], "seed \(seed)")
    }

    @Test func runsOverSQLiteResumeToo() throws {
        for seed in UInt64(0)..<4 {
            var random = SeededGenerator(seed: seed &+ 5000)
            let repository = FlowRepository.all[Int(seed)]
            let folder = try TemporaryFolder("flow-state")
            let store = try SQLiteCheckpointStore(folder: folder.path, wallClock: { 1000 })
            let flow = Flow(repository, &random, store: store)
            _ = try flow.run(diesAtSave: 3)
            let report = try flow.run()
            #expect(report.stop == nil)
            flow.checkEnd(report, mayRepeatLetters: true)
            #expect(flow.problems.withLock { $0 } == [], "seed \(seed)")
        }
    }

    /// Two runs share a store, as two processes share a coordinator's folder: together they finish everything.
    @Test func twoProcessesOnOneCoordinatorMissNoShard() throws {
        for seed in UInt64(0)..<6 {
            var random = SeededGenerator(seed: seed &+ 9000)
            let repository = FlowRepository.all[Int(seed)]
            let folder = try TemporaryFolder("flow-state")
            let flow = Flow(repository, &random)
            flow.workerCount = 4
            let first = try SQLiteCheckpointStore(folder: folder.path, wallClock: { 1000 })
            let second = try SQLiteCheckpointStore(folder: folder.path, wallClock: { 1000 })
            let reports = Mutex<[BackfillReport]>([])
            let threads = [first, second].map { store in
                WorkerThread(name: "process") {
                    if let report = try? flow.run(store: store) { reports.withLock { $0.append(report) } }
                }
            }
            for thread in threads { thread.join() }
            let ended = reports.withLock { $0 }
            #expect(ended.count == 2)
            for report in ended { #expect(report.stop == nil, "\(report.text)") }
            if let report = ended.last { flow.checkEnd(report, mayRepeatLetters: true) }
            #expect(flow.problems.withLock { $0 } == [], "seed \(seed)")
        }
    }
}

/// One migration, over as many runs as it takes.
private final class Flow: @unchecked Sendable {
    let repository: FlowRepository
    let problems = Mutex<[String]>([])
    var workerCount = 2
    private var script = ScriptedTarget.Script()
    private var settings = BackfillSettings()
    private let store: any CheckpointStore
    private let folder: TemporaryFolder
    private let rangeBytes: Int64
    // What all runs' targets took.
    private let taken = Mutex((stored: [String: [UInt8]](), indexOf: [String: String](), acknowledged: Set<String>()))
    private(set) var lastSent: Set<String> = []
    private(set) var sentTotal = 0

    init(
        _ repository: FlowRepository, _ random: inout SeededGenerator,
        store: any CheckpointStore = VolatileCheckpointStore()
    ) {
        self.repository = repository
        self.store = store
        folder = (try? TemporaryFolder("flow-run")) ?? { preconditionFailure("no temporary folder") }()
        settings.repositoryPath = repository.folder.path("repo")
        settings.deadLettersPath = folder.path("dead-letters.jsonl")
        settings.limits.connectionLimit = 1 + random.below(8)
        settings.limits.bulkBytes = [1 << 10, 8 << 10, 64 << 10, 1 << 20][random.below(4)]
        settings.limits.bulkDocumentCount = [1, 7, 10_000][random.below(3)]
        settings.limits.memoryBudgetBytes = [1, 300_000, 64 << 20][random.below(3)]
        rangeBytes = [1, 40_000, 64 << 20][random.below(3)]
        script.seed = random.next()
        script.faultPercent = [0, 15, 40][random.below(3)]
        script.putOffPercent = [0, 5, 30][random.below(3)]
        script.bodyLimit = [Int.max, 20_000][random.below(2)]
        script.budgetBytes = settings.limits.memoryBudgetBytes
        for document in repository.documents.values where document.kind == .sendable {
            switch random.below(40) {
            case 0: script.rejected.insert(document.id)
            case 1: script.poison.insert(document.id)
            default: break
            }
        }
    }

    private var key: RunKey {
        RunKey(snapshot: "\(repository.snapshot.name) \(repository.snapshot.uuid)", target: "null:")
    }

    private func isLeftOut(_ document: FlowDocument) -> Bool {
        document.kind == .smile || document.kind == .withoutSource
            || document.kind == .sendable
                && (script.rejected.contains(document.id) || script.poison.contains(document.id)
                    || document.line.count + 100 > script.bodyLimit)
    }

    func run(
        store other: (any CheckpointStore)? = nil, diesAtSave: Int = .max, signalAt: Int = .max,
        silentAfter: Int = .max
    ) throws -> BackfillReport {
        var script = script
        script.silentAfter = silentAfter
        let control = BackfillControl()
        let target = ScriptedTarget(script) { number in
            if number == signalAt { control.stop(RunStop(code: .signal(15), message: "signal 15")) }
        }
        let watched = WatchingStore(other ?? store, diesAtSave: diesAtSave) { [self] in check($0, target) }
        var settings = settings
        settings.limits.workerCount = workerCount
        var tuning = BackfillRun.Tuning()
        tuning.rangeBytes = rangeBytes
        tuning.drainTime = silentAfter == .max ? .seconds(10) : .milliseconds(20)
        let ticks = Mutex(0)
        tuning.now = {
            .milliseconds(
                ticks.withLock {
                    $0 += 1; return $0
                })
        }
        tuning.after = { queue, _, work in queue.async(execute: work) }
        let run = try BackfillRun(
            settings: settings, repository: try FlowRepository.reader(repository.folder),
            snapshot: repository.snapshot, selection: repository.selection, transport: target, store: watched,
            begun: MonotonicInstant.now(), tuning: tuning)
        control.attach { [weak run] in run?.end($0) }
        run.work()
        var report = BackfillReport()
        run.complete(&report)
        let state = target.state.withLock { $0 }
        taken.withLock { taken in
            taken.stored.merge(state.stored) { $1 }
            taken.indexOf.merge(state.indexOf) { $1 }
            taken.acknowledged.formUnion(state.acknowledged)
        }
        lastSent = Set(state.sent.keys)
        sentTotal += state.requestCount
        problems.withLock { $0 += state.problems }
        return report
    }

    // MARK: - Checkers

    /// Every document before a checkpoint is acknowledged, or stands in the dead-letter file by now.
    private func check(_ progress: [(shard: ShardKey, range: RangeProgress)], _ target: ScriptedTarget) {
        let acknowledged = target.state.withLock { $0.acknowledged }
        let before = taken.withLock { $0.acknowledged }
        lazy var letters = Set(deadLetters())
        for (shard, range) in progress {
            var tally = DocumentTally()
            for doc in range.firstDoc..<range.checkpoint {
                let index = repository.indexNames[shard.indexID] ?? ""
                let place = DocumentPlace(index: index, shard: shard.number, segment: range.segment, doc: doc)
                guard let document = repository.documents[place] else {
                    problems.withLock { $0.append("\(place) does not exist") }
                    continue
                }
                switch document.kind {
                case .deleted: tally.deleted += 1
                case .nested: tally.nested += 1
                default:
                    let isLeftOut = isLeftOut(document)
                    if document.kind != .sendable {
                        tally.omitted += 1
                    } else if isLeftOut {
                        tally.rejected += 1
                    } else {
                        tally.migrated += 1
                        tally.sourceBytes += Int64(document.line.count)
                    }
                    let isKnown =
                        isLeftOut
                        ? letters.contains(place)
                        : acknowledged.contains(document.id) || before.contains(document.id)
                    if !isKnown { problems.withLock { $0.append("the checkpoint passed \(place)") } }
                }
            }
            if tally != range.tally {
                problems.withLock { $0.append("\(range.segment): counted \(range.tally), not \(tally)") }
            }
        }
    }

    /// Documents that saved checkpoints have passed.
    func savedDocuments() throws -> [DocumentPlace] {
        var places: [DocumentPlace] = []
        for index in repository.snapshot.indices {
            for shard in 0..<index.shardCount {
                for range in try store.ranges(run: key, shard: ShardKey(indexID: index.id, number: shard)) {
                    places += (range.firstDoc..<range.checkpoint).map {
                        DocumentPlace(index: index.name, shard: shard, segment: range.segment, doc: $0)
                    }
                }
            }
        }
        return places
    }

    private func deadLetters() -> [DocumentPlace] {
        guard let bytes = try? FileTree.read(folder.path("dead-letters.jsonl")) else { return [] }
        return bytes.split(separator: 0x0A).compactMap { line in
            guard let letter = try? JSONValue.parse(Array(line)), let index = letter["index"]?.stringValue,
                let shard = letter["shard"]?.intValue, let segment = letter["segment"]?.stringValue,
                let doc = letter["doc"]?.intValue
            else {
                let text = String(decoding: line.prefix(200), as: UTF8.self)
                problems.withLock { $0.append("not a dead letter: \(text)") }
                return nil
            }
            return DocumentPlace(index: index, shard: Int(shard), segment: segment, doc: Int(doc))
        }
    }

    func checkEnd(_ report: BackfillReport, mayRepeatLetters: Bool) {
        let taken = taken.withLock { $0 }
        var expected = DocumentTally()
        var leftOut: Set<DocumentPlace> = []
        var arrived: Set<String> = []
        for (place, document) in repository.documents {
            switch document.kind {
            case .deleted: expected.deleted += 1
            case .nested: expected.nested += 1
            case _ where isLeftOut(document):
                leftOut.insert(place)
                if document.kind == .sendable { expected.rejected += 1 } else { expected.omitted += 1 }
            default:
                expected.migrated += 1
                expected.sourceBytes += Int64(document.line.count)
                arrived.insert(document.id)
                if taken.stored[document.id] != document.line || taken.indexOf[document.id] != place.index {
                    problems.withLock { $0.append("\(place) did not arrive as it was") }
                }
            }
        }
        let more = Set(taken.stored.keys).subtracting(arrived)
        let letters = deadLetters()
        problems.withLock { problems in
            if !more.isEmpty { problems.append("sent though not to be sent: \(more)") }
            if report.total != expected { problems.append("reported \(report.total), not \(expected)") }
            if report.total.documentCount != repository.documents.count { problems.append("the sum is not maxDoc") }
            if Set(letters) != leftOut { problems.append("\(letters.count) letters for \(leftOut.count) documents") }
            if !mayRepeatLetters, letters.count != leftOut.count { problems.append("a letter stands twice") }
            if report.indices.contains(where: { $0.finishedShardCount != $0.shardCount }) {
                problems.append("a shard is not finished")
            }
            let exitCode: Int32 = leftOut.isEmpty ? 0 : 3
            if report.exitCode != exitCode { problems.append("exit code \(report.exitCode)") }
        }
    }
}
