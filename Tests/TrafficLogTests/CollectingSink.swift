import EventIO
import Glibc
import Synchronization

@testable import TrafficLog

/// Remembers every delivery; lets a test wait for them.
final class CollectingSink: TrafficLogSink {
    struct Outcome: Sendable, Equatable {
        let token: UInt64
        let failure: TrafficLogError.Code?
        let isReusable: Bool
    }

    private struct State {
        var outcomes: [Outcome] = []
        var batchCount = 0
        var roomCount = 0
        var segments: [RecordSegment] = []
    }

    private let state = Mutex(State())
    private let monitor = Monitor()

    func recordsResolved(_ deliveries: [LogDelivery]) {
        state.withLock { state in
            state.batchCount += 1
            for delivery in deliveries {
                state.outcomes.append(
                    Outcome(
                        token: delivery.segment.token, failure: delivery.failure?.code, isReusable: delivery.isReusable)
                )
                if delivery.isReusable { state.segments.append(delivery.segment) }
            }
        }
        monitor.locked { monitor.signalAll() }
    }

    func logHasRoom() {
        state.withLock { $0.roomCount += 1 }
        monitor.locked { monitor.signalAll() }
    }

    var outcomes: [Outcome] { state.withLock { $0.outcomes } }
    var batchCount: Int { state.withLock { $0.batchCount } }
    var roomCount: Int { state.withLock { $0.roomCount } }
    var durableTokens: [UInt64] { outcomes.filter { $0.failure == nil }.map(\.token) }

    /// Waits until `condition` holds, for 60 s at the most.
    func wait(seconds: UInt64 = 60, until condition: (CollectingSink) -> Bool) -> Bool {
        let deadline = MonotonicClock.nanoseconds + seconds * 1_000_000_000
        return monitor.locked {
            while !condition(self) {
                guard MonotonicClock.nanoseconds < deadline else { return false }
                monitor.wait(until: min(deadline, MonotonicClock.nanoseconds + 20_000_000))
            }
            return true
        }
    }
}

extension RecordSegment {
    convenience init(_ token: UInt64, _ text: String) {
        self.init(copying: Array(text.utf8))
        self.token = token
    }
}

/// A record as tests compare it.
struct PlainRecord: Equatable {
    var key: String
    var value: [UInt8]
    var partition: Int32 = 0
    var offset: Int64
}

extension TrafficLogReader {
    /// Everything up to the end.
    func readAll() throws -> [PlainRecord] {
        var records: [PlainRecord] = []
        while let record = try next() {
            records.append(
                PlainRecord(
                    key: record.key.map { String(decoding: $0, as: UTF8.self) } ?? "", value: Array(record.value),
                    partition: record.position.partition, offset: record.position.offset))
        }
        return records
    }
}

/// Waits for something that another thread does, for 60 s at the most.
func eventually(seconds: UInt64 = 60, _ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = MonotonicClock.nanoseconds + seconds * 1_000_000_000
    while try !condition() {
        guard MonotonicClock.nanoseconds < deadline else { return false }
        poll(nil, 0, 2)
    }
    return true
}
