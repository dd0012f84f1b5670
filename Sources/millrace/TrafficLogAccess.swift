import Dispatch
import Settings
import Synchronization
import TrafficLog

extension TrafficFailure {
    init(_ error: TrafficLogError) {
        switch error.code {
        case .corrupt, .tooLarge, .missing: self.init(.unreadable, error.message)
        case .invalidSetting: self.init(.usage, error.message)
        default: self.init(.unavailable, error.message)
        }
    }
}

/// A log as a source of records, up to its end.
final class LoggedTrafficSource: TrafficSource {
    let location: String
    private let reader: any TrafficLogReader
    /// Damage is told once; a log's reader does not go past it.
    private var isDamaged = false

    init(_ address: TrafficLogAddress, _ options: TrafficLogAddress.Options) throws(TrafficFailure) {
        location = address.location
        do throws(TrafficLogError) {
            reader = try address.openReader(options)
        } catch {
            throw TrafficFailure(error)
        }
    }

    func next() throws(TrafficFailure) -> SourceRecord? {
        if isDamaged { return nil }
        do throws(TrafficLogError) {
            guard let record = try reader.next() else { return nil }
            return SourceRecord(
                key: record.key.map { Array($0) }, value: Array(record.value), position: record.position.description,
                timestampMilliseconds: record.timestampMilliseconds < 0 ? nil : record.timestampMilliseconds)
        } catch {
            isDamaged = error.code == .corrupt || error.code == .missing
            throw TrafficFailure(error)
        }
    }
}

/// Appends records to a log and waits for those that it has no room for. Everything is durable once `finish` returns.
final class LogAppender: TrafficLogSink {
    private struct Outcome {
        var durableCount = 0
        var failure: TrafficLogError?
    }

    /// Longer than any log takes to report an outage of its own.
    private static let patience = Duration.seconds(300)

    private let writer: any TrafficLogWriter
    private let outcome = Mutex(Outcome())
    private let room = DispatchSemaphore(value: 0)

    init(_ address: TrafficLogAddress, _ options: TrafficLogAddress.Options) throws(TrafficFailure) {
        do throws(TrafficLogError) {
            writer = try address.openWriter(options)
        } catch {
            throw TrafficFailure(error)
        }
    }

    var durableCount: Int { outcome.withLock { $0.durableCount } }

    func append(_ value: [UInt8], key: [UInt8]) throws(TrafficFailure) {
        let segment = RecordSegment(copying: value)
        let key = ConnectionKey(key)
        while true {
            if let failure = outcome.withLock({ $0.failure }) { throw TrafficFailure(failure) }
            do throws(TrafficLogError) {
                return try writer.append(segment, key: key, sink: self)
            } catch {
                guard error.code == .full else { throw TrafficFailure(error) }
                guard room.wait(timeout: .now() + .seconds(Int(Self.patience.components.seconds))) == .success else {
                    throw TrafficFailure(.unavailable, "\(writer.location): takes no more records: \(error.message)")
                }
            }
        }
    }

    func finish() throws(TrafficFailure) {
        let isFlushed = writer.flush(within: Self.patience)
        writer.close()
        if let failure = outcome.withLock({ $0.failure }) { throw TrafficFailure(failure) }
        guard isFlushed else { throw TrafficFailure(.unavailable, "\(writer.location): does not acknowledge records") }
    }

    func recordsResolved(_ deliveries: [LogDelivery]) {
        outcome.withLock { outcome in
            for delivery in deliveries {
                if let failure = delivery.failure {
                    outcome.failure = outcome.failure ?? failure
                } else {
                    outcome.durableCount += 1
                }
            }
        }
    }

    func logHasRoom() { room.signal() }
}
