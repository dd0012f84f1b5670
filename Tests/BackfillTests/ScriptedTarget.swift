import Dispatch
import Foundation
import JSONBytes
import Synchronization
import TestSupport

@testable import Backfill

/// A target that answers as a seed says: out of order, with refusals of every kind, before and after it has executed.
// Sound: all mutable state is guarded by `state`.
final class ScriptedTarget: BulkTransport, @unchecked Sendable {
    struct Script: Sendable {
        var seed: UInt64 = 0
        /// Of a hundred requests.
        var faultPercent = 0
        /// Of a hundred items.
        var putOffPercent = 0
        /// Larger bodies get 413.
        var bodyLimit = Int.max
        /// Documents whose items get 400.
        var rejected: Set<String> = []
        /// Documents that make their whole request a 400.
        var poison: Set<String> = []
        /// Requests from this one on get no answer.
        var silentAfter = Int.max
        var budgetBytes = Int.max
    }

    struct State {
        var random: SeededGenerator
        var stored: [String: [UInt8]] = [:]
        var indexOf: [String: String] = [:]
        var acknowledged: Set<String> = []
        var sent: [String: Int] = [:]
        var problems: [String] = []
        var requestCount = 0
        var pending: [() -> Void] = []
        var active: [ObjectIdentifier: (count: Int, bytes: Int)] = [:]
        /// Kept so that an identifier is not used twice.
        var silenced: [BulkBody] = []
    }

    let script: Script
    let state: Mutex<State>
    private let queue = DispatchQueue(label: "target", attributes: .concurrent)
    private let onRequest: @Sendable (Int) -> Void

    init(_ script: Script, onRequest: @escaping @Sendable (Int) -> Void = { _ in }) {
        self.script = script
        self.onRequest = onRequest
        state = Mutex(State(random: SeededGenerator(seed: script.seed)))
    }

    func sendBulk(index: String, body: BulkBody, completion: @escaping @Sendable (BulkAnswer) -> Void) {
        let bytes = body.slices.reduce(into: [UInt8]()) { $0 += $1 }
        let number = state.withLock { state in
            state.requestCount += 1
            let owner = ObjectIdentifier(body.owner)
            let before = state.active[owner] ?? (0, 0)
            state.active[owner] = (before.count + 1, before.bytes + body.byteCount)
            let total = state.active.values.reduce(0) { $0 + $1.bytes }
            if total > script.budgetBytes, state.active.count > 1 {
                state.problems.append("\(total) bytes of \(state.active.count) batches are in flight")
            }
            if bytes.count != body.byteCount {
                state.problems.append("a body of \(bytes.count), not \(body.byteCount)")
            }
            let documents = parse(bytes, &state.problems)
            if documents.count != body.documentCount { state.problems.append("\(documents.count) documents in a body") }
            for (id, _) in documents { state.sent[id, default: 0] += 1 }
            guard state.requestCount <= script.silentAfter else {
                state.silenced.append(body)
                return state.requestCount
            }
            let answer = execute(index, documents, bytes.count, &state)
            state.pending.append { [self] in
                self.state.withLock { state in
                    let left = state.active[owner].map { ($0.count - 1, $0.bytes - body.byteCount) }
                    state.active[owner] = left.flatMap { $0.0 == 0 ? nil : $0 }
                }
                completion(answer)
            }
            return state.requestCount
        }
        onRequest(number)
        guard number <= script.silentAfter else { return }
        // Each job completes any one of the requests that wait: out of order, and none is forgotten.
        queue.async { [self] in
            let job = state.withLock { state in
                state.pending.remove(at: state.random.below(state.pending.count))
            }
            job()
        }
    }

    private func parse(_ bytes: [UInt8], _ problems: inout [String]) -> [(id: String, source: [UInt8])] {
        var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        if lines.popLast()?.isEmpty != true { problems.append("a body does not end with a line break") }
        guard lines.count % 2 == 0 else {
            problems.append("a body of \(lines.count) lines")
            return []
        }
        return stride(from: 0, to: lines.count, by: 2).compactMap { line in
            guard let action = try? JSONValue.parse(Array(lines[line])), let id = action["index"]?["_id"]?.stringValue
            else {
                problems.append("no action: \(String(decoding: lines[line].prefix(100), as: UTF8.self))")
                return nil
            }
            return (id, Array(lines[line + 1]))
        }
    }

    private func execute(
        _ index: String, _ documents: [(id: String, source: [UInt8])], _ byteCount: Int, _ state: inout State
    ) -> BulkAnswer {
        if byteCount > script.bodyLimit { return .response(status: 413, body: Array("<html>too large".utf8)) }
        if documents.contains(where: { script.poison.contains($0.id) }) {
            return .response(status: 400, body: Array(#"{"error":{"type":"x","reason":"poison"},"status":400}"#.utf8))
        }
        let fault = state.random.below(100) < script.faultPercent ? state.random.below(6) : -1
        switch fault {
        case 0: return .response(status: 429, body: Array(#"{"error":{"type":"busy","reason":"r"}}"#.utf8))
        case 1: return .response(status: 503, body: [])
        case 2: return .failed(message: "reset before it was sent", isRetryable: true)
        default: break
        }
        var items: [String] = []
        var acknowledged: [String] = []
        for (id, source) in documents {
            if script.rejected.contains(id) {
                items.append(#"{"index":{"status":400,"error":{"type":"mapper","reason":"no \"good\""}}}"#)
            } else if state.random.below(100) < script.putOffPercent {
                items.append(#"{"index":{"status":429,"error":{"type":"rejected","reason":"queue"}}}"#)
            } else {
                if let other = state.stored[id], other != source { state.problems.append("\(id) changed") }
                state.stored[id] = source
                state.indexOf[id] = index
                acknowledged.append(id)
                items.append(#"{"index":{"status":201}}"#)
            }
        }
        switch fault {
        case 3: return .failed(message: "reset after it was executed", isRetryable: true)
        case 4: return .response(status: 200, body: Array("{\"items\":[{\"index\":".utf8))
        case 5: items.removeLast()
        default: state.acknowledged.formUnion(acknowledged)
        }
        return .response(status: 200, body: Array("{\"errors\":true,\"items\":[\(items.joined(separator: ","))]}".utf8))
    }
}
